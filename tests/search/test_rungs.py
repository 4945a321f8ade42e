"""The rungs: whole reports before the last step, lenient ones first."""

import pytest

from tune_sentiment.search.rungs import LADDER, Rung, ladder, rungs
from tune_sentiment.search.scheduler import Ladder, asha


@pytest.mark.parametrize(
    ("max_steps", "report_every", "expected"),
    [(1600, 100, (200, 800)), (684, 100, (100, 400)), (50, 100, ()), (684, 38, (76, 342)), (100, 100, ())],
)
def test_rungs_are_whole_reports_before_the_last_step(
    max_steps: int, report_every: int, expected: tuple[int, ...]
) -> None:
    assert rungs(max_steps, report_every) == expected


def test_rungs_that_meet_at_one_report_are_one_that_keeps_as_few_as_the_last() -> None:
    assert ladder(480, 240) == (Rung(240, LADDER[-1][1]),)


def test_later_rungs_are_later_and_stricter() -> None:
    parts, shares = zip(*LADDER, strict=True)
    assert list(parts) == sorted(set(parts)) and parts[0] > 0 and parts[-1] < 1
    assert list(shares) == sorted(shares, reverse=True) and shares[-1] > 0


@pytest.mark.parametrize(("max_steps", "report_every"), [(1600, 100), (684, 100), (384, 24), (10_000, 100), (50, 100)])
def test_the_reported_rungs_are_those_of_the_scheduler(max_steps: int, report_every: int) -> None:
    (bracket,) = asha(max_steps, report_every)._brackets
    assert isinstance(bracket, Ladder)
    assert tuple(sorted(rung.step for rung, _ in bracket._rungs)) == rungs(max_steps, report_every)
