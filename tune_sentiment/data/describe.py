"""Describe a source of reviews in numbers: classes, lengths, words, duplicates and problems."""

import time
from dataclasses import asdict, dataclass
from typing import Any, Unpack

import numpy as np

from tune_sentiment.data.dataset import Dataset, Split, load_dataset, review_hashes
from tune_sentiment.data.formats import SourceOptions

PERCENTILES = (1, 5, 25, 50, 75, 95, 99, 100)
"""100 is the longest review."""


@dataclass(frozen=True)
class SplitDescription:
    """What one split holds."""

    positive: int
    """Reviews."""
    negative: int
    """Reviews."""
    words: int
    """Words in all reviews together."""
    unknown_share: float
    """Of `words`, those that the training split does not have, 0 to 1."""
    repeated: int
    """Reviews that say, word for word, what an earlier one of the same split says."""
    in_training: int
    """Reviews that the training split has too, word for word (0 for the training split itself)."""


@dataclass(frozen=True)
class Description:
    """What a source holds once it is read, numbered and split."""

    name: str
    generated: bool
    """Whether the reviews were made up by this program."""
    official_test: bool
    """Whether the test split is the source's own."""
    splits: dict[str, SplitDescription]
    """By name: train, validation, test."""
    length_percentiles: dict[int, int]
    """Words per review, over all splits: at least so many percent have at most so many words."""
    vocabulary_size: int
    """Word ids: padding, the words of the training split and `<unk>`."""
    words_seen_once: int
    """Words that stand in the training split a single time."""
    problems: tuple[str, ...]
    """What was odd about the source, a sentence each."""
    fingerprint: str
    seconds: float
    """Taken to read, number and split."""

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, fit for JSON."""
        plain = asdict(self)
        plain["length_percentiles"] = {str(percent): words for percent, words in self.length_percentiles.items()}
        plain["problems"] = list(self.problems)
        return plain


def describe(source: str, *, split_seed: int = 0, **options: Unpack[SourceOptions]) -> Description:
    """Read `source` as `load_dataset` does, with the same options, and describe it.

    Raises:
        DataError: as `load_dataset`.
    """
    started = time.perf_counter()
    dataset = load_dataset(source, split_seed=split_seed, **options)
    return describe_dataset(dataset, time.perf_counter() - started)


def describe_dataset(dataset: Dataset, seconds: float) -> Description:
    """Describe what was loaded in `seconds`."""
    training_hashes = set(review_hashes(dataset.train))
    lengths = np.concatenate([np.diff(split.offsets) for split in dataset.splits.values()])
    # "higher" names a length that some review has, so that a seq_length can be chosen by it.
    percentiles = np.percentile(lengths, PERCENTILES, method="higher").tolist()
    counts = np.bincount(dataset.train.token_ids)
    return Description(
        name=dataset.name,
        generated=dataset.generated,
        official_test=dataset.official_test,
        splits={
            name: _describe_split(split, dataset.vocabulary.unknown_id, training_hashes if name != "train" else set())
            for name, split in dataset.splits.items()
        },
        length_percentiles=dict(zip(PERCENTILES, map(int, percentiles), strict=True)),
        vocabulary_size=dataset.vocabulary.size,
        words_seen_once=int(np.count_nonzero(counts == 1)),
        problems=dataset.problems,
        fingerprint=dataset.fingerprint,
        seconds=seconds,
    )


def _describe_split(split: Split, unknown_id: int, training_hashes: set[int]) -> SplitDescription:
    hashes = review_hashes(split)
    num_positive = int(np.count_nonzero(split.labels))
    return SplitDescription(
        positive=num_positive,
        negative=len(split) - num_positive,
        words=len(split.token_ids),
        unknown_share=float(np.mean(split.token_ids == unknown_id)),
        repeated=len(hashes) - len(set(hashes)),
        in_training=sum(review in training_hashes for review in hashes),
    )
