"""Turn a source of reviews into three splits of word ids, and splits into left-padded batches."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from tune_sentiment.data.cache import Entry, fetch, find_entry, keep
from tune_sentiment.data.encoding import EncodedReviews, encode, number_words
from tune_sentiment.data.formats import SourceOptions, open_source
from tune_sentiment.data.reviews import Source, counted
from tune_sentiment.data.vocabulary import PADDING_ID, Vocabulary
from tune_sentiment.errors import DataError

HELD_OUT_SHARE = 0.1
"""Of the reviews, for validation, and again for the test where the source has no test split of its own."""
MIN_REVIEWS_PER_CLASS = 10
"""With fewer, a split of a tenth could be left without one of the two classes."""

SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Reviews of different lengths, one after the other, without padding."""

    token_ids: NDArray[np.int32]
    """The word ids of all reviews, (num_tokens,)."""
    offsets: NDArray[np.int64]
    """Review i is token_ids[offsets[i]:offsets[i + 1]], (num_reviews + 1,)."""
    labels: NDArray[np.int8]
    """0 negative, 1 positive, (num_reviews,)."""

    def __len__(self) -> int:
        """Return the number of reviews."""
        return len(self.labels)

    def lengths(self, seq_length: int) -> NDArray[np.int32]:
        """Return the words of each review after the cut to its first `seq_length`, int32 (num_reviews,)."""
        return np.minimum(np.diff(self.offsets), seq_length).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Everything that training needs to know of a source."""

    name: str
    generated: bool
    """Whether the reviews were made up by this program."""
    vocabulary: Vocabulary
    """The words of the training split."""
    train: Split
    validation: Split
    test: Split
    fingerprint: str
    """SHA-256, in hexadecimal, over the words, ids, lengths and labels of the three splits."""
    problems: tuple[str, ...]
    """What was odd about the source, a sentence each."""
    official_test: bool
    """Whether the test split is the source's own."""

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return dict(zip(SPLIT_NAMES, (self.train, self.validation, self.test), strict=True))


def left_pad(split: Split, indices: NDArray[np.int64], seq_length: int, length: int | None = None) -> NDArray[np.int32]:
    """Return the reviews `indices` (n,) as int32 (n, length): the first `seq_length` words each, 0 before them.

    `length` is by default that of the longest of them after the cut, at least 1.

    Raises:
        ValueError: if one of them is longer than `length`.
    """
    starts = split.offsets[indices]
    lengths = np.minimum(split.offsets[indices + 1] - starts, seq_length)
    longest = int(lengths.max(initial=1))
    if length is None:
        length = longest
    elif length < longest:
        raise ValueError(f"length={length} is less than the longest review's {longest} words")
    batch = np.full((len(indices), length), PADDING_ID, dtype=np.int32)
    # Copying row by row beats every way of doing it at once with an index or a mask as large as the batch.
    token_ids = split.token_ids
    for row, start, words in zip(batch, starts.tolist(), lengths.tolist(), strict=True):
        row[length - words :] = token_ids[start : start + words]
    return batch


def load_dataset(source: str, *, split_seed: int = 0, **options: Unpack[SourceOptions]) -> Dataset:
    """Read, number and split the reviews of `source`.

    The split is stratified: 80 % training, 10 % validation, 10 % test; a source with a test split of its own keeps it,
    and its training half is split 90 to 10. The same reviews give the same dataset on every machine.

    Args:
        source: see `open_source`, as for `options`.
        split_seed: another seed gives another split, 0 to 2**32 - 1.
        options: how the source is read.

    Raises:
        DataError: if `source` does not hold labelled reviews, enough of both classes.
    """
    if not 0 <= split_seed < 2**32:
        raise DataError(f"the seed of the split must be from 0 to 2**32 - 1: got {split_seed}: give another.")
    opened = open_source(source, **options)
    columns = {"text": options.get("text_column"), "label": options.get("label_column")}
    entry = find_entry(opened.paths, {"name": opened.name, **columns, "seed": split_seed}, options.get("cache_folder"))
    dataset = None if entry is None else _kept(entry)
    if dataset is None:
        dataset = _read(opened, split_seed)
        if entry is not None:
            _keep(entry, dataset)
    return dataset


def _read(opened: Source, split_seed: int) -> Dataset:
    encoded = encode(opened)
    members, official_test = split_reviews(encoded, split_seed, opened.place)
    is_training = np.zeros(len(encoded.labels), dtype=np.bool_)
    is_training[members[0]] = True
    vocabulary, final_ids = number_words(encoded, is_training)
    train, validation, test = assemble(encoded, members, final_ids)
    problems = encoded.problems
    if leaked := num_leaked(train, validation, test):
        problems = [*problems, f"Found {counted(leaked)} of the validation or test split in the training split too."]
    return Dataset(
        name=opened.name,
        generated=opened.generated,
        vocabulary=vocabulary,
        train=train,
        validation=validation,
        test=test,
        fingerprint=_fingerprint(vocabulary, (train, validation, test)),
        problems=tuple(problems),
        official_test=official_test,
    )


def split_reviews(encoded: EncodedReviews, seed: int, place: str) -> tuple[list[NDArray[np.int64]], bool]:
    """Return the numbers of the training, validation and test reviews, and whether the test split is the source's own.

    Raises:
        DataError: if a split would have to do without one of the classes.
    """
    from sklearn.model_selection import train_test_split

    def hold_out(reviews: NDArray[np.int64], num_held_out: int) -> list[NDArray[np.int64]]:
        parts = train_test_split(
            np.arange(len(reviews)), test_size=num_held_out, stratify=encoded.labels[reviews], random_state=seed
        )
        return [reviews[np.sort(part)] for part in parts]

    # By key, so that the order in which files were packed or listed changes nothing.
    order = np.array(sorted(range(len(encoded.keys)), key=encoded.keys.__getitem__), dtype=np.int64)
    order = order[encoded.labels[order] >= 0]
    own_test = encoded.is_test[order]
    for_training, test = order[~own_test], order[own_test]
    _refuse_few(encoded.labels[for_training], MIN_REVIEWS_PER_CLASS, place)
    num_held_out = round(len(for_training) * HELD_OUT_SHARE)
    if official_test := bool(len(test)):
        _refuse_few(encoded.labels[test], 1, f"the test split of {place}")
    else:
        for_training, test = hold_out(for_training, num_held_out)
    train, validation = hold_out(for_training, num_held_out)
    return [train, validation, test], official_test


def num_leaked(train: Split, validation: Split, test: Split) -> int:
    """Return how many reviews of the validation and the test split are those of the training split, word for word."""
    known = set(review_hashes(train))
    return sum(review in known for split in (validation, test) for review in review_hashes(split))


def review_hashes(split: Split) -> list[int]:
    """Return a number for each review that equal reviews share; it changes from process to process."""
    offsets = split.offsets.tolist()
    return [hash(split.token_ids[start:end].tobytes()) for start, end in pairwise(offsets)]


def _refuse_few(labels: NDArray[np.int8], needed: int, place: str) -> None:
    num_positive = int(np.count_nonzero(labels))
    num_negative = len(labels) - num_positive
    if min(num_positive, num_negative) < needed:
        raise DataError(
            f"reviews of both classes are needed, at least {needed} of each: {place} has {num_positive:,} positive and "
            f"{num_negative:,} negative: add more."
        )


def assemble(
    encoded: EncodedReviews, members: Sequence[NDArray[np.int64]], final_ids: NDArray[np.int32]
) -> list[Split]:
    """Return a Split of each of `members`, in their order; the chunks of `encoded` are used up to save memory."""
    split_of = np.full(len(encoded.labels), -1, dtype=np.int8)
    target = np.zeros(len(encoded.labels), dtype=np.int64)
    splits = []
    for number, reviews in enumerate(members):
        offsets = np.zeros(len(reviews) + 1, dtype=np.int64)
        np.cumsum(encoded.lengths[reviews], out=offsets[1:])
        split_of[reviews], target[reviews] = number, offsets[:-1]
        splits.append(Split(np.empty(offsets[-1], dtype=np.int32), offsets, encoded.labels[reviews]))
    while encoded.chunks:
        chunk = encoded.chunks.pop()
        token_ids = final_ids[chunk.token_ids]
        here = slice(chunk.first, chunk.end)
        start = 0
        for number, place, words in zip(
            split_of[here].tolist(), target[here].tolist(), encoded.lengths[here].tolist(), strict=True
        ):
            if number >= 0:
                splits[number].token_ids[place : place + words] = token_ids[start : start + words]
            start += words
    return splits


_ARRAYS = (("token_ids", "<i4"), ("offsets", "<i8"), ("labels", "i1"))
"""Of a split in the cache, in this order; the words come before all splits."""


def _keep(entry: Entry, dataset: Dataset) -> None:
    facts = {name: getattr(dataset, name) for name in ("name", "generated", "official_test", "problems", "fingerprint")}
    arrays = [np.frombuffer("\n".join(dataset.vocabulary.words).encode(), dtype=np.uint8)]
    for split in dataset.splits.values():
        arrays += [getattr(split, name).astype(kind, copy=False) for name, kind in _ARRAYS]
    keep(entry, facts, arrays)


def _kept(entry: Entry) -> Dataset | None:
    """Return what `_keep` was given, or None if it is not there."""
    content = fetch(entry, ("u1", *[kind for _, kind in _ARRAYS] * len(SPLIT_NAMES)))
    if content is None:
        return None
    facts, (words, *arrays) = content
    train, validation, test = (Split(*arrays[start : start + 3]) for start in range(0, len(arrays), 3))
    return Dataset(
        vocabulary=Vocabulary(tuple(words.tobytes().decode().split("\n"))),
        train=train,
        validation=validation,
        test=test,
        **{**facts, "problems": tuple(facts["problems"])},
    )


def _fingerprint(vocabulary: Vocabulary, splits: Sequence[Split]) -> str:
    digest = hashlib.sha256("\n".join(vocabulary.words).encode())
    for name, split in zip(SPLIT_NAMES, splits, strict=True):
        digest.update(f"\n{name} {len(split)}\n".encode())
        digest.update(split.token_ids.astype("<i4", copy=False).data)
        digest.update(split.offsets.astype("<i8", copy=False).data)
        digest.update(split.labels.data)
    return digest.hexdigest()
