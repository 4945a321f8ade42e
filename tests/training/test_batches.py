"""The order of reviews: complete, repeatable, random, and even in length."""

import numpy as np
import pytest

from tests.training.conftest import make_split
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split
from tune_sentiment.training.batches import EVALUATION_WORDS, epoch_batches, evaluation_batches, padded, steps_per_epoch

SETTINGS = TrainSettings(batch_size=8, seq_length=15)


def test_an_epoch_holds_every_review_once() -> None:
    split = make_split(101, seed=3)
    batches = epoch_batches(split, SETTINGS, seed=0, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(101))
    assert len(batches) == steps_per_epoch(101, 8) == 13


def test_the_same_seed_gives_the_same_order_and_another_epoch_another() -> None:
    split = make_split(101, seed=3)
    first = np.concatenate(epoch_batches(split, SETTINGS, seed=0, epoch=0))
    assert (first == np.concatenate(epoch_batches(split, SETTINGS, seed=0, epoch=0))).all()
    assert (first != np.concatenate(epoch_batches(split, SETTINGS, seed=0, epoch=1))).any()
    assert (first != np.concatenate(epoch_batches(split, SETTINGS, seed=1, epoch=0))).any()


def test_reviews_of_a_batch_are_about_equally_long() -> None:
    split = make_split(400, seed=3)
    lengths = split.lengths(15)
    grouped = epoch_batches(split, SETTINGS, seed=0, epoch=0)
    shuffled = epoch_batches(split, SETTINGS.model_copy(update={"carry_hidden": True}), seed=0, epoch=0)
    spread = [np.mean([np.ptp(lengths[batch]) for batch in batches]) for batches in (grouped, shuffled)]
    assert spread[0] < 2 < 8 < spread[1]


def test_batches_of_rising_length_do_not_come_in_rising_order() -> None:
    split = make_split(400, seed=3)
    lengths = split.lengths(15)
    means = [lengths[batch].mean() for batch in epoch_batches(split, SETTINGS, seed=0, epoch=0)]
    assert means != sorted(means)


def test_evaluation_batches_hold_every_review_once_and_bound_their_words() -> None:
    split = make_split(3000, seed=3)
    batches = evaluation_batches(split, SETTINGS)
    lengths = split.lengths(15)
    assert sorted(np.concatenate(batches)) == list(range(3000))
    assert all(len(batch) * lengths[batch].max() <= EVALUATION_WORDS for batch in batches)
    assert len(batches) <= 9


def test_batches_are_cut_to_their_longest_review_but_not_for_the_courses_loop() -> None:
    split = make_split(20, seed=3)
    indices = np.array([0, 1, 2])
    longest = split.lengths(15)[:3].max()
    assert padded(split, indices, SETTINGS).shape == (3, longest)
    assert padded(split, indices, SETTINGS.model_copy(update={"carry_hidden": True})).shape == (3, 15)


@pytest.mark.parametrize(("seq_length", "most"), [(15, 15), (40, 20), (60, 20), (200, 25), (1000, 25)])
def test_batches_have_few_different_lengths_and_little_padding(seq_length: int, most: int) -> None:
    settings = SETTINGS.model_copy(update={"seq_length": seq_length})
    split = Split(
        token_ids=np.ones(sum(range(1, 1101)), dtype=np.int32),
        offsets=np.cumsum([0, *range(1, 1101)]),
        labels=np.zeros(1100, dtype=np.int8),
    )
    longest = {index + 1: padded(split, np.array([0, index]), settings).shape[1] for index in range(1100)}
    assert len(set(longest.values())) == most and max(longest.values()) == seq_length
    assert all(min(words, seq_length) <= length < words + seq_length / 25 + 1 for words, length in longest.items())
