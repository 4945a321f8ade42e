"""A source in numbers."""

import json
from pathlib import Path

import pytest

from tests.data.small_corpora import SHARED, layout, pack
from tune_sentiment.data.dataset import load_dataset
from tune_sentiment.data.describe import describe
from tune_sentiment.data.reviews import Review

TRAIN = [Review(f"good film number{n} seen", "pos") for n in range(10)] + [Review("bad film", "neg")] * 10
TEST = [
    Review("good film number3 seen", "pos"),
    Review("bad film", "neg"),
    Review("bad film", "neg"),
    Review("new", "neg"),
]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(pack(tmp_path / "a.tar.gz", layout(TRAIN) | layout(TEST, "test")))


def test_a_source_is_described_in_numbers(source: str) -> None:
    found = describe(source)
    train, validation, test = found.splits["train"], found.splits["validation"], found.splits["test"]
    assert (found.name, found.generated, found.official_test) == ("a.tar.gz", False, True)
    assert [(split.positive, split.negative) for split in (train, validation, test)] == [(9, 9), (1, 1), (1, 3)]
    assert [split.words for split in (train, validation, test)] == [9 * 4 + 9 * 2, 6, 9]
    assert (train.repeated, validation.repeated, test.repeated) == (8, 0, 1)
    assert (train.in_training, validation.in_training) == (0, 1)
    # The ninth positive training review and the one of the validation split have a word of their own each.
    assert (train.unknown_share, validation.unknown_share) == (0, 1 / 6)
    assert found.vocabulary_size == 4 + 9 + 2
    assert found.words_seen_once == 9
    assert found.length_percentiles == {1: 2, 5: 2, 25: 2, 50: 2, 75: 4, 95: 4, 99: 4, 100: 4}
    assert found.fingerprint == load_dataset(source).fingerprint
    assert found.seconds > 0


def test_unknown_words_and_copies_of_the_test_split_are_counted(source: str) -> None:
    test = describe(source).splits["test"]
    dataset = load_dataset(source)
    has_number3 = "number3" in dataset.vocabulary.words
    assert test.in_training == 2 + has_number3
    assert test.unknown_share == pytest.approx((1 + (not has_number3)) / 9)
    assert f"Found {3 + has_number3} reviews of the validation or test split" in dataset.problems[0]


def test_a_description_is_fit_for_json(source: str) -> None:
    found = describe(source, split_seed=3)
    again = json.loads(json.dumps(found.to_dict()))
    assert again["splits"]["test"]["negative"] == 3
    assert again["length_percentiles"]["50"] == 2
    assert again["problems"] == list(found.problems)
    assert set(again) == {
        "name", "generated", "official_test", "splits", "length_percentiles", "vocabulary_size", "words_seen_once",
        "problems", "fingerprint", "seconds",
    }  # fmt: skip


@pytest.mark.skipif(not SHARED.exists(), reason="the folder with the real reviews is not here")
def test_the_real_sentences_are_described() -> None:
    found = describe(str(SHARED / "rt-polarity.pos"))
    assert found.vocabulary_size == 18302
    assert found.length_percentiles[50] == 18
    assert found.length_percentiles[100] == 51
    assert 0.03 < found.splits["validation"].unknown_share < 0.06
