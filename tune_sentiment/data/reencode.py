"""Encode a source with the vocabulary of a model that was trained on another."""

from typing import Literal, Unpack

import numpy as np

from tune_sentiment.data.dataset import SPLIT_NAMES, Split, assemble, split_reviews
from tune_sentiment.data.encoding import encode
from tune_sentiment.data.formats import SourceOptions, open_source
from tune_sentiment.data.vocabulary import Vocabulary

SplitName = Literal["all", "train", "validation", "test"]


def encode_with(
    source: str, vocabulary: Vocabulary, split: SplitName, *, split_seed: int = 0, **options: Unpack[SourceOptions]
) -> Split:
    """Return the labelled reviews of `source`, or those of one of its splits, as ids of `vocabulary`.

    options: of `open_source`.

    Raises:
        DataError: if `source` does not hold labelled reviews, or, for a split, not enough of both classes.
    """
    opened = open_source(source, **options)
    encoded = encode(opened)
    if split == "all":
        members = np.flatnonzero(encoded.labels >= 0)
    else:
        members = split_reviews(encoded, split_seed, opened.place)[0][SPLIT_NAMES.index(split)]
    ids = {word: number for number, word in enumerate(vocabulary.words, start=1)}
    final_ids = np.array([ids.get(word, vocabulary.unknown_id) for word in encoded.words], dtype=np.int32)
    return assemble(encoded, [members], final_ids)[0]
