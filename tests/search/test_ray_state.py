"""What Ray Tune keeps of its trials: little, once they have ended, and everything as it was afterwards."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.train._internal.session import _TrainingResult
from ray.train._internal.storage import StorageContext
from ray.tune import Checkpoint, ExperimentAnalysis, ResultGrid
from ray.tune.execution import experiment_state
from ray.tune.execution.experiment_state import _ExperimentCheckpointManager
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from tune_sentiment.search.ray_state import forget, without_snapshots


def test_a_trial_that_has_ended_is_small_and_still_has_a_last_result() -> None:
    trial = Trial("made_up", stub=True)
    for step in range(20):
        trial.update_last_result({f"figure {number}": float(step) for number in range(25)})
    before = len(json.dumps(trial.metric_analysis)) + len(trial.run_metadata.get_json_state())
    forget(trial)
    assert len(json.dumps(trial.metric_analysis)) + len(trial.run_metadata.get_json_state()) < before / 10
    assert trial.last_result["trial_id"] == trial.trial_id


def test_a_trial_that_has_ended_keeps_no_figures_with_its_checkpoints_but_one_that_may_be_restored_does() -> None:
    trial = Trial("made_up", stub=True)
    trial.set_storage(StorageContext("/tmp", "search", trial_dir_name="trial"))
    figures = {"training_iteration": 3, "val_loss": 0.5, "checkpoint_dir_name": "checkpoint_000000"}
    saved, last = (_TrainingResult(Checkpoint("/tmp"), dict(figures)) for _ in range(2))

    def save(result: _TrainingResult) -> None:
        trial.on_checkpoint(result)
        _ExperimentCheckpointManager.on_trial_checkpoint(None, trial)  # type: ignore[arg-type]

    with without_snapshots():
        trial.update_last_result(dict(figures))
        save(saved)
        assert saved.metrics == figures
        forget(trial)
        assert saved.metrics == {}
        save(last)
        assert last.metrics == {} and trial.checkpoint is last.checkpoint


def test_rays_snapshots_are_off_inside_the_block_only() -> None:
    before = TuneController.save_to_dir, _ExperimentCheckpointManager.on_trial_checkpoint
    rays_own = experiment_state.out_of_band_serialize_dataset
    with without_snapshots():
        assert experiment_state.out_of_band_serialize_dataset is not rays_own  # it would load Ray Data
        assert TuneController.save_to_dir is not before[0]
        assert _ExperimentCheckpointManager.on_trial_checkpoint is not before[1]
    assert (TuneController.save_to_dir, _ExperimentCheckpointManager.on_trial_checkpoint) == before
    assert experiment_state.out_of_band_serialize_dataset is rays_own


def test_an_error_that_a_full_disk_cut_off_is_not_read(tmp_path: Path) -> None:
    trial = Trial("made_up", stub=True)
    trial.set_status(Trial.ERROR)
    trial.run_metadata.pickled_error_filename = "error.pkl"
    trial.set_storage(StorageContext(str(tmp_path), "search", trial_dir_name="trial"))
    tmp_path.joinpath("search", "trial").mkdir(parents=True)
    tmp_path.joinpath("search", "trial", "error.pkl").touch()
    analysis = SimpleNamespace(trials=[trial], trial_dataframes={})
    with pytest.raises(EOFError):
        ResultGrid(analysis)  # type: ignore[arg-type]
    with without_snapshots():
        assert len(ResultGrid(analysis)) == 1  # type: ignore[arg-type]


def test_ray_finds_no_trials_after_a_phase_that_had_none_to_run(tmp_path: Path) -> None:
    storage = SimpleNamespace(experiment_driver_staging_path=str(tmp_path))
    controller = SimpleNamespace(_storage=storage, experiment_state_file_name="experiment_state-now.json")
    with without_snapshots():
        TuneController.save_to_dir(controller)
    assert ExperimentAnalysis(str(tmp_path)).trials == []
