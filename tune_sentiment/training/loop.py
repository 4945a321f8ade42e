"""Train the model as the course does: a generator that yields one Progress per `report_every` steps."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split
from tune_sentiment.errors import DivergedError
from tune_sentiment.training.batches import epoch_batches, padded, steps_per_epoch
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.model import Hidden, SentimentRNN, build_model
from tune_sentiment.training.optimizer import ClippingAdam
from tune_sentiment.training.precision import resolved
from tune_sentiment.training.processor import denormals_flushed

AfterStep = Callable[[int, bool], None]


@dataclass(frozen=True)
class TrainingData:
    """What a trial may see: never the test split."""

    train: Split
    validation: Split
    vocab_size: int


@dataclass(frozen=True)
class Progress:
    """One report of the loop."""

    step: int
    epoch: int
    """From 1."""
    train_loss: float
    """Mean over the reviews trained on since the last report."""
    val_loss: float
    val_accuracy: float
    best_val_loss: float
    """The lowest validation loss so far."""
    best_step: int
    lr: float
    grad_norm: float
    """Mean since the last report, before clipping."""
    clipped: float
    """Share of the steps since the last report whose gradient was longer than `clip`."""
    reviews_per_second: float
    """Reviews trained on per second of training (validation not counted) since the last report."""
    seconds: float
    """Seconds in training and validation since the run began, earlier sessions of a resumed run counted."""


@dataclass
class TrainingState:
    """Everything that `train` changes, so that a checkpoint of it continues to the last bit."""

    settings: TrainSettings
    seed: int
    vocab_size: int
    model: SentimentRNN
    optimizer: ClippingAdam
    step: int = 0
    best_val_loss: float = math.inf
    best_step: int = 0
    best_val_accuracy: float = 0.0
    """Validation accuracy at `best_step`."""
    seconds: float = 0.0
    hidden: Hidden | None = None
    """The state carried into the next batch, with `carry_hidden` only."""


def start(settings: TrainSettings, vocab_size: int, seed: int, device: str = "cpu") -> TrainingState:
    """Return the state before the first step, everything random in it drawn from `seed`.

    Seeds torch's global generators, which dropout draws from as the loop goes on. A precision of `auto` is decided
    here, and the state's settings say how.

    Raises:
        SettingsError: if the precision asked for does not work on `device`.
    """
    settings = resolved(settings, device)
    torch.manual_seed(seed)
    with denormals_flushed():  # so that torch's other threads, which may start here, flush them as well
        model = build_model(settings, vocab_size).to(device)
        optimizer = ClippingAdam(model, lr=settings.lr, weight_decay=settings.weight_decay, clip=settings.clip)
    return TrainingState(settings, seed, vocab_size, model, optimizer)


def total_steps(settings: TrainSettings, num_reviews: int) -> int:
    """Return the steps of a full run over a training split of `num_reviews`."""
    return settings.epochs * steps_per_epoch(num_reviews, settings.batch_size)


def train(state: TrainingState, data: TrainingData, after_step: AfterStep = lambda *_: None) -> Iterator[Progress]:
    """Train from wherever `state` stands to the last epoch, yielding one Progress per `report_every` steps.

    The last step is always reported. At each yield `state` may be saved; between yields it must not be touched.
    `after_step` is called after each step with the number of words of its batch, padding counted, and whether the model
    is measured now.

    Raises:
        DivergedError: as soon as a loss or a gradient is not finite.
    """
    reports = _reports(state, data, after_step)
    while True:
        with denormals_flushed():  # not across a yield: it is the caller's thread
            progress = next(reports, None)
        if progress is None:
            return
        yield progress


def _reports(state: TrainingState, data: TrainingData, after_step: AfterStep) -> Iterator[Progress]:
    settings, model, optimizer = state.settings, state.model, state.optimizer
    device = model.linear.weight.device
    criterion = nn.BCELoss()
    last_step = total_steps(settings, len(data.train))
    report = _Interval()

    model.train()
    while state.step < last_step:
        epoch, position = divmod(state.step, steps_per_epoch(len(data.train), settings.batch_size))
        if position == 0:
            state.hidden = None
        for indices in epoch_batches(data.train, settings, state.seed, epoch)[position:]:
            token_ids = padded(data.train, indices, settings).to(device)
            labels = torch.from_numpy(data.train.labels[indices].astype(np.float32)).to(device)

            optimizer.zero_grad()
            optimizer.read(token_ids)
            if settings.carry_hidden:
                probabilities, state.hidden = model.forward_carried(token_ids, state.hidden)
            else:
                probabilities = model(token_ids)
            loss = _finite_loss(criterion, probabilities, labels, state.step + 1)
            loss.backward()
            grad_norm = optimizer.step()  # clips first

            state.step += 1
            report.add(loss.detach(), grad_norm, settings.clip, len(indices))
            is_report = state.step % settings.report_every == 0 or state.step == last_step
            after_step(token_ids.numel(), is_report)
            if is_report:
                yield _measure(state, data, report, epoch + 1)
                report = _Interval()


def _finite_loss(criterion: nn.BCELoss, probabilities: Tensor, labels: Tensor, step: int) -> Tensor:
    # BCELoss refuses NaN by itself, on a GPU by killing the process, so it must never see one there.
    if not bool(torch.isfinite(probabilities).all()):
        raise DivergedError(f"the loss must stay finite: it did not at step {step}: lower `lr` or `clip`.")
    loss: Tensor = criterion(probabilities, labels)
    return loss


def _measure(state: TrainingState, data: TrainingData, report: "_Interval", epoch: int) -> Progress:
    train_loss, grad_norm, clipped = report.means()
    train_seconds = report.seconds()
    if not (math.isfinite(train_loss) and math.isfinite(grad_norm)):
        raise DivergedError(
            f"loss and gradient must stay finite: they were {train_loss} and {grad_norm} before step {state.step}: "
            "lower `lr` or `clip`."
        )
    state.optimizer.zero_grad()  # its memory serves the validation
    state.optimizer.catch_up()
    measured = evaluate(state.model, data.validation, state.settings)
    if measured.loss < state.best_val_loss:
        state.best_val_loss, state.best_step = measured.loss, state.step
        state.best_val_accuracy = measured.accuracy
    state.seconds += report.seconds()
    return Progress(
        step=state.step,
        epoch=epoch,
        train_loss=train_loss,
        val_loss=measured.loss,
        val_accuracy=measured.accuracy,
        best_val_loss=state.best_val_loss,
        best_step=state.best_step,
        lr=state.settings.lr,
        grad_norm=grad_norm,
        clipped=clipped,
        reviews_per_second=report.reviews / train_seconds,
        seconds=state.seconds,
    )


class _Interval:
    """Sums since the last report, kept on the device so that adding to them never waits for it."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.reviews = 0
        self._steps = 0
        self._loss: Tensor | float = 0.0
        self._grad_norm: Tensor | float = 0.0
        self._clipped: Tensor | float = 0.0

    def add(self, loss: Tensor, grad_norm: Tensor, clip: float, num_reviews: int) -> None:
        self.reviews += num_reviews
        self._steps += 1
        self._loss = self._loss + loss * num_reviews
        self._grad_norm = self._grad_norm + grad_norm
        self._clipped = self._clipped + (grad_norm > clip)

    def means(self) -> tuple[float, float, float]:
        """Return loss per review, gradient norm per step, share of steps clipped; this waits for the device."""
        return (
            float(self._loss) / self.reviews,
            float(self._grad_norm) / self._steps,
            float(self._clipped) / self._steps,
        )

    def seconds(self) -> float:
        return time.perf_counter() - self.started
