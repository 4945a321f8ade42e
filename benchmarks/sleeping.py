"""Searches whose trials do not train: the product's bookkeeping, all of it, with sleep in place of the training."""

import io
import math
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tune_sentiment.results.progress import PlainProgress
from tune_sentiment.results.report import LiveReport
from tune_sentiment.search.checkpoints import KEPT, CheckpointSweeper
from tune_sentiment.search.folder import SearchFolder, make_folder, write_request_file
from tune_sentiment.search.outcome import read_outcome
from tune_sentiment.search.ray_tune import Trial
from tune_sentiment.search.records import Observer, TrialRecord
from tune_sentiment.search.sampler import StudySearch, tpe
from tune_sentiment.search.scheduler import asha
from tune_sentiment.search.space import Space, load_space
from tune_sentiment.search.study import SEARCH_STUDY, Studies, open_storage, open_study
from tune_sentiment.search.trainable import ReviewTrainable
from tune_sentiment.search.watch import Watch
from tune_sentiment.training.loop import Progress

SPACE = "course"
WINDOW = 50
"""Trials over which the cost of one is taken."""
WARM_UP_SECONDS = 8.0
"""Of the first trial of each process. If it ended before the other processes are up, Ray would give its process to the
next trial, end the one that was starting for that, and start another: with trials that end at once, for ever."""


def loss(config: dict[str, Any], step: int, steps: int) -> float:
    """Return a made-up validation loss: a valley in lr and hidden_dim, a learning curve, and some luck."""
    distance = (math.log10(config["lr"]) + 2.7) ** 2 + 0.2 * math.log2(config["hidden_dim"] / 128) ** 2
    luck = zlib.crc32(f"{config['seed']} {step}".encode()) / 2**32
    return 0.4 + 0.05 * distance + 0.2 * math.exp(-3 * step / steps) + 0.02 * luck


def progress_of(config: dict[str, Any], step: int, steps: int, best: float, seconds: float) -> Progress:
    """Return the report of a step."""
    val_loss = loss(config, step, steps)
    return Progress(
        step=step,
        epoch=1,
        train_loss=val_loss,
        val_loss=val_loss,
        val_accuracy=0.7,
        best_val_loss=min(best, val_loss),
        best_step=step if val_loss < best else step - 1,
        lr=config["lr"],
        grad_norm=1.0,
        clipped=0.0,
        reviews_per_second=1.0,
        seconds=seconds,
    )


def sleeping(seconds: float, steps: int) -> type[ReviewTrainable]:
    """Return the trainable of the product with sleep in place of the training: `steps` reports of `seconds` each."""

    class Sleeping(ReviewTrainable):
        def _start(self) -> None:
            self._state = SimpleNamespace(best_val_accuracy=0.7)  # type: ignore[assignment]
            self._progress = self._sleep()

        _warm = False

        def _sleep(self) -> Iterator[Progress]:
            if not self._warm:
                time.sleep(WARM_UP_SECONDS)
                self._warm = True
            best = math.inf
            config = {**self._settings.model_dump(), "seed": self._seed}
            for step in range(1, steps + 1):
                time.sleep(seconds)
                progress = progress_of(config, step, steps, best, step * seconds)
                best = progress.best_val_loss
                yield progress

        def _max_steps(self) -> int:
            return steps

        def _model_weights(self) -> dict[str, Any]:
            import torch

            return {"weight": torch.zeros(1)}

    return Sleeping


@dataclass
class Clock:
    """Notes when each trial ended, and the processor time of the driver's main thread by then."""

    ended: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def on_snapshot(self, snapshot: Any) -> None:
        """Do nothing."""

    def on_trial_end(self, record: TrialRecord) -> None:
        """Note the time."""
        self.ended.append(time.perf_counter())
        self.cpu.append(time.thread_time())

    def close(self) -> None:
        """Do nothing."""

    def cost(self, number: int) -> tuple[float, float]:
        """Return the seconds, and those of the processor, that one of the WINDOW trials before `number` took."""
        first, last = number - 1 - WINDOW, number - 1
        return (self.ended[last] - self.ended[first]) / WINDOW, (self.cpu[last] - self.cpu[first]) / WINDOW


@dataclass(frozen=True)
class Bench:
    """A search that everything is on in: journal, TPE, ASHA, progress, live report, sweeper."""

    folder: SearchFolder
    studies: Studies
    space: Space
    slots: int
    clock: Clock

    def observers(self) -> list[Observer]:
        """Return what watches a search of the command line, and the clock."""
        request = {"space": self.space.to_dict(), "max_steps": 100, "notes": (), "data": {}, "trials": 1}

        def current() -> Any:
            return read_outcome(self.folder, self.studies, request), open_study(self.studies, SEARCH_STUDY)

        sweeper = CheckpointSweeper(self.folder, phase="search", ended=[], keep=KEPT)
        return [PlainProgress(io.StringIO()), LiveReport(self.folder.report_file, current), sweeper, self.clock]


@contextmanager
def bench(slots: int) -> Iterator[Bench]:
    """Make the folder of a search for the block."""
    with tempfile.TemporaryDirectory() as place:
        folder = SearchFolder(Path(place) / "bench")
        make_folder(folder)
        write_request_file(folder, {"format_version": 1})
        studies = open_storage(folder)
        study = open_study(studies, SEARCH_STUDY)
        space = load_space(SPACE).override(report_every=1)
        study.enqueue_trial(space.course_point()[0])
        yield Bench(folder, studies, space, slots, Clock())


class Bookkeeping:
    """The searcher, the scheduler, the watch and the observers of a search, called as Ray Tune calls them."""

    def __init__(self, one: Bench, trials: int, steps: int) -> None:
        """Take the trials that the search is to have, of `steps` reports each."""
        self._steps = steps
        self.searcher = StudySearch(
            storage=one.studies.storage,
            study_name=one.studies.name_of(SEARCH_STUDY),
            sampler=tpe(one.space, 0),
            space=one.space,
            seed=0,
            folder=one.folder.path,
            wanted=trials,
        )
        self._scheduler = asha(steps, 1)
        self.observers = one.observers()
        self._watch = Watch(
            phase="search",
            searcher=self.searcher,
            observers=self.observers,
            slots=one.slots,
            wanted=trials,
            command_started=time.monotonic(),
            time_budget=None,
            earlier=(),
        )
        self._trials: list[Any] = []

    def begin(self) -> Any:
        """Begin a trial and return it."""
        name = f"{len(self._trials):08x}"
        config = self.searcher.suggest(name)
        assert isinstance(config, dict)
        trial: Any = Trial("sleeping", stub=True, trial_id=name, config=config)
        trial.best, trial.step = math.inf, 0
        self._trials.append(trial)
        self._scheduler.on_trial_add(None, trial)
        self._watch.on_step_begin(0, self._trials)
        self._watch.on_trial_start(0, self._trials, trial)
        return trial

    def report(self, trial: Any) -> bool:
        """Take the next report of a trial, and return whether the trial goes on."""
        trial.step += 1
        progress = progress_of(trial.config, trial.step, self._steps, trial.best, float(trial.step))
        trial.best = progress.best_val_loss
        done = trial.step == self._steps
        result: dict[str, Any] = {
            **vars(progress),
            "best_val_accuracy": 0.7,
            "max_steps": self._steps,
            "session_seconds": progress.seconds,
            "slots": 1.0,
            "began": 0.0,
            "peak_memory_bytes": 0,
            "gpu_ids": "",
            "failure": "",
            "details": "",
            "note": "",
        }
        self._watch.on_step_begin(0, self._trials)
        if done or self._scheduler.on_trial_result(None, trial, result) == "STOP":  # type: ignore[arg-type]
            self._scheduler.on_trial_complete(None, trial, result)  # type: ignore[arg-type]
            self.searcher.on_trial_complete(trial.trial_id, result)
            self._watch.on_trial_result(0, self._trials, trial, result)
            self._watch.on_trial_complete(0, self._trials, trial)
            self._watch.on_step_end(0, self._trials)
            return False
        self.searcher.on_trial_result(trial.trial_id, result)
        self._watch.on_trial_result(0, self._trials, trial, result)
        self._watch.on_step_end(0, self._trials)
        return True

    def close(self) -> None:
        """Wait for the live report."""
        for observer in self.observers:
            observer.close()
