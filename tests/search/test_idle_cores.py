"""Cores of idle slots that train the trials that are left."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.tune.experiment import Trial

from tests.training.conftest import VOCAB_SIZE, make_split
from tune_sentiment.config import TrainSettings
from tune_sentiment.search import idle_cores as module
from tune_sentiment.search.idle_cores import IdleCores, Threads, same_losses
from tune_sentiment.training.loop import TrainingData, start, train


@pytest.fixture(autouse=True)
def threads_of_the_tests() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def ray_trial(name: str) -> Trial:
    return Trial("made_up", stub=True, trial_id=name)


def offered(file: Path) -> int:
    return int(np.fromfile(file, np.uint32)[0])


def test_trials_get_the_threads_of_slots_only_when_no_trial_is_left_to_begin(tmp_path: Path) -> None:
    file = tmp_path / "threads"
    left = [True]
    cores = IdleCores(file, slots=5, threads=2, all_begun=lambda: not left)
    assert offered(file) == 2
    for name in "abc":
        cores.on_trial_start(0, [], ray_trial(name))
    cores.on_trial_complete(0, [], ray_trial("a"))
    assert offered(file) == 2
    left.clear()
    cores.on_trial_start(0, [], ray_trial("d"))
    assert offered(file) == 3
    cores.on_trial_complete(0, [], ray_trial("b"))
    assert offered(file) == 5
    cores.on_trial_complete(0, [], ray_trial("c"))
    assert offered(file) == 10
    cores.on_trial_complete(0, [], ray_trial("d"))
    assert offered(file) == 2


@pytest.mark.parametrize("end", ["on_trial_complete", "on_trial_error", "on_trial_recover"])
def test_threads_are_taken_back_when_a_lost_trial_begins_again(tmp_path: Path, end: str) -> None:
    file = tmp_path / "threads"
    cores = IdleCores(file, slots=2, threads=1, all_begun=lambda: True)
    for name in "ab":
        cores.on_trial_start(0, [], ray_trial(name))
    assert offered(file) == 1
    getattr(cores, end)(0, [], ray_trial("b"))
    assert offered(file) == 2
    cores.on_trial_start(0, [], ray_trial("b"))
    assert offered(file) == 1


class Trainer:
    """Takes steps that last as long as they are said to."""

    def __init__(self, file: Path, own: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 0.0
        monkeypatch.setattr(module.time, "perf_counter", lambda: self._now)
        self._file = file
        self.allow(own)
        self.threads = Threads(own, str(file))

    def allow(self, most: int) -> None:
        np.array([most], np.uint32).tofile(self._file)

    def steps(self, number: int, seconds: float, words: int = 10) -> int:
        """Return the threads after `number` steps that take `seconds` for each word."""
        for _ in range(number):
            self._now += seconds * words
            self.threads.after_step(words)
        return torch.get_num_threads()


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    return Trainer(tmp_path / "threads", 1, monkeypatch)


def test_a_trial_takes_twice_the_threads_as_long_as_that_is_faster(trainer: Trainer) -> None:
    assert trainer.steps(50, seconds=1.0) == 1
    trainer.allow(8)
    assert trainer.steps(1, seconds=1.0) == 2
    trainer.steps(20, seconds=3.0)  # the LSTM is compiled anew
    assert trainer.steps(19, seconds=0.6, words=90) == 2
    assert trainer.steps(1, seconds=0.6) == 2
    assert trainer.steps(1, seconds=0.6) == 4
    trainer.steps(20, seconds=0.1)
    assert trainer.steps(19, seconds=0.55) == 4
    assert trainer.steps(1, seconds=0.55) == 2  # not worth it
    assert trainer.steps(200, seconds=0.6) == 2
    trainer.allow(1)
    assert trainer.steps(1, seconds=0.6) == 1
    trainer.threads.begin()
    trainer.allow(3)
    trainer.steps(20, seconds=1.0)
    trainer.steps(41, seconds=0.5)
    assert torch.get_num_threads() == 3


def test_more_threads_are_tried_no_sooner_than_something_is_known_of_the_own_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(tmp_path / "threads", 2, monkeypatch)
    trainer.allow(3)
    assert trainer.steps(19, seconds=1.0) == 2
    assert trainer.steps(1, seconds=1.0) == 3


def test_the_next_trial_of_a_process_begins_with_its_own_threads(trainer: Trainer) -> None:
    trainer.allow(2)
    assert trainer.steps(20, seconds=1.0) == 2
    trainer.threads.begin()
    assert torch.get_num_threads() == 1


def test_a_model_is_measured_on_the_own_threads(trainer: Trainer) -> None:
    trainer.allow(2)
    trainer.steps(20, seconds=1.0)
    trainer.steps(40, seconds=0.5)
    trainer.threads.after_step(10, True)
    assert torch.get_num_threads() == 1
    assert trainer.steps(1, seconds=1.0) == 2


def test_the_slots_whose_threads_are_used_are_counted(trainer: Trainer) -> None:
    assert trainer.threads.slots_used() == 1.0
    trainer.allow(2)
    trainer.steps(60, seconds=1.0)  # 20 of them on one thread, 40 on two
    assert trainer.threads.slots_used() == pytest.approx(5 / 3)
    trainer.steps(10, seconds=1.0)
    assert trainer.threads.slots_used() == 1.0


@pytest.mark.skipif(not same_losses(), reason="this processor computes otherwise on other numbers of threads")
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_losses_are_the_same_to_the_last_bit_on_any_threads(precision: Any) -> None:
    settings = TrainSettings(
        embedding_dim=120, hidden_dim=72, n_layers=2, epochs=1, batch_size=10, seq_length=16, report_every=4, lr=0.02,
        clip=0.05, precision=precision,
    )  # fmt: skip
    data = TrainingData(make_split(230, seed=1), make_split(70, seed=2), VOCAB_SIZE)

    def losses(threads: list[int]) -> list[tuple[float, float, float]]:
        torch.set_num_threads(threads[0])
        turns = itertools.cycle(threads)

        def next_turn(words: int, is_measured: bool) -> None:
            assert words > 0
            torch.set_num_threads(next(turns))

        return [
            (progress.train_loss, progress.val_loss, progress.grad_norm)
            for progress in train(start(settings, VOCAB_SIZE, 1, "cpu"), data, next_turn)
        ]

    assert losses([1]) == losses([1, 2, 4, 3])
