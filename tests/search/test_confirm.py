"""Confirmation: which settings are run again, on which seeds, and who wins."""

from typing import Any

import optuna

from tune_sentiment.search.confirm import candidates, confirmation_seeds, confirmed_settings, enqueue, longest_first
from tune_sentiment.search.records import TrialRecord
from tune_sentiment.search.space import load_space
from tune_sentiment.search.study import record_of, seed_of_trial


def trial(number: int, loss: float | None, fate: Any = "complete", **other: Any) -> TrialRecord:
    setting = other.pop("setting", {"lr": 0.001 * (number + 1)})
    return TrialRecord(
        number=number, fate=fate, reason="", setting=setting, seed=other.pop("seed", number), curve=(),
        best_val_loss=loss, best_step=1, best_val_accuracy=0.5, steps=1, max_steps=1, seconds=1.0,
        started=0.0, ended=1.0, **other,
    )  # fmt: skip


def test_the_best_complete_settings_and_the_courses_are_confirmed() -> None:
    trials = [trial(0, 0.9), trial(1, 0.5), trial(2, 0.4), trial(3, 0.3, fate="stopped"), trial(4, 0.6)]
    assert [one.number for one in candidates(trials, top=2)] == [2, 1, 0]


def test_the_course_is_not_confirmed_twice_when_it_is_among_the_best() -> None:
    assert [one.number for one in candidates([trial(0, 0.3), trial(1, 0.5)], top=2)] == [0, 1]


def test_one_setting_that_was_tried_twice_counts_once() -> None:
    same = {"lr": 0.5}
    trials = [trial(0, 0.9), trial(1, 0.3, setting=same), trial(2, 0.4, setting=same), trial(3, 0.5)]
    assert [one.number for one in candidates(trials, top=2)] == [1, 3, 0]


def test_stopped_trials_fill_up_where_too_few_ran_to_the_end() -> None:
    trials = [trial(0, 0.9), trial(1, 0.5, fate="stopped"), trial(2, None, fate="failed")]
    assert [one.number for one in candidates(trials, top=3)] == [0, 1]


def test_nothing_is_confirmed_when_nothing_was_measured_or_wanted() -> None:
    assert candidates([trial(0, None, fate="failed")], top=3) == []
    assert candidates([trial(0, 0.5), trial(1, 0.4)], top=0) == []


def test_confirmation_seeds_are_none_of_the_searchs() -> None:
    seeds = confirmation_seeds(7, 5)
    assert len(set(seeds)) == 5
    assert not set(seeds) & {seed_of_trial(7, number) for number in range(10_000)}


def test_runs_are_enqueued_seed_by_seed_and_only_once() -> None:
    space = load_space("course")
    course, _ = space.course_point()
    study = optuna.create_study()
    chosen = [trial(4, 0.3, setting={**course, "lr": 0.002}), trial(0, 0.5, setting=course)]
    assert enqueue(study, chosen, (11, 12)) == 4
    assert enqueue(study, chosen, (11, 12)) == 4
    assert enqueue(study, chosen, (11, 12, 13)) == 6
    runs = [record_of(one) for one in study.trials]
    assert [(run.source_trial, run.seed) for run in runs] == [(4, 11), (0, 11), (4, 12), (0, 12), (4, 13), (0, 13)]
    assert runs[0].setting["lr"] == 0.002


def test_the_longest_runs_begin_first_where_there_is_time_for_all() -> None:
    space = load_space("course")
    course, _ = space.course_point()
    small = {**course, "embedding_dim": 60, "hidden_dim": 40, "n_layers": 1}
    deep = {**small, "n_layers": 3}
    chosen = [trial(4, 0.3, setting=small), trial(2, 0.4, setting=deep), trial(0, 0.5, setting=course)]
    assert [one.number for one in longest_first(chosen, space)] == [0, 2, 4]


def test_the_winner_has_the_lowest_mean_not_the_luckiest_run() -> None:
    trials = [trial(0, 0.50), trial(1, 0.30)]
    runs = [
        trial(0, 0.20, source_trial=1, seed=11),
        trial(1, 0.44, source_trial=0, seed=11),
        trial(2, 0.90, source_trial=1, seed=12),
        trial(3, 0.46, source_trial=0, seed=12),
    ]
    first, second = confirmed_settings(trials, runs)
    assert (first.trial, first.is_course, first.val_losses, first.seeds) == (0, True, (0.44, 0.46), (11, 12))
    assert (second.trial, second.search_val_loss) == (1, 0.30)


def test_a_setting_with_fewer_finished_runs_never_wins() -> None:
    trials = [trial(0, 0.5), trial(1, 0.3)]
    runs = [
        trial(0, 0.1, source_trial=1, seed=11),
        trial(1, 0.5, source_trial=0, seed=11),
        trial(2, 0.05, fate="stopped", source_trial=1, seed=12),
        trial(3, 0.5, source_trial=0, seed=12),
    ]
    assert [one.trial for one in confirmed_settings(trials, runs)] == [0, 1]
