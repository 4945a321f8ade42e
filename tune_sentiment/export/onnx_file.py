"""Write a model as an ONNX file, and keep the file only if ONNX Runtime answers as the model does."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split, left_pad
from tune_sentiment.errors import BundleError, SettingsError
from tune_sentiment.export.onnx_graph import onnx_model
from tune_sentiment.export.weights import rebuild
from tune_sentiment.training.evaluation import evaluate

CHECKED_REVIEWS = 1000
TOLERANCE = 1e-5
"""How far a probability of ONNX Runtime may be from the model's (both float32 on the CPU)."""

MAX_BYTES = 2**31 - 2**20
"""A protobuf message ends at 2 GiB; what is not weights takes far less than a MiB."""


def require_onnx() -> None:
    """Refuse to go on without what ONNX files need.

    Raises:
        SettingsError: if onnx or onnxruntime, the extra `[onnx]`, is not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as problem:
        raise SettingsError(
            f"ONNX files need onnx and onnxruntime: {problem.name} is not installed: "
            "install it with `pip install 'tune-sentiment[onnx]'`."
        ) from None
    del onnx


def write_onnx(path: Path, weights: Mapping[str, Tensor], settings: TrainSettings, reviews: Split) -> None:
    """Write the model with these float32 CPU `weights` to `path`, and check it.

    ONNX Runtime must give the model's probabilities, within TOLERANCE, on CHECKED_REVIEWS reviews in batches of many
    sizes and lengths: on as many of `reviews` as there are, evenly spaced, and on random word ids for the rest.

    Raises:
        BundleError: if the model is too large for the format, or the check fails; no file is left then.
        OSError: if the file cannot be written.
    """
    num_bytes = sum(weight.nbytes for weight in weights.values())
    if num_bytes > MAX_BYTES:
        raise BundleError(
            f"an ONNX file may take at most {MAX_BYTES:,} bytes, these weights take {num_bytes:,}: "
            "export without --onnx, or a smaller model."
        )
    path.write_bytes(onnx_model(weights, settings).SerializeToString())
    try:
        difference = largest_difference(path, weights, settings, reviews)
        # Written so that NaN fails too.
        if not difference <= TOLERANCE:
            raise BundleError(
                f"an ONNX file must give the model's probabilities within {TOLERANCE}: {path.name} is off by "
                f"{difference:.2g}: please report this; the export works without --onnx."
            )
    except BaseException:
        path.unlink()
        raise


def largest_difference(path: Path, weights: Mapping[str, Tensor], settings: TrainSettings, reviews: Split) -> float:
    """Return how far ONNX Runtime's probabilities are from the model's at most, on the CPU."""
    import onnxruntime

    checked = _checked_reviews(reviews, len(weights["embedding.weight"]), settings.seq_length)
    expected = evaluate(rebuild(weights, settings, torch.device("cpu")), checked, settings).probabilities
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answered = np.full(len(checked), np.nan, dtype=np.float32)
    for indices in _batches(len(checked)):
        token_ids = left_pad(checked, indices, settings.seq_length).astype(np.int64)
        (answered[indices],) = session.run(None, {"token_ids": token_ids})
    return float(np.abs(answered - expected).max())


def _checked_reviews(reviews: Split, vocab_size: int, seq_length: int) -> Split:
    generator = np.random.default_rng(0)
    count = min(len(reviews), CHECKED_REVIEWS)
    chosen = np.linspace(0, len(reviews) - 1, count).astype(int)
    rows = [reviews.token_ids[reviews.offsets[index] : reviews.offsets[index + 1]] for index in chosen]
    for _ in range(CHECKED_REVIEWS - count):
        words = generator.integers(0, min(seq_length, 1000), endpoint=True)
        rows.append(generator.integers(1, vocab_size, size=words, dtype=np.int32))
    offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Split(np.concatenate(rows), offsets, np.zeros(len(rows), dtype=np.int8))


def _batches(count: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices below `count` in random order, in batches of 1, 2, 4, ... 128, 1, 2, ..."""
    order = np.random.default_rng(1).permutation(count)
    start, size = 0, 1
    while start < count:
        yield order[start : start + size]
        start, size = start + size, size * 2 if size < 128 else 1
