import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from tune_sentiment.errors import DataError
from tune_sentiment.export.scoring import NUM_BINS, score, wilson_interval


def test_scores_agree_with_scikit_learn_and_with_torch() -> None:
    generator = np.random.default_rng(5)
    labels = generator.integers(2, size=500).astype(np.int8)
    probabilities = np.clip(labels * 0.3 + generator.uniform(0, 0.7, size=500), 0, 1).astype(np.float32)
    called = probabilities > 0.5
    scores = score(probabilities, labels)

    expected_loss = torch.nn.functional.binary_cross_entropy(
        torch.from_numpy(probabilities).double(), torch.from_numpy(labels).double()
    )
    assert scores.loss == pytest.approx(float(expected_loss), abs=1e-12)
    assert scores.accuracy == pytest.approx(float((called == labels).mean()))
    assert scores.precision == pytest.approx(precision_score(labels, called))
    assert scores.recall == pytest.approx(recall_score(labels, called))
    assert scores.f1 == pytest.approx(f1_score(labels, called))
    assert scores.auc == pytest.approx(roc_auc_score(labels, probabilities))
    found = [[scores.true_negatives, scores.false_positives], [scores.false_negatives, scores.true_positives]]
    assert found == confusion_matrix(labels, called).tolist()
    assert scores.reviews == 500
    assert scores.accuracy_low < scores.accuracy < scores.accuracy_high


def test_a_sure_and_wrong_answer_costs_what_it_costs_in_training() -> None:
    expected = torch.nn.BCELoss()(torch.tensor([0.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, 1.0]))
    assert score([0.0, 1.0, 1.0], [1, 0, 1]).loss == pytest.approx(float(expected)) == pytest.approx(200 / 3)


def test_exactly_a_half_is_negative_as_in_training() -> None:
    scores = score([0.5, 0.5], [0, 1])
    assert (scores.true_negatives, scores.false_negatives) == (1, 1)


def test_with_one_label_only_what_is_undefined_is_none() -> None:
    negative = score([0.1, 0.2], [0, 0])
    assert (negative.auc, negative.precision, negative.recall, negative.f1) == (None, None, None, None)
    assert negative.accuracy == 1.0
    positive = score([0.1, 0.9], [1, 1])
    assert (positive.auc, positive.precision, positive.recall) == (None, 1.0, 0.5)


def test_calibration_is_measured_bin_by_bin() -> None:
    #   0.1..0.2: said 0.15, true 1/2 -> gap 0.35; 0.9..1: said 0.975, true 1 -> gap 0.025
    scores = score([0.1, 0.2 - 1e-12, 0.95, 1.0], [0, 1, 1, 1])
    assert scores.calibration_error == pytest.approx((2 * 0.35 + 2 * 0.025) / 4)
    assert len(scores.bins) == NUM_BINS
    second, last = scores.bins[1], scores.bins[9]
    assert (second.low, second.high, second.reviews, second.share_positive) == (0.1, 0.2, 2, 0.5)
    assert last.mean_probability == pytest.approx(0.975)
    assert (last.reviews, last.share_positive) == (2, 1.0)
    assert (scores.bins[5].reviews, scores.bins[5].mean_probability, scores.bins[5].share_positive) == (0, None, None)


@effort(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_every_review_is_counted_once_and_every_figure_stays_in_its_range(answers: list[tuple[float, int]]) -> None:
    scores = score([probability for probability, _ in answers], [label for _, label in answers])
    counts = (scores.true_positives, scores.false_positives, scores.true_negatives, scores.false_negatives)
    assert sum(counts) == sum(part.reviews for part in scores.bins) == scores.reviews == len(answers)
    assert 0 <= scores.accuracy_low <= scores.accuracy <= scores.accuracy_high <= 1
    assert 0 <= scores.calibration_error <= 1
    assert 0 <= scores.loss <= 100 + 1e-9
    for share in (scores.precision, scores.recall, scores.f1, scores.auc):
        assert share is None or 0 <= share <= 1


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # Newcombe 1998, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_wilson_interval_is_that_of_the_literature(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_rounding_never_puts_the_share_outside_its_interval() -> None:
    for trials in range(1, 500):
        assert wilson_interval(0, trials)[0] == 0.0
        assert wilson_interval(trials, trials)[1] == 1.0


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        ([], [], "at least one review, got none"),
        ([0.5], [1, 0], r"one probability and one label, got shapes \(1,\) and \(2,\)"),
        ([[0.5]], [[1]], r"got shapes \(1, 1\)"),
        ([0.5, 0.5], [1, 2], "labels must be 0 or 1, got .*2"),
        ([0.5], ["positive"], "labels must be 0 or 1, got .*positive"),
        ([1.5], [1], "must be in 0 to 1, got 1.5"),
        ([math.nan], [1], "must be in 0 to 1, got nan"),
        (["high"], [1], "must be numbers"),
    ],
)
def test_what_cannot_be_scored_is_refused(probabilities: list[float], labels: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        score(probabilities, labels)


def test_scoring_imports_scikit_learn_only_when_it_scores() -> None:
    code = "import sys, tune_sentiment.export.scoring; sys.exit('sklearn' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
