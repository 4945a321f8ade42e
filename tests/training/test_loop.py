"""The loop: parity with the course, one schema of reports, and learning."""

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from tests.course import CourseRNN, course_loop
from tests.training.conftest import VOCAB_SIZE
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import left_pad
from tune_sentiment.errors import DivergedError
from tune_sentiment.training.batches import epoch_batches
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.loop import TrainingData, start, total_steps, train
from tune_sentiment.training.optimizer import ClippingAdam

SMALL = TrainSettings(
    embedding_dim=12, hidden_dim=10, n_layers=2, epochs=3, batch_size=10, seq_length=16, report_every=20, lr=0.01
)


def course_weights(net: CourseRNN) -> dict[str, torch.Tensor]:
    renamed = {name.replace("fc.", "linear."): weight for name, weight in net.state_dict().items()}
    return {name: weight.clone() for name, weight in renamed.items()}


def test_sixty_steps_agree_with_the_courses_loop_loss_by_loss(data: TrainingData) -> None:
    settings = SMALL.model_copy(
        update={"carry_hidden": True, "dropout": 0.0, "output_dropout": 0.0, "report_every": 1, "clip": 0.5}
    )
    state = start(settings, VOCAB_SIZE, seed=7)
    net = CourseRNN(VOCAB_SIZE, 1, 12, 10, 2, drop_prob=0.0, output_drop_prob=0.0)
    state.model.load_state_dict(course_weights(net))

    batches = []
    for epoch in range(3):
        epoch_of_batches = []
        for indices in epoch_batches(data.train, settings, seed=7, epoch=epoch):
            ids = torch.from_numpy(left_pad(data.train, indices, 16, 16)).long()
            epoch_of_batches.append((ids, torch.from_numpy(data.train.labels[indices])))
        batches.append(epoch_of_batches)
    epochs = iter(batches)

    class InTheSameOrder:
        def __iter__(self) -> object:
            return iter(next(epochs))

    theirs = [
        loss for _, loss, _ in course_loop(net, InTheSameOrder(), None, lr=0.01, clip=0.5, epochs=3, batch_size=10)
    ]
    ours = [progress.train_loss for progress in train(state, data)]
    assert len(ours) == 69
    np.testing.assert_allclose(ours[:60], theirs[:60], atol=1e-6, rtol=0)


def test_reports_come_every_report_every_steps_and_at_the_last(data: TrainingData) -> None:
    state = start(SMALL, VOCAB_SIZE, seed=0)
    steps = [progress.step for progress in train(state, data)]
    assert total_steps(SMALL, len(data.train)) == 69
    assert steps == [20, 40, 60, 69]


def test_a_report_holds_the_one_schema_with_finite_values(data: TrainingData) -> None:
    state = start(SMALL, VOCAB_SIZE, seed=0)
    reports = [asdict(progress) for progress in train(state, data)]
    names = "step epoch train_loss val_loss val_accuracy best_val_loss best_step lr grad_norm clipped"
    assert list(reports[0]) == [*names.split(), "reviews_per_second", "seconds"]
    assert all(math.isfinite(value) for report in reports for value in report.values())
    assert [report["epoch"] for report in reports] == [1, 2, 3, 3]
    assert reports[-1]["best_val_loss"] == min(report["val_loss"] for report in reports)
    assert [report["seconds"] for report in reports] == sorted(report["seconds"] for report in reports)
    assert 0 <= reports[0]["clipped"] <= 1 and reports[0]["grad_norm"] > 0


def test_the_train_loss_is_the_mean_over_reviews_also_with_a_ragged_last_batch(data: TrainingData) -> None:
    settings = SMALL.model_copy(
        update={"batch_size": 100, "epochs": 1, "report_every": 3, "lr": 1e-12, "dropout": 0.0, "output_dropout": 0.0}
    )
    state = start(settings, VOCAB_SIZE, seed=0)
    before = evaluate(state.model, data.train, settings).loss
    (report,) = train(state, data)
    assert report.train_loss == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("carry_hidden", [False, True])
def test_fewer_reviews_than_a_batch_are_one_step_an_epoch(data: TrainingData, carry_hidden: bool) -> None:
    settings = SMALL.model_copy(
        update={"batch_size": 500, "epochs": 2, "report_every": 1, "carry_hidden": carry_hidden}
    )
    reports = list(train(start(settings, VOCAB_SIZE, seed=0), data))
    assert len(data.train) < 500 and [report.step for report in reports] == [1, 2]
    assert all(math.isfinite(report.val_loss) and report.train_loss > 0 for report in reports)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_the_model_learns(data: TrainingData, pooling: str) -> None:
    settings = SMALL.model_copy(update={"epochs": 12, "n_layers": 1, "pooling": pooling})
    reports = list(train(start(settings, VOCAB_SIZE, seed=0), data))
    assert reports[-1].train_loss < 0.35 < reports[0].train_loss


def test_the_same_seed_repeats_bit_for_bit_and_another_does_not(data: TrainingData) -> None:
    def losses(seed: int) -> list[float]:
        return [progress.val_loss for progress in train(start(SMALL, VOCAB_SIZE, seed=seed), data)]

    assert losses(3) == losses(3)
    assert losses(3) != losses(4)


def test_clipping_shortens_the_gradient_and_is_counted(data: TrainingData) -> None:
    reports = list(train(start(SMALL.model_copy(update={"clip": 1e-6}), VOCAB_SIZE, seed=0), data))
    assert all(report.clipped == 1.0 for report in reports)
    reports = list(train(start(SMALL.model_copy(update={"clip": 1e6}), VOCAB_SIZE, seed=0), data))
    assert all(report.clipped == 0.0 for report in reports)


def test_weights_that_are_not_finite_end_the_run_with_their_own_exception(data: TrainingData) -> None:
    state = start(SMALL, VOCAB_SIZE, seed=0)
    with torch.no_grad():
        state.model.linear.bias.fill_(math.nan)
    with pytest.raises(DivergedError, match="must stay finite: it did not at step 1: lower `lr` or `clip`"):
        next(train(state, data))


def test_a_gradient_that_is_not_finite_ends_the_run(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClippingAdam, "step", lambda _: torch.tensor(math.inf))
    with pytest.raises(DivergedError, match="before step 20"):
        next(train(start(SMALL, VOCAB_SIZE, seed=0), data))
