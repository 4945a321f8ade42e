"""Reviews so simple that a tiny model learns them in a second."""

import numpy as np

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split
from tune_sentiment.data.vocabulary import Vocabulary, tokenize

GOOD = ("good", "great", "superb", "lovely")
BAD = ("bad", "awful", "dull", "boring")
NEUTRAL = ("a", "the", "film", "story", "with", "actors", "is", "was")

SETTINGS = TrainSettings(embedding_dim=6, hidden_dim=8, n_layers=1, lr=0.02, epochs=8, batch_size=20, seq_length=12)


def made_up_reviews(count: int, seed: int) -> list[tuple[str, int]]:
    """Return reviews of 3 to 16 words with one word of praise or blame each, and their labels."""
    generator = np.random.default_rng(seed)
    reviews = []
    for _ in range(count):
        label = int(generator.integers(2))
        words = [str(word) for word in generator.choice(NEUTRAL, size=generator.integers(2, 16))]
        words.insert(int(generator.integers(min(len(words), 8))), str(generator.choice(GOOD if label else BAD)))
        reviews.append((" ".join(words), label))
    return reviews


def encoded(reviews: list[tuple[str, int]], vocabulary: Vocabulary) -> Split:
    """Return reviews as a split."""
    rows = [vocabulary.encode(tokenize(text)) for text, _ in reviews]
    offsets = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)
    return Split(np.concatenate(rows), offsets, np.array([label for _, label in reviews], dtype=np.int8))
