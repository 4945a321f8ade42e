"""The course's sentiment LSTM: embedding, LSTM, readout, linear layer, sigmoid."""

from typing import Literal

import torch
from torch import Tensor, nn

from tune_sentiment.config import TrainSettings

Hidden = tuple[Tensor, Tensor]
"""The LSTM's state: (hidden, cell), each float32 (n_layers, batch, hidden_dim)."""

BFLOAT16_TILE = 8
"""Odd sizes make bfloat16 slower than float32; up to the next multiple of this, twice as fast."""


class SentimentRNN(nn.Module):
    """Read a batch of reviews and return the probability that each is positive.

    Reviews come left-padded with 0. Padding is skipped, not read: a review's probability depends on its own
    words only, never on the batch it came in. `forward_carried` is the course's own way, which reads padding
    as a word and hands the state of one batch to the next.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        n_layers: int,
        dropout: float = 0.5,
        output_dropout: float = 0.3,
        pooling: Literal["last", "mean", "max"] = "last",
        bidirectional: bool = False,
        read_padding: bool = False,
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        """Make the network with freshly drawn weights.

        `vocab_size` counts padding (id 0), the words (ids from 1) and `<unk>` (the last id). `read_padding` makes
        padding a word like any other, as in the course; all reviews must then be padded to the same length.
        `precision` is that of the LSTM's matrix products in training; weights, and all of evaluation, are float32.
        """
        super().__init__()
        self.pooling = pooling
        self.read_padding = read_padding
        self.precision = precision
        # Sparse: its gradient holds the words of the batch, not the whole vocabulary.
        self.embedding = nn.Embedding(vocab_size, embedding_dim, sparse=True)
        self.lstm = nn.LSTM(
            embedding_dim,
            hidden_dim,
            n_layers,
            dropout=dropout if n_layers > 1 else 0.0,
            batch_first=True,
            bidirectional=bidirectional,
        )
        self.dropout = nn.Dropout(output_dropout)
        self.linear = nn.Linear(hidden_dim * (2 if bidirectional else 1), 1)
        with torch.no_grad():
            # Training never meets <unk>, so its vector would stay the noise it was drawn as: silence it.
            self.embedding.weight[-1].zero_()

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return the probability of "positive", float32 (batch,).

        token_ids: int32 or int64 (batch, length), left-padded with 0; a row of padding alone counts as one word.
        """
        if self.read_padding:
            return self.forward_carried(token_ids, None)[0]
        length = token_ids.shape[1]
        positions = torch.arange(length, device=token_ids.device)
        num_words = (token_ids != 0).sum(dim=1).clamp(min=1)  # (batch,)
        # Words first, padding after them: the LSTM then meets a review's words from its zero state, and what it
        # makes of the padding afterwards is never looked at.
        order = (positions + (length - num_words)[:, None]) % length
        # Time first, as the LSTM works: batch first, it would copy its input and its output, and their gradients.
        embedded = self.embedding(torch.gather(token_ids, 1, order).t())  # (length, batch, embedding_dim)
        with self._in_training_precision():
            output = self._read(embedded, num_words)
        return self._classify(self._readout(output, num_words))

    def forward_carried(self, token_ids: Tensor, hidden: Hidden | None) -> tuple[Tensor, Hidden]:
        """Read padding as a word, starting from `hidden`: the course's forward pass.

        Returns: the probabilities, float32 (batch,), and the state after the last step, detached. A batch smaller
        than the one before takes the first rows of its state.
        """
        if hidden is not None and hidden[0].shape[1] != token_ids.shape[0]:
            hidden = (hidden[0][:, : len(token_ids)].contiguous(), hidden[1][:, : len(token_ids)].contiguous())
        with self._in_training_precision():
            output, (last_hidden, last_cell) = self.lstm(self.embedding(token_ids), hidden)
        return self._classify(output[:, -1].float()), (last_hidden.detach().float(), last_cell.detach().float())

    def _in_training_precision(self) -> torch.autocast:
        # Measuring is always float32, so that a loss is the same wherever the model is loaded.
        wanted = self.precision == "bfloat16" and self.training
        return torch.autocast(self.linear.weight.device.type, torch.bfloat16, enabled=wanted)

    def _readout(self, output: Tensor, num_words: Tensor) -> Tensor:
        if self.pooling == "last":
            rows = torch.arange(output.shape[1], device=output.device)
            if not self.lstm.bidirectional:
                return output[num_words - 1, rows].float()  # (batch, hidden_dim)
            forwards, backwards = output.chunk(2, dim=2)
            return torch.cat([forwards[num_words - 1, rows], backwards[0]], dim=1).float()  # (batch, 2 * hidden_dim)
        output = output.float()
        is_word = torch.arange(len(output), device=output.device)[:, None] < num_words  # (length, batch)
        if self.pooling == "mean":
            return (output * is_word[:, :, None]).sum(dim=0) / num_words[:, None]
        return output.masked_fill(~is_word[:, :, None], float("-inf")).amax(dim=0)

    def _classify(self, features: Tensor) -> Tensor:
        # `[:, 0]` rather than `squeeze()`, which would lose the batch axis of a batch of one.
        return torch.sigmoid(self.linear(self.dropout(features))[:, 0])

    def _read(self, embedded: Tensor, num_words: Tensor) -> Tensor:
        """Return the LSTM's output, (length, batch, hidden_dim or twice that), reviews read from their first word.

        Layer by layer, with a dropout in between that costs a fifth of `nn.LSTM`'s. There the backward direction would
        start in the padding, and packed sequences are several times slower on the CPU, so it reads turned reviews.
        """
        lstm = self.lstm
        if embedded.is_cuda and not lstm.bidirectional:
            whole: Tensor = lstm(embedded.transpose(0, 1))[0]  # cuDNN runs its layers side by side
            return whole.transpose(0, 1)
        if lstm.bidirectional:
            positions = torch.arange(len(embedded), device=embedded.device)[:, None]
            turned = (num_words - 1 - positions) % len(embedded)  # (length, batch), its own inverse
        layer_input = embedded
        for layer in range(lstm.num_layers):
            if layer > 0 and self.training:
                layer_input = quick_dropout(layer_input, lstm.dropout)
            output = self._run_direction(layer_input, f"l{layer}")
            if lstm.bidirectional:
                backwards = self._run_direction(_reorder(layer_input, turned), f"l{layer}_reverse")
                output = torch.cat([output, _reorder(backwards, turned)], dim=2)
            layer_input = output
        return layer_input

    def _run_direction(self, layer_input: Tensor, suffix: str) -> Tensor:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(self.lstm, f"{name}_{suffix}") for name in names]
        hidden_dim = self.lstm.hidden_size
        if torch.is_autocast_enabled(layer_input.device.type):
            layer_input, weights = _in_whole_tiles(layer_input, weights)
        zeros = layer_input.new_zeros(1, layer_input.shape[1], weights[1].shape[1])
        output: Tensor = torch.lstm(layer_input, (zeros, zeros), weights, True, 1, 0.0, self.training, False, False)[0]
        return output[:, :, :hidden_dim]


def _in_whole_tiles(layer_input: Tensor, weights: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return both with zeros added, so that input and state are multiples of BFLOAT16_TILE long.

    A state that is added stays 0 and touches no other: its candidate is tanh(0), and its weights are 0.
    """
    input_dim, hidden_dim = weights[0].shape[1], weights[1].shape[1]
    more_input, more_hidden = -input_dim % BFLOAT16_TILE, -hidden_dim % BFLOAT16_TILE
    if more_input:  # torch would copy where there is nothing to add
        layer_input = nn.functional.pad(layer_input, (0, more_input))
    if not (more_input or more_hidden):
        return layer_input, weights
    padded = []
    for weight, more_columns in zip(weights, (more_input, more_hidden, 0, 0), strict=True):
        gates = weight.view(4, hidden_dim, -1)
        padded.append(nn.functional.pad(gates, (0, more_columns, 0, more_hidden)).flatten(0, 1))
    biases = [bias.flatten() for bias in padded[2:]]
    return layer_input, [*padded[:2], *biases]


def build_model(settings: TrainSettings, vocab_size: int) -> SentimentRNN:
    """Return the network that `settings` describe, its weights drawn from torch's global generator.

    A precision that is still `auto` is float32 here: `training.precision` decides it at the start of a run.
    """
    return SentimentRNN(
        vocab_size=vocab_size,
        embedding_dim=settings.embedding_dim,
        hidden_dim=settings.hidden_dim,
        n_layers=settings.n_layers,
        dropout=settings.dropout,
        output_dropout=settings.output_dropout,
        pooling=settings.pooling,
        bidirectional=settings.bidirectional,
        read_padding=settings.carry_hidden,
        precision="bfloat16" if settings.precision == "bfloat16" else "float32",
    )


def quick_dropout(values: Tensor, share: float) -> Tensor:
    """Return `values` with about `share` of them set to 0 and the rest made larger, as `nn.functional.dropout` does.

    Drawn with 16 random bits a value, so `share` is kept to within 1/131072, and from torch's global generator.
    """
    dropped = round(share * 2**16)
    if dropped == 0:
        return values
    draws = -(-values.numel() // 4)
    bits = torch.empty(draws, dtype=torch.int64, device=values.device).random_(-(2**63), None)
    kept = bits.view(torch.int16)[: values.numel()].view(values.shape) >= dropped - 2**15
    return values * kept.to(values.dtype).mul_(2**16 / (2**16 - dropped))


def _reorder(sequences: Tensor, order: Tensor) -> Tensor:
    return torch.gather(sequences, 0, order[:, :, None].expand(-1, -1, sequences.shape[2]))
