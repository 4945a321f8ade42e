"""Comparing bundles: what is luck, what is not, and the same reviews for every model."""

from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from numpy.typing import NDArray

import tune_sentiment
from tests.export.made_up import SETTINGS, made_up_reviews
from tune_sentiment.data.vocabulary import Vocabulary
from tune_sentiment.errors import BundleError, DataError, SettingsError
from tune_sentiment.export.bundle import write_bundle
from tune_sentiment.export.compare import Comparison, compare_probabilities, holm
from tune_sentiment.training.model import build_model

counts = st.integers(0, 60)


def answers(*right: bool) -> NDArray[np.float64]:
    """Probabilities of a model for reviews that are all positive."""
    return np.where(right, 0.9, 0.1)


def compared(both: int, only_a: int, only_b: int, neither: int) -> Comparison:
    a = answers(*[True] * (both + only_a), *[False] * (only_b + neither))
    b = answers(*[True] * both, *[False] * only_a, *[True] * only_b, *[False] * neither)
    return compare_probabilities({"a": a, "b": b}, np.ones(len(a), dtype=np.int8))


@effort(deadline=None)
@given(both=counts, only_a=counts, only_b=counts, neither=st.integers(1, 60))
def test_a_pairs_figures_are_those_of_the_reviews_they_differ_on(
    both: int, only_a: int, only_b: int, neither: int
) -> None:
    (pair,) = compared(both, only_a, only_b, neither).pairs
    assert (pair.first, pair.second) == (("b", "a") if only_b > only_a else ("a", "b"))
    assert (pair.both_right, pair.both_wrong) == (both, neither)
    assert {pair.only_first_right, pair.only_second_right} == {only_a, only_b}
    assert pair.difference == pytest.approx(abs(only_a - only_b) / (both + only_a + only_b + neither))
    # McNemar's exact test by its definition: a fair coin for every review on which they differ.
    differing, least = only_a + only_b, min(only_a, only_b)
    tail = sum(comb(differing, k) for k in range(least + 1)) / 2**differing
    assert pair.p_value == pytest.approx(min(1.0, 2 * tail))
    assert pair.difference_low <= pair.difference <= pair.difference_high
    assert pair.more_than_luck == (pair.p_value < 0.05)


def test_the_bootstrap_interval_is_that_of_reviews_drawn_again() -> None:
    (pair,) = compared(600, 120, 80, 200).pairs
    generator = np.random.default_rng(5)
    right = np.repeat([0, 1, -1, 0], [600, 120, 80, 200])
    drawn = [generator.choice(right, size=1000).mean() for _ in range(4000)]
    assert (pair.difference_low, pair.difference_high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.003)
    assert pair == compared(600, 120, 80, 200).pairs[0], "the same every time"


@pytest.mark.parametrize(
    ("reviews", "said"),
    [
        ((600, 140, 60, 200), "a is right on 8.00 % more of the 1,000 reviews than b (95 % interval 5."),
        ((600, 60, 140, 200), "b is right on 8.00 % more of the 1,000 reviews than a"),
        ((600, 140, 60, 200), "): more than luck (p < 0.0001)."),
        ((600, 104, 96, 200), "): it may be luck (p = 0.62)."),
        ((600, 50, 50, 0), "a and b are right equally often, though not on the same reviews."),
        ((3, 0, 0, 1), "a and b are right on the same reviews: nothing parts them."),
    ],
)
def test_the_sentence_says_it_plainly(reviews: tuple[int, int, int, int], said: str) -> None:
    assert said in compared(*reviews).pairs[0].sentence


def test_of_many_pairs_some_differ_by_luck_and_holm_takes_that_off() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    generator = np.random.default_rng(0)
    labels = np.ones(200, dtype=np.int8)
    models = {str(number): generator.choice([0.1, 0.9], size=200) for number in range(12)}
    pairs = compare_probabilities(models, labels).pairs
    assert any(pair.p_value < 0.05 for pair in pairs)
    assert not any(pair.more_than_luck for pair in pairs)


def test_a_comparison_needs_two_models_and_as_many_answers_as_reviews() -> None:
    with pytest.raises(SettingsError, match="two models or more: got 1"):
        compare_probabilities({"a": answers(True)}, np.ones(1, dtype=np.int8))
    with pytest.raises(DataError, match="one probability and one label"):
        compare_probabilities({"a": answers(True), "b": answers(True, False)}, np.ones(1, dtype=np.int8))


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """A bundle of another vocabulary, whose model has learnt nothing."""
    vocabulary = Vocabulary(("film", "good", "bad"))
    torch.manual_seed(0)
    weights = build_model(SETTINGS, vocabulary.size).state_dict()
    folder = tmp_path / "untrained"
    return write_bundle(
        folder, weights=weights, settings=SETTINGS, vocabulary=vocabulary, metrics={}, provenance={"data": None}
    )


@pytest.fixture
def source(tmp_path: Path) -> str:
    rows = [f"{text},{label}" for text, label in made_up_reviews(400, seed=9)]
    path = tmp_path / "reviews.csv"
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    return str(path)


def test_bundles_of_different_vocabularies_are_compared_on_the_same_reviews(
    bundle: Path, untrained: Path, source: str
) -> None:
    found, split = tune_sentiment.compare([str(untrained), str(bundle)], source)
    assert (found.reviews, split) == (400, "all")
    for folder, scores in found.scores.items():
        assert scores.accuracy == tune_sentiment.api.evaluate(folder, source)[0].accuracy
    (pair,) = found.pairs
    assert (pair.first, pair.second) == (str(bundle), str(untrained))
    assert pair.more_than_luck and pair.difference > 0.3


def test_comparing_a_bundle_with_itself_is_refused(bundle: Path, source: str) -> None:
    with pytest.raises(SettingsError, match="two or more different bundles"):
        tune_sentiment.compare([str(bundle), f"{bundle}/../best"], source)
    with pytest.raises(SettingsError, match="got 'half'"):
        tune_sentiment.compare([str(bundle), str(bundle.parent)], source, split="half")  # type: ignore[arg-type]


def test_a_bundle_that_is_none_is_said_so(bundle: Path, source: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        tune_sentiment.compare([str(bundle), str(tmp_path / "nowhere")], source)
