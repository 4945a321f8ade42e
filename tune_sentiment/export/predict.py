"""Tell with a bundle whether texts are positive or negative, how sure it is, and which words it heard."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tune_sentiment.data.dataset import Split
from tune_sentiment.data.reviews import shown
from tune_sentiment.data.vocabulary import Vocabulary, tokenize
from tune_sentiment.errors import BundleError, DataError, DivergedError, ResourceError, SettingsError
from tune_sentiment.export.bundle import Bundle, read_bundle
from tune_sentiment.export.scoring import Scores, score
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.processor import keep_few_kernels

Label = Literal["positive", "negative"]
Note = Literal["", "no words", "no known words"]

BATCH_SIZE = 4096
"""Texts answered together: enough to sort them by length so that little padding is computed."""

BATCH_CHARACTERS = 16_000_000
"""The most text of one batch, however few texts that is: bounds the memory of a stream."""

EXPLAINED_WORDS = 1000
"""The most words of a text to explain: the work grows with their square."""

_PIECE_CHARACTERS = 1_000_000
# `<br />` holds white space, and is itself white space to `tokenize`: it is not cut in two.
_PIECE_END = re.compile(r"(?<!<br)\s", re.IGNORECASE)


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text."""

    text: str
    label: Label
    probability: float
    """Of "positive", 0 to 1; the label is "positive" above 0.5."""
    words: int
    """Words of the whole text."""
    unknown_words: int
    """Of the words read, those that are not in the vocabulary."""
    cut: int
    """Words at the end of the text that the model did not read."""
    note: Note
    """Not empty if the model had nothing to go by: the probability is then its answer to no text at all."""


class WordEffect(NamedTuple):
    """A word of a text, and how the probability of "positive" changes when it is left out."""

    word: str
    change: float


class Predictor:
    """A trained model, ready to answer. Its answer to a text does not depend on the texts asked beside it."""

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        """Make the bundle's model ready on `device` ("cpu", "cuda", "cuda:1").

        Raises:
            SettingsError: if there is no such kind of device.
            ResourceError: if this machine does not have it.
        """
        keep_few_kernels()
        self.bundle = bundle
        self._model = bundle.build_model(_usable(device))

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "Predictor":
        """Return a predictor over the bundle in the folder `path`.

        Raises:
            BundleError: if there is no bundle, or it is damaged or of a newer version.
            SettingsError, ResourceError: if `device` cannot be used.
        """
        return cls(read_bundle(Path(path)), device)

    def predict(self, texts: Iterable[str], batch_size: int = BATCH_SIZE) -> list[Prediction]:
        """Return one prediction per text, in the order of `texts`.

        batch_size: texts sorted by length and answered together; more are faster and take more memory.

        Raises:
            DataError: if `texts` is a single text, or holds anything but texts.
        """
        return list(self.predict_stream(texts, batch_size))

    def predict_stream(self, texts: Iterable[str], batch_size: int = BATCH_SIZE) -> Iterator[Prediction]:
        """Yield what `predict` returns, reading `texts` as it goes: memory does not grow with their number.

        Raises:
            DataError: at once if `texts` is a single text; when it is reached, for anything but a text among them.
        """
        if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
            raise DataError(f"texts must be a list of texts, got {type(texts).__name__}: write predict([text]).")
        if batch_size < 1:
            raise SettingsError(f"`batch_size` must be >= 1, got {batch_size}: give a positive number.")
        return self._answers(texts, batch_size)

    def explain(self, text: str) -> list[WordEffect]:
        """Return each word that the model reads of `text`, in order, with what leaving it out would change.

        A negative change means that the word speaks for "positive". Words beyond `seq_length` are not moved up.

        Raises:
            DataError: if `text` is not a text, or the model would read more than EXPLAINED_WORDS words of it.
        """
        words, _ = self._words(_text(text, 1))
        if len(words) > EXPLAINED_WORDS:
            raise DataError(
                f"a text to explain may have at most {EXPLAINED_WORDS} words, got {len(words)}: give a part of it."
            )
        token_ids = self.bundle.vocabulary.encode(words)
        every = np.broadcast_to(token_ids, (len(words), len(words)))
        without = every[~np.eye(len(words), dtype=bool)].reshape(len(words), max(0, len(words) - 1))
        whole, *others = self._probabilities([token_ids, *without])
        return [WordEffect(word, float(other - whole)) for word, other in zip(words, others, strict=True)]

    def evaluate(self, reviews: Iterable[tuple[str, int]]) -> Scores:
        """Score the model on labelled texts, encoded with the bundle's own vocabulary.

        reviews: (text, label) pairs, label 0 negative or 1 positive. As everywhere, reviews without a word are left
        out.

        Raises:
            DataError: if a pair is something else, or no review has a word.
        """
        rows, labels = [], []
        for number, (text, label) in enumerate(_pairs(reviews), start=1):
            words, _ = self._words(_text(text, number))
            if words:
                rows.append(self.bundle.vocabulary.encode(words))
                labels.append(label)
        if not rows:
            raise DataError("an evaluation needs labelled reviews, got none with a word: give another source.")
        return score(self._probabilities(rows), np.array(labels))

    def evaluate_split(self, split: Split, vocabulary: Vocabulary) -> Scores:
        """Score the model on a split that was encoded with `vocabulary`.

        Raises:
            DataError: if that is not the bundle's vocabulary, or the split is empty.
        """
        return score(self.split_probabilities(split, vocabulary), split.labels)

    def split_probabilities(self, split: Split, vocabulary: Vocabulary) -> NDArray[np.float32]:
        """Return the probability of "positive" for each review of a split, float32 (num_reviews,).

        Raises:
            DataError: if `vocabulary`, which the split was encoded with, is not the bundle's.
        """
        if vocabulary.words != self.bundle.vocabulary.words:
            raise DataError(
                "a split must be encoded with the bundle's vocabulary, got one encoded with another: "
                "evaluate the texts instead."
            )
        return self._measure(split)

    def _answers(self, texts: Iterable[str], batch_size: int) -> Iterator[Prediction]:
        vocabulary = self.bundle.vocabulary
        for batch in _batches(texts, batch_size):
            read = [self._words(text) for text in batch]
            rows = [vocabulary.encode(words) for words, _ in read]
            for text, (words, total), row, probability in zip(
                batch, read, rows, self._probabilities(rows), strict=True
            ):
                unknown = int((row == vocabulary.unknown_id).sum())
                yield Prediction(
                    text=text,
                    label="positive" if probability > 0.5 else "negative",
                    probability=float(probability),
                    words=total,
                    unknown_words=unknown,
                    cut=total - len(words),
                    note="no words" if not words else "no known words" if unknown == len(words) else "",
                )

    def _words(self, text: str) -> tuple[list[str], int]:
        """Return the words that the model reads of `text`, and how many there are in all."""
        seq_length = self.bundle.settings.seq_length
        read: list[str] = []
        total = 0
        for piece in _pieces(text):
            words = tokenize(piece)
            read += words[: seq_length - len(read)]
            total += len(words)
        return read, total

    def _probabilities(self, rows: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        """Return the probability of "positive" for each review of word ids, float32 (len(rows),), in their order."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        split = Split(np.concatenate(rows).astype(np.int32), offsets, np.zeros(len(rows), dtype=np.int8))
        return self._measure(split)

    def _measure(self, split: Split) -> NDArray[np.float32]:
        try:
            return evaluate(self._model, split, self.bundle.settings).probabilities
        except DivergedError:
            raise BundleError(
                f"a bundle's model must give finite probabilities, {self.bundle.folder} does not: export another trial."
            ) from None


def evaluate_bundle(path: str | Path, reviews: Iterable[tuple[str, int]], device: str = "cpu") -> Scores:
    """Score the bundle in `path` on (text, label) pairs: see `Predictor.evaluate`.

    Raises:
        BundleError: if there is no usable bundle.
        DataError: if the reviews are not labelled texts.
    """
    return Predictor.load(path, device).evaluate(reviews)


def _batches(texts: Iterable[str], batch_size: int) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for number, text in enumerate(texts, start=1):
        batch.append(_text(text, number))
        characters += len(text)
        if len(batch) == batch_size or characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _pieces(text: str) -> Iterator[str]:
    # A text of 100 MB is words of 1 GB: they are counted piece by piece.
    start = 0
    while len(text) - start > _PIECE_CHARACTERS:
        end = _PIECE_END.search(text, start + _PIECE_CHARACTERS)
        if end is None:
            break
        yield text[start : end.start()]
        start = end.start()
    yield text[start:]


def _pairs(reviews: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    for number, pair in enumerate(reviews, start=1):
        if not isinstance(pair, tuple | list) or len(pair) != 2 or pair[1] not in (0, 1):
            raise DataError(
                f"labelled reviews must be pairs of a text and 0 or 1, got {shown(pair, 80)} as number "
                f"{number}: correct it."
            )
        yield pair[0], int(pair[1])


def _text(text: object, number: int) -> str:
    if not isinstance(text, str):
        raise DataError(f"every text must be a str, got {type(text).__name__} as number {number}: convert it first.")
    return text


def _usable(device: str) -> torch.device:
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
        raise SettingsError(f"`device` must be cpu or cuda, got {shown(device)}: choose one.") from None
    if wanted.type not in ("cpu", "cuda"):
        raise SettingsError(f"`device` must be cpu or cuda, got {shown(device)}: choose one.")
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise ResourceError(f"`device` must be a device of this machine, got {shown(device)}: use cpu.")
    return wanted
