"""Adam over all parameters, with gradient clipping, that never makes the gradient of all word vectors.

The numbers are those of `torch.optim.Adam` and `clip_grad_norm_` up to rounding.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from tune_sentiment.training.model import SentimentRNN
from tune_sentiment.training.vectors import BETA1, BETA2, EPS, MovedAtOnce, MovedWhenRead, Vectors

STEPS_AT_ONCE = 60
"""First steps at which every word vector moves: the corrections for the moments' start are still changing fast."""
SMALL = 2**20
"""Numbers in the word vectors up to which moving all of them costs less than finding out which must move."""


class ClippingAdam:
    """Clips the gradient of the whole model to a norm and updates it as Adam does."""

    def __init__(self, model: SentimentRNN, *, lr: float, weight_decay: float, clip: float) -> None:
        """Start with moments of zero."""
        vectors = self._vectors = model.embedding.weight  # (vocab_size, embedding_dim)
        self._others = [parameter for parameter in model.parameters() if parameter is not vectors]
        self._lr, self._weight_decay, self._clip = lr, weight_decay, clip
        # Not `torch.optim.Adam`: making one imports torch's compiler, a second and 70 MB in every process.
        self._exp_avgs = [torch.zeros_like(parameter) for parameter in self._others]
        self._exp_avg_sqs = [torch.zeros_like(parameter) for parameter in self._others]
        self._exp_avg, self._exp_avg_sq = torch.zeros_like(vectors), torch.zeros_like(vectors)
        self._steps = 0
        at_once = MovedAtOnce(vectors, self._exp_avg, self._exp_avg_sq)
        self._at_first: Vectors = at_once
        self._later: Vectors = at_once
        # With weight decay every vector has a gradient at every step. A GPU moves all of them in no time.
        if weight_decay == 0 and not vectors.is_cuda and vectors.numel() > SMALL:
            self._later = MovedWhenRead(vectors, self._exp_avg, self._exp_avg_sq, lr=lr)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        for parameter in (self._vectors, *self._others):
            parameter.grad = None

    @torch.no_grad()
    def read(self, token_ids: Tensor) -> None:
        """Have the word vectors of a batch up to date; to be called before the model reads it."""
        self._word_vectors.read(token_ids)

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
        self._adam_step(list(self._others), others, self._exp_avgs, self._exp_avg_sqs)
        self._word_vectors.step(words, grads, self._adam_step)
        self._steps += 1
        if self._steps == STEPS_AT_ONCE:
            self._later.start(self._steps)
        return norm

    @torch.no_grad()
    def catch_up(self) -> None:
        """Have all word vectors up to date; to be called before anything but training looks at them."""
        self._word_vectors.catch_up()

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs to continue to the last bit, if all word vectors are up to date."""
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
        self._later.start(self._steps)

    @property
    def _word_vectors(self) -> Vectors:
        return self._at_first if self._steps < STEPS_AT_ONCE else self._later

    def _adam_step(
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
