"""The network: shapes, padding, readouts, and the bidirectional LSTM."""

import pytest
import torch
from torch import nn

from tune_sentiment.config import TrainSettings
from tune_sentiment.training.model import SentimentRNN, build_model, quick_dropout

REVIEWS = [[5, 9, 2, 7], [3, 8], [4, 4, 4, 6, 1, 2, 9]]


def left_padded(reviews: list[list[int]], length: int) -> torch.Tensor:
    return torch.tensor([[0] * (length - len(review)) + review for review in reviews], dtype=torch.int32)


def small(**settings: object) -> SentimentRNN:
    torch.manual_seed(0)
    chosen = {"embedding_dim": 6, "hidden_dim": 5, "n_layers": 2, **settings}
    return build_model(TrainSettings(**chosen), vocab_size=12).eval()


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_and_the_rest_of_the_batch_do_not_change_a_reviews_probability(
    pooling: str, bidirectional: bool
) -> None:
    model = small(pooling=pooling, bidirectional=bidirectional)
    together = model(left_padded(REVIEWS, 7))
    wider = model(left_padded(REVIEWS, 30))
    alone = torch.cat([model(left_padded([review], len(review))) for review in REVIEWS])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    torch.testing.assert_close(wider, alone, atol=1e-6, rtol=0)


def test_a_batch_of_one_keeps_its_batch_axis() -> None:
    assert small()(left_padded([[1, 2]], 2)).shape == (1,)


def test_probabilities_are_float32_between_0_and_1() -> None:
    probabilities = small()(left_padded(REVIEWS, 7))
    assert probabilities.dtype == torch.float32
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_an_empty_review_gets_a_probability() -> None:
    assert torch.isfinite(small()(left_padded([[], [1]], 4))).all()


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_bidirectional_lstm_equals_packed_sequences(n_layers: int) -> None:
    model = small(bidirectional=True, n_layers=n_layers, pooling="mean")
    lengths = torch.tensor([len(review) for review in REVIEWS])
    rows = torch.tensor([review + [0] * (7 - len(review)) for review in REVIEWS])
    packed = nn.utils.rnn.pack_padded_sequence(model.embedding(rows), lengths, batch_first=True, enforce_sorted=False)
    output, _ = nn.utils.rnn.pad_packed_sequence(model.lstm(packed)[0], batch_first=True)
    expected = torch.sigmoid(model.linear(output.sum(dim=1) / lengths[:, None])[:, 0])
    torch.testing.assert_close(model(left_padded(REVIEWS, 7)), expected, atol=1e-6, rtol=0)


def test_the_last_readout_of_both_directions_equals_the_final_states_of_packed_sequences() -> None:
    model = small(bidirectional=True, n_layers=1)
    lengths = torch.tensor([len(review) for review in REVIEWS])
    rows = torch.tensor([review + [0] * (7 - len(review)) for review in REVIEWS])
    packed = nn.utils.rnn.pack_padded_sequence(model.embedding(rows), lengths, batch_first=True, enforce_sorted=False)
    _, (hidden, _) = model.lstm(packed)
    expected = torch.sigmoid(model.linear(torch.cat([hidden[0], hidden[1]], dim=1))[:, 0])
    torch.testing.assert_close(model(left_padded(REVIEWS, 7)), expected, atol=1e-6, rtol=0)


def test_gradients_reach_every_parameter_of_the_bidirectional_lstm() -> None:
    model = small(bidirectional=True).train()
    model(left_padded(REVIEWS, 7)).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.lstm.parameters())


def test_the_course_reads_padding_and_so_depends_on_its_amount() -> None:
    model = small(carry_hidden=True)
    assert (model(left_padded(REVIEWS, 7)) - model(left_padded(REVIEWS, 30))).abs().max() > 1e-4


def test_a_smaller_last_batch_takes_the_first_rows_of_the_carried_state() -> None:
    model = small(carry_hidden=True)
    _, hidden = model.forward_carried(left_padded(REVIEWS, 7), None)
    fewer, _ = model.forward_carried(left_padded(REVIEWS[:2], 7), hidden)
    same, _ = model.forward_carried(left_padded(REVIEWS, 7), hidden)
    torch.testing.assert_close(fewer, same[:2], atol=1e-6, rtol=0)


def test_unknown_words_are_silent_before_training() -> None:
    assert (small().embedding.weight[-1] == 0).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_dropout_silences_its_share_keeps_the_mean_and_follows_the_seed(share: float) -> None:
    values = torch.full((101, 99, 3), 2.0, requires_grad=True)
    torch.manual_seed(4)
    dropped = quick_dropout(values, share)
    torch.manual_seed(4)
    assert torch.equal(quick_dropout(values, share), dropped)
    assert float((dropped == 0).float().mean()) == pytest.approx(share, abs=0.015)
    assert float(dropped.mean()) == pytest.approx(2.0, rel=0.05)
    dropped.sum().backward()
    assert torch.equal(values.grad == 0, dropped == 0)


def test_dropout_between_layers_is_for_training_only() -> None:
    model = small(n_layers=2, output_dropout=0.0)
    ids = left_padded(REVIEWS, 7)
    assert torch.equal(model(ids), model(ids))
    assert not torch.equal(model.train()(ids), model(ids))
