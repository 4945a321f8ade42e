"""No setting is chosen twice while there is another."""

import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tune_sentiment.search.distinct import DistinctTPE, number_of_settings

SMALL = {
    "n_layers": IntDistribution(1, 3),
    "dropout": FloatDistribution(0.1, 0.7, step=0.2),
    "pooling": CategoricalDistribution(["last", "max"]),
    "epochs": IntDistribution(4, 4),
}


def asked(count: int, seed: int = 0, failing: bool = False) -> list[tuple[float, ...]]:
    """The settings of a study of `count` trials, each told its loss, or that it failed."""
    study = optuna.create_study(sampler=DistinctTPE(SMALL, seed=seed, multivariate=True, constant_liar=True))
    for _ in range(count):
        trial = study.ask(SMALL)
        if failing:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, trial.params["n_layers"] + trial.params["dropout"])
    return [tuple(trial.params[name] for name in SMALL) for trial in study.trials]


@pytest.mark.parametrize("failing", [False, True])
def test_every_setting_of_a_small_space_is_tried_before_one_comes_back(failing: bool) -> None:
    settings = asked(26, failing=failing)
    assert len(set(settings[:24])) == 24
    assert set(settings[24:]) <= set(settings[:24])


def test_it_still_learns() -> None:
    best = [min(sum(setting[:2]) for setting in asked(14, seed)) for seed in range(10)]
    assert sum(best) / 10 < 1.2  # the lowest of the space is 1.1


def test_a_study_that_is_opened_again_knows_what_was_tried() -> None:
    storage = optuna.storages.InMemoryStorage()
    for seed in range(8):
        sampler = DistinctTPE(SMALL, seed=7, multivariate=True, constant_liar=True)
        study = optuna.create_study(storage=storage, study_name="s", sampler=sampler, load_if_exists=True)
        for _ in range(3):
            study.tell(study.ask(SMALL), seed)
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 24


def test_settings_are_counted_and_continuous_ones_have_no_number() -> None:
    assert number_of_settings(SMALL) == 24
    assert number_of_settings({**SMALL, "lr": FloatDistribution(1e-4, 1e-2, log=True)}) == math.inf
    assert number_of_settings({"lr": FloatDistribution(0.1, 0.1), "hidden_dim": IntDistribution(8, 64, step=8)}) == 8
