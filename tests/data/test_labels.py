"""What a label means, however it is spelled."""

import pytest

from tune_sentiment.data.labels import classify
from tune_sentiment.errors import DataError


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        ("pos", "neg"),
        ("Positive", "NEGATIVE"),
        ("1", "0"),
        ("1.0", "0.0"),
        ("1", "-1"),
        ("1.0", "-1.0"),
        ("true", "False"),
        ("YES", "no"),
        (' "positive"', "'negative' "),
        ("5", "1"),
        ("10", "1"),
        ("4.5", "1.5"),
        ("7", "4"),
        ("5 stars", "1 star"),
        ("4.5 Stars", "2-star"),
        ("★★★★★", "★☆☆☆☆"),
    ],
)
def test_every_spelling_is_understood(positive: str, negative: str) -> None:
    assert classify({positive: 3, negative: 2}, "here") == ({positive: 1, negative: 0}, [])


def test_three_of_five_stars_are_dropped_and_counted() -> None:
    meaning, problems = classify({"1": 5, "2": 5, "3": 4, "4.0": 5, "5": 1}, "here")
    assert meaning == {"1": 0, "2": 0, "3": -1, "4.0": 1, "5": 1}
    assert problems == ["Dropped 4 reviews as neutral: more than 2 and fewer than 4 stars."]


def test_five_and_six_of_ten_stars_are_dropped_and_counted() -> None:
    meaning, problems = classify({"4": 1, "5": 2, "6": 3, "7": 1, "10": 1}, "here")
    assert meaning == {"4": 0, "5": -1, "6": -1, "7": 1, "10": 1}
    assert problems == ["Dropped 5 reviews as neutral: more than 4 and fewer than 7 stars."]


@pytest.mark.parametrize(
    "labels", [["1", "2"], ["1 star", "2 stars"], ["1", "2", "3"], ["0", "1", "2"], ["-1", "0", "1"], ["1", "11"]]
)
def test_numbers_that_could_mean_several_things_are_refused(labels: list[str]) -> None:
    with pytest.raises(DataError, match=f"'{labels[0]}', '{labels[1]}'.* in here could mean several things: write"):
        classify(dict.fromkeys(labels, 1), "here")


def test_the_first_unknown_labels_are_listed() -> None:
    labels = dict.fromkeys(("pos", "neutral", "mixed", "a", "b", "c", "d", "e"), 1)
    with pytest.raises(DataError, match="known: 'neutral', 'mixed', 'a', 'b', 'c' and 2 more in here: write"):
        classify(labels, "here")


def test_a_long_label_is_cut_and_stays_on_one_line() -> None:
    with pytest.raises(DataError, match=r"'first line\\nsecond line x+\.\.\.' in here") as caught:
        classify({"first line\nsecond line " + "x" * 100: 1}, "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["", "NaN", "None", " "])
def test_reviews_without_a_label_are_counted(missing: str) -> None:
    with pytest.raises(DataError, match="must have a label: 3 of 10 in here have none: label or remove them"):
        classify({"pos": 4, "neg": 3, missing: 3}, "here")
