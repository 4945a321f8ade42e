"""Rank the trials: as rows for programs, as a CSV file, and as tables for the terminal."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tune_sentiment.results import facts, wording
from tune_sentiment.results.writing import replace_file
from tune_sentiment.search.records import Outcome, Plan, TrialRecord

FATE_STYLES = {"complete": "green", "stopped": "yellow", "failed": "red", "running": "cyan", "waiting": "dim"}

_HEADINGS = ("rank", "trial", "fate", "loss", "acc", "steps")

_FIGURES = (
    "best_val_loss",
    "best_val_accuracy",
    "best_step",
    "steps",
    "max_steps",
    "seconds",
    "seed",
    "started",
    "ended",
    "confirmed_val_loss",
)


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    """Return one row per trial, best first; the running ones among them by what they reached so far, the failed last.

    Keys: rank (None without a usable loss), trial, fate, reason, is_course, the searched hyperparameters by name,
    best_val_loss, best_val_accuracy (0 to 1), best_step, steps, max_steps, seconds, seed, started and ended (UNIX time)
    and confirmed_val_loss (mean over the fresh seeds, None for a setting that was not confirmed).
    """
    names = setting_names(outcome.records)
    confirmed = {setting.trial: facts.mean(setting.val_losses) for setting in facts.confirmed_so_far(outcome)}
    return [
        {"rank": rank, "trial": record.number, "fate": record.fate, "reason": record.reason}
        | {"is_course": record.number == facts.COURSE_TRIAL}
        | {name: record.setting.get(name) for name in names}
        | {name: getattr(record, name) for name in _FIGURES if name != "confirmed_val_loss"}
        | {"confirmed_val_loss": confirmed.get(record.number)}
        for rank, record in facts.ranked(outcome.records)
    ]


def setting_names(records: Iterable[TrialRecord]) -> list[str]:
    """Return the names of the searched hyperparameters, in the order in which the trials name them."""
    return list(dict.fromkeys(name for record in records for name in record.setting))


def write_csv(outcome: Outcome, path: Path) -> None:
    """Write `rows(outcome)` to `path` as CSV with a header, whole or not at all; a missing value is an empty cell.

    Raises:
        StudyError: if the file cannot be written.
    """
    columns = ["rank", "trial", "fate", "reason", "is_course", *setting_names(outcome.records), *_FIGURES]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(outcome))
    replace_file(path, text.getvalue())


def table(outcome: Outcome, top: int = 10, width: int = 80) -> Table:
    """Return the `top` trials, and the course's setting wherever it ended, as a table that fits `width` columns.

    A hyperparameter has a column of its own where all of them fit; else they share one.
    """
    everyone = facts.ranked(outcome.records)
    shown = [pair for place, pair in enumerate(everyone) if place < top or pair[1].number == facts.COURSE_TRIAL]
    names = setting_names(record for _, record in shown)
    own_columns = _width(shown, names) <= width
    leaderboard = Table(
        box=None, padding=(0, 1, 0, 0), header_style="bold", caption_justify="left", caption_style="dim"
    )
    for heading in _HEADINGS:
        leaderboard.add_column(heading, justify="left" if heading == "fate" else "right", no_wrap=True)
    for name in names if own_columns else ():
        leaderboard.add_column(_heading(name), justify="right", vertical="bottom")
    if not own_columns:
        leaderboard.add_column("setting", overflow="fold")
    decided = facts.decided(outcome)
    winner = decided.trial if decided else None
    for rank, record in shown:
        texts = [Text(wording.figure(record.setting.get(name), name)) for name in names]
        leaderboard.add_row(
            *_cells(rank, record, record.number == winner),
            *(texts if own_columns else [Text(wording.setting_text(record.setting))]),
            style="bold" if record.number == winner else "",
        )
    leaderboard.caption = _caption(outcome, len(shown))
    return leaderboard


def summary(outcome: Outcome) -> RenderableType:
    """Return what the search found: the winner beside the course's setting, the counts, how busy the slots were."""
    verdict = Text(facts.verdict(outcome), style="bold")
    parts: list[RenderableType] = [verdict]
    if outcome.winner is not None:
        parts += [Text(f"setting: {wording.setting_text(outcome.winner.setting)}"), Text(), _beside_the_course(outcome)]
    parts += [Text(), _facts_table(_search_facts(outcome))]
    parts += [Text(f"note: {note}", style="yellow") for note in outcome.notes]
    return Group(*parts)


def plan_table(plan: Plan) -> RenderableType:
    """Return how a search will use the machine, for the printed plan and `--dry-run`."""
    device = f"{wording.figure(plan.cpus)} CPUs"
    if plan.gpus:
        device += f", {wording.figure(plan.gpus)} GPUs"
    share = f"{wording.figure(plan.cpus_per_trial)} CPU"
    if plan.gpus_per_trial:
        share += f", {wording.figure(plan.gpus_per_trial)} GPU"
    lines = {
        "machine": f"{device}, {wording.memory(plan.memory_bytes)} of memory; trains on {plan.device}",
        "slots": f"{wording.count(plan.slots, 'trial')} side by side, each with {share}",
        "largest trial": f"about {wording.memory(plan.trial_bytes)}",
        "search": f"{wording.count(plan.trials, 'trial')} of at most {wording.count(plan.max_steps, 'step')}",
        "confirmation": f"{wording.count(plan.confirm_runs, 'full run')} on fresh seeds",
    }
    if plan.estimated_seconds:
        lines["time"] = f"about {wording.duration(plan.estimated_seconds)}"
    notes = [Text(f"note: {note}", style="yellow") for note in plan.notes]
    return Group(_facts_table(lines), *notes)


def searches_table(searches: Sequence[Mapping[str, Any]]) -> Table:
    """Return the searches under a storage folder, one row each.

    searches: mappings with name, state, trials, wanted, best_val_loss, winner (a trial's number, a setting or text) and
        updated (UNIX time or text); a missing value shows as "-".
    """
    overview = Table(box=None, pad_edge=False, header_style="bold")
    overview.add_column("name", overflow="fold")
    overview.add_column("state", no_wrap=True)
    overview.add_column("trials", justify="right", no_wrap=True)
    overview.add_column("best loss", justify="right", no_wrap=True)
    overview.add_column("winner", overflow="fold")
    overview.add_column("updated", no_wrap=True)
    for search in searches:
        trials, wanted = search.get("trials"), search.get("wanted")
        done = wording.NOTHING if trials is None else f"{trials:,}"
        overview.add_row(
            Text(str(search.get("name", wording.NOTHING))),
            Text(str(search.get("state") or wording.NOTHING)),
            f"{done}/{wanted:,}" if wanted else done,
            wording.loss(search.get("best_val_loss")),
            Text(_winner_text(search.get("winner"))),
            _moment(search.get("updated")),
        )
    return overview


def _cells(rank: int | None, record: TrialRecord, is_winner: bool) -> list[str | Text]:
    marks = ("*" if record.number == facts.COURSE_TRIAL else "") + ("+" if is_winner else "")
    return [
        str(rank) if rank is not None else wording.NOTHING,
        f"{record.number}{marks}",
        Text(record.fate, style=FATE_STYLES[record.fate]),
        wording.loss(record.best_val_loss),
        wording.percent(record.best_val_accuracy),
        str(record.steps),
    ]


def _width(shown: Sequence[tuple[int | None, TrialRecord]], names: Sequence[str]) -> int:
    fixed = [
        max([len(heading), *(len(str(_cells(rank, record, True)[place])) for rank, record in shown)])
        for place, heading in enumerate(_HEADINGS)
    ]
    own = [
        max(
            [*map(len, _heading(name).split("\n")), *(len(wording.figure(r.setting.get(name), name)) for _, r in shown)]
        )
        for name in names
    ]
    return sum(fixed) + sum(own) + len(fixed) + len(own)


def _heading(name: str) -> str:
    return name.replace("_", "\n")


def _caption(outcome: Outcome, shown: int) -> str:
    marks = ["* the course's setting"] if any(r.number == facts.COURSE_TRIAL for r in outcome.records) else []
    if facts.decided(outcome) is not None:
        marks.append("+ the confirmed winner")
    if shown < len(outcome.records):
        marks.append(f"{shown} of {wording.count(len(outcome.records), 'trial')} shown")
    return "; ".join(marks)


def _beside_the_course(outcome: Outcome) -> Table:
    assert outcome.winner is not None
    course = facts.course_setting(outcome)
    title = "winner" if facts.decided(outcome) else "best, not confirmed"
    columns = {f"{title} (trial {outcome.winner.trial})": outcome.winner}
    if course is not None and not outcome.winner.is_course:
        columns["the course's setting"] = course
    comparison = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", *columns):
        comparison.add_column(heading, no_wrap=True)
    for line, cell in (
        ("validation loss", facts.val_loss_text),
        ("test loss", facts.tested_loss_text),
        ("test accuracy", facts.tested_accuracy_text),
    ):
        comparison.add_row(line, *(cell(setting) for setting in columns.values()))
    exported = facts.exported_accuracy(outcome.winner)
    if exported is not None:
        comparison.add_row("  of the exported model", wording.percent(exported))
    return comparison


def _search_facts(outcome: Outcome) -> dict[str, str]:
    lines = {"trials": facts.fates_text(outcome.records)}
    if outcome.confirmations:
        lines["confirmation runs"] = facts.fates_text(outcome.confirmations)
    lines["slots busy"] = f"{wording.percent(outcome.busy_share, 0)} of {wording.duration(outcome.seconds)}"
    lines["report"] = f"{outcome.folder.rstrip('/')}/report.html"
    lines["bundle"] = outcome.bundle or "none exported"
    return lines


def _facts_table(lines: Mapping[str, str]) -> Table:
    facts_table = Table(box=None, pad_edge=False, show_header=False)
    facts_table.add_column(no_wrap=True, style="bold")
    facts_table.add_column(overflow="fold")
    for name, value in lines.items():
        facts_table.add_row(name, Text(value))
    return facts_table


def _winner_text(winner: Any) -> str:
    if winner is None:
        return wording.NOTHING
    if isinstance(winner, Mapping):
        return wording.setting_text(winner)
    return f"trial {winner}" if isinstance(winner, int) else str(winner)


def _moment(updated: Any) -> str:
    if isinstance(updated, int | float):
        return datetime.fromtimestamp(updated).strftime("%Y-%m-%d %H:%M")
    return wording.NOTHING if updated is None else str(updated)
