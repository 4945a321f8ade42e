"""Draw what mattered with Optuna and plotly: the one place that knows the plotting library."""

import json
import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import optuna
import plotly.graph_objects as go
from optuna import visualization
from optuna.distributions import BaseDistribution, IntDistribution

from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.results import figures, wording
from tune_sentiment.results.comparable import Comparison, comparison
from tune_sentiment.results.figures import FATE_COLOURS, Figure
from tune_sentiment.results.mattered import FEWEST_TRIALS, NOT_AT_HAND, Mattered, too_early
from tune_sentiment.search.records import Outcome

NAME = "validation loss"

Drawing: TypeAlias = go.Figure
"""A figure as a notebook shows it."""

# Optuna's own blues have the best trials darkest, which a dark page swallows.
GOOD_TO_BAD = ((0.0, (213, 94, 0)), (0.25, (230, 159, 0)), (0.6, (150, 150, 150)), (1.0, (150, 150, 150)))


def what_mattered(outcome: Outcome, study: optuna.Study | None) -> Mattered:
    """Return importance, parallel coordinates, contour and slices of the search's trials.

    What Optuna cannot draw is left out, with a sentence that says why.
    """
    if study is None:
        return NOT_AT_HAND
    return mattered_of(comparison(outcome, study))


def mattered_of(compared: Comparison) -> Mattered:
    """Return the same of trials that are compared already."""
    early = too_early(compared)
    if early is not None:
        return early
    found: dict[str, Figure] = {}
    sentences = [_what_is_compared(compared)]
    try:
        order = importance_order(compared)
    except Exception as problem:
        return Mattered({}, (*sentences, f"What mattered could not be computed: {problem}"))
    for title, draw in drawings(compared, order).items():
        try:
            found[title] = draw()
        except Exception as problem:
            sentences.append(f"{title}: could not be drawn ({problem}).")
    return Mattered(
        found, (*sentences, "Where a hyperparameter stands alone, early trials are dark and late ones light.")
    )


def _what_is_compared(compared: Comparison) -> str:
    text = f"Compared are the best validation losses of {wording.count(compared.measured, 'trial')}"
    if compared.stopped:
        text += f"; {compared.stopped:,} of them ended early or still run, and count with what they had reached"
    text += "."
    if compared.compared < compared.measured:
        text += f" Drawn and computed on {compared.compared:,} of them, evenly chosen."
    if compared.ceiling is not None:
        text += f" Losses above {wording.loss(compared.ceiling)} are drawn as that."
    return text


def drawn(figure: Figure) -> Drawing:
    """Return one of the report's own figures as plotly's object, for a notebook."""
    data = [{key: value for key, value in trace.items() if key != "meta"} for trace in figure["data"]]
    return go.Figure(data=data, layout=figure["layout"])


def own_figure(outcome: Outcome, kind: Literal["progress", "curves", "confirmed", "slots"]) -> Drawing:
    """Return one of the report's own figures, for a notebook."""
    now = time.time()
    draw: dict[str, Callable[[], Figure]] = {
        "progress": lambda: figures.progress_figure(outcome, now),
        "curves": lambda: figures.curves_figure(outcome),
        "confirmed": lambda: figures.confirmed_figure(outcome),
        "slots": lambda: figures.slots_figure(outcome, now),
    }
    return drawn(draw[kind]())


def mattered_figure(
    outcome: Outcome,
    study: optuna.Study,
    kind: Literal["importance", "parallel", "contour", "slice"],
    names: Sequence[str] = (),
) -> Drawing:
    """Return one of Optuna's figures, for a notebook; of the hyperparameters `names`, else of the most important.

    Raises:
        StudyError: if too few trials can be compared.
        SettingsError: if there is no such hyperparameter, or a contour has only one.
    """
    compared = comparison(outcome, study)
    if compared.compared < FEWEST_TRIALS:
        many = wording.count(compared.compared, "trial")
        raise StudyError(
            f"what mattered takes {FEWEST_TRIALS} trials that can be compared: {outcome.name} has {many}: search on."
        )
    order = importance_order(compared)
    for name in names:
        if name not in order:
            raise SettingsError(f"a figure is of a searched hyperparameter: got {name!r}: one of {', '.join(order)}.")
    order = list(dict.fromkeys([*names, *order]))
    if kind == "contour" and len(order) < 2:
        raise SettingsError(f"a contour is of two hyperparameters: only {order[0]} was searched: use plot_slice.")
    titles = {"importance": "Importance", "parallel": "Parallel coordinates", "slice": f"{order[0]} alone"}
    titles["contour"] = " and ".join(order[:2]) + " together"
    return drawn(drawings(compared, order)[titles[kind]]())


def importance_order(compared: Comparison) -> list[str]:
    """Return the hyperparameters, the most important first (PED-ANOVA, Optuna's default)."""
    return list(optuna.importance.get_param_importances(compared.study))


def drawings(compared: Comparison, order: list[str], slices: int = 12) -> dict[str, Callable[[], Figure]]:
    """Return, by title, what draws importance, parallel coordinates, the contour of the two first, and slices.

    order: the hyperparameters, the most important first. Each drawing may raise whatever Optuna raises.
    """
    study = compared.study
    integers = {name for name, kind in distributions(study).items() if isinstance(kind, IntDistribution)}
    found: dict[str, Callable[[], Figure]] = {
        "Importance": lambda: _importance(visualization.plot_param_importances(study)),
        "Parallel coordinates": lambda: _parallel(
            visualization.plot_parallel_coordinate(study, params=order, target_name=NAME), integers
        ),
    }
    if len(order) > 1:
        found[f"{order[0]} and {order[1]} together"] = lambda: _contour(
            visualization.plot_contour(study, params=order[:2], target_name=NAME), integers
        )
    return found | {f"{name} alone": _slice_of(study, name, integers) for name in order[:slices]}


def matplotlib_drawings(compared: Comparison, order: list[str]) -> dict[str, Callable[[], Any]]:
    """Return, by file name, what draws the same with matplotlib, which needs no browser; each returns the axes."""
    from optuna.visualization import matplotlib as pictures

    study = compared.study
    found: dict[str, Callable[[], Any]] = {
        "importance": lambda: pictures.plot_param_importances(study),
        "parallel": lambda: pictures.plot_parallel_coordinate(study, params=order, target_name=NAME),
        "slices": lambda: pictures.plot_slice(study, params=order, target_name=NAME),
    }
    if len(order) > 1:
        found["contour"] = lambda: pictures.plot_contour(study, params=order[:2], target_name=NAME)
    return found


def distributions(study: optuna.Study) -> dict[str, BaseDistribution]:
    """Return the distribution of each hyperparameter that a trial of `study` has."""
    return {name: kind for trial in study.get_trials(deepcopy=False) for name, kind in trial.distributions.items()}


def log_ticks(low: float, high: float) -> list[float]:
    """Return up to five round numbers (1, 2 and 5 of each power of ten, or the powers alone) from `low` to `high`."""
    powers = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    for digits in ((1, 2, 5), (1, 3), (1,)):
        ticks = [digit * power for power in powers for digit in digits if low <= digit * power <= high]
        if len(ticks) <= 5:
            break
    return ticks


def _slice_of(study: optuna.Study, name: str, integers: set[str]) -> Callable[[], Figure]:
    return lambda: _slice(visualization.plot_slice(study, params=[name], target_name=NAME), integers)


def _importance(figure: go.Figure) -> Figure:
    figure.update_traces(marker={"color": FATE_COLOURS["complete"]})
    # Plotly leaves no room for the figures at the bars' ends.
    figure.update_layout(xaxis={"title": "share", "range": [0, 1.15 * max(figure.data[0].x)]}, yaxis_title=None)
    return _plain(figure, height=110 + 34 * len(figure.data[0].y))


def _parallel(figure: go.Figure, integers: set[str]) -> Figure:
    lines = sorted(figure.data[:-1], key=lambda line: -line.y[0])
    for line in lines:
        line.line.color = _colour(line.y[0])
        line.opacity = 0.9 - 0.5 * line.y[0]
    scale = figure.data[-1]
    scale.update(marker={"colorscale": [[at, f"rgb{rgb}"] for at, rgb in GOOD_TO_BAD], "reversescale": False})
    figure.data = []
    figure.add_traces([*lines, scale])
    names = figure.layout.xaxis.ticktext
    figure.layout.annotations = _legible(figure.layout.annotations, names, integers)
    figure.update_annotations(font={"color": None, "size": 11})
    figure.update_layout(margin={"l": 60, "r": 10, "t": 10, "b": 20})
    return _plain(figure, height=400) | {"min_width": 120 * len(names) + 80}


def _legible(annotations: Sequence[Any], names: Sequence[str], integers: set[str]) -> list[Any]:
    """Return the tick labels without those that overlap another, and without halves of whole numbers."""
    kept: list[Any] = []
    for label in sorted(annotations, key=lambda label: 0 < label.y < 1):
        whole = names[round(label.x)] not in integers or float(label.text).is_integer()
        apart = all(label.x != other.x or abs(label.y - other.y) > 0.05 for other in kept)
        if whole and apart:
            kept.append(label)
    return kept


def _contour(figure: go.Figure, integers: set[str]) -> Figure:
    figure.update_traces(colorscale="Cividis", selector={"type": "contour"})
    figure.update_traces(
        marker={"color": "white", "size": 6, "line": {"color": "black", "width": 1}}, selector={"type": "scatter"}
    )
    _round_ticks(figure.layout.xaxis, [x for trace in figure.data for x in trace.x], integers)
    _round_ticks(figure.layout.yaxis, [y for trace in figure.data for y in trace.y], integers)
    return _plain(figure, height=420)


def _slice(figure: go.Figure, integers: set[str]) -> Figure:
    figure.update_traces(
        marker={"colorscale": "Cividis", "size": 8, "showscale": False, "line": {"color": "#8A8A8A", "width": 1}}
    )
    _round_ticks(figure.layout.xaxis, [x for trace in figure.data for x in trace.x], integers)
    return _plain(figure, height=280)


def _round_ticks(axis: Any, values: Sequence[Any], integers: set[str]) -> None:
    if axis.type == "log":
        ticks = log_ticks(min(values), max(values))
        if len(ticks) > 1:
            axis.update(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    elif axis.title.text in integers and max(values) - min(values) <= 10:
        axis.update(dtick=1)


def _colour(share: float) -> str:
    for (low, first), (high, second) in pairwise(GOOD_TO_BAD):
        if share <= high:
            at = (share - low) / (high - low)
            return f"rgb{tuple(round(a + at * (b - a)) for a, b in zip(first, second, strict=True))}"
    return f"rgb{GOOD_TO_BAD[-1][1]}"


def _plain(figure: go.Figure, height: int) -> Figure:
    figure.update_layout(title=None, template=None, width=None, height=height, plot_bgcolor=None)
    values: dict[str, Any] = json.loads(figure.to_json())
    values["layout"].pop("template", None)
    values["layout"].pop("title", None)
    return values
