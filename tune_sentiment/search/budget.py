"""When a phase must end: its time is up, or the user said stop."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Dataset
from tune_sentiment.search.ray_tune import Stopper
from tune_sentiment.search.resources import this_machine

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STUCK_SECONDS = 20.0
"""How long an interrupted search may take to stop its trials and write its results before it is given up on."""

EXPORT_SECONDS = 8.0
"""Part of a time budget kept for the bundle and the report, at least; as long as the start took, if that was longer:
both load the same libraries in new processes, on the same fast or slow or busy machine."""
SCORED_PER_SECOND = 80_000
"""Words that a core scores in a second, with a model of the course's size."""


def seconds_of_end(dataset: Dataset, settings: TrainSettings, start_seconds: float) -> float:
    """Return the part of a time budget that is kept for what comes after the last trial.

    That is to score the winner and the course's setting on the test set, and the bundle twice on the validation set.
    """
    words = 2 * sum(int(split.lengths(settings.seq_length).sum()) for split in (dataset.test, dataset.validation))
    return max(EXPORT_SECONDS, start_seconds) + words / (SCORED_PER_SECOND * max(1.0, this_machine().cpus))


class Interruption:
    """Remembers Ctrl-C and SIGTERM: once asks to stop and keep all, twice stops now."""

    def __init__(self, when_stuck: Callable[[], None] | None = None) -> None:
        """Take what to call, in a thread of its own, if a requested stop has not come about in STUCK_SECONDS.

        That happens when a signal to the whole process group took Ray's own processes with it: Ray then waits for them.
        """
        self.requested = False
        self._when_stuck = when_stuck
        self._timer: threading.Timer | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the signals inside this block, where the main thread allows it."""
        before = {name: signal.getsignal(name) for name in SIGNALS}
        self.take_signals()
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if threading.current_thread() is threading.main_thread():
                for name, handler in before.items():
                    signal.signal(name, handler)

    def take_signals(self) -> None:
        """Hear of the signals from now on; outside the main thread nobody can, and the caller's handlers stay."""
        if threading.current_thread() is threading.main_thread():
            for name in SIGNALS:
                signal.signal(name, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._when_stuck is not None:
            self._timer = threading.Timer(STUCK_SECONDS, self._when_stuck)
            self._timer.daemon = True
            self._timer.start()


class Deadline(Stopper):
    """Ends a phase for Ray Tune: softly at reports when its time is up, at once shortly after or when interrupted.

    A trial stopped softly is checkpointed and told to the study; only one that does not report within `patience`
    seconds is cut off.
    """

    def __init__(self, at: Callable[[], float], patience: float, at_once: Callable[[], bool]) -> None:
        """Take the time (`time.monotonic()`) at which the phase must end as a function, as estimates of it move.

        `at_once` returns whether everything must stop whatever the time: the user said so, or nothing can be written.
        """
        self._at = at
        self._patience = patience
        self._at_once = at_once

    def passed(self) -> bool:
        """Return whether no trial may go on past its next report."""
        return time.monotonic() >= self._at()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return whether this trial stops at this report."""
        return self.passed()

    def stop_all(self) -> bool:
        """Return whether everything stops now."""
        return self._at_once() or time.monotonic() >= self._at() + self._patience

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray Tune pickles its stopper now and then, and the study is the only state."""
        return {}
