"""Put the report's page together: what its template shows, worded and thinned, and the template filled in."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup, escape

from tune_sentiment.results import facts, figures, series, wording
from tune_sentiment.results.failures import failure_groups
from tune_sentiment.results.figures import Figure
from tune_sentiment.results.mattered import Mattered
from tune_sentiment.results.reproduce import command_line, request_sections, script_json
from tune_sentiment.results.trial_table import trial_table
from tune_sentiment.search.records import ConfirmedSetting, Outcome

RELOAD_SECONDS = 10
"""Seconds after which the page of a search that still runs reads itself again."""

FAILED_SHOWN = 20
"""Failed trials that are listed under one reason."""


def render(outcome: Outcome, mattered: Mattered, now: float) -> str:
    """Return the report as one HTML page that needs no network; `now`: UNIX time at which running trials are looked at.

    Whatever comes from outside is escaped: in the HTML by the template, in the figures by `script_json`.
    """
    plots = _plots(outcome, mattered, now)
    return _template().render(
        outcome=outcome,
        reload=RELOAD_SECONDS if outcome.phase in ("searching", "confirming") else None,
        written=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        tiles=_tiles(outcome),
        verdict=facts.verdict(outcome),
        confirmed=[_confirmed_row(setting, outcome) for setting in facts.confirmed_so_far(outcome)],
        exported=_exported(outcome),
        settings=_settings(outcome),
        plots=plots,
        mattered=mattered,
        trials=trial_table(outcome),
        failures=failure_groups(outcome.records),
        failed_shown=FAILED_SHOWN,
        generated=_is_generated(outcome.request),
        command=command_line(outcome.request),
        request=request_sections(outcome.request),
        wording=wording,
        style=_part("report.css"),
        script=_part("report.js"),
        plotly=plotly_script(),
        figures=script_json({plot["id"]: plot["figure"] for group in plots.values() for plot in group}),
    )


@cache
def plotly_script() -> str:
    """Return the plotly.js that the page carries within itself; read as a file, as plotly itself is dear to import."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["marked"] = _marked
    return environment.from_string(_part("report.html"))


def _marked(text: str) -> Markup:
    """Return `text` escaped, with what stands in `backticks` as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


@cache
def _part(name: str) -> str:
    return (files("tune_sentiment.results") / "page" / name).read_text(encoding="utf-8")


def _tiles(outcome: Outcome) -> list[tuple[str, str]]:
    winner, best = facts.decided(outcome), facts.best_record(outcome.records)
    ended = sum(1 for record in outcome.records if record.fate in ("complete", "stopped", "failed"))
    if winner is not None:
        tiles = [(wording.loss(facts.mean(winner.val_losses)), "validation loss of the winner, mean")]
    else:
        tiles = [(wording.loss(best.best_val_loss if best else None), "lowest validation loss so far")]
    return [
        *tiles,
        (f"{ended:,}", "trials ended"),
        (wording.percent(outcome.busy_share, 0), "of the slots' time busy"),
        (wording.duration(outcome.seconds), "in all"),
    ]


def _confirmed_row(setting: ConfirmedSetting, outcome: Outcome) -> dict[str, str]:
    winner = facts.decided(outcome)
    marks = ["winner"] if winner is not None and winner.trial == setting.trial else []
    marks += ["course"] if setting.is_course else []
    return {
        "trial": f"{setting.trial}" + (f" ({', '.join(marks)})" if marks else ""),
        "val_loss": _typeset(facts.val_loss_text(setting)),
        "searched": wording.loss(setting.search_val_loss),
        "test_accuracy": _typeset(facts.tested_accuracy_text(setting)),
        "test_loss": _typeset(facts.tested_loss_text(setting)),
        "setting": wording.setting_text(setting.setting),
    }


def _typeset(text: str) -> str:
    return text.replace("+-", "\N{PLUS-MINUS SIGN}")


def _exported(outcome: Outcome) -> str:
    winner = facts.decided(outcome)
    run = facts.exported_run(winner) if winner is not None else None
    if winner is None or run is None or outcome.bundle is None:
        return ""
    accuracy = facts.exported_accuracy(winner)
    scored = f", with {wording.percent(accuracy)} of the test reviews right" if accuracy is not None else ""
    return f"Exported to {outcome.bundle}: the winner's model of seed {winner.seeds[run]}{scored}."


def _settings(outcome: Outcome) -> dict[str, Any] | None:
    """Return the winner's (or the leading) setting beside the course's, name by name."""
    winner, best = facts.decided(outcome), facts.best_record(outcome.records)
    lead = winner.setting if winner is not None else best.setting if best is not None else None
    if lead is None:
        return None
    course = next((record.setting for record in outcome.records if record.number == facts.COURSE_TRIAL), {})
    return {
        "title": "winner" if winner is not None else "best so far",
        "rows": [
            (name, wording.figure(value, name), wording.figure(course.get(name), name)) for name, value in lead.items()
        ],
    }


def _plots(outcome: Outcome, mattered: Mattered, now: float) -> dict[str, list[dict[str, Any]]]:
    won = []
    if facts.confirmed_so_far(outcome):
        won.append(
            _plot(
                "confirmed",
                "Validation loss on fresh seeds",
                "Further left is better. The bar is the standard deviation over the seeds. The upright stroke is what "
                "the search had measured on one seed, which picks the lucky ones.",
                figures.confirmed_figure(outcome),
            )
        )
    went = []
    if outcome.records:
        went = [
            _plot("progress", "Best so far", _progress_caption(outcome, now), figures.progress_figure(outcome, now)),
            _plot("curves", "Learning curves", _curves_caption(outcome), figures.curves_figure(outcome)),
            _plot("slots", "Slots busy", _slots_caption(outcome, now), figures.slots_figure(outcome, now)),
        ]
    drawn = [
        _plot(f"mattered-{place}", title, "", figure) for place, (title, figure) in enumerate(mattered.figures.items())
    ]
    return {"won": won, "went": went, "mattered": drawn}


def _plot(identity: str, title: str, caption: str, figure: Figure) -> dict[str, Any]:
    return {
        "id": identity,
        "title": title,
        "caption": caption,
        "figure": figure,
        "height": figure["layout"]["height"],
        "min_width": figure.get("min_width"),
        "small": title.endswith(" alone"),
    }


def _progress_caption(outcome: Outcome, now: float) -> str:
    drawn = series.progress(outcome, now)
    text = "Each trial at the moment it ended. Trials without a loss, or with one far too high, lie on the upper rim."
    if len(drawn.points) < drawn.trials:
        text += f" {len(drawn.points):,} of {drawn.trials:,} trials are drawn, all that improved the best among them."
    return text


def _curves_caption(outcome: Outcome) -> str:
    drawn, measured = len(series.curves(outcome)), series.count_curves(outcome)
    text = "The validation loss that each trial reported."
    if outcome.rungs:
        text += " At a rung, ASHA stops the trials that do worse than most."
    if drawn < measured:
        text += f" {drawn:,} of {measured:,} curves are drawn: the best, and others evenly down the ranks."
    return text


def _slots_caption(outcome: Outcome, now: float) -> str:
    text = f"Trials in training or validation side by side; busy {wording.percent(outcome.busy_share, 0)} of the time."
    if series.slots_busy(outcome, now).averaged:
        text += " Means over equal spans of time."
    text += " A slot in which nothing is left to run counts as busy while another's trial trains on its cores."
    return text + " Stretches of over five minutes in which nothing ran are cut out."


def _is_generated(request: Mapping[str, Any]) -> bool:
    described = (request.get("data"), request.get("dataset"))
    return any(isinstance(data, Mapping) and bool(data.get("generated")) for data in described)
