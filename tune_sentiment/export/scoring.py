"""Score probabilities against labels: loss, accuracy, F1, ROC AUC, confusion and calibration."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tune_sentiment.errors import DataError

NUM_BINS = 10
_LOWEST_LOG = -100.0
"""Where torch's BCELoss cuts the logarithm, so that one sure and wrong answer does not make the loss infinite."""


@dataclass(frozen=True)
class CalibrationBin:
    """The reviews whose probability of "positive" lies in one tenth of 0 to 1: one point of a reliability curve."""

    low: float
    high: float
    reviews: int
    mean_probability: float | None
    """What the model said, on average; None for an empty bin."""
    share_positive: float | None
    """What was true; None for an empty bin."""


@dataclass(frozen=True)
class Scores:
    """How probabilities of "positive" fit the labels; a figure that is undefined is None."""

    reviews: int
    loss: float
    """Binary cross-entropy, the mean over the reviews."""
    accuracy: float
    """Share of reviews whose probability is on their label's side of 0.5."""
    accuracy_low: float
    """Lower end of the accuracy's 95 % Wilson interval."""
    accuracy_high: float
    precision: float | None
    """Share of true positives among the reviews called positive; None if none was."""
    recall: float | None
    """Share of the positive reviews that were called so; None if there are none."""
    f1: float | None
    auc: float | None
    """Area under the ROC curve; None if all reviews have one label."""
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    calibration_error: float
    """Expected calibration error: |mean probability - share positive| of the bins, weighted by their reviews."""
    bins: tuple[CalibrationBin, ...]


def score(probabilities: NDArray[np.floating[Any]] | Sequence[float], labels: NDArray[Any] | Sequence[int]) -> Scores:
    """Score `probabilities` of "positive" (num_reviews,) in 0 to 1 against `labels` (num_reviews,), 0 or 1.

    Raises:
        DataError: if there are no reviews, the two differ in length, or hold anything else.
    """
    predicted, truth = _checked(probabilities, labels)
    called = predicted > 0.5
    true_positives = int(np.sum(called & truth))
    false_positives = int(np.sum(called & ~truth))
    false_negatives = int(np.sum(~called & truth))
    true_negatives = len(truth) - true_positives - false_positives - false_negatives
    low, high = wilson_interval(true_positives + true_negatives, len(truth))
    bins = _bins(predicted, truth)
    return Scores(
        reviews=len(truth),
        loss=_cross_entropy(predicted, truth),
        accuracy=(true_positives + true_negatives) / len(truth),
        accuracy_low=low,
        accuracy_high=high,
        precision=_ratio(true_positives, true_positives + false_positives),
        recall=_ratio(true_positives, true_positives + false_negatives),
        f1=_ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives),
        auc=_area_under_curve(predicted, truth),
        true_positives=true_positives,
        false_positives=false_positives,
        true_negatives=true_negatives,
        false_negatives=false_negatives,
        calibration_error=_calibration_error(bins),
        bins=bins,
    )


def wilson_interval(successes: float, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Return the interval for a share of `successes` in `trials` > 0, by default the 95 % one (Wilson 1927)."""
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # At a share of 0 or 1 an end is exactly the share, and rounding must not push it past that.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


def _checked(probabilities: Any, labels: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    try:
        predicted, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    except (TypeError, ValueError):
        raise DataError("probabilities must be numbers, got something else: give one per review.") from None
    if predicted.ndim != 1 or predicted.shape != truth.shape:
        raise DataError(
            f"each review must have one probability and one label, got shapes {predicted.shape} and {truth.shape}: "
            "give two flat lists of the same length."
        )
    if len(truth) == 0:
        raise DataError("a score needs at least one review, got none: give labelled reviews.")
    if not np.isin(truth, (0, 1)).all():
        raise DataError(f"labels must be 0 or 1, got {truth[~np.isin(truth, (0, 1))][0]!r}: translate them first.")
    # Written so that NaN fails too.
    valid = (predicted >= 0) & (predicted <= 1)
    if not valid.all():
        raise DataError(f"probabilities must be in 0 to 1, got {predicted[~valid][0]}: check the model.")
    return predicted, truth.astype(bool)


def _cross_entropy(predicted: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    of_truth = np.where(truth, predicted, 1.0 - predicted)
    with np.errstate(divide="ignore"):
        return float(-np.maximum(np.log(of_truth), _LOWEST_LOG).mean())


def _area_under_curve(predicted: NDArray[np.float64], truth: NDArray[np.bool_]) -> float | None:
    if truth.all() or not truth.any():
        return None
    from sklearn.metrics import roc_auc_score  # a second of imports that `predict` does not need

    return float(roc_auc_score(truth, predicted))


def _bins(predicted: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    index = np.minimum((predicted * NUM_BINS).astype(int), NUM_BINS - 1)
    bins = []
    for number in range(NUM_BINS):
        inside = index == number
        reviews = int(inside.sum())
        bins.append(
            CalibrationBin(
                low=number / NUM_BINS,
                high=(number + 1) / NUM_BINS,
                reviews=reviews,
                mean_probability=float(predicted[inside].mean()) if reviews else None,
                share_positive=float(truth[inside].mean()) if reviews else None,
            )
        )
    return tuple(bins)


def _calibration_error(bins: Sequence[CalibrationBin]) -> float:
    gaps = [
        part.reviews * abs(part.mean_probability - part.share_positive)
        for part in bins
        if part.mean_probability is not None and part.share_positive is not None
    ]
    return sum(gaps) / sum(part.reviews for part in bins)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
