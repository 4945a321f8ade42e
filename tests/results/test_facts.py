import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tune_sentiment.results import facts
from tune_sentiment.search.records import ConfirmedSetting, Outcome, TrialRecord

RecordOf = Callable[..., TrialRecord]


def setting(trial: int, *losses: float, **changes: object) -> ConfirmedSetting:
    made = ConfirmedSetting(
        trial=trial,
        setting={"lr": 0.001},
        is_course=trial == 0,
        search_val_loss=0.4,
        seeds=tuple(range(1000, 1000 + len(losses))),
        val_losses=losses,
    )
    return replace(made, **changes)


def confirmed(outcome: Outcome, *settings: ConfirmedSetting, phase: str = "done") -> Outcome:
    return replace(outcome, phase=phase, confirmed=settings, winner=settings[0] if settings else None, confirmations=())


def test_trials_rank_by_loss_with_the_failed_ones_last(record_of: RecordOf) -> None:
    records = [
        record_of(0, best_val_loss=0.5),
        record_of(1, best_val_loss=0.3, fate="failed", reason="out of memory"),
        record_of(2, best_val_loss=None, fate="waiting", curve=()),
        record_of(3, best_val_loss=0.4, fate="running"),
        record_of(4, best_val_loss=0.4, fate="stopped"),
        record_of(5, best_val_loss=math.nan, fate="failed", reason="diverged"),
    ]
    assert [(rank, record.number) for rank, record in facts.ranked(records)] == [
        (1, 3),
        (2, 4),
        (3, 0),
        (None, 2),
        (None, 1),
        (None, 5),
    ]
    best = facts.best_record(records)
    assert best is not None and best.number == 3


def test_a_search_without_a_loss_has_no_best_trial(record_of: RecordOf) -> None:
    assert facts.best_record([record_of(0, best_val_loss=None, curve=())]) is None
    assert facts.best_record([]) is None


def test_fates_are_counted_with_their_reasons(record_of: RecordOf) -> None:
    records = [
        record_of(0),
        *(record_of(number, fate="stopped", reason="asha") for number in (1, 2)),
        record_of(3, fate="stopped", reason="time budget"),
        record_of(4, fate="failed"),
        record_of(5, fate="running"),
    ]
    words = "6: 1 complete, 3 stopped (asha 2, time budget 1), 1 failed (no reason recorded 1), 1 running"
    assert facts.fates_text(records) == words
    assert facts.fates_text([]) == "none"


def test_the_spread_is_the_standard_deviation_of_a_sample() -> None:
    assert facts.spread([1.0, 3.0]) == pytest.approx(math.sqrt(2))
    assert facts.spread([1.0]) is None
    assert facts.mean([]) is None
    assert facts.val_loss_text(setting(1, 0.40, 0.42)) == "0.4100 +- 0.0141 (2 seeds)"
    assert facts.val_loss_text(setting(1, 0.40)) == "0.4000 (1 seed)"
    assert facts.tested_accuracy_text(setting(1, 0.4, test_accuracies=(0.78, 0.80))) == "79.0 % +- 1.4 %"
    assert facts.tested_accuracy_text(setting(1, 0.4)) == "-"


def test_the_exported_model_is_that_of_the_seed_with_the_lowest_loss() -> None:
    scored = setting(1, 0.42, 0.40, 0.41, test_accuracies=(0.7, 0.8, 0.9))
    assert facts.exported_run(scored) == 1
    assert facts.exported_accuracy(scored) == 0.8
    assert facts.exported_accuracy(setting(1, 0.42)) is None


def test_a_winner_whose_every_seed_is_better_is_called_sure(outcome: Outcome) -> None:
    words = facts.verdict(confirmed(outcome, setting(7, 0.40, 0.41), setting(0, 0.42, 0.43)))
    assert words.startswith("Trial 7 won on 2 fresh seeds, 0.0200 below the course's setting")
    assert "worst seed is still better" in words


def test_a_winner_whose_seeds_overlap_with_the_courses_may_be_lucky(outcome: Outcome) -> None:
    assert "luck" in facts.verdict(confirmed(outcome, setting(7, 0.40, 0.43), setting(0, 0.42, 0.44)))


def test_a_single_seed_is_called_too_few(outcome: Outcome) -> None:
    assert "confirm on more" in facts.verdict(confirmed(outcome, setting(7, 0.40, 0.41), setting(0, 0.42)))


def test_a_course_setting_that_wins_is_said_to_be_unbeaten(outcome: Outcome) -> None:
    words = facts.verdict(confirmed(outcome, setting(0, 0.40), setting(7, 0.42)))
    assert words == "No setting beat the course's: it had the lowest mean of 2 confirmed settings."


def test_while_a_search_runs_nothing_is_decided(outcome: Outcome) -> None:
    leading = replace(confirmed(outcome, phase="searching"), winner=setting(8, 0.44))
    assert facts.decided(leading) is None
    assert facts.verdict(leading).startswith("Nothing is decided yet. Trial 8 has the lowest validation loss so far")
    assert facts.decided(confirmed(outcome, setting(8, 0.44), phase="confirming")) is None


def test_a_winner_on_the_searchs_own_seed_is_not_called_confirmed(outcome: Outcome) -> None:
    unconfirmed = replace(outcome, confirmed=(), confirmations=(), winner=setting(8, 0.44))
    assert facts.decided(unconfirmed) is None
    assert "which may be luck" in facts.verdict(unconfirmed)


def test_before_the_first_report_no_loss_is_claimed(outcome: Outcome) -> None:
    nothing = replace(outcome, phase="searching", records=(), confirmed=(), confirmations=(), winner=None)
    assert facts.verdict(nothing) == "No trial has reported a validation loss yet."
    assert facts.verdict(replace(nothing, phase="done")) == "No trial has a validation loss."


def test_ended_confirmation_runs_stand_in_until_settings_are_confirmed(outcome: Outcome) -> None:
    runs = (*outcome.confirmations[:2], replace(outcome.confirmations[2], fate="running"))
    so_far = facts.confirmed_so_far(replace(outcome, confirmed=(), winner=None, confirmations=runs, phase="confirming"))
    assert [(one.trial, one.seeds) for one in so_far] == [(runs[0].source_trial, (1000, 1001))]
    assert so_far[0].val_losses == (runs[0].best_val_loss, runs[1].best_val_loss)
