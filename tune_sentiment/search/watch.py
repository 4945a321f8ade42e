"""Adapts the observers of a search to Ray Tune's callbacks."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from ray import tune
from ray.tune.experiment import Trial

from tune_sentiment.search.records import Observer, Snapshot, TrialRecord
from tune_sentiment.search.sampler import StudySearch

SECONDS_BETWEEN_SNAPSHOTS = 0.5


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
        self._ended = list(earlier)
        self._running: dict[str, TrialRecord] = {}
        self._session_seconds: dict[str, float] = {}
        self._speed: dict[str, float] = {}
        self._started = time.monotonic()
        self._last_snapshot = 0.0
        self._trials: list[Trial] = []
        self.full_seconds: list[float] = []
        """Seconds of each trial that ran to its end, for estimates."""

    @property
    def slot_seconds(self) -> float:
        """Seconds that the slots were held so far."""
        return self._slots * (time.monotonic() - self._started)

    @property
    def busy_seconds(self) -> float:
        """Seconds of them in training and validation."""
        return sum(self._session_seconds.values())

    def error_of(self, trial_id: str) -> str:
        """Return Ray's own text on why a trial's process was lost, or nothing."""
        trial = self._trial(trial_id)
        return str((trial and trial.get_error()) or "")

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
        self._session_seconds[trial.trial_id] = result["session_seconds"]
        self._speed[trial.trial_id] = result["reviews_per_second"]
        record = self._searcher.record(trial.trial_id)
        self._running[trial.trial_id] = with_report(record, result)
        if result["step"] == result["max_steps"]:
            self.full_seconds.append(result["seconds"])
        self._show()

    def on_checkpoint(
        self, iteration: int, trials: list[Trial], trial: Trial, checkpoint: tune.Checkpoint, **info: Any
    ) -> None:
        """Write down where the trial's checkpoint is."""
        self._searcher.note_checkpoint(trial.trial_id, checkpoint.path)

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

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray Tune pickles its callbacks at the start, and observers may hold what cannot be."""
        return {}

    def _end(self, trial: Trial) -> None:
        self._running.pop(trial.trial_id, None)
        self._speed.pop(trial.trial_id, None)
        record = self._searcher.record(trial.trial_id)
        if record.fate == "running":  # its process was lost, and it will be continued in another
            return
        self._ended.append(record)
        for observer in self._observers:
            observer.on_trial_end(record)
        self._show()

    def _trial(self, trial_id: str) -> Trial | None:
        return next((trial for trial in self._trials if trial.trial_id == trial_id), None)

    def _show(self) -> None:
        self._last_snapshot = time.monotonic()
        snapshot = self._snapshot()
        for observer in self._observers:
            observer.on_snapshot(snapshot)

    def _snapshot(self) -> Snapshot:
        running = tuple(sorted(self._running.values(), key=lambda record: record.number))
        fates = [record.fate for record in self._ended]
        usable = [record for record in (*self._ended, *running) if record.fate != "failed"]
        measured = [record for record in usable if record.best_val_loss is not None]
        return Snapshot(
            phase=self._phase,
            seconds=time.monotonic() - self._command_started,
            time_budget=self._time_budget,
            slots=self._slots,
            slots_busy=len(running),
            busy_share=min(1.0, self.busy_seconds / max(self.slot_seconds, 1e-9)),
            wanted=self._wanted,
            complete=fates.count("complete"),
            stopped=fates.count("stopped"),
            failed=fates.count("failed"),
            running=running,
            best=min(measured, key=lambda record: record.best_val_loss or 0.0, default=None),
            eta_seconds=self._eta(running),
            reviews_per_second=sum(self._speed.values()),
        )

    def _eta(self, running: Sequence[TrialRecord]) -> float | None:
        """Return the seconds left: those of the trials not begun, and what running ones still need, over the slots."""
        timed = [record.seconds for record in self._ended if record.seconds > 0]
        if not timed:
            return None
        typical = sum(timed) / len(timed)
        waiting = max(0, self._wanted - len(self._ended) - len(running))
        rest = sum(max(0.0, typical - record.seconds) for record in running)
        return (waiting * typical + rest) / self._slots


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
