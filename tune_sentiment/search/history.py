"""What TPE looks at of a long study: enough to choose as well, and no more however many trials there are."""

import bisect
import math
from collections import deque
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

MODELLED = 300
"""Finished trials, and running ones, that TPE models at most, beside the best: its time grows with their number."""
GOOD = 25
"""Trials that TPE takes for good ones at most."""


class History:
    """The part of a study's trials that TPE models: the best, the last to finish, and the last that still run."""

    def __init__(self) -> None:
        """Know no trial."""
        self._seen = 0
        self._open: list[int] = []
        self._best: list[tuple[tuple[float, ...], int]] = []
        self._last: deque[int] = deque(maxlen=MODELLED)
        self.modelled: list[FrozenTrial] = []
        """By rising number."""

    def learn(self, trials: Sequence[FrozenTrial]) -> None:
        """Take in what is new in `trials`, all those of the study by their number."""
        still_open = []
        for number in (*self._open, *range(self._seen, len(trials))):
            trial = trials[number]
            if not trial.state.is_finished():
                still_open.append(number)
            elif trial.state != TrialState.FAIL:
                self._last.append(number)
                bisect.insort(self._best, (_rank(trial), number))
                del self._best[GOOD:]
        self._open, self._seen = still_open, len(trials)
        running = [number for number in still_open if trials[number].state == TrialState.RUNNING]
        best = (number for _, number in self._best)
        self.modelled = [trials[number] for number in sorted({*best, *self._last, *running[-MODELLED:]})]


class PartOfStudy:
    """A study of which a sampler sees only some trials."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        """Show `trials` of `study`."""
        self._study = study
        self._trials = trials

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]

    def __getattr__(self, name: str) -> Any:
        """Return what the whole study has."""
        return getattr(self._study, name)


def _rank(trial: FrozenTrial) -> tuple[float, ...]:
    """Return what TPE sorts by, lowest best: feasible, then complete, then by value; pruned ones by their last step."""
    infeasible = sum(max(0.0, value) for value in trial.constraints.values())
    if infeasible or trial.state == TrialState.COMPLETE:
        return (infeasible, 0.0, 0.0, trial.value or 0.0)
    if not trial.intermediate_values:
        return (0.0, 2.0, 0.0, 0.0)
    step, value = max(trial.intermediate_values.items())
    return (0.0, 1.0, -step, math.inf if math.isnan(value) else value)
