import logging
from collections.abc import Callable
from dataclasses import replace

import optuna

from tune_sentiment.results import comparable, facts
from tune_sentiment.search.records import Outcome

StudyOf = Callable[[Outcome], optuna.Study]


def test_stopped_trials_count_beside_complete_ones_and_failed_ones_do_not(
    outcome: Outcome, study: optuna.Study
) -> None:
    compared = comparable.comparison(outcome, study)
    assert (compared.compared, compared.measured, compared.stopped, compared.ceiling) == (28, 28, 11, None)
    by_setting = {tuple(trial.params.values()): trial.value for trial in compared.study.trials}
    assert {trial.state.name for trial in compared.study.trials} == {"COMPLETE"}
    for record in outcome.records:
        assert by_setting.get(tuple(record.setting.values())) == facts.usable_loss(record)


def test_a_dreadful_loss_is_cut_down_to_where_the_others_keep_their_room(outcome: Outcome, study: optuna.Study) -> None:
    records = (*outcome.records[:-1], replace(outcome.records[-1], best_val_loss=1e6))
    compared = comparable.comparison(replace(outcome, records=records), study)
    values = sorted(trial.value or 0.0 for trial in compared.study.trials)
    assert compared.ceiling is not None and compared.ceiling < 1
    assert values[-1] == compared.ceiling > values[-2]


def test_a_trial_that_the_study_does_not_know_is_passed_over(outcome: Outcome, study_of: StudyOf) -> None:
    compared = comparable.comparison(outcome, study_of(replace(outcome, records=outcome.records[:10])))
    assert compared.measured == 10
    nothing = comparable.comparison(replace(outcome, records=()), study_of(outcome))
    assert (nothing.compared, nothing.ceiling) == (0, None)


def test_a_thinned_comparison_keeps_the_best_trial(outcome_of: Callable[..., Outcome], study_of: StudyOf) -> None:
    many = outcome_of(400)
    compared = comparable.comparison(many, study_of(many), keep=20)
    everyone = comparable.comparison(many, study_of(many), keep=1000)
    assert compared.measured == everyone.measured > 200
    assert 19 <= compared.compared <= 20
    assert compared.study.best_value == everyone.study.best_value


def test_making_the_study_says_nothing_and_leaves_optunas_verbosity(outcome: Outcome, study: optuna.Study) -> None:
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    before, listener = optuna.logging.get_verbosity(), Listener()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    logging.getLogger("optuna").addHandler(listener)
    try:
        comparable.comparison(outcome, study)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
        assert said == []
        optuna.create_study()
        assert len(said) == 1
    finally:
        logging.getLogger("optuna").removeHandler(listener)
        optuna.logging.set_verbosity(before)
