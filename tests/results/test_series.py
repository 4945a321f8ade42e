import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from tune_sentiment.results import series
from tune_sentiment.search.records import Outcome, TrialRecord

RecordOf = Callable[..., TrialRecord]
BEGIN = 1_000.0
NOW = 2_000.0


def searched(outcome: Outcome, *records: TrialRecord, **changes: object) -> Outcome:
    changes = {"phase": "searching", "confirmations": (), "confirmed": (), "winner": None} | changes
    return replace(outcome, records=records, **changes)


def test_thinning_keeps_the_ends_and_spaces_the_rest_evenly() -> None:
    assert series.thinned(range(5), 5) == [0, 1, 2, 3, 4]
    assert series.thinned(range(101), 5) == [0, 25, 50, 75, 100]
    assert series.thinned(range(10), 1) == [0]
    assert series.thinned(range(10), 0) == []


def test_a_trial_was_busy_for_its_seconds_before_it_ended(record_of: RecordOf) -> None:
    assert series.busy_span(record_of(0, started=BEGIN, ended=BEGIN + 40, seconds=30.0), NOW) == (1010.0, 1040.0)


def test_a_trial_taken_up_again_after_a_night_was_not_busy_all_night(record_of: RecordOf) -> None:
    assert series.busy_span(record_of(0, started=BEGIN, ended=BEGIN + 36_000, seconds=60.0), NOW) == (
        36_940.0,
        37_000.0,
    )


def test_a_running_trial_is_busy_until_now_and_a_waiting_one_never_was(record_of: RecordOf) -> None:
    running = record_of(0, fate="running", started=1_950.0, ended=None, seconds=20.0)
    assert series.busy_span(running, NOW) == (1_980.0, 2_000.0)
    assert series.busy_span(replace(running, fate="waiting", started=None, seconds=0.0), NOW) is None


def test_the_clock_of_a_search_stands_still_while_nothing_runs() -> None:
    clock = series.working_clock([(0.0, 100.0), (90.0, 200.0), (10_000.0, 10_050.0), (450.0, 500.0)])
    assert [clock(moment) for moment in (-5.0, 50.0, 200.0, 300.0, 500.0, 5_000.0, 10_010.0, 99_999.0)] == [
        0.0,
        50.0,
        200.0,
        300.0,
        500.0,
        500.0,
        510.0,
        550.0,
    ]


def test_the_best_so_far_falls_when_a_better_trial_ends(record_of: RecordOf, outcome: Outcome) -> None:
    def ended(number: int, after: float, loss: float | None, fate: str = "complete") -> TrialRecord:
        return record_of(number, started=BEGIN, ended=BEGIN + after, seconds=after, best_val_loss=loss, fate=fate)

    drawn = series.progress(
        searched(
            outcome,
            ended(0, 10, 0.6),
            ended(1, 20, 0.65),
            ended(2, 30, 0.4, "failed"),
            ended(3, 40, 0.5, "stopped"),
            ended(4, 50, None, "failed"),
        ),
        NOW,
    )
    assert drawn.best == ((10.0, 0.6), (40.0, 0.5), (50.0, 0.5))
    assert [(point.seconds, point.fate, point.loss) for point in drawn.points] == [
        (10.0, "complete", 0.6),
        (20.0, "complete", 0.65),
        (30.0, "failed", 0.4),
        (40.0, "stopped", 0.5),
        (50.0, "failed", None),
    ]


def test_thinned_progress_keeps_every_improvement(outcome_of: Callable[..., Outcome]) -> None:
    many = outcome_of(2000)
    whole, thin = series.progress(many, NOW), series.progress(many, NOW, keep=100)
    assert thin.best == whole.best
    assert thin.trials == 2000
    assert len(thin.points) == 100
    improving = {loss for _, loss in whole.best}
    assert improving <= {point.loss for point in thin.points}


def test_curves_keep_winner_and_course_on_top_and_at_most_so_many(outcome: Outcome) -> None:
    drawn = series.curves(outcome, keep=12, points=5)
    assert len(drawn) == 12
    assert [(curve.number, curve.role) for curve in drawn[-2:]] == [(0, "course"), (8, "winner")]
    assert all(len(curve.steps) <= 5 for curve in drawn)
    assert drawn[-1].steps[0] == 100 and drawn[-1].steps[-1] == 1200
    assert series.count_curves(outcome) == 28


def test_the_leader_of_a_running_search_is_not_called_winner(searching: Outcome) -> None:
    assert series.roles(searching) == {0: "course", 8: "best"}


def test_a_curve_has_only_finite_losses(record_of: RecordOf, outcome: Outcome) -> None:
    diverged = record_of(0, curve=((100, 0.7), (200, math.inf), (300, math.nan)))
    assert series.curves(searched(outcome, diverged))[0].losses == (0.7,)


def test_slots_busy_is_a_staircase_of_what_ran_at_once(record_of: RecordOf, outcome: Outcome) -> None:
    def ran(number: int, start: float, end: float) -> TrialRecord:
        return record_of(number, started=BEGIN + start, ended=BEGIN + end, seconds=end - start)

    drawn = series.slots_busy(
        searched(outcome, ran(0, 0, 10), ran(1, 5, 20), ran(2, 10, 15), confirmations=(ran(0, 30, 40),)), NOW
    )
    assert list(zip(drawn.seconds, drawn.busy, strict=True)) == [
        (0.0, 1.0),
        (5.0, 2.0),
        (10.0, 2.0),
        (15.0, 1.0),
        (20.0, 0.0),
        (30.0, 1.0),
        (40.0, 0.0),
    ]
    assert drawn.confirming_from == 30.0
    assert not drawn.averaged


def test_many_stairs_become_means_that_keep_the_busy_time(outcome_of: Callable[..., Outcome]) -> None:
    many = outcome_of(1000)
    stairs, means = series.slots_busy(many, NOW, keep=10**6), series.slots_busy(many, NOW, keep=50)
    assert means.averaged and len(means.seconds) == 50
    busy = sum((b - a) * level for a, b, level in zip(stairs.seconds, stairs.seconds[1:], stairs.busy, strict=False))
    width = means.seconds[1] - means.seconds[0]
    assert sum(means.busy) * width == pytest.approx(busy, rel=1e-6)


def test_confirmed_points_start_with_the_lowest_mean(outcome: Outcome) -> None:
    drawn = series.confirmed_points(outcome)
    assert [(one.trial, one.role) for one in drawn] == [(8, "winner"), (1, "other"), (11, "other"), (0, "course")]
    assert drawn[0].mean == pytest.approx(sum(drawn[0].losses) / 3)
    assert drawn[0].spread is not None and drawn[0].seeds == (1000, 1001, 1002)


def test_a_few_dreadful_losses_do_not_flatten_the_axis() -> None:
    low, high = series.loss_range([0.40 + place / 100 for place in range(20)] + [25.0, 1e6, math.nan]) or (0.0, 0.0)
    assert 0.3 < low < 0.40
    assert 0.59 < high < 1.0
    assert series.loss_range([]) is None
    low, high = series.loss_range([0.5]) or (0.0, 0.0)
    assert low < 0.5 < high


def test_a_search_without_trials_has_nothing_to_draw(outcome: Outcome) -> None:
    nothing = searched(outcome)
    assert series.progress(nothing, NOW) == series.Progress((), (), 0)
    assert series.curves(nothing) == []
    assert series.slots_busy(nothing, NOW) == series.Slots((), (), None, False)
    assert series.confirmed_points(nothing) == []
