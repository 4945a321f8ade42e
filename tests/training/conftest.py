"""A small corpus of word ids whose labels can be learned."""

import numpy as np
import pytest

from tune_sentiment.data.dataset import Split
from tune_sentiment.training.loop import TrainingData
from tune_sentiment.training.precision import trains_in_bfloat16

VOCAB_SIZE = 60
NEEDS_BFLOAT16 = pytest.mark.skipif(not trains_in_bfloat16("cpu"), reason="no bfloat16 LSTM on this processor")


def make_split(num_reviews: int, seed: int) -> Split:
    """Reviews of 3 to 20 random words; a review is positive if it holds more words below 30 than above."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 21, num_reviews)
    rows = [generator.integers(1, VOCAB_SIZE - 1, length) for length in lengths]
    labels = np.array([(row < 30).mean() > 0.5 for row in rows], dtype=np.int8)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Split(np.concatenate(rows).astype(np.int32), offsets, labels)


@pytest.fixture
def data() -> TrainingData:
    return TrainingData(make_split(230, seed=1), make_split(70, seed=2), VOCAB_SIZE)
