"""TPE sees the best trials of a long study, the last ones, and no more; its choice of good ones stays the same."""

import random

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers._tpe.sampler import _split_trials, default_gamma
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune_sentiment.search.distinct import DistinctTPE
from tune_sentiment.search.history import GOOD, MODELLED, History

SPACE = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}


def study_of(count: int, seed: int, states: list[TrialState]) -> optuna.Study:
    """A study of random trials: complete, pruned after one to three reports, failed, infeasible, running."""
    chance = random.Random(seed)
    study = optuna.create_study()
    for _ in range(count):
        state = chance.choice(states)
        reports = {step: chance.random() for step in range(1, chance.randint(1, 4))}
        study.add_trial(
            create_trial(
                state=state,
                value=chance.random() if state == TrialState.COMPLETE else None,
                params={name: chance.random() for name in SPACE},
                distributions=SPACE,
                intermediate_values=reports,
                constraints={"trainable": 1.0} if state == TrialState.PRUNED and chance.random() < 0.2 else None,
            )
        )
    return study


ALL = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]


@pytest.mark.parametrize("states", [ALL, [TrialState.PRUNED], [TrialState.COMPLETE], ALL[1:]])
@pytest.mark.parametrize("count", [40, 2000])
def test_the_good_trials_are_those_of_the_whole_study(count: int, states: list[TrialState]) -> None:
    study = study_of(count, seed=count, states=states)
    history = History()
    for known in (count // 3, count // 2, count):  # as the study grows
        history.learn(study.trials[:known])
    whole = [trial for trial in study.trials if trial.state != TrialState.FAIL]
    finished = sum(trial.state.is_finished() for trial in whole)
    seen = [trial for trial in history.modelled if trial.state != TrialState.FAIL]

    def good(trials: list[FrozenTrial]) -> list[int]:
        return [trial.number for trial in _split_trials(study, trials, default_gamma(finished))[0]]

    assert good(seen) == good(whole)
    assert len(seen) == len(whole) if count == 40 else len(seen) <= GOOD + 2 * MODELLED


def test_the_last_trials_are_seen_and_what_has_ended_since_as_it_ended() -> None:
    study = optuna.create_study()
    trials = [study.ask(SPACE) for _ in range(MODELLED + 100)]
    history = History()
    history.learn(study.get_trials(deepcopy=False))
    assert [trial.number for trial in history.modelled] == list(range(100, MODELLED + 100))
    for trial in trials:
        study.tell(trial, trial.params["x"])
    history.learn(study.get_trials(deepcopy=False))
    assert all(trial.state == TrialState.COMPLETE for trial in history.modelled)
    assert {trial.number for trial in history.modelled} >= set(range(100, MODELLED + 100))


def test_a_short_study_is_searched_as_by_tpe_alone() -> None:
    def chosen(sampler: optuna.samplers.BaseSampler) -> list[dict[str, float]]:
        study = optuna.create_study(sampler=sampler)
        for x in (0.1, 0.5, 0.9):
            study.enqueue_trial({"x": x, "y": x})
        for _ in range(30):
            trial = study.ask(SPACE)
            study.tell(trial, (trial.params["x"] - 0.3) ** 2 + trial.params["y"])
        return [trial.params for trial in study.trials]

    options = {"seed": 3, "multivariate": True, "constant_liar": True, "n_startup_trials": 3}
    assert chosen(DistinctTPE(SPACE, **options)) == chosen(optuna.samplers.TPESampler(**options))
