"""Show a running search on stderr: as a live display in a terminal, as plain lines anywhere else."""

import logging
import os
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_sentiment.results import facts, wording
from tune_sentiment.search.records import Observer, Snapshot, TrialRecord

PHASES = {"search": "searching", "confirm": "confirming"}

LINES_BESIDE_TRIALS = 10
"""Lines of the live display that are not a running trial, and a little room."""

_log = logging.getLogger(__name__)


class Progress(Observer, Protocol):
    """An observer that shows progress on a stream, which others who have something to say must not write to."""

    def say(self, line: str) -> None:
        """Write a line that stays, in one piece however narrow the terminal is: it may hold a command to be copied."""


def progress_for(stream: TextIO) -> Progress:
    """Return what shows progress on `stream`: live if it is a terminal that can move its cursor, else plain lines.

    A notebook's output, a file, a pipe and TERM=dumb get plain lines; NO_COLOR keeps the live display without colours.
    """
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return PlainProgress(stream) if dumb or not stream.isatty() else LiveProgress(stream)


class PlainProgress:
    """An observer that writes a plain line now and then, and one for each new best and each failure."""

    def __init__(self, stream: TextIO, every: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `stream` at most once in `every` seconds, as `clock` counts them."""
        self._stream: TextIO | None = stream
        self._every = every
        self._clock = clock
        self._last_line: float | None = None
        self._last_best: tuple[int, float] | None = None
        self._last_best_line = 0.0
        self._last: Snapshot | None = None
        self._last_is_written = True

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Write what is due."""
        if self._last is not None and snapshot.phase != self._last.phase:
            self._end_phase()
        self._last, self._last_is_written = snapshot, False
        now = self._clock()
        if self._is_news(snapshot, now):
            self._write(f"new best: {best_text(snapshot)}")
        if self._last_line is None or now - self._last_line >= self._every:
            self._last_line = now
            self._last_is_written = True
            self._write(plain_line(snapshot))

    def on_trial_end(self, record: TrialRecord) -> None:
        """Write the failure, if it is one."""
        if record.fate == "failed":
            self._write(failure_text(record))

    def say(self, line: str) -> None:
        """Write `line`."""
        self._write(line)

    def close(self) -> None:
        """Write the last state, if it is not written."""
        self._end_phase()

    def _end_phase(self) -> None:
        """Write the phase's last state; the next one reports its first state at once, and its own best."""
        if self._last is not None and not self._last_is_written:
            self._write(plain_line(self._last))
        self._last, self._last_is_written = None, True
        self._last_line = None
        self._last_best = None

    def _is_news(self, snapshot: Snapshot, now: float) -> bool:
        best = snapshot.best
        if best is None or best.best_val_loss is None:
            return False
        before = self._last_best
        if before is not None and best.best_val_loss >= before[1]:
            return False
        # A trial that leads improves at almost every report: its own gains can wait, a new leader cannot.
        if before is not None and best.number == before[0] and now - self._last_best_line < self._every:
            return False
        self._last_best = (best.number, best.best_val_loss)
        self._last_best_line = now
        return True

    def _write(self, line: str) -> None:
        if self._stream is None:
            return
        try:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(f"{line.encode(encoding, 'backslashreplace').decode(encoding)}\n")
            self._stream.flush()
        except (OSError, ValueError) as problem:
            # The reader has gone away. The search goes on without it.
            self._stream = None
            _log.debug("progress can no longer be shown: %s", problem)


class LiveProgress:
    """An observer that keeps a display of the search up to date on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on `stream`; nothing appears before the first snapshot."""
        self._console = Console(file=stream, force_jupyter=False, highlight=False)
        self._live: Live | None = None
        self._broken = False

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Show the new state."""
        self._try(lambda: self._show(snapshot))

    def on_trial_end(self, record: TrialRecord) -> None:
        """Leave a line above the display for a trial that failed."""
        if record.fate == "failed":
            self._try(lambda: self._console.print(Text(failure_text(record), style="red")))

    def say(self, line: str) -> None:
        """Leave `line` above the display."""
        self._try(lambda: self._console.print(Text(line, style="dim"), soft_wrap=True))

    def close(self) -> None:
        """Leave the last state on the screen and give the cursor back."""
        live, self._live = self._live, None
        if live is not None:
            self._try(live.stop)

    def _show(self, snapshot: Snapshot) -> None:
        view = live_view(snapshot, self._console.height)
        if self._live is None:
            # stdout is for results and stays as it is; what others write to stderr goes above the display.
            self._live = Live(view, console=self._console, refresh_per_second=4, redirect_stdout=False)
            self._live.start()
        else:
            self._live.update(view)

    def _try(self, act: Callable[[], object]) -> None:
        if self._broken:
            return
        try:
            act()
        except Exception as problem:
            # A search is worth more than its display.
            self._broken = True
            _log.debug("progress can no longer be shown: %s", problem)


def live_view(snapshot: Snapshot, height: int) -> RenderableType:
    """Return the display of `snapshot` for a terminal of `height` lines, readable from 60 columns on."""
    done = snapshot.complete + snapshot.stopped + snapshot.failed
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        Text(f"{PHASES[snapshot.phase]} {done:,}/{snapshot.wanted:,}", style="bold"),
        ProgressBar(
            total=max(snapshot.wanted, 1), completed=done, width=18, complete_style="cyan", finished_style="green"
        ),
        Text(_left(snapshot)),
    )
    room = max(height - LINES_BESIDE_TRIALS, 1)
    busy = f"{_slots(snapshot)}; {snapshot.reviews_per_second:,.0f} reviews/s; {_spent(snapshot)}"
    best = Text(f"best {best_text(snapshot)}", overflow="fold")
    parts: list[RenderableType] = [bar, _counts(snapshot), Text(busy, overflow="fold"), best]
    if snapshot.running:
        parts.append(_running(snapshot.running[:room]))
    if len(snapshot.running) > room:
        parts.append(Text(f"... and {len(snapshot.running) - room:,} more that run", style="dim"))
    return Group(*parts)


def plain_line(snapshot: Snapshot) -> str:
    """Return the state of a search on one line of plain ASCII."""
    done = snapshot.complete + snapshot.stopped + snapshot.failed
    best = "none yet"
    if snapshot.best is not None:
        best = f"{wording.loss(snapshot.best.best_val_loss)} ({_name(snapshot.best)})"
    return (
        f"{PHASES[snapshot.phase]} {done:,}/{snapshot.wanted:,}: {_fates(snapshot)}; {_slots(snapshot)}; best {best}; "
        f"{snapshot.reviews_per_second:,.0f} reviews/s; {_spent(snapshot)}"
        + (f", {_left(snapshot)}" if snapshot.eta_seconds is not None else "")
    )


def best_text(snapshot: Snapshot) -> str:
    """Return the best so far with its setting: "0.4312, trial 7 at step 600: embedding_dim=300 ..."."""
    best = snapshot.best
    if best is None:
        return "none yet"
    step = "" if best.best_step is None else f" at step {best.best_step:,}"
    return f"{wording.loss(best.best_val_loss)}, {_name(best)}{step}: {wording.setting_text(best.setting)}"


def failure_text(record: TrialRecord) -> str:
    """Return "trial 12 failed: out of memory (embedding_dim=300 ...)"."""
    # A reason may be an exception's own text, with line breaks or escape codes in it.
    reason = " ".join("".join(sign if sign.isprintable() else " " for sign in facts.reason_of(record)).split())
    return f"{_name(record)} failed: {reason} ({wording.setting_text(record.setting)})"


def _name(record: TrialRecord) -> str:
    """Return "trial 12", or for a confirmation run, whose own number says nothing, "trial 5 on seed 123"."""
    if record.source_trial is None:
        return f"trial {record.number}"
    return f"trial {record.source_trial} on seed {record.seed}"


def _spent(snapshot: Snapshot) -> str:
    text = wording.duration(snapshot.seconds)
    return text if snapshot.time_budget is None else f"{text} of {wording.duration(snapshot.time_budget)}"


def _left(snapshot: Snapshot) -> str:
    return "" if snapshot.eta_seconds is None else f"about {wording.duration(snapshot.eta_seconds)} left"


def _fates(snapshot: Snapshot) -> str:
    return (
        f"{snapshot.complete:,} complete, {snapshot.stopped:,} stopped, {snapshot.failed:,} failed, "
        f"{len(snapshot.running):,} running"
    )


def _slots(snapshot: Snapshot) -> str:
    return f"slots {snapshot.slots_busy}/{snapshot.slots} busy, {wording.percent(snapshot.busy_share, 0)} so far"


def _counts(snapshot: Snapshot) -> Text:
    line = Text(overflow="fold")
    line.append(f"{snapshot.complete:,} complete", style="green")
    line.append(", ")
    line.append(f"{snapshot.stopped:,} stopped", style="yellow")
    line.append(", ")
    line.append(f"{snapshot.failed:,} failed", style="red" if snapshot.failed else "")
    line.append(", ")
    line.append(f"{len(snapshot.running):,} running", style="cyan")
    return line


def _running(records: tuple[TrialRecord, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("trial", "step", "val loss", "best", "time"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for record in records:
        number = str(record.number)
        if record.source_trial is not None:
            number = f"{record.source_trial} seed {record.seed}"
        table.add_row(
            number,
            f"{record.steps:,}/{record.max_steps:,}" if record.max_steps else f"{record.steps:,}",
            wording.loss(record.curve[-1][1] if record.curve else None),
            wording.loss(record.best_val_loss),
            wording.duration(record.seconds),
            ProgressBar(total=max(record.max_steps, 1), completed=record.steps, width=12, complete_style="cyan"),
        )
    return table
