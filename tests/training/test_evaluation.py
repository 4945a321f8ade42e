"""Evaluation: weighted per review, in the split's order, without side effects."""

import math

import numpy as np
import pytest
import torch

from tests.training.conftest import VOCAB_SIZE
from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import DivergedError
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
