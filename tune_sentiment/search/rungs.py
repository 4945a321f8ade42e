"""Choose the rungs: the steps at which ASHA compares trials."""

import math

REDUCTION_FACTOR = 3
GRACE_PARTS = REDUCTION_FACTOR**2
"""Every trial may do one of so many parts of a full run: trials are then compared twice before its end."""


def grace_steps(max_steps: int, report_every: int) -> int:
    """Return the steps that every trial may do: a ninth of a full run, rounded up to whole reports.

    Rounded up, so that the third rung never falls just before the end, where stopping a trial saves nothing.
    """
    reports = math.ceil(max_steps / GRACE_PARTS / report_every)
    return min(reports * report_every, max_steps)


def rungs(max_steps: int, report_every: int) -> tuple[int, ...]:
    """Return the steps at which trials are compared, rising; the last step of a full run is not one."""
    steps = []
    rung = grace_steps(max_steps, report_every)
    while rung < max_steps:
        steps.append(rung)
        rung *= REDUCTION_FACTOR
    return tuple(steps)
