"""The cores of slots for which no trial is left train the trials that still run, with the same losses."""

import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from tune_sentiment.search.ray_tune import Trial, tune

STEPS = 20
"""Steps by whose median two numbers of threads are compared: batches differ in length, and some compile the LSTM."""
WORTHWHILE = 1.15
"""How many times as fast those must be on twice the threads for these to be kept."""


def same_losses() -> bool:
    """Return whether this processor computes the same to the last bit on any number of threads.

    oneDNN does so with AVX512, and not with AVX2: see benchmarks/RESULTS.md.
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


class IdleCores(tune.Callback):
    """Offers the threads of slots that stand idle, as no trial is left to begin, to the trials that still run."""

    def __init__(self, file: Path, slots: int, threads: int, all_begun: Callable[[], bool]) -> None:
        """Share out `threads` for each of `slots`, which must all be on one machine, once `all_begun` returns true.

        file: what the trials' processes look into, see `Threads`.
        """
        self._most = np.memmap(file, np.uint32, "w+", shape=(1,))
        self._most[0] = threads
        self._slots = slots
        self._threads = threads
        self._all_begun = all_begun
        self._running: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Count a trial that runs."""
        self._running.add(trial.trial_id)
        self._share_out()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Count a trial that ended no more."""
        self._running.discard(trial.trial_id)
        self._share_out()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Count a trial whose process was lost no more."""
        self.on_trial_complete(iteration, trials, trial)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Count a trial that waits for another process no more."""
        self.on_trial_complete(iteration, trials, trial)

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray Tune pickles its callbacks at the start."""
        return {}

    def _share_out(self) -> None:
        idle = self._all_begun() and 0 < len(self._running) < self._slots
        self._most[0] = self._threads * self._slots // len(self._running) if idle else self._threads


class Threads:
    """The threads that a trial trains on: more than its own where it may, and where that is worthwhile.

    Only trying tells: twice as many are kept if steps are faster by far with them.
    """

    def __init__(self, own: int, file: str | None = None) -> None:
        """Train on `own` threads, those of one slot; `file` holds how many there may be at this time, as uint32."""
        self._own = self._now = self._set_to = own
        self._before: tuple[int, float] | None = None
        self._most = np.full(1, own, np.uint32) if file is None else np.memmap(file, np.uint32, "r", shape=(1,))
        self.begin()

    def begin(self) -> None:
        """Train on the own threads again: another trial begins."""
        self._worthwhile = math.inf
        self._began_step = self._counted = time.perf_counter()
        self._slot_seconds = self._seconds = 0.0
        self._use(self._own)

    def after_step(self, words: int, is_measured: bool = False) -> None:
        """Take in that a step over `words`, padding counted, has ended, and choose the threads of the next.

        Where the model `is_measured` now, that and the step after it are left to the own threads: more would measure a
        batch each, in memory of their own, hundreds of MB at the course's setting on IMDB.
        """
        now = time.perf_counter()
        self._seconds_a_word.append((now - self._began_step) / words)
        self._steps += 1
        self._began_step = now
        most = int(self._most[0])
        if self._now > most:
            self._use(most)
        elif self._before is not None:
            self._judge(*self._before)
        elif self._steps >= STEPS and (more := min(2 * self._now, most, self._worthwhile)) > self._now:
            self._use(int(more), before=(self._now, median(self._seconds_a_word)))
        self._set(self._own if is_measured else self._now)

    def slots_used(self) -> float:
        """Return how many slots' threads were used since this was last asked, or the trial began, on average."""
        self._count()
        used = self._slot_seconds / self._seconds if self._seconds else 1.0
        self._slot_seconds = self._seconds = 0.0
        return used

    def _judge(self, threads_before: int, seconds_before: float) -> None:
        if self._steps < 2 * STEPS:
            return
        self._before = None
        if seconds_before < WORTHWHILE * median(self._seconds_a_word):
            self._worthwhile = threads_before
            self._use(threads_before)

    def _use(self, threads: int, before: tuple[int, float] | None = None) -> None:
        """Train on `threads`; `before` are those to go back to, and the seconds a word with them."""
        self._set(threads)
        self._now = threads
        self._before = before
        self._steps = 0
        self._seconds_a_word: deque[float] = deque(maxlen=STEPS)

    def _set(self, threads: int) -> None:
        self._count()
        torch.set_num_threads(threads)
        self._set_to = threads

    def _count(self) -> None:
        now = time.perf_counter()
        self._seconds += now - self._counted
        self._slot_seconds += (now - self._counted) * self._set_to / self._own
        self._counted = now
