"""Adapts the observers of a search to Ray Tune's callbacks."""

import errno
import os
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from tune_sentiment.search.ray_state import forget
from tune_sentiment.search.ray_tune import Trial, tune
from tune_sentiment.search.records import Fate, Observer, Snapshot, TrialRecord
from tune_sentiment.search.sampler import StudySearch

SECONDS_BETWEEN_SNAPSHOTS = 0.5
SNAPSHOT_SHARE = 0.1
"""Of the driver's time that snapshots may take: with thousands of running trials, each is dear and they come seldom."""


class Watch(tune.Callback):
    """Counts what happens in one phase, tells the observers, and writes checkpoints' places into the study."""

    def __init__(
        self,
        *,
        phase: Literal["search", "confirm"],
        searcher: StudySearch,
        observers: Sequence[Observer],
        slots: int,
        wanted: int,
        command_started: float,
        time_budget: float | None,
        earlier: Sequence[TrialRecord],
    ) -> None:
        """Start counting; `earlier` are the trials of the phase that ended in earlier sessions."""
        self._phase = phase
        self._searcher = searcher
        self._observers = observers
        self._slots = slots
        self._wanted = wanted
        self._command_started = command_started
        self._time_budget = time_budget
        self._ended = Ended()
        for record in earlier:
            self._ended.add(record)
        self._running: dict[str, TrialRecord] = {}
        self._session_seconds: dict[str, float] = {}
        self._busy_seconds = 0.0
        self._speed: dict[str, float] = {}
        self._last_speeds: deque[float] = deque(maxlen=slots)
        self._started = time.monotonic()
        self._last_snapshot = self._next_snapshot = 0.0
        self._trials: list[Trial] = []
        self.full_seconds: list[float] = []
        """Seconds of each trial that ran to its end, for estimates."""

    @property
    def slot_seconds(self) -> float:
        """Seconds that the slots were held so far."""
        return self._slots * (time.monotonic() - self._started)

    @property
    def busy_seconds(self) -> float:
        """Seconds of them in training and validation, those of idle slots whose cores a trial used among them."""
        return self._busy_seconds

    def error_of(self, trial_id: str) -> str:
        """Return Ray's own text on why a trial's process was lost, or nothing; one without a letter met a full disk."""
        trial = self._trial(trial_id)
        error = None if trial is None else trial.get_error()
        if error is None:
            return ""
        return str(error) or os.strerror(errno.ENOSPC)

    def ran(self, trial_id: str) -> bool:
        """Return whether Ray has taken a trial up again as often as it may; it never does before a trial runs."""
        trial = self._trial(trial_id)
        return trial is not None and not trial.should_recover()

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Keep Ray's list of the trials."""
        self._trials = trials

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note a trial that runs."""
        self._running[trial.trial_id] = self._searcher.record(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note a report."""
        seconds = result["session_seconds"] - self._session_seconds.get(trial.trial_id, 0.0)
        self._busy_seconds += seconds * result["slots"]
        self._session_seconds[trial.trial_id] = result["session_seconds"]
        self._speed[trial.trial_id] = speed = result["reviews_per_second"]
        if speed > 0:  # a failure's is 0
            self._last_speeds.append(speed)
        record = self._searcher.record(trial.trial_id)
        self._running[trial.trial_id] = with_report(record, result)
        if result["step"] == result["max_steps"]:
            self.full_seconds.append(result["seconds"])
        self._show_if_due()

    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: tune.Checkpoint, **info: Any
    ) -> None:
        """Write down where the trial's checkpoint is."""
        self._searcher.note_checkpoint(trial.trial_id, checkpoint.path, trial.last_result["step"])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note a trial that ended."""
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note a trial whose process was lost for good."""
        self._end(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Show the state now and then also when nothing is reported."""
        if time.monotonic() - self._last_snapshot >= SECONDS_BETWEEN_SNAPSHOTS:
            self._show()

    def close(self, cut: Sequence[TrialRecord]) -> None:
        """Count the trials that the end of the phase `cut` off, and show the last state, due or not."""
        ended = {record.number for record in cut}
        self._running = {key: record for key, record in self._running.items() if record.number not in ended}
        for record in cut:
            self._note_end(record)
        self._show()

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray Tune pickles its callbacks at the start, and observers may hold what cannot be."""
        return {}

    def _end(self, trial: Trial) -> None:
        self._running.pop(trial.trial_id, None)
        self._speed.pop(trial.trial_id, None)
        record = self._searcher.record(trial.trial_id)
        if record.fate == "running":  # its process was lost, and it will be continued in another
            return
        forget(trial)
        self._note_end(record)
        self._show_if_due()

    def _note_end(self, record: TrialRecord) -> None:
        self._ended.add(record)
        for observer in self._observers:
            observer.on_trial_end(record)

    def _trial(self, trial_id: str) -> Trial | None:
        return next((trial for trial in self._trials if trial.trial_id == trial_id), None)

    def _show_if_due(self) -> None:
        if time.monotonic() >= self._next_snapshot:
            self._show()

    def _show(self) -> None:
        self._last_snapshot = time.monotonic()
        snapshot = self._snapshot()
        for observer in self._observers:
            observer.on_snapshot(snapshot)
        now = time.monotonic()
        self._next_snapshot = now + (now - self._last_snapshot) * (1 - SNAPSHOT_SHARE) / SNAPSHOT_SHARE

    def _snapshot(self) -> Snapshot:
        running = tuple(sorted(self._running.values(), key=lambda record: record.number))
        usable = [record for record in running if record.fate != "failed" and record.best_val_loss is not None]
        if self._ended.best is not None:
            usable.append(self._ended.best)
        return Snapshot(
            phase=self._phase,
            seconds=time.monotonic() - self._command_started,
            time_budget=self._time_budget,
            slots=self._slots,
            slots_busy=len(running),
            busy_share=min(1.0, self.busy_seconds / max(self.slot_seconds, 1e-9)),
            wanted=self._wanted,
            complete=self._ended.fates["complete"],
            stopped=self._ended.fates["stopped"],
            failed=self._ended.fates["failed"],
            running=running,
            best=min(usable, key=_rank, default=None),
            eta_seconds=self._eta(running),
            reviews_per_second=self._reviews_per_second(),
        )

    def _reviews_per_second(self) -> float:
        """Return what all running trials train on together; one that has not reported yet counts as the last ones."""
        typical = sum(self._last_speeds) / max(1, len(self._last_speeds))
        return sum(self._speed.get(trial_id, typical) for trial_id in self._running)

    def _eta(self, running: Sequence[TrialRecord]) -> float | None:
        """Return the seconds left: those of the trials not begun, and what running ones still need, over the slots."""
        typical = self._ended.typical_seconds
        if typical is None:
            return None
        waiting = max(0, self._wanted - self._ended.fates.total() - len(running))
        rest = sum(max(0.0, typical - record.seconds) for record in running)
        return (waiting * typical + rest) / self._slots


class Ended:
    """What a snapshot says of the trials that ended, kept up to date: there may be tens of thousands."""

    def __init__(self) -> None:
        """Start with none."""
        self.fates: Counter[Fate] = Counter()
        self.best: TrialRecord | None = None
        """That with the lowest validation loss, the first of equals by number; None if none is usable."""
        self._seconds = 0.0
        self._timed = 0

    def add(self, record: TrialRecord) -> None:
        """Take in a trial."""
        self.fates[record.fate] += 1
        if record.seconds > 0:
            self._seconds += record.seconds
            self._timed += 1
        if record.fate == "failed" or record.best_val_loss is None:
            return
        if self.best is None or _rank(record) < _rank(self.best):
            self.best = record

    @property
    def typical_seconds(self) -> float | None:
        """Seconds of a trial, the mean over those that took any; None if none did."""
        return self._seconds / self._timed if self._timed else None


def _rank(record: TrialRecord) -> tuple[float, int]:
    return record.best_val_loss or 0.0, record.number


def with_report(record: TrialRecord, result: dict[str, Any]) -> TrialRecord:
    """Return `record` with what the study keeps only at a trial's end filled in from its last report."""
    return replace(
        record,
        fate="running",
        steps=result["step"],
        max_steps=result["max_steps"],
        seconds=result["seconds"],
        best_val_accuracy=result["best_val_accuracy"],
    )
