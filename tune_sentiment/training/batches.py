"""Choose which reviews make up each batch of an epoch, the same ones whenever the seed is the same."""

import numpy as np
import torch
from numpy.typing import NDArray

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split, left_pad

BATCHES_PER_POOL = 50
"""Batches sorted by length together: enough to make them even, few enough to keep an epoch's order random."""

EVALUATION_WORDS = 6_400
"""Words, padding counted, of one evaluation batch: bounds its memory whatever the length of the reviews.

Of 1,600 to 25,600, this was the fastest at the course's setting, by up to 9 %."""

LENGTHS = 25
"""Different lengths of a batch. oneDNN compiles the LSTM for each, layer by layer, forwards and backwards, which takes
as long as a step at small sizes, and keeps few of them (see `training.processor`)."""


def steps_per_epoch(num_reviews: int, batch_size: int) -> int:
    """Return the steps of one pass over `num_reviews`, the ragged last batch counted."""
    return -(-num_reviews // batch_size)


def epoch_batches(split: Split, settings: TrainSettings, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return the batches of one epoch, each an int64 array of at most `batch_size` indices into `split`.

    The reviews are shuffled, and pools of them sorted by length, so that the reviews of a batch are about equally long
    and little padding is computed; the batches then come in random order. With `carry_hidden` they are shuffled only.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(split))
    if settings.carry_hidden:
        return _cut(order, settings.batch_size)
    lengths = split.lengths(settings.seq_length)
    batches = []
    for pool in _cut(order, settings.batch_size * BATCHES_PER_POOL):
        by_length = pool[np.argsort(lengths[pool], kind="stable")]
        batches += _cut(by_length, settings.batch_size)
    return [batches[index] for index in generator.permutation(len(batches))]


def evaluation_batches(split: Split, settings: TrainSettings) -> list[NDArray[np.int64]]:
    """Return batches of all of `split`, sorted by length, each of at most EVALUATION_WORDS words or one review."""
    lengths = split.lengths(settings.seq_length)
    if settings.carry_hidden:
        lengths = np.full_like(lengths, settings.seq_length)
    order = np.argsort(lengths, kind="stable")
    batches = []
    end = len(order)
    while end > 0:  # from the longest down, since the longest of a batch sets its size
        length = _padded_length(int(lengths[order[end - 1]]), settings.seq_length)
        start = max(0, end - max(1, EVALUATION_WORDS // length))
        batches.append(order[start:end])
        end = start
    return batches


def padded(split: Split, indices: NDArray[np.int64], settings: TrainSettings) -> torch.Tensor:
    """Return the word ids of the reviews `indices`, int32 (len(indices), length), left-padded with 0.

    `length` is that of the longest of them, rounded up to one of LENGTHS and cut to `seq_length`; with `carry_hidden`
    it is always `seq_length`.
    """
    length = settings.seq_length
    if not settings.carry_hidden:
        words = split.offsets[indices + 1] - split.offsets[indices]
        length = _padded_length(int(words.max(initial=1)), settings.seq_length)
    return torch.from_numpy(left_pad(split, indices, settings.seq_length, length))


def _padded_length(longest: int, seq_length: int) -> int:
    """Return the length of a batch whose longest review has `longest` words."""
    unit = -(-seq_length // LENGTHS)
    return min(max(1, -(-longest // unit)) * unit, seq_length)


def _cut(order: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [order[start : start + size] for start in range(0, len(order), size)]
