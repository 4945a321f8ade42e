"""Cut reviews into words and number the words."""

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tune_sentiment.errors import BundleError

PADDING_ID = 0
UNKNOWN = "<unk>"
MAX_WORDS = 4_000_000
"""Of a vocabulary or a source; the 25,000 labelled reviews of IMDB have 99,124 in their training split."""
MAX_FILE_BYTES = 128 << 20
"""All words of a vocabulary or a source together, and the longest vocabulary file that is read."""

_LINE_BREAK_TAG = re.compile(r"<br\s*/?>")
_LINE_BREAK_TAG_OF_ANY_CASE = re.compile(_LINE_BREAK_TAG.pattern, re.IGNORECASE)
_DELETED = str.maketrans("", "", string.punctuation)
_DELETED_BYTES = string.punctuation.encode()
_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]+")
# Python counts four control characters as white space that Arrow does not.
_LOWER = bytes.maketrans(
    b"\x1c\x1d\x1e\x1f" + string.ascii_uppercase.encode(), b"    " + string.ascii_lowercase.encode()
)


def tokenize(text: str) -> list[str]:
    """Return the words of `text` as the course cuts them.

    Lower-case, HTML line breaks turned into white space, ASCII punctuation deleted (not replaced: "don't" is "dont"),
    split on white space.

    >>> tokenize("A GREAT film.<br />Don't miss it!")
    ['a', 'great', 'film', 'dont', 'miss', 'it']
    """
    text = text.lower()
    if "<br" in text:
        text = _LINE_BREAK_TAG.sub(" ", text)
    # `translate` is the faster of the two on ASCII text only, and several times slower on any other.
    text = text.translate(_DELETED) if text.isascii() else _PUNCTUATION.sub("", text)
    return text.split()


def words_in_bytes(text: str) -> bytes:
    """Return the words that `tokenize` cuts `text` into as UTF-8, ASCII white space between them and nowhere else.

    For text that is ASCII, as most is, in a third of the time: whole strings are turned at once, and no list is made.

    >>> words_in_bytes("A GREAT film.<br />Don't  miss it!")
    b'a great film dont  miss it'
    """
    if not text.isascii():
        return " ".join(tokenize(text)).encode()
    if "<" in text:
        text = _LINE_BREAK_TAG_OF_ANY_CASE.sub(" ", text)
    return text.encode().translate(_LOWER, _DELETED_BYTES).strip()


@dataclass(frozen=True)
class Vocabulary:
    """The known words, in the order of their ids: word i has id i + 1, after them comes `<unk>`, and 0 is padding."""

    words: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of ids: padding, the words and `<unk>`."""
        return len(self.words) + 2

    @property
    def unknown_id(self) -> int:
        """The id of every word that is not in `words`."""
        return len(self.words) + 1

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=1)}

    def encode(self, tokens: Iterable[str]) -> NDArray[np.int32]:
        """Return the ids of `tokens`, int32 (num_tokens,); never 0."""
        unknown = self.unknown_id
        number_of = self._ids.get
        return np.fromiter((number_of(token, unknown) for token in tokens), dtype=np.int32)

    def encode_text(self, text: str) -> NDArray[np.int32]:
        """Return the ids of the words of `text`, int32 (num_tokens,); empty if it holds no word."""
        return self.encode(tokenize(text))

    def decode(self, token_ids: Iterable[int]) -> list[str]:
        """Return the words with these ids, padding left out."""
        names = ("", *self.words, UNKNOWN)
        return [names[number] for number in token_ids if number != PADDING_ID]

    def save(self, path: str | Path) -> None:
        """Write the words to `path`, UTF-8, one a line, in the order of their ids; whole or not at all."""
        path = Path(path)
        beside = path.with_name(path.name + ".part")
        beside.write_bytes("".join(f"{word}\n" for word in self.words).encode())
        beside.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> "Vocabulary":
        """Return the vocabulary that `save` wrote to `path`.

        Raises:
            BundleError: if the file is missing, cut short, not UTF-8, or holds anything but one new word a line.
        """
        try:
            if Path(path).stat().st_size > MAX_FILE_BYTES:
                raise BundleError(f"a vocabulary must be at most {MAX_FILE_BYTES:,} bytes: {path}: export it again.")
            content = Path(path).read_bytes()
        except OSError as error:
            raise BundleError(f"a vocabulary must be readable: {path}: {error.strerror}; export it again.") from None
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            raise BundleError(f"a vocabulary must be UTF-8: {path}, byte {error.start:,}: export it again.") from None
        if text and not text.endswith("\n"):
            raise BundleError(f"a vocabulary must end with a line end: {path} is cut short: export it again.")
        words = tuple(text.split("\n")[:-1])
        for number, word in enumerate(words, start=1):
            if word.split() != [word]:
                raise BundleError(f"a vocabulary must hold one word a line: {path}, line {number}: export it again.")
        if len(set(words)) != len(words):
            raise BundleError(f"a vocabulary must hold each word once: {path} repeats some: export it again.")
        return cls(words)
