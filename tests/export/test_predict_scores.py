"""`Predictor.evaluate`, `evaluate_split` and `evaluate_bundle`."""

from pathlib import Path
from typing import Any

import pytest

from tests.export.made_up import BAD, GOOD, NEUTRAL, encoded, made_up_reviews
from tune_sentiment.data.vocabulary import Vocabulary
from tune_sentiment.errors import DataError
from tune_sentiment.export.predict import Predictor, evaluate_bundle
from tune_sentiment.export.scoring import score


def test_an_evaluation_scores_the_answers_to_the_texts(predictor: Predictor, bundle: Path) -> None:
    reviews = made_up_reviews(300, seed=11)
    scores = predictor.evaluate(iter(reviews))
    probabilities = [answer.probability for answer in predictor.predict([text for text, _ in reviews])]
    expected = score(probabilities, [label for _, label in reviews])
    assert scores.reviews == 300
    assert scores.accuracy == expected.accuracy > 0.85
    assert scores.loss == pytest.approx(expected.loss)
    assert scores.auc == expected.auc
    assert evaluate_bundle(bundle, reviews) == scores


def test_texts_are_scored_with_the_bundles_own_vocabulary(predictor: Predictor) -> None:
    # In a vocabulary made of these reviews, "dull" would have the id that "a" has in the bundle's.
    assert predictor.evaluate([("dull", 0), ("great", 1), ("boring", 0)]).accuracy == 1.0


def test_a_split_is_scored_like_its_texts(predictor: Predictor, vocabulary: Vocabulary) -> None:
    reviews = made_up_reviews(100, seed=12)
    assert predictor.evaluate_split(encoded(reviews, vocabulary), vocabulary) == predictor.evaluate(reviews)


def test_a_split_of_another_vocabulary_is_refused(predictor: Predictor) -> None:
    other = Vocabulary((*BAD, *NEUTRAL, *GOOD))
    with pytest.raises(DataError, match="encoded with the bundle's vocabulary, got one encoded with another"):
        predictor.evaluate_split(encoded(made_up_reviews(5, seed=1), other), other)


def test_reviews_without_words_are_left_out_of_an_evaluation(predictor: Predictor) -> None:
    assert predictor.evaluate([("...", 1), ("good film", 1), ("", 0)]).reviews == 1


@pytest.mark.parametrize(
    ("reviews", "message"),
    [
        ([], "needs labelled reviews, got none with a word"),
        ([("...", 1)], "got none with a word"),
        (["good film"], "must be pairs of a text and 0 or 1, got 'good film' as number 1"),
        ([("good", 1), ("bad", "0")], "must be pairs of a text and 0 or 1, got .* as number 2: correct it"),
        ([("good", 2)], r"got .*\('good', 2\).* as number 1"),
        ([(3, 1)], "every text must be a str, got int as number 1"),
    ],
)
def test_what_is_no_labelled_text_is_refused(predictor: Predictor, reviews: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        predictor.evaluate(reviews)
