"""Checkpoints that cannot matter any more are deleted; those that can are kept."""

from pathlib import Path
from typing import Any

import pytest

from tests.search.test_confirm import trial
from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import SettingsError
from tune_sentiment.search.checkpoints import CheckpointSweeper, OnDisk, best_bytes, check_room, in_bytes
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.resources import Machine, plan_search
from tune_sentiment.training.checkpoint import BEST_FILE, save_weights
from tune_sentiment.training.loop import start


def checkpoints(folder: Path, numbers: range) -> None:
    for number in numbers:
        place = folder / "ray" / "search" / f"trial_{number:05d}" / "checkpoint_000000"
        place.mkdir(parents=True)
        (place / BEST_FILE).write_bytes(bytes(1000))
        (place.parent / "result.json").write_text("{}")


def kept(folder: Path) -> list[int]:
    return sorted(int(place.parent.name[-5:]) for place in folder.glob("ray/search/trial_*/checkpoint_*"))


def sweeper(folder: Path, **options: Any) -> CheckpointSweeper:
    return CheckpointSweeper(SearchFolder(folder), **{"phase": "search", "ended": (), "keep": 2, **options})


def test_the_best_are_kept_and_a_loser_goes_when_a_later_trial_ends(tmp_path: Path) -> None:
    checkpoints(tmp_path, range(5))
    watching = sweeper(tmp_path, always=[0])
    for number, loss in enumerate([0.9, 0.5, 0.7, 0.6]):
        watching.on_trial_end(trial(number, loss))
    assert kept(tmp_path) == [0, 1, 3, 4]  # 2 is beaten by 1 and 3; 4 is still running
    watching.on_trial_end(trial(4, None, fate="failed"))
    assert kept(tmp_path) == [0, 1, 3, 4]  # Ray may still be writing that of 4
    watching.close()
    assert kept(tmp_path) == [0, 1, 3]
    assert (tmp_path / "ray" / "search" / "trial_00002" / "result.json").exists()


def test_the_second_folder_of_a_trial_that_was_handed_out_again_is_that_trials_too(tmp_path: Path) -> None:
    checkpoints(tmp_path, range(3))
    search = tmp_path / "ray" / "search"
    for number in range(3):  # as Ray names it
        (search / f"trial_{number:05d}").rename(search / f"trial_{number:05d}_5af1")
    checkpoints(tmp_path, range(3))
    assert OnDisk(search).size(2) == 2000 and OnDisk(search).numbers() == {0, 1, 2}
    watching = sweeper(tmp_path, keep=1)
    for number, loss in enumerate([0.9, 0.5, 0.7]):
        watching.on_trial_end(trial(number, loss))
    watching.close()
    assert {place.parent.name for place in search.glob("*/checkpoint_*")} == {"trial_00001", "trial_00001_5af1"}


def test_a_loser_is_looked_for_once_and_again_at_the_end_for_what_ray_wrote_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints(tmp_path, range(60))
    watching = sweeper(tmp_path)
    looked: list[int] = []
    delete = OnDisk.delete
    monkeypatch.setattr(OnDisk, "delete", lambda place, number: (looked.append(number), delete(place, number)))
    for number in range(60):
        watching.on_trial_end(trial(number, 0.5 + number / 100))
    assert looked == list(range(2, 59))
    checkpoints(tmp_path, range(5, 6))
    watching.close()
    assert kept(tmp_path) == [0, 1]


def test_trials_of_earlier_sessions_count_too(tmp_path: Path) -> None:
    checkpoints(tmp_path, range(3))
    watching = sweeper(tmp_path, ended=[trial(0, 0.4), trial(1, 0.5)])
    watching.on_trial_end(trial(2, 0.6))
    watching.close()
    assert kept(tmp_path) == [0, 1]


def test_a_limit_keeps_fewer_but_never_less_than_the_best(tmp_path: Path) -> None:
    checkpoints(tmp_path, range(6))
    watching = sweeper(tmp_path, keep=5, max_bytes=5000, reserved_bytes=2500)
    for number in range(6):
        watching.on_trial_end(trial(number, 0.9 - number / 10))
    watching.close()
    assert kept(tmp_path) == [4, 5]
    tight = sweeper(tmp_path, ended=[trial(4, 0.5), trial(5, 0.4)], max_bytes=1, reserved_bytes=0)
    tight.close()
    assert kept(tmp_path) == [5]


def test_a_trial_that_has_just_ended_costs_no_better_one_its_weights(tmp_path: Path) -> None:
    checkpoints(tmp_path, range(4))
    watching = sweeper(tmp_path, keep=5, max_bytes=2000)
    for number, loss in enumerate([0.3, 0.4, 0.5]):
        watching.on_trial_end(trial(number, loss))
    assert kept(tmp_path) == [0, 1, 2, 3]  # Ray may still be writing that of 2; 3 is still running
    watching.on_trial_end(trial(3, 0.6))
    assert kept(tmp_path) == [0, 1, 3]
    watching.close()
    assert kept(tmp_path) == [0, 1]


def test_a_limit_spares_what_the_end_of_the_search_needs_and_what_still_runs(tmp_path: Path) -> None:
    checkpoints(tmp_path, range(3))
    watching = sweeper(tmp_path, keep=5, always=[0], max_bytes=1)
    for number, loss in [(1, 0.4), (2, 0.5)]:
        watching.on_trial_end(trial(number, loss))
    assert kept(tmp_path) == [0, 1, 2]  # 0, the course's setting, is still running
    watching.on_trial_end(trial(0, 0.9))
    watching.close()
    assert kept(tmp_path) == [0, 1]


def test_the_size_of_the_weights_is_that_of_the_file(tmp_path: Path) -> None:
    for options in ({}, {"bidirectional": True, "n_layers": 3}, {"pooling": "mean", "n_layers": 1}):
        settings = TrainSettings(embedding_dim=30, hidden_dim=20, **options)
        save_weights(start(settings, 900, seed=0).model.state_dict(), tmp_path / BEST_FILE)
        size = (tmp_path / BEST_FILE).stat().st_size
        assert best_bytes(settings, 900) < size < 1.05 * best_bytes(settings, 900) + 20_000


def test_a_limit_without_room_for_the_running_trials_is_refused_with_the_least_that_would_do() -> None:
    largest = TrainSettings(embedding_dim=100, hidden_dim=64, n_layers=1)
    plan = plan_search(
        Machine(2, 0, 2**34), largest=largest, vocab_size=100_000, trials=9, max_steps=100, confirm_runs=4
    )
    weights = best_bytes(largest, 100_000)
    check_room(plan, largest, 100_000, None)
    check_room(plan, largest, 100_000, 24 * weights)
    with pytest.raises(SettingsError, match=r"^--max-disk must hold .* 2 running trials .* 963 MB is less than 964 MB"):
        check_room(plan, largest, 100_000, 24 * weights - 1_000_000)


@pytest.mark.parametrize(("count", "text"), [(12, "12 bytes"), (2_500_000, "2.5 MB"), (40 * 10**9, "40 GB")])
def test_bytes_read_as_a_person_writes_them(count: int, text: str) -> None:
    assert in_bytes(count) == text
