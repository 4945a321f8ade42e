"""Show a search in a notebook: while it runs as one output that is rewritten, afterwards what it found."""

import html
import logging
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from tune_sentiment.results import facts, progress
from tune_sentiment.results.trial_table import trial_table
from tune_sentiment.search.records import Outcome, Snapshot, TrialRecord

FAILURES_SHOWN = 5
TRIALS_SHOWN = 10
LEFT_OUT = ("reason", "best_step", "seconds")
"""Columns of the report's table of trials that a notebook's page is too narrow for."""

_log = logging.getLogger(__name__)


def in_notebook() -> bool:
    """Return whether this is the kernel of a notebook, which can rewrite an output."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def keep_quiet() -> None:
    """Keep libraries that are about to be imported from advising, in a notebook, on widgets that nothing here shows."""
    if in_notebook():
        warnings.filterwarnings("ignore", message="IProgress not found")
        logging.getLogger("ray.widgets.util").setLevel(logging.WARNING)


class NotebookProgress:
    """An observer that keeps one output of a notebook's cell up to date."""

    def __init__(self, every: float = 0.5, clock: Callable[[], float] = time.monotonic) -> None:
        """Rewrite the output at most once in `every` seconds, as `clock` counts them."""
        self._every = every
        self._clock = clock
        self._shown = -every
        self._last: Snapshot | None = None
        self._failures: list[str] = []
        self._failed = 0
        self._output: Any = None
        self._broken = False

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Show the new state, if it is time."""
        self._last = snapshot
        if self._clock() - self._shown >= self._every:
            self._show(snapshot)

    def on_trial_end(self, record: TrialRecord) -> None:
        """Note a failure, to be shown with the next state."""
        if record.fate == "failed":
            self._failed += 1
            self._failures = [*self._failures, progress.failure_text(record)][-FAILURES_SHOWN:]

    def close(self) -> None:
        """Leave the last state in the notebook."""
        if self._last is not None:
            self._show(self._last)

    def _show(self, snapshot: Snapshot) -> None:
        if self._broken:
            return
        self._shown = self._clock()
        try:
            from IPython.display import display

            content = {
                "text/html": view(snapshot, self._failures, self._failed),
                "text/plain": progress.plain_line(snapshot),
            }
            if self._output is None:
                self._output = display(content, raw=True, display_id=True)
            else:
                self._output.update(content, raw=True)
        except Exception as problem:
            # A search is worth more than its display.
            self._broken = True
            _log.debug("progress can no longer be shown: %s", problem)


def view(snapshot: Snapshot, failures: list[str], failed: int) -> str:
    """Return the state of a search as HTML in the colours of the notebook; `failures` are the last of `failed`."""
    done = snapshot.complete + snapshot.stopped + snapshot.failed
    what, _, state = progress.plain_line(snapshot).partition(": ")
    lines = [f"best {progress.best_text(snapshot)}", re.sub("; best [^;]*", "", state, count=1)]
    if failed > len(failures):
        lines.append(f"{failed - len(failures):,} earlier failures, and:")
    rows = "".join(f"<div>{html.escape(line)}</div>" for line in [*lines, *failures])
    bar = f'<progress value="{done}" max="{max(snapshot.wanted, 1)}" style="width: 16em"></progress>'
    return f'<div style="font-family: monospace"><div><b>{html.escape(what)}</b> {bar}</div>{rows}</div>'


def result_view(outcome: Outcome) -> str:
    """Return what a search found as HTML: the verdict, the confirmed settings, the first trials, where the rest is."""
    settings = [
        (
            f"{one.trial}, the course's setting" if one.is_course else str(one.trial),
            facts.val_loss_text(one),
            facts.tested_loss_text(one),
            facts.tested_accuracy_text(one),
        )
        for one in facts.confirmed_so_far(outcome)
    ]
    pieces = [f"<b>{html.escape(facts.verdict(outcome))}</b>"]
    if settings:
        pieces.append(_table(("confirmed", "validation loss", "test loss", "test accuracy"), settings))
    first = trial_table(outcome, keep=TRIALS_SHOWN)
    shown = [place for place, (key, _) in enumerate(first["columns"]) if key not in LEFT_OUT]
    if first["rows"]:
        cells = ([row["cells"][place][0] for place in shown] for row in first["rows"])
        pieces.append(_table([first["columns"][place][1] for place in shown], cells))
    pieces.append(html.escape(f"trials {facts.fates_text(outcome.records)}"))
    pieces.append(html.escape(f"report {outcome.folder.rstrip('/')}/report.html"))
    pieces.append(html.escape(f"model {outcome.bundle or 'none exported'}"))
    return "".join(f"<div>{piece}</div>" for piece in pieces)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    def line(tag: str, cells: Iterable[str]) -> str:
        return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

    body = line("th", headings) + "".join(line("td", row) for row in rows)
    return f'<table style="white-space: nowrap">{body}</table>'
