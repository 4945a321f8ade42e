"""Confirm winners: train the best settings again in full on fresh seeds, beside the course's setting."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

import optuna

from tune_sentiment.search.records import ConfirmedSetting, TrialRecord
from tune_sentiment.search.resources import lstm_parameters
from tune_sentiment.search.space import Space
from tune_sentiment.search.study import SEED, SOURCE_TRIAL, seed_of_trial

COURSE_TRIAL = 0
"""Number of the trial with the course's setting."""
FIRST_CONFIRMATION_SEED = 10**9
"""Stands where a trial's number does when seeds are drawn, far above any trial's, so that these seeds are fresh."""


def confirmation_seeds(search_seed: int, count: int) -> tuple[int, ...]:
    """Return `count` seeds that no trial of the search was run with, the same ones for every setting."""
    return tuple(seed_of_trial(search_seed, FIRST_CONFIRMATION_SEED + index) for index in range(count))


def candidates(trials: Sequence[TrialRecord], top: int) -> list[TrialRecord]:
    """Return the `top` different settings with the lowest validation loss that ran to the end, and the course's.

    Trials that ASHA or the time budget stopped are taken only where too few ran to the end.
    """
    usable = [trial for trial in trials if trial.fate in ("complete", "stopped") and trial.best_val_loss is not None]
    ranked = sorted(usable, key=lambda trial: (trial.fate != "complete", trial.best_val_loss))
    chosen: list[TrialRecord] = []
    for trial in ranked:
        if len(chosen) < top and all(trial.setting != other.setting for other in chosen):
            chosen.append(trial)
    course = next((trial for trial in trials if trial.number == COURSE_TRIAL and trial.setting), None)
    if course is not None and chosen and all(course.setting != other.setting for other in chosen):
        chosen.append(course)
    return chosen


def longest_first(chosen: Sequence[TrialRecord], space: Space) -> list[TrialRecord]:
    """Return `chosen` by the work of a run, most first, so that in the end no slot waits long for another's last run.

    Only where there is time for all of them: where it runs out, the best setting must come first.
    """

    def work(trial: TrialRecord) -> int:
        settings = space.settings(trial.setting)
        return lstm_parameters(settings) * settings.seq_length * settings.epochs

    return sorted(chosen, key=work, reverse=True)


def enqueue(study: optuna.Study, chosen: Sequence[TrialRecord], seeds: Sequence[int]) -> int:
    """Put the runs that are still missing into the study, seed by seed, and return how many runs there are in all.

    Seed by seed, so that every setting has been run as often as the others whenever time runs out.
    """
    known = {
        (trial.user_attrs.get(SOURCE_TRIAL), trial.user_attrs.get(SEED)) for trial in study.get_trials(deepcopy=False)
    }
    for seed in seeds:
        for trial in chosen:
            if (trial.number, seed) not in known:
                attributes: dict[str, Any] = {SOURCE_TRIAL: trial.number, SEED: seed}
                study.enqueue_trial(trial.setting, user_attrs=attributes)
    return len(study.get_trials(deepcopy=False))


def confirmed_settings(trials: Sequence[TrialRecord], runs: Sequence[TrialRecord]) -> tuple[ConfirmedSetting, ...]:
    """Return what the confirmation runs say of each setting, by rising mean validation loss.

    Only runs that went to their end count. A setting with fewer of them than another stands below it.
    """
    by_number = {trial.number: trial for trial in trials}
    finished: dict[int, list[TrialRecord]] = {}
    for run in runs:
        if run.fate == "complete" and run.source_trial is not None:
            finished.setdefault(run.source_trial, []).append(run)
    settings = []
    for number, own in finished.items():
        own.sort(key=lambda run: run.number)
        settings.append(
            ConfirmedSetting(
                trial=number,
                setting=own[0].setting,
                is_course=number == COURSE_TRIAL,
                search_val_loss=by_number[number].best_val_loss,
                seeds=tuple(run.seed for run in own),
                val_losses=tuple(run.best_val_loss for run in own if run.best_val_loss is not None),
            )
        )
    return tuple(sorted(settings, key=lambda one: (-len(one.seeds), mean(one.val_losses))))
