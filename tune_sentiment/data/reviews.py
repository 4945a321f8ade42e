"""What every reader hands over: labelled reviews, one at a time, and a sentence on all that was odd."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tune_sentiment.errors import DataError

MAX_REVIEW_CHARS = 1_000_000
"""A longer review is taken for a damaged file: the longest of IMDB has 13,704 characters."""

_BLOCK_BYTES = 1 << 20


class Review(NamedTuple):
    """One labelled review."""

    text: str
    label: str
    """The label as the source spells it."""
    is_test: bool = False
    """Whether it belongs to the source's own test split."""
    key: str = ""
    """What the reviews are sorted by, where the order in the source means nothing (files of a folder or archive)."""


@dataclass
class Source:
    """A recognised SOURCE: `reviews` can be read once, and `problems` is complete when they have been."""

    name: str
    place: str
    """How messages call it: a path, or `demo`."""
    reviews: Iterator[Review]
    problems: list[str] = field(default_factory=list)
    generated: bool = False
    paths: tuple[Path, ...] = ()
    """The files that are read, or the folders all of whose files are; none for what is generated."""


def shown(value: object, limit: int = 60) -> str:
    """Return `value` quoted, on one line, cut to `limit` characters between the quotes, for use in a message."""
    text = str(value)
    quoted = repr(text[: limit + 1])  # control characters become several
    return quoted if len(quoted) <= limit + 2 else f"{quoted[: limit - 2]}...{quoted[-1]}"


def listed(values: list[str], limit: int = 5) -> str:
    """Return the first `limit` of `values`, quoted, and how many follow, for use in a message."""
    rest = len(values) - limit
    return ", ".join(shown(value) for value in values[:limit]) + (f" and {rest:,} more" if rest > 0 else "")


def counted(number: int) -> str:
    """Return "1 review" or "2 reviews"."""
    return f"{number:,} review" + ("" if number == 1 else "s")


def decode(content: bytes, place: str) -> tuple[str, bool]:
    """Return the text of a small file, and whether it had to be read as Windows-1252.

    Raises:
        DataError: if it is binary.
    """
    encoding = _declared_encoding(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if encoding == "utf-16":
            raise _broken_utf16(place) from None
        return _without_nul(content.decode("cp1252", errors="replace"), place), True
    return _without_nul(text, place), False


def lines(path: Path, problems: list[str], newline: str | None = None) -> Iterator[str]:
    """Yield the lines of a text file with their ends, decoded, never holding more than one line.

    UTF-8 and UTF-16 are recognised, anything else is read as Windows-1252 (Latin-1 with its quotes) and said so in
    `problems`. `newline` is that of `open`: by default CR, LF and CRLF all end a line and read as LF.

    Raises:
        DataError: if the file is empty or binary, or a line is longer than any review can be.
    """
    encoding = _encoding_of(path)
    if encoding == "cp1252":
        problems.append(f"{path.name} is not UTF-8 and was read as Windows-1252.")
    with open(path, encoding=encoding, errors="replace" if encoding == "cp1252" else "strict", newline=newline) as file:
        number = 1
        while line := file.readline(MAX_REVIEW_CHARS + 1):
            if len(line) > MAX_REVIEW_CHARS:
                raise too_long(f"line {number:,} of {path}")
            yield line
            number += 1


def too_long(place: str) -> DataError:
    """Return the error for a review that no review can be as long as."""
    return DataError(
        f"a review must have at most {MAX_REVIEW_CHARS:,} characters: {place} has more: "
        "give one review a line, or cut it."
    )


def _encoding_of(path: Path) -> str:
    """Return the name of the encoding in which the whole of `path` can be read."""
    with open(path, "rb") as file:
        block = file.read(_BLOCK_BYTES)
        if not block:
            raise DataError(f"a source must hold reviews: {path} is empty: give another.")
        encoding = _declared_encoding(block)
        decoder = codecs.getincrementaldecoder(encoding)()
        while True:
            try:
                if encoding == "cp1252":
                    _without_nul(block.decode("latin-1"), str(path))
                else:
                    _without_nul(decoder.decode(block, final=not block), str(path))
            except UnicodeDecodeError:
                if encoding == "utf-16":
                    raise _broken_utf16(str(path)) from None
                encoding = "cp1252"
                continue
            if not block:
                return encoding
            block = file.read(_BLOCK_BYTES)


def _declared_encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"


def _without_nul(text: str, place: str) -> str:
    if "\0" in text:
        raise DataError(f"reviews must be text: {place} is binary (it holds NUL bytes): give a text file.")
    return text


def _broken_utf16(place: str) -> DataError:
    return DataError(f"a file that starts as UTF-16 must be UTF-16: {place} is cut short or damaged: save it as UTF-8.")
