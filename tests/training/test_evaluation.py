"""Evaluation: weighted per review, in the split's order, without side effects."""

import math
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tests.training.conftest import VOCAB_SIZE
from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import DivergedError
from tune_sentiment.training import batches
from tune_sentiment.training.batches import padded
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.loop import TrainingData, start

SETTINGS = TrainSettings(embedding_dim=8, hidden_dim=8, n_layers=1, seq_length=16)


def test_loss_and_accuracy_weigh_every_review_the_same(data: TrainingData) -> None:
    model = start(SETTINGS, VOCAB_SIZE, seed=0).model.eval()
    one_by_one = np.array(
        [model(padded(data.validation, np.array([index]), SETTINGS)).item() for index in range(len(data.validation))]
    )
    labels = data.validation.labels
    loss = -np.mean(np.where(labels == 1, np.log(one_by_one), np.log(1 - one_by_one)))
    measured = evaluate(model, data.validation, SETTINGS)
    np.testing.assert_allclose(measured.probabilities, one_by_one, atol=1e-6)
    assert measured.loss == pytest.approx(loss, abs=1e-6)
    assert measured.accuracy == np.mean((one_by_one > 0.5) == labels)


def test_a_gpu_would_measure_in_float32_and_train_as_before(data: TrainingData) -> None:
    model = start(SETTINGS, VOCAB_SIZE, seed=0).model
    allowed: list[bool] = []
    model.register_forward_hook(lambda *_: allowed.append(torch.backends.cudnn.allow_tf32))
    before = torch.backends.cudnn.allow_tf32
    evaluate(model, data.validation, SETTINGS)
    assert set(allowed) == {False}
    assert torch.backends.cudnn.allow_tf32 is before is True


def test_the_mode_and_the_gradients_are_left_as_they_were(data: TrainingData) -> None:
    model = start(SETTINGS, VOCAB_SIZE, seed=0).model
    for training in (True, False):
        model.train(training)
        evaluate(model, data.validation, SETTINGS)
        assert model.training is training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    assert torch.get_num_threads() == 4
    torch.set_num_threads(before)


def test_batches_side_by_side_give_what_they_give_in_turn(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, four_threads: None
) -> None:
    monkeypatch.setattr(batches, "EVALUATION_WORDS", 64)
    model = start(SETTINGS, VOCAB_SIZE, seed=0).model
    used: list[tuple[int, int]] = []

    def note(*_: object) -> None:
        used.append((threading.get_ident(), torch.get_num_threads()))
        time.sleep(0.02)  # long enough for another thread to take the next batch

    model.register_forward_hook(note)
    measured = evaluate(model, data.validation, SETTINGS)
    assert len({thread for thread, _ in used}) > 1 and {threads for _, threads in used} == {1}
    torch.set_num_threads(1)
    assert np.array_equal(evaluate(model, data.validation, SETTINGS).probabilities, measured.probabilities)
    assert used[-1] == (threading.get_ident(), 1)
    torch.set_num_threads(4)


def test_what_is_wrong_with_one_batch_is_told_and_the_others_are_left(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch, four_threads: None
) -> None:
    monkeypatch.setattr(batches, "EVALUATION_WORDS", 16)
    model = start(SETTINGS, VOCAB_SIZE, seed=0).model
    calls: list[int] = []

    def fails(*_: object) -> None:
        calls.append(1)
        time.sleep(0.1)
        raise MemoryError("no room")

    model.register_forward_pre_hook(fails)
    with pytest.raises(MemoryError, match="no room"):
        evaluate(model, data.validation, SETTINGS)
    assert len(calls) < len(data.validation) / 2


def test_the_courses_loop_is_measured_at_full_length_from_the_zero_state(data: TrainingData) -> None:
    settings = SETTINGS.model_copy(update={"carry_hidden": True})
    model = start(settings, VOCAB_SIZE, seed=0).model.eval()
    every = np.arange(len(data.validation))
    expected, _ = model.forward_carried(padded(data.validation, every, settings), None)
    np.testing.assert_allclose(
        evaluate(model, data.validation, settings).probabilities, expected.detach().numpy(), atol=1e-6
    )


def test_a_probability_that_is_not_finite_is_refused(data: TrainingData) -> None:
    model = start(SETTINGS, VOCAB_SIZE, seed=0).model
    with torch.no_grad():
        model.linear.bias.fill_(math.nan)
    with pytest.raises(DivergedError, match="probabilities must be finite"):
        evaluate(model, data.validation, SETTINGS)
