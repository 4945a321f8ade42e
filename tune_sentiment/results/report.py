"""Write the report of a search: once, or again and again while it runs."""

import logging
import pickle
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tune_sentiment.results.mattered import NOT_AT_HAND, DrawnApart, Mattered, too_early
from tune_sentiment.results.writing import replace_file
from tune_sentiment.search.records import Outcome, Snapshot, TrialRecord

if TYPE_CHECKING:
    import optuna

MATTERED_EVERY = 60.0
"""Seconds between two computations of what mattered in a live report: the costliest part of it."""

LIVE_SHARE = 0.05
"""Most of the driver's time that a live report may take."""

_log = logging.getLogger(__name__)


def write_report(outcome: Outcome, study: "optuna.Study | None", path: Path) -> None:
    """Write the report to `path`: one page that works offline, whole or not at all.

    study: the search's study, for what mattered; None leaves that out, with a sentence.

    Raises:
        StudyError: if the file cannot be written.
    """
    # plotly and optuna.visualization take a second to import, which a light command need not wait for.
    from tune_sentiment.results.page import render
    from tune_sentiment.results.plots import what_mattered

    replace_file(path, render(outcome, what_mattered(outcome, study), time.time()))


class LiveReport:
    """An observer that rewrites the report in a thread of its own, and takes at most a twentieth of the time for it."""

    def __init__(
        self,
        path: Path,
        current: "Callable[[], tuple[Outcome, optuna.Study | None]]",
        every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Rewrite `path` with what `current` (called in another thread) returns, at most once in `every` seconds."""
        self._path = path
        self._current = current
        self._every = every
        self._clock = clock
        self._next = clock()
        self._next_mattered = clock()
        self._mattered: Mattered | None = None
        # One thread for all rewrites: each new one would keep a malloc arena as large as the page for itself.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="live-report")
        self._writing: Future[None] | None = None
        self._apart = DrawnApart()
        self._complained = False

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Start a rewrite if one is due and none is under way; returns at once."""
        if self._clock() < self._next or (self._writing is not None and not self._writing.done()):
            return
        self._writing = self._writer.submit(self._write)

    def on_trial_end(self, record: TrialRecord) -> None:
        """Do nothing: the next snapshot shows the trial."""

    def close(self) -> None:
        """Wait for a rewrite under way, so that it cannot overwrite what is written afterwards.

        It is not kept waiting for what mattered: the final report has that anyway.
        """
        self._apart.stop()
        if self._writing is not None:
            self._writing.result()

    def _write(self) -> None:
        started = self._clock()
        try:
            self._write_once(started)
        except Exception as problem:
            # A report is not worth a search: complain once, and try again with the next one.
            if not self._complained:
                _log.warning("The live report could not be written: %s", problem)
            self._complained = True
        took = self._clock() - started
        self._next = self._clock() + max(self._every, took * (1 - LIVE_SHARE) / LIVE_SHARE)

    def _write_once(self, started: float) -> None:
        from tune_sentiment.results.page import render

        outcome, study = self._current()
        if self._mattered is None or started >= self._next_mattered:
            self._mattered = self._what_mattered(outcome, study)
            self._next_mattered = self._clock() + MATTERED_EVERY
        replace_file(self._path, render(outcome, self._mattered, time.time()))

    def _what_mattered(self, outcome: Outcome, study: "optuna.Study | None") -> Mattered:
        """Return what mattered, drawn in another process; where that fails, what there was before."""
        from tune_sentiment.results.comparable import comparison

        if study is None:
            return NOT_AT_HAND
        compared = comparison(outcome, study)
        early = too_early(compared)
        if early is not None:
            return early
        try:
            return self._apart.draw(compared)
        except (OSError, pickle.PickleError, EOFError) as problem:
            _log.debug("What mattered could not be drawn: %s", problem)
            return self._mattered or Mattered({}, (f"What mattered could not be computed: {problem}.",))
