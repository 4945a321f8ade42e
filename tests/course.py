"""A plain transcription of the course's loop, kept as it was taught: parity tests and benchmarks compare with it."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class CourseRNN(nn.Module):
    """The course's SentimentRNN: padding is read as a word, the hidden state comes from outside."""

    def __init__(
        self,
        vocab_size: int,
        output_size: int,
        embedding_dim: int,
        hidden_dim: int,
        n_layers: int,
        drop_prob: float = 0.5,
        output_drop_prob: float = 0.3,
    ) -> None:
        super().__init__()
        self.n_layers = n_layers
        self.hidden_dim = hidden_dim
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(
            embedding_dim, hidden_dim, n_layers, dropout=drop_prob if n_layers > 1 else 0.0, batch_first=True
        )
        self.dropout = nn.Dropout(output_drop_prob)
        self.fc = nn.Linear(hidden_dim, output_size)
        self.sig = nn.Sigmoid()

    def forward(
        self, x: torch.Tensor, hidden: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        batch_size = x.size(0)
        lstm_out, hidden = self.lstm(self.embedding(x.long()), hidden)
        lstm_out = lstm_out.contiguous().view(-1, self.hidden_dim)
        out = self.sig(self.fc(self.dropout(lstm_out)))
        return out.view(batch_size, -1)[:, -1], hidden

    def init_hidden(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        weight = next(self.parameters()).data
        shape = (self.n_layers, batch_size, self.hidden_dim)
        return weight.new(*shape).zero_(), weight.new(*shape).zero_()


def loader(features: np.ndarray, labels: np.ndarray, batch_size: int, shuffle: bool) -> DataLoader:
    """Batches of int64 (batch_size, seq_length) and their labels, the ragged last one dropped: it would break."""
    data = TensorDataset(torch.from_numpy(features.astype(np.int64)), torch.from_numpy(labels))
    return DataLoader(data, shuffle=shuffle, batch_size=batch_size, drop_last=True)


def course_loop(
    net: CourseRNN,
    train_loader: DataLoader,
    valid_loader: DataLoader | None,
    *,
    lr: float = 0.001,
    clip: float = 5,
    epochs: int = 4,
    batch_size: int = 50,
    print_every: int = 100,
) -> Iterator[tuple[int, float, float | None]]:
    """Yield (step, loss of the batch, validation loss or None) at every step, as the notebook computes them."""
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    counter = 0
    net.train()
    for _ in range(epochs):
        h = net.init_hidden(batch_size)
        for inputs, labels in train_loader:
            counter += 1
            h = tuple(each.data for each in h)
            net.zero_grad()
            output, h = net(inputs, h)
            loss = criterion(output.squeeze(), labels.float())
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()

            val_loss = None
            if valid_loader is not None and counter % print_every == 0:
                val_h = net.init_hidden(batch_size)
                val_losses = []
                net.eval()
                for val_inputs, val_labels in valid_loader:
                    val_h = tuple(each.data for each in val_h)
                    val_output, val_h = net(val_inputs, val_h)
                    val_losses.append(criterion(val_output.squeeze(), val_labels.float()).item())
                net.train()
                val_loss = float(np.mean(val_losses))
            yield counter, loss.item(), val_loss
