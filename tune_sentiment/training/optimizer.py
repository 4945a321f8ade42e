"""Adam over all parameters, with gradient clipping, that never makes the gradient of all word vectors.

A batch touches a few thousand of a hundred thousand words, yet Adam moves every word that was ever touched. So the
gradient is kept for the words of the batch only, and the update goes over the vectors block by block, each with a
gradient as large as the block. The numbers are those of `torch.optim.Adam` and `clip_grad_norm_` up to rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from tune_sentiment.training.model import SentimentRNN

BLOCK_BYTES = 4 * 2**20
"""Size of a block's gradient: small enough for the processor's cache. On a GPU all words are one block."""
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
"""torch's defaults, and the course's."""


class ClippingAdam:
    """Clips the gradient of the whole model to a norm and updates it as Adam does."""

    def __init__(self, model: SentimentRNN, *, lr: float, weight_decay: float, clip: float) -> None:
        """Start with moments of zero."""
        self._vectors = model.embedding.weight  # (vocab_size, embedding_dim)
        self._others = [parameter for parameter in model.parameters() if parameter is not self._vectors]
        self._lr, self._weight_decay, self._clip = lr, weight_decay, clip
        # Not `torch.optim.Adam`: making one imports torch's compiler, a second and 70 MB in every process.
        self._exp_avgs = [torch.zeros_like(parameter) for parameter in self._others]
        self._exp_avg_sqs = [torch.zeros_like(parameter) for parameter in self._others]
        self._exp_avg = torch.zeros_like(self._vectors)
        self._exp_avg_sq = torch.zeros_like(self._vectors)
        self._steps = 0

        vocab_size, embedding_dim = self._vectors.shape
        rows = max(1, BLOCK_BYTES // (4 * embedding_dim))
        self._block_rows = vocab_size if self._vectors.is_cuda else min(rows, vocab_size)
        self._block_grad = torch.zeros(
            self._block_rows, embedding_dim, dtype=self._vectors.dtype, device=self._vectors.device
        )

    def zero_grad(self) -> None:
        """Forget the gradient."""
        for parameter in (self._vectors, *self._others):
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> Tensor:
        """Clip, update, and return the norm of the whole gradient before clipping, float32 ()."""
        assert self._vectors.grad is not None
        touched = self._vectors.grad.coalesce()
        words, grads = touched.indices()[0], touched.values()  # (num_touched,), (num_touched, embedding_dim)
        others = [parameter.grad for parameter in self._others if parameter.grad is not None]
        assert len(others) == len(self._others)  # every weight of the model has its part in every prediction
        norm = nn.utils.get_total_norm([grads, *others])
        nn.utils.clip_grads_with_norm_(self._others, self._clip, norm)
        grads.mul_((self._clip / (norm + 1e-6)).clamp(max=1.0))  # as clip_grads_with_norm_ does it
        self._update(list(self._others), others, self._exp_avgs, self._exp_avg_sqs)
        self._update_vectors(words, grads)
        self._steps += 1
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to continue to the last bit."""
        return {
            "exp_avgs": self._exp_avgs,
            "exp_avg_sqs": self._exp_avg_sqs,
            "exp_avg": self._exp_avg,
            "exp_avg_sq": self._exp_avg_sq,
            "steps": self._steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from where `state` was taken."""
        for own, saved in zip(self._exp_avgs, state["exp_avgs"], strict=True):
            own.copy_(saved)
        for own, saved in zip(self._exp_avg_sqs, state["exp_avg_sqs"], strict=True):
            own.copy_(saved)
        self._exp_avg.copy_(state["exp_avg"])
        self._exp_avg_sq.copy_(state["exp_avg_sq"])
        self._steps = state["steps"]

    def _update_vectors(self, words: Tensor, grads: Tensor) -> None:
        """Update every word's vector; `words` are sorted, and `grads` are theirs."""
        starts = range(0, len(self._vectors), self._block_rows)
        firsts = torch.searchsorted(words, torch.tensor([*starts, len(self._vectors)], device=words.device)).tolist()
        for block, start in enumerate(starts):
            end = min(start + self._block_rows, len(self._vectors))
            here = slice(firsts[block], firsts[block + 1])
            block_grad = self._block_grad[: end - start]
            rows = words[here] - start
            block_grad.index_copy_(0, rows, grads[here])
            self._update(
                [self._vectors[start:end]], [block_grad], [self._exp_avg[start:end]], [self._exp_avg_sq[start:end]]
            )
            block_grad.index_fill_(0, rows, 0.0)  # only what was filled: it is zero everywhere again

    def _update(
        self, values: list[Tensor], grads: list[Tensor], exp_avgs: list[Tensor], exp_avg_sqs: list[Tensor]
    ) -> None:
        """Do Adam's step on `values`, in one kernel for all of them."""
        adam(
            values,
            grads,
            exp_avgs,
            exp_avg_sqs,
            [],
            # Anew for each: the function counts it up. Filled on the device: a copy to a GPU would wait for it.
            [torch.full((), float(self._steps), device=value.device) for value in values],
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=self._lr,
            weight_decay=self._weight_decay,
            eps=EPS,
            maximize=False,
        )
