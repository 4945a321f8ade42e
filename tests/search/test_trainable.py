"""The trainable, driven by hand as Ray Tune drives it: reports, checkpoints, failures, reuse."""

import gc
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from tests.training.conftest import VOCAB_SIZE, make_split
from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import DivergedError
from tune_sentiment.search import trainable as module
from tune_sentiment.search.trainable import WORST_LOSS, ReviewTrainable
from tune_sentiment.training.checkpoint import BEST_FILE, STATE_FILE, load_weights
from tune_sentiment.training.loop import TrainingData, start, train

SETTINGS = TrainSettings(
    embedding_dim=8, hidden_dim=8, n_layers=1, epochs=2, batch_size=10, seq_length=16, report_every=10, lr=0.02
)
DATA = TrainingData(make_split(230, seed=1), make_split(70, seed=2), VOCAB_SIZE)
IN_TIME = ("began", "seconds", "session_seconds", "reviews_per_second", "peak_memory_bytes")


def config(seed: int = 3, resume_from: Path | None = None, **settings: Any) -> dict[str, Any]:
    chosen = SETTINGS.model_copy(update=settings).model_dump()
    return {**chosen, "number": 0, "seed": seed, "resume_from": str(resume_from) if resume_from else None}


@pytest.fixture
def trainable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReviewTrainable]:
    monkeypatch.setattr(ReviewTrainable, "logdir", str(tmp_path))
    made = ReviewTrainable.__new__(ReviewTrainable)
    made._last_result = None
    threads = torch.get_num_threads()
    made.setup(config(), data=DATA, threads=1, use_gpu=False)
    yield made
    torch.set_num_threads(threads)


def fails_with(problem: Exception) -> Callable[..., None]:
    def fails(*_: object) -> None:
        raise problem

    return fails


def all_results(trainable: ReviewTrainable) -> list[dict[str, Any]]:
    results = [trainable.step()]
    while not results[-1][DONE]:
        results.append(trainable.step())
    return results


def lasting(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in IN_TIME}


def test_it_reports_what_the_loop_reports_up_to_its_last_step(trainable: ReviewTrainable) -> None:
    expected = list(train(start(SETTINGS, VOCAB_SIZE, seed=3), DATA))
    results = all_results(trainable)
    assert [result["val_loss"] for result in results] == [progress.val_loss for progress in expected]
    assert [result["step"] for result in results] == [10, 20, 30, 40, 46]
    assert [result[DONE] for result in results] == [False] * 4 + [True]
    assert all(result["max_steps"] == 46 and result["failure"] == "" for result in results)


def test_every_report_has_the_same_schema_also_that_of_a_failure(
    trainable: ReviewTrainable, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = trainable.step()
    trainable.reset_config(config())
    monkeypatch.setattr(module, "start", fails_with(MemoryError()))
    assert list(trainable.step()) == list(good)


def test_the_process_is_reused_for_the_next_trial_without_a_trace_of_the_last(trainable: ReviewTrainable) -> None:
    first = [lasting(result) for result in all_results(trainable)]
    assert trainable.reset_config(config(seed=4, lr=0.001))
    other = [lasting(result) for result in all_results(trainable)]
    assert trainable.reset_config(config())
    assert [lasting(result) for result in all_results(trainable)] == first != other


def test_what_is_loaded_once_is_not_looked_through_for_garbage_at_every_trial(trainable: ReviewTrainable) -> None:
    kept = gc.get_freeze_count()
    assert kept > 10_000  # torch alone is more
    assert len(gc.get_objects()) < kept


def test_the_checkpoint_at_the_end_holds_the_best_weights_and_no_state(
    trainable: ReviewTrainable, tmp_path: Path
) -> None:
    results = all_results(trainable)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    trainable.save_checkpoint(str(folder))
    assert [entry.name for entry in folder.iterdir()] == [BEST_FILE]
    state = start(SETTINGS, VOCAB_SIZE, seed=3)
    for progress in train(state, DATA):
        if progress.step == results[-1]["best_step"]:
            break
    best = load_weights(folder / BEST_FILE)
    assert all(torch.equal(best[name], weight) for name, weight in state.model.state_dict().items())


def test_a_checkpoint_on_the_way_continues_to_the_same_end(
    trainable: ReviewTrainable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [lasting(result) for result in all_results(trainable)]
    folder = saved_after_one_report(trainable, tmp_path, monkeypatch)
    monkeypatch.setattr(module, "CHECKPOINT_EVERY_SECONDS", math.inf)
    trainable.reset_config(config(resume_from=folder))
    continued = all_results(trainable)
    expected = [{**result, SHOULD_CHECKPOINT: False} for result in whole[1:]]
    assert [lasting(result) for result in continued] == expected
    assert continued[-1]["session_seconds"] < continued[-1]["seconds"]


def test_a_checkpoint_in_a_store_continues_to_the_same_end(
    trainable: ReviewTrainable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [result["val_loss"] for result in all_results(trainable)]
    store = saved_after_one_report(trainable, tmp_path, monkeypatch).as_uri()
    monkeypatch.setattr(module, "CHECKPOINT_EVERY_SECONDS", math.inf)
    trainable.reset_config({**config(), "resume_from": store})
    continued = all_results(trainable)
    assert [result["val_loss"] for result in continued] == whole[1:]
    trainable.cleanup()
    assert not (tmp_path / ".fetched").exists()


def test_a_copy_of_a_checkpoint_that_ray_removes_is_read_before(
    trainable: ReviewTrainable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = [result["val_loss"] for result in all_results(trainable)]
    folder = saved_after_one_report(trainable, tmp_path, monkeypatch)
    monkeypatch.setattr(module, "CHECKPOINT_EVERY_SECONDS", math.inf)
    trainable._in_store = True
    trainable.reset_config(config())
    trainable.load_checkpoint(folder)
    shutil.rmtree(folder)
    assert [result["val_loss"] for result in all_results(trainable)] == whole[1:]


def test_a_trial_whose_checkpoint_is_gone_starts_again_and_says_so(trainable: ReviewTrainable, tmp_path: Path) -> None:
    for place in (str(tmp_path / "gone"), (tmp_path / "gone").as_uri()):
        trainable.reset_config({**config(), "resume_from": place})
        assert "started again, since a checkpoint must be whole" in all_results(trainable)[-1]["note"]


def test_saving_is_timed_until_ray_has_sent_it(trainable: ReviewTrainable, tmp_path: Path) -> None:
    trainable.step()
    trainable._asked_to_save = True
    trainable.save_checkpoint(str(tmp_path))
    time.sleep(0.2)  # as Ray's upload does
    trainable.step()
    assert trainable._save_seconds >= 0.2


def saved_after_one_report(trainable: ReviewTrainable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a checkpoint that a trial wrote after its first report."""
    monkeypatch.setattr(module, "CHECKPOINT_EVERY_SECONDS", -1.0)
    trainable.reset_config(config())
    trainable._saved_at = -math.inf
    assert trainable.step()[SHOULD_CHECKPOINT]
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    trainable.save_checkpoint(str(folder))
    assert sorted(entry.name for entry in folder.iterdir()) == [BEST_FILE, STATE_FILE]
    return folder


@pytest.mark.parametrize(
    ("problem", "failure"),
    [
        (DivergedError("nan"), "diverged"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (ValueError("first line\nsecond line"), "error: ValueError: first line"),
    ],
)
def test_a_failure_is_a_last_report_that_names_itself(
    trainable: ReviewTrainable, monkeypatch: pytest.MonkeyPatch, problem: Exception, failure: str
) -> None:
    def fails(*arguments: object) -> Iterator[None]:
        raise problem
        yield

    monkeypatch.setattr(module, "train", fails)
    result = trainable.step()
    assert (result["failure"], result[DONE], result[SHOULD_CHECKPOINT]) == (failure, True, False)
    assert result["best_val_loss"] == WORST_LOSS
    assert all(math.isfinite(value) for value in result.values() if isinstance(value, float))


def test_an_error_reports_its_traceback(trainable: ReviewTrainable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "start", fails_with(ValueError("what went wrong")))
    details = trainable.step()["details"]
    assert details.startswith("Traceback") and details.endswith("ValueError: what went wrong\n")


def test_a_trial_after_a_failed_one_runs_as_if_nothing_had_happened(
    trainable: ReviewTrainable, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module, "start", fails_with(MemoryError()))
        assert trainable.step()["failure"] == "out of memory"
    trainable.reset_config(config())
    assert all_results(trainable)[-1]["failure"] == ""


@pytest.mark.parametrize("damaged", [STATE_FILE, BEST_FILE])
def test_a_trial_whose_checkpoint_is_damaged_starts_again_and_says_so(
    trainable: ReviewTrainable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    whole = [lasting(result) for result in all_results(trainable)]
    monkeypatch.setattr(module, "CHECKPOINT_EVERY_SECONDS", -1.0)
    trainable.reset_config(config())
    trainable._saved_at = -math.inf
    trainable.step()
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    trainable.save_checkpoint(str(folder))
    (folder / damaged).write_bytes((folder / damaged).read_bytes()[:-700])

    monkeypatch.setattr(module, "CHECKPOINT_EVERY_SECONDS", math.inf)
    trainable.reset_config(config(resume_from=folder))
    again = all_results(trainable)
    assert [result["val_loss"] for result in again] == [result["val_loss"] for result in whole]
    assert all(f"started again, since a checkpoint must be whole: {folder / damaged}" in one["note"] for one in again)
    assert all_results_of_another(trainable)[-1]["note"] == ""


def all_results_of_another(trainable: ReviewTrainable) -> list[dict[str, Any]]:
    trainable.reset_config(config(seed=9))
    return all_results(trainable)


def test_a_trial_that_takes_longer_than_it_may_fails_at_its_next_report(trainable: ReviewTrainable) -> None:
    trainable._limit._seconds = 30.0
    trainable.reset_config(config())
    kept = trainable.step()
    trainable._limit.began -= 31.0
    result = trainable.step()
    assert (result["failure"], result[DONE], result["val_loss"]) == ("timeout", True, kept["val_loss"])
    trainable._limit._seconds = None
    assert all_results_of_another(trainable)[-1]["failure"] == ""


def test_a_process_that_came_too_late_for_its_trial_leaves_its_weights_alone(
    trainable: ReviewTrainable, tmp_path: Path
) -> None:
    all_results(trainable)
    late = ReviewTrainable.__new__(ReviewTrainable)  # Ray had begun to start it before this one was free
    late.setup(config(), data=DATA, threads=1, use_gpu=False)
    late.cleanup()
    saved = tmp_path / "saved"
    saved.mkdir()
    trainable.save_checkpoint(str(saved))
    assert load_weights(saved / BEST_FILE)


def test_the_working_copy_of_a_trial_goes_when_the_next_begins_in_a_folder_of_its_own(
    trainable: ReviewTrainable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable.step()
    assert list(tmp_path.glob(f".{BEST_FILE}*"))
    monkeypatch.setattr(ReviewTrainable, "logdir", str(tmp_path / "next"))
    trainable.reset_config(config(seed=4))
    assert not list(tmp_path.glob(f".{BEST_FILE}*"))
