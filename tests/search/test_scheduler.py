"""ASHA on resume: its rungs hold what the study recorded, as if the search had never stopped."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.tune.schedulers import TrialScheduler

from tests.search.test_confirm import trial as made_trial
from tune_sentiment.search.records import TrialRecord
from tune_sentiment.search.rungs import ladder
from tune_sentiment.search.sampler import METRIC
from tune_sentiment.search.scheduler import asha

MAX_STEPS, REPORT_EVERY = 900, 100


def rungs_of(scheduler: Any) -> dict[int, list[float]]:
    (bracket,) = scheduler._brackets
    return {rung.step: sorted(-loss for loss in recorded.values()) for rung, recorded in bracket._rungs}


def ray_trial(number: int) -> Any:
    return SimpleNamespace(trial_id=f"ray {number}", config={"number": number})


def earlier(number: int, fate: Any, *losses: float) -> TrialRecord:
    curve = tuple((REPORT_EVERY * (index + 1), loss) for index, loss in enumerate(losses))
    return replace(made_trial(number, min(losses, default=None), fate), curve=curve)


EARLIER = [
    earlier(0, "complete", 0.70, 0.60, 0.50, 0.45, 0.40, 0.41, 0.42, 0.43, 0.44),
    earlier(1, "stopped", 0.69),
    earlier(2, "stopped", 0.68, 0.67, 0.69),
    earlier(3, "failed", 0.66),
    earlier(4, "failed"),
]


def test_the_rungs_are_those_of_a_search_that_never_stopped() -> None:
    live = asha(MAX_STEPS, REPORT_EVERY)
    for record in EARLIER:
        trial, best = ray_trial(record.number), 9.0
        live.on_trial_add(None, trial)
        for step, loss in record.curve:
            best = min(best, loss)
            live.on_trial_result(None, trial, {"step": step, METRIC: best})
    resumed = asha(MAX_STEPS, REPORT_EVERY, EARLIER)
    assert rungs_of(resumed) == rungs_of(live) == {100: [0.66, 0.68, 0.69, 0.7], 500: [0.4]}


def test_a_new_trial_is_compared_with_those_before_the_crash() -> None:
    result = {"step": 500, METRIC: 0.6}
    for scheduler, decision in ((asha(900, 100), TrialScheduler.CONTINUE), (asha(900, 100, EARLIER), "STOP")):
        scheduler.on_trial_add(None, ray_trial(5))
        scheduler.on_trial_result(None, ray_trial(5), {"step": 100, METRIC: 0.6})
        assert scheduler.on_trial_result(None, ray_trial(5), result) == decision


def test_a_trial_that_continues_stands_once_on_each_rung_with_what_it_had_there() -> None:
    scheduler = asha(MAX_STEPS, REPORT_EVERY, [*EARLIER, earlier(5, "running", 0.65, 0.64, 0.63, 0.62, 0.61)])
    assert rungs_of(scheduler)[100] == [0.66, 0.68, 0.69, 0.7]
    scheduler.on_trial_add(None, ray_trial(5))
    assert rungs_of(scheduler)[100] == [0.65, 0.66, 0.68, 0.69, 0.7]
    for step in (300, 400, 500, 600):  # from its checkpoint at step 200: three reports come a second time
        scheduler.on_trial_result(None, ray_trial(5), {"step": step, METRIC: 0.6})
    assert rungs_of(scheduler) == {100: [0.65, 0.66, 0.68, 0.69, 0.7], 500: [0.4, 0.61]}


def decisions(scheduler: Any, step: int, losses: list[float]) -> list[str]:
    """What is decided of trials that come to a step one after the other."""
    made = []
    for number, loss in enumerate(losses):
        scheduler.on_trial_add(None, ray_trial(number))
        made.append(scheduler.on_trial_result(None, ray_trial(number), {"step": step, METRIC: loss}))
    return made


def test_a_rung_keeps_its_own_share_of_those_that_reach_it() -> None:
    losses = np.random.default_rng(0).random(3000).tolist()
    for rung in ladder(MAX_STEPS, REPORT_EVERY):
        made = decisions(asha(MAX_STEPS, REPORT_EVERY), rung.step, losses)
        assert made.count(TrialScheduler.CONTINUE) / len(made) == pytest.approx(rung.kept, abs=0.03)
        assert made[0] == TrialScheduler.CONTINUE


def test_nothing_is_decided_between_rungs_or_twice_at_one() -> None:
    scheduler = asha(MAX_STEPS, REPORT_EVERY)
    assert set(decisions(scheduler, 99, [0.1, 0.9])) == {TrialScheduler.CONTINUE}
    assert decisions(scheduler, 100, [0.1, 0.9]) == [TrialScheduler.CONTINUE, TrialScheduler.STOP]
    assert set(decisions(scheduler, 200, [0.1, 0.9])) == {TrialScheduler.CONTINUE}


def test_a_trial_that_takes_more_steps_than_the_courses_setting_runs_to_its_own_end() -> None:
    scheduler = asha(MAX_STEPS, REPORT_EVERY)
    assert decisions(scheduler, 2 * MAX_STEPS, [0.5]) == [TrialScheduler.CONTINUE]
