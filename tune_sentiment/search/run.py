"""Put Ray Tune, the study's searcher and ASHA together, and run one phase of a search to its end."""

import errno
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
from optuna.samplers import BaseSampler

from tune_sentiment.search.budget import Deadline, Interruption
from tune_sentiment.search.checkpoints import trial_folder
from tune_sentiment.search.events import EventFiles
from tune_sentiment.search.folder import RAY, SearchFolder
from tune_sentiment.search.idle_cores import IdleCores, same_losses
from tune_sentiment.search.quick_start import any_process_will_do
from tune_sentiment.search.ray_state import without_snapshots
from tune_sentiment.search.ray_tune import FIFOScheduler, Trial, TrialScheduler, tune
from tune_sentiment.search.records import Observer, PhaseEnd, Plan
from tune_sentiment.search.sampler import StudySearch
from tune_sentiment.search.space import Space
from tune_sentiment.search.study import Studies, records
from tune_sentiment.search.trainable import ReviewTrainable
from tune_sentiment.search.watch import Watch
from tune_sentiment.training.loop import TrainingData

LOST_PROCESS_RETRIES = 3
"""Times that a trial whose process or node was lost is taken up again from its last checkpoint."""
PATIENCE_SECONDS = 8.0
"""How long after its deadline a trial may still report before it is cut off."""


@dataclass(frozen=True)
class Phase:
    """What both phases of a search share: where, on what, with which data, and who watches."""

    folder: SearchFolder
    studies: Studies
    space: Space
    data: "ray.ObjectRef[TrainingData]"
    """See `shared`."""
    plan: Plan
    seed: int
    observers: Sequence[Observer]
    interruption: Interruption
    command_started: float
    """`time.monotonic()` at which the whole command began."""
    time_budget: float | None
    trial_timeout: float | None
    storage_failure: Callable[[], str] = lambda: ""
    """Why nothing can be kept any more, or nothing."""
    private_folder: Path | None = None
    """A folder that ends with the cluster, if that was started by this process, on this machine and for it alone."""


def shared(data: TrainingData) -> "ray.ObjectRef[TrainingData]":
    """Put the data into Ray's object store, for both phases: each node fetches it once, for all of its processes."""
    return ray.put(data)


def run_phase(
    phase: Phase,
    *,
    name: Literal["search", "confirm"],
    study_name: str,
    sampler: BaseSampler,
    scheduler: TrialScheduler | None,
    wanted: int,
    deadline: Callable[[Sequence[float]], float],
) -> PhaseEnd:
    """Run trials until the study `study_name` holds `wanted` ended ones, the deadline passes, or the user stops it.

    `deadline` returns the `time.monotonic()` at which the phase must end, given the seconds of the trials that have run
    to their end so far. Afterwards no trial of the study is left running, unless the user interrupted: those are for
    the resume.
    """
    searcher = StudySearch(
        storage=phase.studies.storage,
        study_name=phase.studies.name_of(study_name),
        sampler=sampler,
        space=phase.space,
        seed=phase.seed,
        folder=phase.folder,
        wanted=wanted,
    )
    earlier = [record for record in records(searcher.study) if record.fate not in ("running", "waiting")]
    watch = Watch(
        phase=name,
        searcher=searcher,
        observers=phase.observers,
        slots=phase.plan.slots,
        wanted=wanted,
        command_started=phase.command_started,
        time_budget=phase.time_budget,
        earlier=earlier,
    )
    stopper = Deadline(
        lambda: deadline(watch.full_seconds),
        PATIENCE_SECONDS,
        lambda: phase.interruption.requested or bool(searcher.storage_failure or phase.storage_failure()),
    )
    searcher.stop_reason = lambda: "time budget" if stopper.passed() else "asha"
    searcher.time_is_up = stopper.passed
    searcher.error_of, searcher.ran = watch.error_of, watch.ran
    threads = max(1, int(phase.plan.cpus_per_trial))
    idle_cores = None
    if phase.private_folder is not None and phase.plan.device == "cpu" and same_losses():
        idle_cores = phase.private_folder / f"threads_{name}"
    trainable = tune.with_resources(
        tune.with_parameters(
            ReviewTrainable,
            data=phase.data,
            threads=threads,
            use_gpu=phase.plan.gpus_per_trial > 0,
            timeout=phase.trial_timeout,
            shown_as=f"{phase.folder.name}, {name}",
            in_store=phase.folder.remote is not None,
            idle_cores=None if idle_cores is None else str(idle_cores),
        ),
        {"cpu": phase.plan.cpus_per_trial, "gpu": phase.plan.gpus_per_trial},
    )
    callbacks = [watch, EventFiles(phase.folder.ray_folder / name, list(phase.space.distributions))]
    if idle_cores is not None:
        callbacks.append(IdleCores(idle_cores, phase.plan.slots, threads, lambda: searcher.all_begun))
    # What Ray's dashboard calls the processes: Ray Tune's wrapper has a name that says nothing.
    trainable.__name__ = trainable.__qualname__ = ReviewTrainable.__name__
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=scheduler or FIFOScheduler(),
            num_samples=-1,  # until the searcher says that it has finished
            max_concurrent_trials=phase.plan.slots,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            **place_for_ray(phase.folder),
            stop=stopper,
            checkpoint_config=tune.CheckpointConfig(num_to_keep=phase.folder.states_kept, checkpoint_at_end=True),
            failure_config=tune.FailureConfig(max_failures=LOST_PROCESS_RETRIES),
            callbacks=callbacks,
            verbose=0,
            progress_reporter=tune.CLIReporter(),  # silent; Ray's for notebooks would clear the cell's output
        ),
    )
    with without_snapshots(), any_process_will_do() if phase.private_folder else nullcontext():
        tuner.fit()
    busy_seconds, slot_seconds = watch.busy_seconds, watch.slot_seconds

    if failure := searcher.storage_failure or phase.storage_failure():
        raise OSError(errno.EIO, failure, phase.folder.place)
    watch.close([] if phase.interruption.requested else searcher.close_interrupted("time budget"))
    return PhaseEnd(busy_seconds, slot_seconds, stopper.passed(), tuple(watch.full_seconds))


def place_for_ray(folder: SearchFolder) -> dict[str, Any]:
    """Return where Ray Tune writes, as options of `RunConfig`: into an object store from wherever a trial runs."""
    if folder.remote is None:
        return {"storage_path": str(folder.ray_folder)}
    return {"storage_path": f"{folder.remote.path}/{RAY}", "storage_filesystem": folder.remote.filesystem}


def _trial_name(trial: Trial) -> str:
    return trial_folder(trial.config["number"])
