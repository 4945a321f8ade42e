"""Measure a model on a split: loss, accuracy and every review's probability, without gradients."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split
from tune_sentiment.errors import DivergedError
from tune_sentiment.training.batches import evaluation_batches, padded
from tune_sentiment.training.model import SentimentRNN
from tune_sentiment.training.processor import denormals_flushed

MOST_SIDE_BY_SIDE = 16
"""Batches that are measured at one time: each takes up to 100 MB."""


@dataclass(frozen=True)
class Evaluation:
    """How a model does on a split."""

    loss: float
    """Binary cross-entropy, the mean over the reviews (not over batches)."""
    accuracy: float
    """Share of reviews whose probability is on their label's side of 0.5."""
    probabilities: NDArray[np.float32]
    """Of "positive", float32 (num_reviews,), in the order of the split."""


def evaluate(model: SentimentRNN, split: Split, settings: TrainSettings) -> Evaluation:
    """Measure `model` on `split` in evaluation mode, each review weighing the same; the mode is put back afterwards.

    Every review starts from the zero state, also for a model that was trained with `carry_hidden`, so the result does
    not depend on the order of the reviews.

    Raises:
        DivergedError: if a probability is not finite.
    """
    device = model.linear.weight.device
    probabilities = np.empty(len(split), dtype=np.float32)
    was_training = model.training
    model.eval()

    def measure(indices: NDArray[np.int64]) -> None:
        with torch.inference_mode(), denormals_flushed():
            token_ids = padded(split, indices, settings).to(device)
            probabilities[indices] = model(token_ids).float().cpu().numpy()

    with _in_float32():
        _side_by_side(measure, evaluation_batches(split, settings), 1 if device.type == "cuda" else MOST_SIDE_BY_SIDE)
    model.train(was_training)
    return _measured(probabilities, split)


def _side_by_side(
    measure: Callable[[NDArray[np.int64]], None], batches: Sequence[NDArray[np.int64]], most: int
) -> None:
    """Measure every batch, on as many threads as torch may use here, and at `most`.

    Not each batch on all of them: for every word all threads would wait for the last one, which on a machine that has
    other work waits for a processor itself, so that a test set took minutes in place of seconds.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(batches), most)
    if workers < 2:
        for indices in batches:
            measure(indices)
        return
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            for done in [pool.submit(measure, indices) for indices in batches]:
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # the threads' own number has become that of threads to come


@contextmanager
def _in_float32() -> Iterator[None]:
    """Have a GPU's LSTM multiply in float32 inside this block, as the processor does, and not in TF32 with 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _measured(probabilities: NDArray[np.float32], split: Split) -> Evaluation:
    if not np.isfinite(probabilities).all():
        raise DivergedError(
            "probabilities must be finite: the model returned a value that is not: lower `lr` or `clip`."
        )
    labels = torch.from_numpy(split.labels.astype(np.float32))
    loss = torch.nn.functional.binary_cross_entropy(torch.from_numpy(probabilities), labels, reduction="none")
    correct = (probabilities > 0.5) == (split.labels == 1)
    return Evaluation(float(loss.double().mean()), float(correct.mean()), probabilities)
