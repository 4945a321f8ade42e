"""Number the words of a stream of reviews: one pass over the text, one over the words."""

from array import array
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tune_sentiment.data.labels import MAX_SPELLINGS, classify
from tune_sentiment.data.reviews import MAX_REVIEW_CHARS, Source, counted, listed, too_long
from tune_sentiment.data.vocabulary import MAX_FILE_BYTES, MAX_WORDS, Vocabulary, words_in_bytes
from tune_sentiment.errors import DataError

_CHUNK_TOKENS = 10_000_000
"""Tokens that are numbered before they are set aside: 40 MB, so that freeing a chunk gives it back to the system."""

_BLOCK_BYTES = 500_000
"""Text whose words are numbered together: enough to do it fast, few enough to take little memory."""

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


class _Block(NamedTuple):
    """Some consecutive reviews, their words numbered by first appearance in the block."""

    words: list[str]
    token_ids: NDArray[np.int32]
    lengths: NDArray[np.int32]


@dataclass
class _WordNumbers:
    """Numbers the words of block after block by first appearance."""

    place: str
    """How messages call the source."""
    numbers: _Numbers = field(default_factory=_Numbers)
    lengths: list[NDArray[np.int32]] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    _first: int = 0
    _num_reviews: int = 0
    _waiting: list[NDArray[np.int32]] = field(default_factory=list)
    """The blocks of the next chunk."""

    def add(self, block: _Block) -> None:
        """Take in a block.

        Raises:
            DataError: if the words have become too many.
        """
        ids = np.fromiter(map(self.numbers.__getitem__, block.words), dtype=np.int32, count=len(block.words))
        token_ids = ids[block.token_ids]
        if len(self.numbers) > MAX_WORDS or self.numbers.num_chars > MAX_FILE_BYTES:
            raise self._too_many(block, token_ids)
        self.lengths.append(block.lengths)
        self._num_reviews += len(block.lengths)
        self._waiting.append(token_ids)
        if sum(map(len, self._waiting)) > _CHUNK_TOKENS:
            self.close_chunk()

    def close_chunk(self) -> None:
        """Set aside what has been numbered since the last chunk, if anything."""
        if not self._waiting:
            return
        self.chunks.append(Chunk(np.concatenate(self._waiting), self._first, self._num_reviews))
        self._waiting, self._first = [], self._num_reviews

    def _too_many(self, block: _Block, token_ids: NDArray[np.int32]) -> DataError:
        totals = enumerate(accumulate(map(len, self.numbers)))
        first_too_many = next(
            number for number, num_chars in totals if number >= MAX_WORDS or num_chars > MAX_FILE_BYTES
        )
        ends = np.cumsum(block.lengths)
        review = int(np.searchsorted(ends, np.argmax(token_ids >= first_too_many), side="right"))
        start = ends[review] - block.lengths[review]
        words = [block.words[number] for number in block.token_ids[start : min(start + 3, ends[review])]]
        return DataError(
            f"reviews must be of words that recur, at most {MAX_WORDS:,} different ones in {MAX_FILE_BYTES:,} "
            f"characters: {self.place} has more, such as {listed(words)}: name the column of the texts, or "
            "give fewer reviews."
        )


def encode(source: Source) -> EncodedReviews:
    """Read `source` to its end and return its reviews in numbers; those without a word are left out.

    Raises:
        DataError: if nothing can be read, a review is too long, or a label is missing or unknown.
    """
    words, spellings = _WordNumbers(source.place), _Numbers()
    labels, is_test = array("i"), bytearray()
    keys: list[str] = []
    texts: list[bytes] = []
    num_bytes = num_empty = 0
    # Arrow cuts and numbers a block on a thread, free of Python's lock, while the next block is read.
    with ThreadPoolExecutor(1) as worker:
        cut: Future[_Block] | None = None
        for text, label, of_test, key in source.reviews:
            if len(text) > MAX_REVIEW_CHARS:
                raise too_long(f"one in {source.place}")
            content = words_in_bytes(text)
            if not content:
                num_empty += 1
                continue
            texts.append(content)
            num_bytes += len(content)
            labels.append(spellings[label[:_MAX_LABEL_CHARS].strip()])
            is_test.append(of_test)
            keys.append(key)
            if len(spellings) > MAX_SPELLINGS:
                raise DataError(
                    f"labels must be few: {source.place} has more than {MAX_SPELLINGS:,}, such as "
                    f"{listed(list(spellings)[:3])}: name the column of the labels."
                )
            if num_bytes > _BLOCK_BYTES:
                if cut is not None:
                    words.add(cut.result())
                cut = worker.submit(_cut, texts)
                texts, num_bytes = [], 0
        if not keys:
            raise DataError(f"a source must hold reviews: {source.place} holds none with a word: give another.")
        if cut is not None:
            words.add(cut.result())
        if texts:
            words.add(_cut(texts))
    words.close_chunk()
    spelled = np.array(labels)
    counts = np.bincount(spelled, minlength=len(spellings)).tolist()
    meaning, problems = classify(dict(zip(spellings, counts, strict=True)), source.place)
    if num_empty:
        problems.insert(0, f"Dropped {counted(num_empty)} without a word.")
    return EncodedReviews(
        words=list(words.numbers),
        chunks=words.chunks,
        lengths=np.concatenate(words.lengths),
        labels=np.array([meaning[label] for label in spellings], dtype=np.int8)[spelled],
        is_test=np.frombuffer(is_test, dtype=np.bool_),
        keys=keys,
        problems=source.problems + problems,
    )


def _cut(texts: list[bytes]) -> _Block:
    """Cut what `words_in_bytes` returned into words and number them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    offsets = np.zeros(len(texts) + 1, dtype=np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    # From and to memory as it is: `pa.array` and `to_numpy` would import pandas, 40 MB and a third of a second.
    joined = pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts)))
    reviews = pc.ascii_split_whitespace(joined)
    numbered = reviews.values.dictionary_encode()
    ends = np.asarray(np.from_dlpack(reviews.offsets), dtype=np.int32)
    return _Block(
        words=numbered.dictionary.to_pylist(),
        token_ids=np.asarray(np.from_dlpack(numbered.indices), dtype=np.int32),
        lengths=ends[1:] - ends[:-1],
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
