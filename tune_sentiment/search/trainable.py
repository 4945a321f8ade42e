"""The loop as a Ray Tune trainable: one report per step of it, checkpoints when they can matter."""

import gc
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch

from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import DivergedError, StudyError
from tune_sentiment.search.idle_cores import Threads
from tune_sentiment.search.ray_tune import DONE, SHOULD_CHECKPOINT, tune
from tune_sentiment.search.remote import is_remote, open_remote
from tune_sentiment.search.storage import STORAGE, is_storage_problem
from tune_sentiment.search.time_limit import TimeLimit
from tune_sentiment.training.checkpoint import (
    BEST_FILE,
    STATE_FILE,
    link_or_copy,
    load_state,
    load_weights,
    save_state,
    save_weights,
)
from tune_sentiment.training.loop import Progress, TrainingData, TrainingState, start, total_steps, train
from tune_sentiment.training.processor import give_back_memory, set_up_for_training, trim_heap

WORST_LOSS = 100.0
"""What a trial that failed is reported as: BCELoss never exceeds 100, as it bounds the logarithm at -100."""

CHECKPOINT_EVERY_SECONDS = 15.0
"""Work that a crash may cost at most, next to a save's own length."""
CHECKPOINT_SHARE = 0.02
"""Share of a trial's time that saving its state may take."""

TRIM_EVERY_SECONDS = 10.0
"""Training after which the heap is trimmed, for less than 1 % of the time; without, it grows from report to report."""

MOST_DETAILS = 20_000
"""Characters of a traceback that are reported, from its end."""


class ReviewTrainable(tune.Trainable):
    """Trains one setting at a time; Ray reuses the process for the next trial.

    `config` holds `number`, `seed`, `resume_from` (a checkpoint's folder or None) and every field of TrainSettings.
    A trial that cannot go on reports `failure` as its last result instead of raising, so that Ray does not retry what
    would fail again; Ray's own retries are for lost processes and nodes.
    """

    def setup(  # type: ignore[override]  # `tune.with_parameters` gives the rest
        self,
        config: dict[str, Any],
        data: TrainingData,
        threads: int,
        use_gpu: bool,
        timeout: float | None = None,
        shown_as: str = "",
        in_store: bool = False,
        idle_cores: str | None = None,
    ) -> None:
        """Keep the data for all trials of this process, and begin the first.

        timeout: seconds for each. shown_as: what Ray's dashboard calls the process, beside its first trial's number.
        in_store: whether checkpoints go to an object store. idle_cores: the file of `Threads`.
        """
        self._threads = Threads(threads, idle_cores)
        set_up_for_training()
        self._limit = TimeLimit(timeout)
        self._in_store = in_store
        self._data = data
        self._shown_as = f"{shown_as}: trials from {config['number']} on"
        self._has_trained = False
        self._device = "cuda" if use_gpu and torch.cuda.is_available() else "cpu"
        # What is loaded by now stays: looking through all of torch for garbage takes 0.1 s, and every trial would pay.
        gc.freeze()
        self._begin(config)

    def __repr__(self) -> str:
        """Return what Ray's dashboard shows; asked for once, so that it names the first of many trials only."""
        return self._shown_as

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin the next trial in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._remove_working_copies()  # the last trial's
        self._threads.begin()
        self._settings = TrainSettings(**{name: config[name] for name in TrainSettings.model_fields})
        self._seed = config["seed"]
        self._number = config["number"]
        self._state: TrainingState | None = None
        self._progress: Iterator[Progress] = iter(())
        give_back_memory()
        self._last: Progress | None = None
        self._seconds_before = self._trimmed_at = 0.0
        self._note = ""
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0
        self._save_began: float | None = None
        self._asked_to_save = False
        self._best_file = Path(self.logdir) / f".{BEST_FILE}"
        self._has_trained = False
        self._checkpoint_to_load: str | None = config["resume_from"]
        self._limit.begin(Path(self.logdir))
        self._log(self._settings)

    def step(self) -> dict[str, Any]:
        """Train up to the next report and return it."""
        if self._save_began is not None:  # until now Ray has been sending the last checkpoint to where it belongs
            self._saved_at = time.monotonic()
            self._save_seconds = self._saved_at - self._save_began
            self._save_began = None
        if self._limit.is_over():
            return self._failed("timeout", details=self._limit.where_it_hung())
        try:
            if self._state is None:
                self._start()
            progress = next(self._progress)
            if progress.seconds - self._trimmed_at > TRIM_EVERY_SECONDS:
                trim_heap()
                self._trimmed_at = progress.seconds
            if progress.best_step == progress.step:
                save_weights(self._model_weights(), self._best_file)
        except DivergedError:
            return self._failed("diverged")
        except (MemoryError, torch.OutOfMemoryError):
            return self._failed("out of memory")
        except Exception as problem:
            if is_storage_problem(problem):
                return self._failed(f"{STORAGE}: {problem}".splitlines()[0])
            if "can't allocate memory" in str(problem):  # how torch's CPU allocator says it
                return self._failed("out of memory")
            reason = f"error: {type(problem).__name__}: {problem}".splitlines()[0]
            return self._failed(reason, details=traceback.format_exc())
        self._last = progress
        self._log(f"step {progress.step}, validation loss {progress.val_loss:.4f}, best {progress.best_val_loss:.4f}")
        done = progress.step == self._max_steps()
        return self._result(progress, failure="", done=done, slots=self._threads.slots_used())

    def _start(self) -> None:
        """Make or load the training state; here rather than in `_begin`, so that a failure of it is a report.

        Nor may `_begin` touch the trial's folder: Ray may have given the trial to a process that was free earlier, and
        end this one before its first step.
        """
        self._has_trained = True
        self._best_file.unlink(missing_ok=True)  # of a process that was lost
        if self._checkpoint_to_load is not None:
            self._load(self._brought_here(self._checkpoint_to_load))
        if self._state is None:
            self._state = start(self._settings, self._data.vocab_size, self._seed, self._device)
        self._progress = train(self._state, self._data, self._threads.after_step)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Put the best weights into `checkpoint_dir` and, if this report asked for it, what a resume needs.

        Ray also asks at a trial's end, whoever ended it; nothing will be resumed then.
        """
        self._save_began = time.monotonic()
        if self._best_file.exists():
            link_or_copy(self._best_file, Path(checkpoint_dir) / BEST_FILE)
        if self._state is not None and self._asked_to_save:
            save_state(self._state, Path(checkpoint_dir) / STATE_FILE)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue from a checkpoint after Ray lost the process; it is read by the next step."""
        self._state = None
        self._checkpoint_to_load = str(checkpoint)
        if self._in_store:  # then it is a copy that Ray removes when this returns
            self._checkpoint_to_load = str(shutil.copytree(checkpoint, self._fetched, dirs_exist_ok=True))

    def cleanup(self) -> None:
        """Leave no working copy of the best weights behind."""
        self._limit.end()
        self._remove_working_copies()

    def _remove_working_copies(self) -> None:
        if self._has_trained:
            self._best_file.unlink(missing_ok=True)
            shutil.rmtree(self._fetched, ignore_errors=True)

    def _brought_here(self, place: str) -> Path:
        """Return the folder of a checkpoint, copied to this machine if it is in an object store."""
        if not is_remote(place):
            return Path(place)
        shutil.rmtree(self._fetched, ignore_errors=True)
        open_remote(place).download(self._fetched)
        return self._fetched

    @property
    def _fetched(self) -> Path:
        return Path(self.logdir) / ".fetched"

    def _load(self, folder: Path) -> None:
        """Continue from a checkpoint; one that is damaged is left aside, and the trial starts again, saying so."""
        try:
            state = load_state(folder / STATE_FILE, self._device)
            if (folder / BEST_FILE).exists():
                load_weights(folder / BEST_FILE)
        except StudyError as problem:
            self._note = f"started again, since {problem}"
            return
        self._state = state
        self._seconds_before = state.seconds
        if (folder / BEST_FILE).exists():
            beside = self._best_file.with_suffix(".link")
            beside.unlink(missing_ok=True)
            link_or_copy(folder / BEST_FILE, beside)
            os.replace(beside, self._best_file)

    def _model_weights(self) -> dict[str, torch.Tensor]:
        assert self._state is not None
        return self._state.model.state_dict()

    def _log(self, what: object) -> None:
        """Write a line into the log of this process, where Ray's dashboard shows which trial it is at."""
        sys.stdout.write(f"trial {self._number}: {what}\n")

    def _max_steps(self) -> int:
        return total_steps(self._settings, len(self._data.train))

    def _failed(self, reason: str, details: str = "") -> dict[str, Any]:
        self._log(f"failed: {reason}")
        self._state = None
        last = self._last or Progress(
            step=0,
            epoch=1,
            train_loss=WORST_LOSS,
            val_loss=WORST_LOSS,
            val_accuracy=0.0,
            best_val_loss=WORST_LOSS,
            best_step=0,
            lr=self._settings.lr,
            grad_norm=0.0,
            clipped=0.0,
            reviews_per_second=0.0,
            seconds=0.0,
        )
        return self._result(last, failure=reason, done=True, details=details)

    def _result(
        self, progress: Progress, failure: str, done: bool, details: str = "", slots: float = 1.0
    ) -> dict[str, Any]:
        since_save = time.monotonic() - self._saved_at
        due = since_save > max(CHECKPOINT_EVERY_SECONDS, self._save_seconds / CHECKPOINT_SHARE)
        self._asked_to_save = due and not done
        return {
            **asdict(progress),
            "best_val_accuracy": self._state.best_val_accuracy if self._state else 0.0,
            "max_steps": self._max_steps(),
            "session_seconds": progress.seconds - self._seconds_before,
            "slots": slots,
            "began": self._limit.began,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "gpu_ids": ",".join(map(str, ray.get_gpu_ids())) if ray.is_initialized() else "",
            "failure": failure,
            "details": details[-MOST_DETAILS:],
            "note": self._note,
            DONE: done,
            SHOULD_CHECKPOINT: self._asked_to_save,
        }
