"""Number the words of a stream of reviews: one pass over the text, one over the words."""

from array import array
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tune_sentiment.data.labels import MAX_SPELLINGS, classify
from tune_sentiment.data.reviews import MAX_REVIEW_CHARS, Source, counted, listed, too_long
from tune_sentiment.data.vocabulary import MAX_FILE_BYTES, MAX_WORDS, Vocabulary, tokenize
from tune_sentiment.errors import DataError

_CHUNK_TOKENS = 10_000_000
"""Tokens that are numbered before they are set aside: 40 MB, so that freeing a chunk gives it back to the system."""

_MAX_LABEL_CHARS = 100


class Chunk(NamedTuple):
    """Some consecutive reviews, as provisional word ids."""

    token_ids: NDArray[np.int32]
    first: int
    """The number of its first review."""
    end: int
    """The number after that of its last review."""


@dataclass
class EncodedReviews:
    """Reviews as provisional word ids, numbered by first appearance, in the order of the source."""

    words: list[str]
    """Word i has the provisional id i."""
    chunks: list[Chunk]
    lengths: NDArray[np.int32]
    """Words per review, (num_reviews,), at least 1."""
    labels: NDArray[np.int8]
    """0 negative, 1 positive, -1 neither, (num_reviews,)."""
    is_test: NDArray[np.bool_]
    """Whether the review is of the source's own test split, (num_reviews,)."""
    keys: list[str]
    """What reviews of unordered files are sorted by."""
    problems: list[str]


class _Numbers(dict[str, int]):
    """Numbers each new key with the count of keys before it."""

    num_chars = 0
    """Characters of all keys together."""

    def __missing__(self, key: str) -> int:
        self[key] = number = len(self)
        self.num_chars += len(key)
        return number


def encode(source: Source) -> EncodedReviews:
    """Read `source` to its end and return its reviews in numbers; those without a word are left out.

    Raises:
        DataError: if nothing can be read, a review is too long, or a label is missing or unknown.
    """
    word_numbers, spellings = _Numbers(), _Numbers()
    number_of = word_numbers.__getitem__
    tokens, lengths, labels = array("i"), array("i"), array("i")
    is_test = bytearray()
    keys: list[str] = []
    chunks: list[Chunk] = []
    first = num_empty = 0
    for text, label, of_test, key in source.reviews:
        if len(text) > MAX_REVIEW_CHARS:
            raise too_long(f"one in {source.place}")
        words = tokenize(text)
        if not words:
            num_empty += 1
            continue
        tokens.extend(map(number_of, words))
        lengths.append(len(words))
        labels.append(spellings[label[:_MAX_LABEL_CHARS].strip()])
        is_test.append(of_test)
        keys.append(key)
        if len(tokens) > _CHUNK_TOKENS:
            chunks.append(Chunk(np.array(tokens, dtype=np.int32), first, len(lengths)))
            tokens, first = array("i"), len(lengths)
        if len(word_numbers) > MAX_WORDS or word_numbers.num_chars > MAX_FILE_BYTES:
            raise DataError(
                f"reviews must be of words that recur, at most {MAX_WORDS:,} different ones in {MAX_FILE_BYTES:,} "
                f"characters: {source.place} has more, such as {listed(words[:3])}: name the column of the texts, or "
                "give fewer reviews."
            )
        if len(spellings) > MAX_SPELLINGS:
            raise DataError(
                f"labels must be few: {source.place} has more than {MAX_SPELLINGS:,}, such as "
                f"{listed(list(spellings)[:3])}: name the column of the labels."
            )
    if not lengths:
        raise DataError(f"a source must hold reviews: {source.place} holds none with a word: give another.")
    chunks.append(Chunk(np.array(tokens, dtype=np.int32), first, len(lengths)))
    spelled = np.array(labels)
    counts = np.bincount(spelled, minlength=len(spellings)).tolist()
    meaning, problems = classify(dict(zip(spellings, counts, strict=True)), source.place)
    if num_empty:
        problems.insert(0, f"Dropped {counted(num_empty)} without a word.")
    return EncodedReviews(
        words=list(word_numbers),
        chunks=chunks,
        lengths=np.array(lengths, dtype=np.int32),
        labels=np.array([meaning[label] for label in spellings], dtype=np.int8)[spelled],
        is_test=np.frombuffer(is_test, dtype=np.bool_),
        keys=keys,
        problems=source.problems + problems,
    )


def number_words(encoded: EncodedReviews, is_training: NDArray[np.bool_]) -> tuple[Vocabulary, NDArray[np.int32]]:
    """Return the vocabulary of the training reviews and the final id of each provisional one.

    Words are numbered from 1 by falling count in the reviews that `is_training` (num_reviews,) marks, ties by the word
    itself; words that only other reviews have become `<unk>`.
    """
    counts = np.zeros(len(encoded.words), dtype=np.int64)
    for token_ids, first, end in encoded.chunks:
        of_training = np.repeat(is_training[first:end], encoded.lengths[first:end])
        counts += np.bincount(token_ids[of_training], minlength=len(counts))
    by_word = np.array(sorted(range(len(counts)), key=encoded.words.__getitem__))
    by_count = by_word[np.argsort(-counts[by_word], kind="stable")]
    known = by_count[: np.count_nonzero(counts)]
    vocabulary = Vocabulary(tuple(encoded.words[number] for number in known.tolist()))
    final = np.full(len(counts), vocabulary.unknown_id, dtype=np.int32)
    final[known] = np.arange(1, len(known) + 1, dtype=np.int32)
    return vocabulary, final
