"""Adam's moves of the word vectors: of all of them at every step, or of each when it is next needed.

A batch holds a few thousand of a hundred thousand words, yet Adam moves every word that was ever in one, by what is
left of its momentum. The gradients are kept for the words of the batch only; what is made of them is that of a dense
gradient.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
"""torch's defaults, and the course's."""
BLOCK_BYTES = 4 * 2**20
"""Size of a block of vectors: small enough for the processor's cache. On a GPU all words are one block."""
COPY_BYTES = 2**20
"""Size of the vectors that are copied, moved and written back together: still in the cache when they are."""
MOST_MISSED = 1000
"""Moves that a vector may miss before all are made up for."""

AdamStep = Callable[[list[Tensor], list[Tensor], list[Tensor], list[Tensor]], None]
"""One step on weights, with their gradients and both of their moments."""


class Vectors(Protocol):
    """The word vectors and their moments, all (vocab_size, embedding_dim)."""

    def read(self, token_ids: Tensor) -> None:
        """Have the vectors of a batch as they are after all steps so far; to be called before each `step`."""

    def step(self, words: Tensor, grads: Tensor, adam_step: AdamStep) -> None:
        """Move the vectors, those of `words` (sorted) by their gradients and the others by none."""

    def catch_up(self) -> None:
        """Have all vectors and moments as they are after all steps so far."""

    def start(self, steps: int) -> None:
        """Take the vectors and moments, whatever they are now, as those after `steps`."""


class MovedAtOnce:
    """Moves every vector at every step, block by block, each with a gradient as large as the block."""

    def __init__(self, vectors: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor) -> None:
        """Take the vectors and their moments, which are changed in place."""
        self._vectors, self._exp_avg, self._exp_avg_sq = vectors, exp_avg, exp_avg_sq
        vocab_size, embedding_dim = vectors.shape
        self._block_rows = vocab_size if vectors.is_cuda else rows_of(BLOCK_BYTES, vectors)
        self._block_grad = torch.zeros(self._block_rows, embedding_dim, dtype=vectors.dtype, device=vectors.device)

    def read(self, token_ids: Tensor) -> None:
        """Do nothing: no vector ever waits."""

    def step(self, words: Tensor, grads: Tensor, adam_step: AdamStep) -> None:
        """Move all vectors."""
        starts = range(0, len(self._vectors), self._block_rows)
        firsts = torch.searchsorted(words, torch.tensor([*starts, len(self._vectors)], device=words.device)).tolist()
        for block, start in enumerate(starts):
            end = min(start + self._block_rows, len(self._vectors))
            here = slice(firsts[block], firsts[block + 1])
            block_grad = self._block_grad[: end - start]
            rows = words[here] - start
            block_grad.index_copy_(0, rows, grads[here])
            adam_step(
                [self._vectors[start:end]], [block_grad], [self._exp_avg[start:end]], [self._exp_avg_sq[start:end]]
            )
            block_grad.index_fill_(0, rows, 0.0)  # only what was filled: it is zero everywhere again

    def catch_up(self) -> None:
        """Do nothing: no vector ever waits."""

    def start(self, steps: int) -> None:
        """Do nothing: no vector ever waits."""


class MovedWhenRead:
    """Moves the vectors of a batch only; the others make up for the moves that they missed when they are next read.

    Without a gradient, Adam's moments m and v shrink by constant factors from one step to the next, so that a move is
    a_k m / (b_k sqrt(v) + eps) with numbers a_k and b_k which are the same for all vectors whose last step is the same.
    The sum over the missed moves is taken as A m / (B sqrt(v) + eps), A being the sum of all a_k and A / B that of all
    a_k / b_k. That is exact where eps or sqrt(v) is much the greater of the two. Between them, where a gradient is
    about 1e-8, it is off by a quarter of the variance of b_k, a thousandth of the sum 60 steps after the start.
    """

    def __init__(self, vectors: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, *, lr: float) -> None:
        """Take the vectors and their moments, which are changed in place."""
        self._all = [vectors, exp_avg, exp_avg_sq]
        self._lr = lr
        self._last = torch.zeros(len(vectors), dtype=torch.int64)
        """Of each vector, its last step; like `_steps` counted from when all had caught up."""
        self._steps_before, self._steps = 0, 0
        self._sums = np.zeros((2, MOST_MISSED + 1))
        """A and A / B, by last step."""
        self._factors = torch.empty(MOST_MISSED + 1, 4)
        """What `_move` works with, by last step."""
        # Always the same memory: arrays of a new size at each step would tear the heap into pieces.
        self._root, *self._copies = torch.empty(4, rows_of(COPY_BYTES, vectors), vectors.shape[1])
        self.start(0)

    def read(self, token_ids: Tensor) -> None:
        """Make up for what the vectors of the batch have missed."""
        words = torch.unique(token_ids).long()
        for some in words.split(len(self._root)):
            with self._copied(some) as rows:
                self._move(*rows, self._last.index_select(0, some))
        self._last.index_fill_(0, words, self._steps)

    def step(self, words: Tensor, grads: Tensor, adam_step: AdamStep) -> None:
        """Move the vectors that were read, which are those of `words`."""
        rows_at_once = len(self._root)
        for some, their_grads in zip(words.split(rows_at_once), grads.split(rows_at_once), strict=True):
            with self._copied(some) as (vectors, exp_avg, exp_avg_sq):
                adam_step([vectors], [their_grads], [exp_avg], [exp_avg_sq])
        self._steps += 1
        self._last.index_fill_(0, words, self._steps)
        self._add_missed_move()
        self._set_factors()
        if self._steps == MOST_MISSED:
            self.catch_up()

    def catch_up(self) -> None:
        """Make up for what any vector has missed."""
        if self._steps > 0:
            blocks = [each.split(len(self._root)) for each in (*self._all, self._last)]
            for vectors, exp_avg, exp_avg_sq, last in zip(*blocks, strict=True):
                self._move(vectors, exp_avg, exp_avg_sq, last)
        self.start(self._steps_before + self._steps)

    def start(self, steps: int) -> None:
        """Take the vectors and moments, whatever they are now, as those after `steps`."""
        self._steps_before, self._steps = steps, 0
        self._last.zero_()
        self._sums.fill(0.0)
        self._set_factors()

    @contextmanager
    def _copied(self, words: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield copies of the rows of `words`, and write them back."""
        vectors, exp_avg, exp_avg_sq = (copy[: len(words)] for copy in self._copies)
        copies = (vectors, exp_avg, exp_avg_sq)
        for whole, copy in zip(self._all, copies, strict=True):
            torch.index_select(whole, 0, words, out=copy)
        yield copies
        for whole, copy in zip(self._all, copies, strict=True):
            whole.index_copy_(0, words, copy)

    def _add_missed_move(self) -> None:
        """Add the last step to the sums, for all whose last step was an earlier one."""
        step = self._steps_before + self._steps
        missed = np.arange(self._steps, 0.0, -1.0)
        a = self._lr * BETA1**missed / (1 - BETA1**step)
        b = np.sqrt(BETA2**missed / (1 - BETA2**step))
        self._sums[:, : self._steps] += a, a / b

    def _set_factors(self) -> None:
        missed = np.arange(self._steps, -1.0, -1.0)
        sums = self._sums[:, : self._steps + 1]
        with np.errstate(divide="ignore"):  # who has missed nothing is divided by a very large number
            divisors = np.minimum([1 / sums[1], EPS / sums[0]], 1e30)
        self._factors[: self._steps + 1] = torch.from_numpy(np.stack([*divisors, BETA1**missed, BETA2**missed], 1))

    def _move(self, vectors: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, last: Tensor) -> None:
        by_root, alone, decay1, decay2 = self._factors.index_select(0, last).split(1, dim=1)
        divisor = torch.sqrt(exp_avg_sq, out=self._root[: len(last)]).mul_(by_root).add_(alone)
        vectors.addcdiv_(exp_avg, divisor, value=-1)
        exp_avg.mul_(decay1)
        exp_avg_sq.mul_(decay2)


def rows_of(num_bytes: int, vectors: Tensor) -> int:
    """Return how many vectors have `num_bytes`, but at least one and at most all."""
    return min(max(1, num_bytes // (4 * vectors.shape[1])), len(vectors))
