"""From a stream of reviews to numbers."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_sentiment.data import encoding
from tune_sentiment.data.encoding import EncodedReviews, encode, number_words
from tune_sentiment.data.reviews import MAX_REVIEW_CHARS, Review, Source
from tune_sentiment.errors import DataError

SENTENCES = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=9), min_size=1, max_size=12)


def source(*reviews: Review) -> Source:
    return Source("made up", "here", iter(reviews), ["the file is odd."])


def words_of(encoded: EncodedReviews) -> list[str]:
    return [encoded.words[number] for chunk in encoded.chunks for number in chunk.token_ids]


def test_words_are_numbered_by_first_appearance() -> None:
    encoded = encode(source(Review("The film, the cast.", "pos"), Review("cast away", " 0 ", True, "b")))
    assert encoded.words == ["the", "film", "cast", "away"]
    assert [chunk.token_ids.tolist() for chunk in encoded.chunks] == [[0, 1, 0, 2, 2, 3]]
    assert encoded.lengths.tolist() == [4, 2]
    assert encoded.labels.tolist() == [1, 0]
    assert encoded.is_test.tolist() == [False, True]
    assert encoded.keys == ["", "b"]
    assert encoded.problems == ["the file is odd."]


def test_reviews_without_a_word_are_dropped_and_counted() -> None:
    encoded = encode(source(Review("good", "1"), Review("...", "1"), Review(" ", ""), Review("bad", "0")))
    assert encoded.labels.tolist() == [1, 0]
    assert encoded.problems == ["the file is odd.", "Dropped 2 reviews without a word."]


def test_neutral_reviews_are_marked() -> None:
    encoded = encode(source(*(Review("word", stars) for stars in "1345")))
    assert encoded.labels.tolist() == [0, -1, 1, 1]
    assert encoded.problems[1:] == ["Dropped 1 review as neutral: more than 2 and fewer than 4 stars."]


def test_no_reviews_are_refused() -> None:
    with pytest.raises(DataError, match="must hold reviews: here holds none with a word: give another"):
        encode(source(Review("!", "pos")))


def test_a_review_longer_than_any_is_refused() -> None:
    with pytest.raises(DataError, match="at most 1,000,000 characters: one in here has more"):
        encode(source(Review("x" * (MAX_REVIEW_CHARS + 1), "pos")))


def test_a_column_of_texts_given_as_labels_is_refused_before_it_fills_the_memory() -> None:
    read = 0

    def endless() -> object:
        nonlocal read
        while True:
            read += 1
            yield Review("text", f"label {read} " + "x" * 1000)

    with pytest.raises(DataError, match=r"must be few: here has more than 1,000, such as 'label 1 x+\.\.\.', .*column"):
        encode(Source("made up", "here", endless()))  # type: ignore[arg-type]
    assert read == 1001


@settings(deadline=None)
@given(SENTENCES)
def test_chunks_change_nothing(sentences: list[list[str]]) -> None:
    reviews = [Review(" ".join(words), "pos") for words in sentences]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_CHUNK_TOKENS", 10)
        patch.setattr(encoding, "_BLOCK_BYTES", 5)
        encoded = encode(source(*reviews))
    assert words_of(encoded) == [word for words in sentences for word in words]
    assert [chunk.first for chunk in encoded.chunks] == [0, *(chunk.end for chunk in encoded.chunks[:-1])]
    assert encoded.chunks[-1].end == len(sentences)


@settings(deadline=None)
@given(SENTENCES, st.integers(0, 12))
def test_ids_follow_falling_count_in_the_training_reviews_then_the_word(
    sentences: list[list[str]], num_training: int
) -> None:
    encoded = encode(source(*(Review(" ".join(words), "pos") for words in sentences)))
    vocabulary, final_ids = number_words(encoded, np.arange(len(sentences)) < num_training)
    counts = Counter(word for words in sentences[:num_training] for word in words)
    assert list(vocabulary.words) == sorted(counts, key=lambda word: (-counts[word], word))
    for provisional, word in enumerate(encoded.words):
        assert final_ids[provisional] == vocabulary.encode([word])[0]


@settings(deadline=None)
@given(SENTENCES, st.randoms(use_true_random=False))
def test_ids_do_not_depend_on_the_order_of_the_reviews(sentences: list[list[str]], shuffle: object) -> None:
    shuffled = list(sentences)
    shuffle.shuffle(shuffled)  # type: ignore[attr-defined]
    vocabularies = [
        number_words(encode(source(*(Review(" ".join(words), "pos") for words in order))), np.full(len(order), True))[0]
        for order in (sentences, shuffled)
    ]
    assert vocabularies[0] == vocabularies[1]
