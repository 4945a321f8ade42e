"""Tell whether one model is better than another on the same reviews, or only luckier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_sentiment.errors import SettingsError
from tune_sentiment.export.scoring import Scores, score

SIGNIFICANCE = 0.05
"""Below this adjusted p-value a difference is called more than luck."""

RESAMPLES = 10_000


@dataclass(frozen=True)
class ComparedPair:
    """Two models on the same reviews, the one that is right more often first."""

    first: str
    second: str
    both_right: int
    only_first_right: int
    only_second_right: int
    both_wrong: int
    difference: float
    """Accuracy of the first minus that of the second, at least 0."""
    difference_low: float
    """Lower end of its 95 % interval, from a paired bootstrap over the reviews (percentiles)."""
    difference_high: float
    p_value: float
    """McNemar's exact test, two-sided: how often luck alone would part them at least as far."""
    adjusted_p_value: float
    """The same after Holm's correction for the number of pairs: of many pairs, some differ by luck."""
    more_than_luck: bool
    sentence: str


@dataclass(frozen=True)
class Comparison:
    """How several models do on the same reviews, and which differences are more than luck.

    All of it is about these trained models, not about their settings: another seed gives another model.
    """

    reviews: int
    scores: dict[str, Scores]
    """By model, in the order given."""
    pairs: tuple[ComparedPair, ...]
    """Every two models, in the order given."""


def compare_probabilities(
    probabilities: Mapping[str, NDArray[np.floating[Any]]], labels: NDArray[np.integer[Any]], *, seed: int = 0
) -> Comparison:
    """Compare models by their probabilities of "positive" (num_reviews,) for the same reviews.

    probabilities: by the model's name. labels: 0 or 1, (num_reviews,). seed: of the bootstrap.

    Raises:
        SettingsError: if there are fewer than two models.
        DataError: if there are no reviews, or a model's probabilities are not one for each.
    """
    if len(probabilities) < 2:
        raise SettingsError(f"a comparison needs two models or more: got {len(probabilities)}: name another bundle.")
    scores = {name: score(predicted, labels) for name, predicted in probabilities.items()}
    right = {name: (np.asarray(predicted) > 0.5) == (labels == 1) for name, predicted in probabilities.items()}
    pairs = [_pair(one, other, right[one], right[other], seed) for one, other in combinations(probabilities, 2)]
    adjusted = holm([pair.p_value for pair in pairs])
    return Comparison(
        reviews=len(labels),
        scores=scores,
        pairs=tuple(_judged(pair, p_value, len(labels)) for pair, p_value in zip(pairs, adjusted, strict=True)),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in their order (Holm 1979)."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _pair(
    one: str, other: str, one_right: NDArray[np.bool_], other_right: NDArray[np.bool_], seed: int
) -> ComparedPair:
    from scipy.stats import binomtest

    if np.count_nonzero(other_right) > np.count_nonzero(one_right):
        one, other, one_right, other_right = other, one, other_right, one_right
    only_first, only_second = int(np.sum(one_right & ~other_right)), int(np.sum(other_right & ~one_right))
    both, reviews = int(np.sum(one_right & other_right)), len(one_right)
    low, high = _bootstrap_interval(only_first, only_second, reviews, seed)
    differing = only_first + only_second
    p_value = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return ComparedPair(
        first=one,
        second=other,
        both_right=both,
        only_first_right=only_first,
        only_second_right=only_second,
        both_wrong=reviews - both - differing,
        difference=(only_first - only_second) / reviews,
        difference_low=low,
        difference_high=high,
        p_value=p_value,
        adjusted_p_value=p_value,
        more_than_luck=False,
        sentence="",
    )


def _bootstrap_interval(only_first: int, only_second: int, reviews: int, seed: int) -> tuple[float, float]:
    # Drawing reviews with replacement, both models' answers together, draws these three counts.
    shares = np.array([only_first, only_second, reviews - only_first - only_second]) / reviews
    counts = np.random.default_rng(seed).multinomial(reviews, shares, size=RESAMPLES)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / reviews, [0.025, 0.975])
    return float(low), float(high)


def _judged(pair: ComparedPair, adjusted: float, reviews: int) -> ComparedPair:
    more_than_luck = adjusted < SIGNIFICANCE
    return replace(
        pair,
        adjusted_p_value=adjusted,
        more_than_luck=more_than_luck,
        sentence=_sentence(pair, adjusted, reviews, more_than_luck=more_than_luck),
    )


def _sentence(pair: ComparedPair, adjusted: float, reviews: int, *, more_than_luck: bool) -> str:
    if pair.only_first_right + pair.only_second_right == 0:
        return f"{pair.first} and {pair.second} are right on the same reviews: nothing parts them."
    if pair.difference == 0:
        return f"{pair.first} and {pair.second} are right equally often, though not on the same reviews."
    tested = "p < 0.0001" if adjusted < 0.0001 else f"p = {adjusted:.2g}"
    return (
        f"{pair.first} is right on {100 * pair.difference:.2f} % more of the {reviews:,} reviews than {pair.second} "
        f"(95 % interval {100 * pair.difference_low:.2f} to {100 * pair.difference_high:.2f} %): "
        f"{'more than luck' if more_than_luck else 'it may be luck'} ({tested})."
    )
