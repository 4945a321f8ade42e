"""The optimizer: the numbers of torch's dense Adam and clipping, without a dense gradient."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.training.conftest import VOCAB_SIZE
from tune_sentiment.config import TrainSettings
from tune_sentiment.training import optimizer as module
from tune_sentiment.training.model import SentimentRNN, build_model
from tune_sentiment.training.optimizer import ClippingAdam

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
    adam = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=weight_decay)
    norms = []
    for ids, labels in batches(steps):
        adam.zero_grad()
        nn.functional.binary_cross_entropy(net(ids), labels).backward()
        norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), clip)))
        adam.step()
    return net, norms


def our_run(clip: float, weight_decay: float, steps: int) -> tuple[SentimentRNN, list[float]]:
    net = model()
    adam = ClippingAdam(net, lr=0.01, weight_decay=weight_decay, clip=clip)
    norms = []
    for ids, labels in batches(steps):
        adam.zero_grad()
        nn.functional.binary_cross_entropy(net(ids), labels).backward()
        norms.append(float(adam.step()))
    return net, norms


@pytest.mark.parametrize("clip", [0.05, 100.0])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("block_bytes", [12 * 4 * 7, 2**20])
def test_every_weight_equals_that_of_dense_adam_also_of_words_not_in_the_batch(
    monkeypatch: pytest.MonkeyPatch, clip: float, weight_decay: float, block_bytes: int
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
    dense, dense_norms = dense_run(clip, weight_decay, steps=60)
    ours, our_norms = our_run(clip, weight_decay, steps=60)
    assert our_norms == pytest.approx(dense_norms, rel=1e-4)
    for name, weight in dense.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight, atol=2e-6, rtol=1e-5, msg=name)


def test_words_that_were_met_once_go_on_moving_as_in_dense_adam() -> None:
    net = model()
    adam = ClippingAdam(net, lr=0.01, weight_decay=0.0, clip=5.0)
    positions = []
    for word in (5, 9, 9):
        adam.zero_grad()
        net(torch.full((2, 3), word)).sum().backward()
        adam.step()
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
