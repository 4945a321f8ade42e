"""Choose the rungs: the steps at which trials are compared, and how many of them go on from each."""

import math
from typing import NamedTuple

LADDER = ((1 / 9, 2 / 3), (1 / 2, 1 / 5))
"""Where trials are compared, as a part of a full run, and the share of those there that goes on, in rising order.

Hardly anything is stopped early, where many that end well have not begun to learn, and most is at half of the run,
where the order of the trials is nearly that of their ends: see benchmarks/RESULTS.md.
"""


class Rung(NamedTuple):
    """A step at which trials are compared."""

    step: int
    kept: float
    """Share of the trials there that goes on."""


def ladder(max_steps: int, report_every: int) -> tuple[Rung, ...]:
    """Return the rungs, rising: whole reports before the last step of a full run, none where there are too few.

    Rounded up, so that no trial is judged by less than was meant; of rungs that meet there, the last one counts.
    """
    kept_at: dict[int, float] = {}
    for part, kept in LADDER:
        reports = math.ceil(round(max_steps * part / report_every, 6))  # a ninth of 900 is not a little over 100
        if reports * report_every < max_steps:
            kept_at[reports * report_every] = kept
    return tuple(Rung(step, kept) for step, kept in kept_at.items())


def rungs(max_steps: int, report_every: int) -> tuple[int, ...]:
    """Return the steps at which trials are compared, rising; the last step of a full run is not one."""
    return tuple(rung.step for rung in ladder(max_steps, report_every))
