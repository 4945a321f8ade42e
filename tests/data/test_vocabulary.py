"""Words and their ids."""

import re
import string
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_sentiment.data.vocabulary import PADDING_ID, UNKNOWN, Vocabulary, tokenize, words_in_bytes
from tune_sentiment.errors import BundleError

TOKENS = st.lists(st.text(min_size=1, max_size=8).flatmap(lambda text: st.sampled_from(tokenize(text) or ["x"])))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A GREAT film.<br /><br />Don't miss it!", ["a", "great", "film", "dont", "miss", "it"]),
        ("one<BR>two<br/>three<br  />four", ["one", "two", "three", "four"]),
        ("good/bad, well-made; 10/10", ["goodbad", "wellmade", "1010"]),
        ("ÉTÉ à Paris... c'était «beau»", ["été", "à", "paris", "cétait", "«beau»"]),
        ("tabs\tand\nlines\u00a0too", ["tabs", "and", "lines", "too"]),
        ("... !!! --", []),
        ("", []),
    ],
)
def test_text_is_cut_into_words_as_the_course_does(text: str, words: list[str]) -> None:
    assert tokenize(text) == words


@settings(deadline=None)
@given(st.text())
def test_the_two_ways_of_deleting_punctuation_are_one(text: str) -> None:
    spaced = re.sub(r"<br\s*/?>", " ", text.lower())
    assert tokenize(text) == "".join(letter for letter in spaced if letter not in string.punctuation).split()


MESSY = st.text(st.sampled_from("aAé .,!<br/>BR\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\xa0\u2003İΣ\0'x"), max_size=30)


@settings(deadline=None)
@given(st.lists(st.one_of(MESSY, st.text(max_size=20), st.text(st.characters(max_codepoint=127))), max_size=5))
def test_the_two_ways_of_cutting_text_into_words_are_one(texts: list[str]) -> None:
    cut = pc.ascii_split_whitespace(pa.array(map(words_in_bytes, texts), pa.string())).to_pylist()
    # Arrow makes an empty word of an empty text; such texts are left out before.
    assert [[word for word in words if word or len(words) > 1] for words in cut] == [tokenize(text) for text in texts]


def test_words_are_numbered_from_1_and_the_unknown_word_comes_last() -> None:
    vocabulary = Vocabulary(("the", "film", "good"))
    assert (vocabulary.size, vocabulary.unknown_id) == (5, 4)
    encoded = vocabulary.encode(["good", "the", "bad"])
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [3, 1, 4]
    assert vocabulary.encode_text("The BAD film!").tolist() == [1, 4, 2]
    assert vocabulary.encode_text("...").tolist() == []
    assert vocabulary.decode([0, 0, 1, 4]) == ["the", UNKNOWN]


@settings(deadline=None)
@given(TOKENS)
def test_decoding_undoes_encoding(tokens: list[str]) -> None:
    vocabulary = Vocabulary(tuple(sorted(set(tokens))))
    encoded = vocabulary.encode(tokens)
    assert vocabulary.decode(encoded.tolist()) == tokens
    assert PADDING_ID not in encoded


@settings(deadline=None)
@given(TOKENS)
def test_a_saved_vocabulary_loads_as_it_was(tokens: list[str]) -> None:
    vocabulary = Vocabulary(tuple(dict.fromkeys(tokens)))
    with tempfile.TemporaryDirectory() as folder:
        vocabulary.save(Path(folder) / "vocabulary.txt")
        assert Vocabulary.load(Path(folder) / "vocabulary.txt") == vocabulary
        assert [file.name for file in Path(folder).iterdir()] == ["vocabulary.txt"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the\nfilm", "must end with a line end: .* is cut short"),
        (b"the\n\nfilm\n", "one word a line: .*, line 2:"),
        (b"the\ngood film\n", "one word a line: .*, line 2:"),
        (b"the\r\nfilm\r\n", "one word a line: .*, line 1:"),
        (b"the\nfilm\nthe\n", "each word once"),
        (b"the\nf\xfflm\n", "must be UTF-8: .*, byte 5:"),
        (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00", "must be UTF-8"),
    ],
)
def test_a_damaged_vocabulary_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "vocabulary.txt").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        Vocabulary.load(tmp_path / "vocabulary.txt")


def test_a_missing_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"must be readable: .*vocabulary.txt: No such file"):
        Vocabulary.load(tmp_path / "vocabulary.txt")


def test_a_vocabulary_of_absurd_size_is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "vocabulary.txt", "wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(BundleError, match="at most 134,217,728 bytes"):
        Vocabulary.load(tmp_path / "vocabulary.txt")
