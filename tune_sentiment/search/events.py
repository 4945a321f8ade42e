"""Write what TensorBoard shows, learning curves and hyperparameters: an event file for each trial and session."""

import logging
import os
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import hparams

from tune_sentiment.search.checkpoints import trial_folder
from tune_sentiment.search.ray_tune import Trial, tune

SCALARS = (
    "val_loss",
    "best_val_loss",
    "val_accuracy",
    "best_val_accuracy",
    "train_loss",
    "grad_norm",
    "reviews_per_second",
)
"""What has a curve, by step of the training."""
METRICS = ("best_val_loss", "best_val_accuracy")
"""What stands beside the hyperparameters in TensorBoard's table of them."""

FLUSH_SECONDS = 10.0
"""How long a report may wait before it is on the disk: each flush waits for the disk, some milliseconds."""

_log = logging.getLogger(__name__)
_file_numbers = count()


class EventFiles(tune.Callback):
    """Writes each trial's reports into its own folder, where a TensorBoard sees them within seconds.

    In place of Ray's own logger, which counts reports where we count steps, so that a resumed trial begins again at 1;
    which writes 22 numbers for each report and waits for the disk after each; and whose files reach the search's
    folder every five minutes only. `tensorboardX`'s own SummaryWriter has a thread and a pipe for each trial: its
    writer of records, without them, is all that is needed here.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        """Write into the trials' folders below `folder`; `names` are the searched hyperparameters."""
        self._folder = folder
        self._names = names
        self._writers: dict[str, EventsWriter] = {}
        self._flushed: dict[str, float] = {}
        self._broken = False

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Let a trial that is taken up again begin a file of its own."""
        self._close(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Write a report."""
        if result["failure"] or self._broken:
            return
        try:
            self._report(trial, result)
        except OSError as problem:
            # What cannot be done without is the study: it says so itself if the disk is full.
            self._broken = True
            _log.warning("TensorBoard's files are no longer written: %s", problem)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Close the file of a trial that ended, by whatever fate."""
        if trial.trial_id in self._writers and not self._broken:
            self._write(trial, 0, self._hyperparameters(trial)[2])
        self._close(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Close the file of a trial whose process was lost."""
        self._close(trial)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Close what an interruption left open."""
        for trial in trials:
            self._close(trial)

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out: Ray Tune pickles its callbacks at the start, and open files cannot be."""
        return {}

    def _report(self, trial: Trial, result: dict[str, Any]) -> None:
        if trial.trial_id not in self._writers:
            self._open(trial, result["step"])
        curves = [Summary.Value(tag=name, simple_value=result[name]) for name in SCALARS]
        self._write(trial, result["step"], Summary(value=curves))
        if time.monotonic() - self._flushed[trial.trial_id] >= FLUSH_SECONDS:
            self._writers[trial.trial_id].flush()
            self._flushed[trial.trial_id] = time.monotonic()

    def _open(self, trial: Trial, step: int) -> None:
        folder = self._folder / trial_folder(trial.config["number"])
        folder.mkdir(parents=True, exist_ok=True)
        # A file's name has only the second of its making, and TensorBoard reads them in the order of their names.
        writer = EventsWriter(str(folder / "events"), f".{os.getpid()}.{next(_file_numbers):06}")
        self._writers[trial.trial_id] = writer
        self._flushed[trial.trial_id] = -FLUSH_SECONDS  # the first report is shown at once
        # Steps of an earlier session from here on were lost, and are done again: TensorBoard drops them at this mark.
        writer.write_event(Event(wall_time=time.time(), step=step, session_log=SessionLog(status=SessionLog.START)))
        for summary in self._hyperparameters(trial)[:2]:
            self._write(trial, step, summary)

    def _hyperparameters(self, trial: Trial) -> tuple[Summary, Summary, Summary]:
        """Return what opens TensorBoard's table of hyperparameters, this trial's row of it, and the row's end."""
        values = {name: trial.config[name] for name in self._names}
        values["seed"] = str(trial.config["seed"])  # TensorBoard would round a number to five digits
        opening, row, end = hparams(values, dict.fromkeys(METRICS, 0.0))
        return opening, row, end

    def _write(self, trial: Trial, step: int, summary: Summary) -> None:
        self._writers[trial.trial_id].write_event(Event(wall_time=time.time(), step=step, summary=summary))

    def _close(self, trial: Trial) -> None:
        self._flushed.pop(trial.trial_id, None)
        writer = self._writers.pop(trial.trial_id, None)
        if writer is not None:
            try:
                writer.close()
            except OSError as problem:
                _log.debug("a TensorBoard file was not closed: %s", problem)
