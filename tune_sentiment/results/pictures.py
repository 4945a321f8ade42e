"""Write the report's figures as PNG files, for a paper or a slide."""

import io
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_sentiment.errors import SettingsError
from tune_sentiment.results import facts, figures
from tune_sentiment.results.figures import Figure
from tune_sentiment.results.writing import make_folder, replace_file
from tune_sentiment.search.records import Outcome

if TYPE_CHECKING:
    import optuna

DOTS_PER_INCH = 200

_log = logging.getLogger(__name__)

MARKERS = {
    "circle": "o",
    "circle-open": "o",
    "triangle-down": "v",
    "x": "X",
    "diamond": "D",
    "cross": "P",
    "star": "*",
    "square": "s",
    "line-ns-open": "|",
}
DASHES = {"solid": "-", "dash": "--", "dot": ":"}


def write_png(outcome: Outcome, study: "optuna.Study | None", folder: Path) -> list[Path]:
    """Write the main figures into `folder`, made if missing, and return the files written.

    What too few trials cannot show is left out.

    Raises:
        SettingsError: if matplotlib, the extra `[png]`, is not installed.
        StudyError: if a file cannot be written.
    """
    try:
        import matplotlib.pyplot  # noqa: F401
    except ImportError:
        raise SettingsError(
            "PNG files need matplotlib: it is not installed: install it with `pip install 'tune-sentiment[png]'`."
        ) from None
    now = time.time()
    own: dict[str, Figure] = {}
    if facts.confirmed_so_far(outcome):
        own["confirmed"] = figures.confirmed_figure(outcome)
    if outcome.records:
        own["best_so_far"] = figures.progress_figure(outcome, now)
        own["learning_curves"] = figures.curves_figure(outcome)
        own["slots_busy"] = figures.slots_figure(outcome, now)
    make_folder(folder)
    written = [_save(_drawn(figure), folder / f"{name}.png") for name, figure in own.items()]
    return written + _write_mattered(outcome, study, folder)


def _write_mattered(outcome: Outcome, study: "optuna.Study | None", folder: Path) -> list[Path]:
    from matplotlib import pyplot

    from tune_sentiment.results import plots
    from tune_sentiment.results.comparable import comparison
    from tune_sentiment.results.mattered import too_early

    if study is None:
        return []
    compared = comparison(outcome, study)
    if too_early(compared) is not None:
        return []
    order = plots.importance_order(compared)
    written = []
    # Optuna calls its matplotlib functions experimental, and changes pyplot's style for good.
    with warnings.catch_warnings(), pyplot.style.context("default"):
        warnings.simplefilter("ignore")
        for name, draw in plots.matplotlib_drawings(compared, order).items():
            drawn = _figure_of(draw)
            if drawn is not None:
                if name in ("parallel", "slices"):
                    drawn.set_size_inches(2.4 * (len(order) + 1), 4)
                written.append(_save(drawn, folder / f"{name}.png"))
    return written


def _figure_of(draw: Callable[[], Any]) -> Any:
    """Return the figure that `draw` fills, without the title that a slide gives it anyway; None if it cannot."""
    from matplotlib.ticker import NullFormatter

    try:
        axes = draw()
    except Exception as problem:
        _log.warning("A figure could not be drawn: %s", problem)
        return None
    drawn = (axes if hasattr(axes, "figure") else axes.flat[0]).figure
    drawn.suptitle("")
    for one in drawn.axes:
        one.set_title("")
        one.set_title("", loc="left")
        for axis in (one.xaxis, one.yaxis):
            # Between powers of ten the labels of a small plot lie on top of each other.
            if axis.get_scale() == "log":
                axis.set_minor_formatter(NullFormatter())
        if one.get_legend() is not None:
            one.get_legend().remove()
    return drawn


def _save(drawn: Any, path: Path) -> Path:
    from matplotlib import pyplot

    picture = io.BytesIO()
    drawn.savefig(picture, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", facecolor="white")
    pyplot.close(drawn)
    replace_file(path, picture.getvalue())
    return path


def _drawn(figure: Figure) -> Any:
    """Return one of the report's own figures, drawn by matplotlib from what `figures.py` uses of plotly's terms."""
    from matplotlib import pyplot

    drawn, axes = pyplot.subplots(figsize=(7.2, figure["layout"]["height"] / 100))
    names = list(dict.fromkeys(y for trace in figure["data"] for y in trace["y"] if isinstance(y, str)))
    for trace in figure["data"]:
        _draw_trace(axes, trace, names)
    if names:
        axes.set_yticks(range(len(names)), names)
    layout = figure["layout"]
    axes.set_xlabel(layout["xaxis"]["title"]["text"])
    axes.set_ylabel(layout["yaxis"]["title"]["text"])
    axes.set_xscale(layout["xaxis"].get("type", "linear"))
    if "range" in layout["yaxis"]:
        axes.set_ylim(layout["yaxis"]["range"])
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(fontsize="small", frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return drawn


def _draw_trace(axes: Any, trace: dict[str, Any], names: list[str]) -> None:
    line, marker = trace.get("line", {}), trace.get("marker", {})
    colour = "black" if trace.get("meta") == figures.INK else line.get("color") or marker.get("color") or figures.FAINT
    symbol = marker.get("symbol", "circle")
    label = trace["name"] if trace.get("showlegend", True) else None
    x = [float("nan") if value is None else value for value in trace["x"]]
    y = [float("nan") if value is None else names.index(value) if names else value for value in trace["y"]]
    if "error_x" in trace:
        spreads = trace["error_x"]["array"]
        axes.errorbar(x, y, xerr=spreads, fmt="none", ecolor=figures.FAINT, capsize=4, zorder=1)
    if "lines" in trace["mode"]:
        style = {"color": colour, "linestyle": DASHES[line.get("dash", "solid")], "linewidth": line.get("width", 1.5)}
        step = "steps-post" if line.get("shape") == "hv" else "default"
        marks = MARKERS[symbol] if "markers" in trace["mode"] else None
        axes.plot(x, y, **style, drawstyle=step, marker=marks, label=label, alpha=trace.get("opacity", 1.0))
        if "fill" in trace:
            axes.fill_between(x, y, step="post", color=colour, alpha=0.25)
    else:
        filled = {} if symbol.endswith("-open") and symbol != "line-ns-open" else {"c": colour}
        edges = {"facecolors": "none", "edgecolors": colour} if not filled else {}
        size = marker.get("size", 6) ** 2 * 0.5
        axes.scatter(x, y, s=size, marker=MARKERS[symbol], label=label, zorder=2, **filled, **edges)
