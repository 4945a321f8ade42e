"""TensorBoard's files, read back with TensorBoard's own reader."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tune_sentiment.search import events
from tune_sentiment.search.events import METRICS, SCALARS, EventFiles

NAMES = ["lr", "hidden_dim", "pooling", "bidirectional"]
ROW_TAG = "_hparams_/session_start_info"


def trial(number: int, trial_id: str | None = None, **setting: Any) -> Any:
    """A trial as Ray hands it to callbacks, as far as they look at it."""
    given = {"lr": 0.01, "hidden_dim": 64, "pooling": "max", "bidirectional": True, "seed": 5, **setting}
    return SimpleNamespace(trial_id=trial_id or f"id{number}", config={"number": number, **given})


def report(step: int, val_loss: float, failure: str = "") -> dict[str, Any]:
    return {**dict.fromkeys(SCALARS, 0.5), "step": step, "val_loss": val_loss, "failure": failure}


def train(files: EventFiles, one: Any, losses: dict[int, float], *, end: bool = True) -> None:
    files.on_trial_start(0, [one], one)
    for step, loss in losses.items():
        files.on_trial_result(0, [one], one, report(step, loss))
    if end:
        files.on_trial_complete(0, [one], one)


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def curve(folder: Path, tag: str = "val_loss") -> dict[int, float]:
    points = [(event.step, round(event.value, 6)) for event in read(folder).Scalars(tag)]
    assert len(dict(points)) == len(points), "a step twice"
    return dict(points)


def hyperparameters(folder: Path) -> dict[str, Any]:
    content = read(folder).SummaryMetadata(ROW_TAG).plugin_data.content
    row = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in row.items()}


def test_a_trials_curve_is_by_step_and_its_hyperparameters_are_the_searched_ones(tmp_path: Path) -> None:
    train(EventFiles(tmp_path, NAMES), trial(7), {100: 0.6, 200: 0.5, 300: 0.55})
    folder = tmp_path / "trial_00007"
    assert curve(folder) == {100: 0.6, 200: 0.5, 300: 0.55}
    assert set(read(folder).Tags()["scalars"]) == set(SCALARS)
    assert hyperparameters(folder) == {
        "lr": 0.01, "hidden_dim": 64, "pooling": "max", "bidirectional": True, "seed": "5"
    }  # fmt: skip
    table = read(folder).SummaryMetadata("_hparams_/experiment").plugin_data.content
    columns = HParamsPluginData.FromString(table).experiment
    assert [metric.name.tag for metric in columns.metric_infos] == list(METRICS)
    assert set(METRICS) <= set(SCALARS), "TensorBoard takes a metric's figure from its curve"


def test_a_running_trial_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "FLUSH_SECONDS", 0.0)
    files = EventFiles(tmp_path, NAMES)
    train(files, trial(0), {100: 0.6, 200: 0.5}, end=False)
    assert curve(tmp_path / "trial_00000") == {100: 0.6, 200: 0.5}
    files.on_experiment_end([trial(0)])


def test_trials_side_by_side_and_in_one_process_keep_their_curves_apart(tmp_path: Path) -> None:
    files, first, second = EventFiles(tmp_path, NAMES), trial(0), trial(1)
    for one in (first, second):
        files.on_trial_start(0, [first, second], one)
    for step in (10, 20):
        files.on_trial_result(0, [], first, report(step, 0.1))
        files.on_trial_result(0, [], second, report(step, 0.2))
    files.on_trial_complete(0, [], first)
    train(files, trial(2), {10: 0.3})  # in the process that the first has left
    files.on_trial_result(0, [], second, report(30, 0.2))
    files.on_experiment_end([first, second])
    assert curve(tmp_path / "trial_00000") == {10: 0.1, 20: 0.1}
    assert curve(tmp_path / "trial_00001") == pytest.approx({10: 0.2, 20: 0.2, 30: 0.2})
    assert curve(tmp_path / "trial_00002") == {10: 0.3}


def test_a_trial_that_is_taken_up_again_goes_on_where_its_checkpoint_was(tmp_path: Path) -> None:
    """In another session, and within one: Ray starts a trial again whose process was lost."""
    train(EventFiles(tmp_path, NAMES), trial(3), {100: 0.6, 200: 0.5, 300: 0.4}, end=False)
    files = EventFiles(tmp_path, NAMES)
    train(files, trial(3, "other"), {200: 0.51, 300: 0.41}, end=False)
    train(files, trial(3, "other"), {300: 0.42, 400: 0.35})
    assert curve(tmp_path / "trial_00003") == {100: 0.6, 200: 0.51, 300: 0.42, 400: 0.35}


def test_a_failure_is_no_point_of_the_curve(tmp_path: Path) -> None:
    files, one = EventFiles(tmp_path, NAMES), trial(0)
    train(files, one, {100: 0.6}, end=False)
    files.on_trial_result(0, [one], one, report(100, 100.0, failure="diverged"))
    files.on_trial_complete(0, [one], one)
    train(files, trial(1), {}, end=True)  # failed before its first report
    assert curve(tmp_path / "trial_00000") == {100: 0.6}
    assert not (tmp_path / "trial_00001").exists()


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    files = EventFiles(tmp_path / "file", NAMES)
    for number in range(3):
        train(files, trial(number), {100: 0.6})
    assert len(caplog.records) == 1 and "no longer written" in caplog.text


def test_three_hundred_reports_a_second_cost_the_driver_little(tmp_path: Path) -> None:
    files, one = EventFiles(tmp_path, NAMES), trial(0)
    files.on_trial_start(0, [one], one)
    before = time.process_time()
    for step in range(300):
        files.on_trial_result(0, [one], one, report(step, 0.5))
    assert time.process_time() - before < 0.15
    files.on_trial_complete(0, [one], one)
    (file,) = (tmp_path / "trial_00000").iterdir()
    assert file.stat().st_size < 300 * 250
