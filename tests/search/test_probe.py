"""The probe: a typical setting, a timed step, and the estimate that follows."""

import pytest
import torch

from tests.training.conftest import VOCAB_SIZE, make_split
from tune_sentiment.search import probe
from tune_sentiment.search.probe import estimate_seconds, typical
from tune_sentiment.search.space import Space, load_space
from tune_sentiment.training.loop import TrainingData

DATA = TrainingData(make_split(2000, seed=1), make_split(200, seed=2), VOCAB_SIZE)


def space() -> Space:
    return load_space("demo").override(epochs=2, report_every=20)


def test_the_typical_setting_is_the_middle_of_each_range() -> None:
    middle = typical(load_space("course"))
    assert (middle.embedding_dim, middle.hidden_dim, middle.n_layers) == (275, 128, 2)
    assert 0.0009 < middle.lr < 0.0011


def test_the_estimate_is_the_steps_of_all_runs_over_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_seconds_per_step", lambda *_: 0.5)
    full_run = 2 * 40 * 0.5
    assert estimate_seconds(space(), DATA, trials=0, confirm_runs=3, slots=2) == 3 * full_run / 2
    assert estimate_seconds(space(), DATA, trials=100, confirm_runs=0, slots=4) == 100 * probe.ASHA_SHARE * full_run / 4


def test_a_step_takes_some_time() -> None:
    assert 0 < probe._seconds_per_step(typical(space()), DATA) < 60


def test_the_probe_leaves_torchs_generator_and_threads_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    estimate_seconds(space(), DATA, trials=1, confirm_runs=0, slots=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads
