"""Describe the report's own plots in plotly's terms, as plain values that `plotly.js` draws in the page."""

from typing import Any

from tune_sentiment.results import series, wording
from tune_sentiment.search.records import Outcome

Figure = dict[str, Any]
"""{"data": traces, "layout": layout}, as plotly.js takes them."""

# Okabe and Ito's palette: its colours stay apart for colour-blind readers, and on white as on black.
FATE_COLOURS = {
    "complete": "#009E73",
    "stopped": "#56B4E9",
    "failed": "#D55E00",
    "running": "#E69F00",
    "waiting": "#8A8A8A",
}
FATE_SYMBOLS = {
    "complete": "circle",
    "stopped": "triangle-down",
    "failed": "x",
    "running": "diamond",
    "waiting": "cross",
}
ROLE_COLOURS = {"winner": "#0072B2", "best": "#0072B2", "course": "#CC79A7", "other": "#8A8A8A"}
ROLE_SYMBOLS = {"winner": "star", "best": "star", "course": "square", "other": "circle"}
ROLE_WORDS = {"winner": "winner", "best": "best so far", "course": "course", "other": ""}
FAINT = "#8A8A8A"

INK = {"ink": True}
"""Marks a trace that the page draws in the colour of its text: dark on a light page, light on a dark one."""


def confirmed_figure(outcome: Outcome) -> Figure:
    """Return the confirmed settings: a point per seed, mean and spread, and what the search had measured."""
    settings = series.confirmed_points(outcome)[::-1]
    labels = [_label(setting.trial, setting.role) for setting in settings]
    colours = [ROLE_COLOURS[setting.role] for setting in settings]
    seeds = [
        (loss, label, colour, f"trial {setting.trial}, seed {seed}: {wording.loss(loss)}")
        for setting, label, colour in zip(settings, labels, colours, strict=True)
        for seed, loss in zip(setting.seeds, setting.losses, strict=False)
    ]
    searched = [
        (setting.search_val_loss, label)
        for setting, label in zip(settings, labels, strict=True)
        if setting.search_val_loss is not None
    ]
    stroke = {"symbol": "line-ns-open", "size": 16, "line": {"width": 2}}
    circle = {"symbol": "circle-open", "size": 9, "line": {"width": 2}}
    diamond = {"symbol": "diamond", "size": 12}
    in_search = _markers([loss for loss, _ in searched], [label for _, label in searched], name="in the search")
    per_seed = _markers(
        [loss for loss, *_ in seeds],
        [label for _, label, *_ in seeds],
        name="one fresh seed",
        marker=circle | {"color": [colour for *_, colour, _ in seeds]},
        text=[text for *_, text in seeds],
    )
    means = _markers(
        [setting.mean for setting in settings],
        labels,
        name="mean and spread",
        marker=diamond | {"color": colours},
        text=[
            f"mean {wording.loss(setting.mean)}" + (f" +- {wording.loss(setting.spread)}" if setting.spread else "")
            for setting in settings
        ],
        error_x={"array": [setting.spread or 0.0 for setting in settings], "thickness": 2, "width": 7, "color": FAINT},
    )
    drawn = [in_search | {"marker": stroke, "meta": INK}, per_seed, means]
    # A trace of many colours would show the first of them in the legend, as if it stood for that trial.
    legend = [
        _markers([None], [labels[0] if labels else None], name=trace["name"], marker=marker, meta=INK)
        for trace, marker in zip(drawn, (stroke, circle, diamond), strict=True)
    ]
    traces = [*legend, *(trace | {"showlegend": False} for trace in drawn)]
    layout = {"xaxis": _axis("validation loss"), "yaxis": _axis("trial", type="category")}
    return _figure(traces, layout, height=190 + 44 * len(settings))


def progress_figure(outcome: Outcome, now: float) -> Figure:
    """Return each trial as a point in time, coloured by fate, and the best validation loss so far.

    now: UNIX time at which running trials are looked at. Trials beyond the axis or without a loss lie on its upper rim.
    """
    progress = series.progress(outcome, now)
    scale, unit = _time_unit(max((point.seconds for point in progress.points), default=0.0))
    low, high = series.loss_range(point.loss for point in progress.points if point.loss is not None) or (0.0, 1.0)
    rim = high - 0.02 * (high - low)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "x": [seconds / scale for seconds, _ in progress.best],
            "y": [loss for _, loss in progress.best],
            "name": "best so far",
            "mode": "lines",
            "line": {"shape": "hv", "width": 2},
            "meta": INK,
            "hovertemplate": "best so far %{y:.4f}<extra></extra>",
        }
    ]
    for fate, colour in FATE_COLOURS.items():
        points = [point for point in progress.points if point.fate == fate]
        if points:
            traces.append(
                _markers(
                    [point.seconds / scale for point in points],
                    [rim if point.loss is None else min(point.loss, rim) for point in points],
                    name=fate,
                    marker={"symbol": FATE_SYMBOLS[fate], "size": 9, "color": colour},
                    text=[_point_text(point) for point in points],
                )
            )
    layout = {
        "xaxis": _axis(f"time, {unit}", rangemode="tozero"),
        "yaxis": _axis("best validation loss", range=[low, high]),
    }
    return _figure(traces, layout, height=440)


def curves_figure(outcome: Outcome) -> Figure:
    """Return validation loss by step, with a dotted line at each rung where ASHA compares."""
    curves = series.curves(outcome)
    reach = series.loss_range(loss for curve in curves for loss in curve.losses) or (0.0, 1.0)
    last = max((curve.steps[-1] for curve in curves), default=0)
    rungs = [rung for rung in outcome.rungs if rung <= last]
    traces: list[dict[str, Any]] = []
    if rungs:
        traces.append(
            {
                "type": "scatter",
                "x": [place for rung in rungs for place in (rung, rung, None)],
                "y": [place for _ in rungs for place in (*reach, None)],
                "name": "rungs of ASHA",
                "mode": "lines",
                "line": {"dash": "dot", "width": 1.5, "color": FAINT},
                "hovertemplate": "rung at step %{x}<extra></extra>",
            }
        )
    named: set[str] = set()
    for curve in curves:
        trace = _curve_trace(curve)
        traces.append(trace | {"showlegend": trace["name"] not in named})
        named.add(trace["name"])
    layout = {"xaxis": _axis("step"), "yaxis": _axis("validation loss", range=list(reach))}
    if rungs and last > 20 * rungs[0]:
        layout["xaxis"]["type"] = "log"
    return _figure(traces, layout, height=460)


def slots_figure(outcome: Outcome, now: float) -> Figure:
    """Return how many trials were in training or validation at each moment; `now`: UNIX time."""
    slots = series.slots_busy(outcome, now)
    scale, unit = _time_unit(max(slots.seconds, default=0.0))
    top = max(slots.busy, default=1.0)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "x": [seconds / scale for seconds in slots.seconds],
            "y": list(slots.busy),
            "name": "slots busy",
            "mode": "lines",
            "line": {"shape": "hv", "width": 1.5, "color": FATE_COLOURS["complete"]},
            "fill": "tozeroy",
            "fillcolor": "rgba(0,158,115,0.25)",
            "hovertemplate": "%{y:.3g} busy<extra></extra>",
        }
    ]
    if slots.confirming_from is not None:
        traces.append(
            {
                "type": "scatter",
                "x": [slots.confirming_from / scale] * 2,
                "y": [0, top * 1.05],
                "name": "confirmation starts",
                "mode": "lines",
                "line": {"dash": "dot", "width": 2},
                "meta": INK,
                "hoverinfo": "skip",
            }
        )
    layout = {
        "xaxis": _axis(f"time, {unit}", rangemode="tozero"),
        "yaxis": _axis("slots busy", range=[0, top * 1.05], **({"dtick": 1} if top <= 8 else {})),
    }
    return _figure(traces, layout, height=300)


def _curve_trace(curve: series.Curve) -> dict[str, Any]:
    leads = curve.role != "other"
    name = _label(curve.number, curve.role) if leads else curve.fate
    return {
        "type": "scatter",
        "x": list(curve.steps),
        "y": list(curve.losses),
        "name": name,
        "legendgroup": name,
        "mode": "lines+markers" if leads or len(curve.steps) == 1 else "lines",
        "opacity": 1.0 if leads else 0.6,
        "line": {
            "color": ROLE_COLOURS[curve.role] if leads else FATE_COLOURS[curve.fate],
            "width": 3 if leads else 1.4,
            "dash": "dash" if curve.role == "course" else "dot" if curve.fate == "failed" else "solid",
        },
        "marker": {
            "symbol": ROLE_SYMBOLS[curve.role] if leads else FATE_SYMBOLS[curve.fate],
            "size": 8 if leads else 6,
        },
        "hovertemplate": f"trial {curve.number}, step %{{x}}: %{{y:.4f}}<extra></extra>",
    }


def _markers(x: list[Any], y: list[Any], *, text: list[str] | None = None, **trace: Any) -> dict[str, Any]:
    template = "%{text}<extra></extra>" if text else f"{trace['name']}: %{{x:.4f}}<extra></extra>"
    trace |= {"type": "scatter", "mode": "markers", "x": x, "y": y, "hovertemplate": template}
    return trace | ({"text": text} if text else {})


def _axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, **more}


def _figure(traces: list[dict[str, Any]], layout: dict[str, Any], height: int) -> Figure:
    return {"data": traces, "layout": layout | {"height": height, "hovermode": "closest"}}


def _label(number: int, role: series.Role) -> str:
    return f"{number} {ROLE_WORDS[role]}".strip()


def _point_text(point: series.TrialPoint) -> str:
    record = point.record
    ending = f"{point.fate}, {record.reason}" if record.reason else point.fate
    lines = [
        f"trial {point.number}: {ending}",
        f"validation loss {wording.loss(point.loss)} at step {record.best_step}",
    ]
    lines += [f"{name}={wording.figure(value, name)}" for name, value in record.setting.items()]
    # plotly.js reads a few tags in hover text; a reason is whatever an exception said.
    return "<br>".join(line.replace("&", "&amp;").replace("<", "&lt;") for line in lines)


def _time_unit(seconds: float) -> tuple[float, str]:
    if seconds < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")
