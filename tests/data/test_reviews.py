"""Text files of any encoding, line by line."""

import codecs
import tracemalloc
from pathlib import Path

import pytest

from tune_sentiment.data.reviews import MAX_REVIEW_CHARS, decode, lines, listed, shown
from tune_sentiment.errors import DataError

TEXT = "un café “noir”\nsecond\n"


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
    ],
    ids=["UTF-8", "UTF-8 with a mark", "UTF-16 LE", "UTF-16 BE", "CRLF", "CR"],
)
def test_encodings_and_line_ends_are_recognised(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text").write_bytes(content)
    problems: list[str] = []
    assert list(lines(tmp_path / "text", problems)) == ["un café “noir”\n", "second\n"]
    assert problems == []


def test_what_is_not_utf8_is_read_as_windows_1252_and_said_so(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(b"plain\n" * 300_000 + b"caf\xe9 \x93noir\x94 \x81\n")
    problems: list[str] = []
    assert list(lines(tmp_path / "old.txt", problems))[-1] == "café “noir” \ufffd\n"
    assert problems == ["old.txt is not UTF-8 and was read as Windows-1252."]


def test_a_character_across_two_blocks_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"a" * 1000 + b"\n" + "é".encode() * (1 << 19) + b"\n")
    problems: list[str] = []
    assert [len(line) for line in lines(tmp_path / "text", problems)] == [1001, (1 << 19) + 1]
    assert problems == []


@pytest.mark.parametrize("content", [b"text\0text\n", b"caf\xe9\0\n", b"\xff\xfea\0\0\0", b"a\n" * 600_000 + b"\0"])
def test_a_binary_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=r"must be text: .*file is binary \(it holds NUL bytes\): give a text file"):
        list(lines(tmp_path / "file", []))


def test_half_a_utf16_character_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes("text".encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"must be UTF-16: .*file is cut short or damaged: save it as UTF-8"):
        list(lines(tmp_path / "file", []))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"must hold reviews: .*file is empty"):
        list(lines(tmp_path / "file", []))


def test_a_line_of_100_megabytes_is_refused_in_little_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short\n" + b"long " * 20_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"at most 1,000,000 characters: line 2 of .*file has more"):
            list(lines(tmp_path / "file", []))
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()


def test_the_longest_line_allowed_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x" * (MAX_REVIEW_CHARS - 1) + "\n")
    assert [len(line) for line in lines(tmp_path / "file", [])] == [MAX_REVIEW_CHARS]


def test_a_small_file_is_decoded_whole() -> None:
    assert decode("café".encode(), "x") == ("café", False)
    assert decode("café".encode("utf-16"), "x") == ("café", False)
    assert decode("café".encode("latin-1"), "x") == ("café", True)
    with pytest.raises(DataError, match="x is binary"):
        decode(b"a\0b", "x")
    with pytest.raises(DataError, match="x is cut short or damaged"):
        decode(codecs.BOM_UTF16_LE + b"a", "x")


def test_values_in_messages_stay_short_and_on_one_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) == len(shown("\x17" * 1000)) == 62
    assert shown("x" * 60) == repr("x" * 60)
    assert listed(["a", "b", "c"], 2) == "'a', 'b' and 1 more"
