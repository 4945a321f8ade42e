"""The rungs: whole reports, a ninth of a run first, then three times as far each."""

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler

from tune_sentiment.search.rungs import grace_steps, rungs
from tune_sentiment.search.scheduler import asha


@pytest.mark.parametrize(
    ("max_steps", "report_every", "expected"),
    [(1600, 100, (200, 600)), (684, 100, (100, 300)), (50, 100, ()), (684, 24, (96, 288)), (100, 100, ())],
)
def test_rungs_are_whole_reports_before_the_last_step(
    max_steps: int, report_every: int, expected: tuple[int, ...]
) -> None:
    assert rungs(max_steps, report_every) == expected


@pytest.mark.parametrize(("max_steps", "report_every"), [(1600, 100), (684, 100), (384, 24), (10_000, 100)])
def test_the_reported_rungs_are_those_of_rays_scheduler(max_steps: int, report_every: int) -> None:
    scheduler = asha(max_steps, report_every)
    assert isinstance(scheduler, AsyncHyperBandScheduler)
    (bracket,) = scheduler._brackets
    assert tuple(sorted(step for step, _ in bracket._rungs if step < max_steps)) == rungs(max_steps, report_every)


def test_every_trial_may_do_at_least_one_report() -> None:
    assert grace_steps(300, 100) == 100
    assert grace_steps(40, 100) == 40
