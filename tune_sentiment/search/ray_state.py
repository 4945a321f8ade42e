"""Keep Ray Tune from holding and writing again and again what nobody reads: the study is the only truth."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tune_sentiment.search.ray_tune import ResultGrid, Trial, TuneController, experiment_state


@contextmanager
def without_snapshots() -> Iterator[None]:
    """Have Ray Tune keep no state of its own inside this block; what trials write is synced as ever.

    A snapshot holds every trial there ever was, 25 KB each, as text that stays in memory, too. With `num_to_keep` one
    is forced, and waited for, at each checkpoint: with thousands of trials the driver would do little else.
    Nor does it make its results of the trials in the end: it would unpickle the error of each that failed, and end in a
    traceback where a full disk has cut one off.
    """
    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (TuneController, "save_to_dir", _name_the_snapshot),
        (experiment_state, "out_of_band_serialize_dataset", nullcontext),  # it would import Ray Data, 57 MB
        (experiment_state._ExperimentCheckpointManager, "on_trial_checkpoint", _keep_no_figures),
        (ResultGrid, "_trial_to_result", _do_nothing),
    ]
    rays_own = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    for owner, name, function in replaced:
        setattr(owner, name, function)
    try:
        yield
    finally:
        for owner, name, function in rays_own:
            setattr(owner, name, function)


def forget(trial: Trial) -> None:
    """Drop what Ray keeps of a trial that has ended: the extremes and means of each of its figures, 100 KB in all.

    And an object of Ray's own, what its process said of itself at the start, with the task that asked for it.
    """
    metadata = trial.run_metadata
    metadata.metric_analysis, metadata.metric_n_steps = {}, {}
    metadata.last_result = {"trial_id": trial.trial_id, "done": True}
    trial._default_result_or_future = None
    _keep_no_figures(None, trial)


def _name_the_snapshot(controller: Any) -> None:
    """Leave a file without trials where Ray looks for the snapshot in the end: it reads one if no trial was run."""
    folder = Path(controller._storage.experiment_driver_staging_path)
    folder.mkdir(parents=True, exist_ok=True)
    Path(folder, controller.experiment_state_file_name).write_text('{"trial_data": []}', encoding="utf-8")


def _keep_no_figures(_: Any, trial: Trial) -> None:
    """Drop the figures that a trial which has ended keeps with its checkpoints; the last one comes after its end."""
    checkpoints = trial.run_metadata.checkpoint_manager
    has_ended = "training_iteration" not in trial.run_metadata.last_result  # else it may be restored, and counts on
    if checkpoints is not None and has_ended:
        for kept in checkpoints.best_checkpoint_results:
            kept.metrics = {}


def _do_nothing(owner: Any, trial: Trial) -> None:
    """Make no result."""
