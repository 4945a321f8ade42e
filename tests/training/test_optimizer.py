"""The optimizer: the numbers of torch's dense Adam and clipping, without a dense gradient."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim.adam import adam

from tests.training.conftest import VOCAB_SIZE
from tune_sentiment.config import TrainSettings
from tune_sentiment.training import optimizer as module
from tune_sentiment.training import vectors
from tune_sentiment.training.model import SentimentRNN, build_model
from tune_sentiment.training.optimizer import STEPS_AT_ONCE, ClippingAdam

SETTINGS = TrainSettings(embedding_dim=12, hidden_dim=10, n_layers=1, dropout=0.0, output_dropout=0.0)


def model() -> SentimentRNN:
    torch.manual_seed(0)
    return build_model(SETTINGS, VOCAB_SIZE)


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Reviews that leave most words out, another selection in every batch."""
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(first % 40 + 1, first % 40 + 9, (6, 9), generator=generator) for first in range(count)]
    return [(rows, torch.randint(0, 2, (6,), generator=generator).float()) for rows in ids]


def dense_run(clip: float, weight_decay: float, steps: int) -> tuple[SentimentRNN, list[float]]:
    """What the course would do, with a dense gradient."""
    net = model()
    net.embedding.sparse = False
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=weight_decay)
    norms = []
    for ids, labels in batches(steps):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy(net(ids), labels).backward()
        norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), clip)))
        optimizer.step()
    return net, norms


def our_run(
    clip: float, weight_decay: float, steps: int, catch_up_every: int = 1000
) -> tuple[SentimentRNN, list[float]]:
    net = model()
    optimizer = ClippingAdam(net, lr=0.01, weight_decay=weight_decay, clip=clip)
    norms = []
    for step, (ids, labels) in enumerate(batches(steps), 1):
        optimizer.zero_grad()
        optimizer.read(ids)
        nn.functional.binary_cross_entropy(net(ids), labels).backward()
        norms.append(float(optimizer.step()))
        if step % catch_up_every == 0:
            optimizer.catch_up()
    optimizer.catch_up()
    return net, norms


@pytest.mark.parametrize("clip", [0.05, 100.0])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("block_bytes", [12 * 4 * 7, 2**20])
def test_every_weight_equals_that_of_dense_adam_also_of_words_not_in_the_batch(
    monkeypatch: pytest.MonkeyPatch, clip: float, weight_decay: float, block_bytes: int
) -> None:
    monkeypatch.setattr(vectors, "BLOCK_BYTES", block_bytes)
    dense, dense_norms = dense_run(clip, weight_decay, steps=60)
    ours, our_norms = our_run(clip, weight_decay, steps=60)
    assert our_norms == pytest.approx(dense_norms, rel=1e-4)
    for name, weight in dense.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight, atol=2e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("clip", [0.05, 100.0])
@pytest.mark.parametrize(("catch_up_every", "most_missed"), [(1000, 1000), (1000, 7), (1, 1000), (100, 1000)])
def test_vectors_that_move_when_they_are_read_are_where_dense_adam_has_them(
    monkeypatch: pytest.MonkeyPatch, clip: float, catch_up_every: int, most_missed: int
) -> None:
    monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setattr(vectors, "MOST_MISSED", most_missed)
    dense, dense_norms = dense_run(clip, 0.0, steps=150)
    ours, our_norms = our_run(clip, 0.0, steps=150, catch_up_every=catch_up_every)
    assert our_norms == pytest.approx(dense_norms, rel=1e-3)
    for name, weight in dense.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("length", [1.0, 1e-6, 3e-7, 1e-8], ids="gradients of {}".format)
def test_made_up_moves_are_as_exact_as_those_made_at_once(length: float) -> None:
    """Whichever of eps and the root is the greater: gradients of 3e-7 are where they are about the same."""
    exact = moved(vectors.MovedAtOnce, length, torch.float64)
    at_once = moved(vectors.MovedAtOnce, length, torch.float32)
    when_read = moved(partial(vectors.MovedWhenRead, lr=0.001), length, torch.float32)
    lost = (at_once - exact).abs()
    gone = (when_read - exact).abs()
    assert float(gone.max()) <= 2.5 * float(lost.max()) and float(gone.mean()) <= 5 * float(lost.mean())


def moved(kind: Callable[..., vectors.Vectors], length: float, dtype: torch.dtype) -> torch.Tensor:
    """Where 200 vectors are after 300 steps, of which the first 60 move all at once; words are drawn by Zipf's law."""
    generator = torch.Generator().manual_seed(1)
    state = [torch.randn(200, 16, generator=generator).to(dtype), *torch.zeros(2, 200, 16, dtype=dtype)]
    at_once, later = vectors.MovedAtOnce(*state), kind(*state)
    steps = 0

    def adam_step(*lists: list[torch.Tensor]) -> None:
        made = [torch.full((), float(steps)) for _ in lists[0]]
        adam(
            *lists, [], made, fused=True, amsgrad=False, beta1=vectors.BETA1, beta2=vectors.BETA2, lr=0.001,
            weight_decay=0.0, eps=vectors.EPS, maximize=False,
        )  # fmt: skip

    for steps in range(300):
        mover = at_once if steps < STEPS_AT_ONCE else later
        if steps == STEPS_AT_ONCE:
            later.start(steps)
        token_ids = torch.multinomial(1 / torch.arange(1.0, 201.0), 20, generator=generator)
        words = token_ids.unique()
        mover.read(token_ids)
        mover.step(words, (length * torch.randn(len(words), 16, generator=generator)).to(dtype), adam_step)
    later.catch_up()
    return state[0].double()


def test_words_that_were_met_once_go_on_moving_as_in_dense_adam() -> None:
    net = model()
    optimizer = ClippingAdam(net, lr=0.01, weight_decay=0.0, clip=5.0)
    positions = []
    for word in (5, 9, 9):
        optimizer.zero_grad()
        optimizer.read(torch.tensor([word]))
        net(torch.full((2, 3), word)).sum().backward()
        optimizer.step()
        positions.append(net.embedding.weight[5].clone())
    assert not torch.equal(positions[0], positions[1])
    assert torch.equal(net.embedding.weight[20], model().embedding.weight[20])


def test_the_gradient_of_the_word_vectors_holds_the_words_of_the_batch_only() -> None:
    net = model()
    net(torch.tensor([[3, 4, 4]])).sum().backward()
    assert net.embedding.weight.grad is not None and net.embedding.weight.grad.is_sparse
    assert net.embedding.weight.grad.coalesce().indices().tolist() == [[3, 4]]


def test_a_training_process_never_imports_torchs_compiler() -> None:
    script = """
import sys
from tests.training.test_optimizer import our_run
our_run(clip=1.0, weight_decay=0.01, steps=2)
print("torch._dynamo" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
