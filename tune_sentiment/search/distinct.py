"""TPE that does not choose a setting a second time."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from tune_sentiment.search.history import History, PartOfStudy

ATTEMPTS = 20
"""Draws before the settings that are left are listed, where they can be."""
MOST_LISTED = 100_000
"""Settings of a space that is listed when draws keep hitting what was tried."""

Setting = tuple[Any, ...]


def number_of_settings(distributions: Mapping[str, BaseDistribution]) -> float:
    """Return how many different settings there are: infinite if a hyperparameter is continuous."""
    return math.prod(
        math.inf if (choices := _choices(distribution)) is None else len(choices)
        for distribution in distributions.values()
    )


class DistinctTPE(TPESampler):
    """Optuna's TPE, drawing again when it comes to a setting that another trial of the study has.

    Once every setting has been tried, it repeats them.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution], *, seed: int, **options: Any) -> None:
        """Take the space; `options` are those of TPESampler."""
        super().__init__(seed=seed, **options)
        # One that has a single value tells no two settings apart, and TPE does not take it.
        self._distributions = {
            name: distribution for name, distribution in distributions.items() if not distribution.single()
        }
        self._random = RandomSampler(seed=seed)
        self._generator = np.random.default_rng(seed)
        self._tried: set[Setting] = set()
        self._seen = 0
        self._choosing: set[int] = set()
        self._history = History()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space: all of it is drawn at once, also by the first trials."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a setting that no other trial has, if there is one."""
        self._learn(study, trial)
        part: Any = PartOfStudy(study, self._history.modelled)
        drawn: dict[str, Any] = {}
        for _ in range(ATTEMPTS):
            drawn = super().sample_relative(part, trial, search_space) or {
                name: self._random.sample_independent(study, trial, name, distribution)
                for name, distribution in search_space.items()
            }
            if self._setting(drawn) not in self._tried:
                return drawn
        if number_of_settings(self._distributions) > MOST_LISTED:
            return drawn
        every = itertools.product(*(_choices(distribution) or () for distribution in self._distributions.values()))
        left = [
            values
            for values in every
            if self._setting(dict(zip(self._distributions, values, strict=True))) not in self._tried
        ]
        if not left:
            return drawn
        return dict(zip(self._distributions, left[self._generator.integers(len(left))], strict=True))

    def _learn(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Take in the settings of the other trials; once whole, a trial's setting never changes."""
        trials = study.get_trials(deepcopy=False)
        self._choosing.update(range(self._seen, len(trials)))
        self._seen = len(trials)
        for number in list(self._choosing):
            whole = trials[number].params.keys() >= self._distributions.keys()
            if whole and number != trial.number:
                self._tried.add(self._setting(trials[number].params))
            if whole or trials[number].state.is_finished():
                self._choosing.discard(number)
        self._history.learn(trials)

    def _setting(self, params: Mapping[str, Any]) -> Setting:
        values = (params[name] for name in self._distributions)
        # 0.1 + 0.2 and 0.3 are one value of a range in steps of 0.1.
        return tuple(float(f"{value:.12g}") if isinstance(value, float) else value for value in values)


def _choices(distribution: BaseDistribution) -> list[Any] | None:
    """Return the values of a distribution, or None if they cannot be counted."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        return [distribution.low] if distribution.single() else None
    steps = round((distribution.high - distribution.low) / distribution.step)
    return [min(distribution.low + index * distribution.step, distribution.high) for index in range(steps + 1)]
