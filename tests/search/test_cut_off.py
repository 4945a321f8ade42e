"""Trials that the time budget cuts off between two reports."""

from pathlib import Path

from optuna.trial import TrialState

from tests.search.test_sampler import result, searcher


def test_trials_cut_off_by_the_time_budget_are_closed_and_not_left_running(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_result("a", result(100, 0.6, 0.6))
    search.note_checkpoint("a", str(tmp_path / "ray" / "checkpoint_000000"), 100)
    (closed,) = search.close_interrupted("time budget")
    assert (closed.fate, closed.reason, closed.best_val_loss) == ("stopped", "time budget", 0.6)
    assert search.study.trials[0].state == TrialState.PRUNED
    search.on_trial_complete("a", result(200, 0.5, 0.5))  # too late to be heard
    assert search.study.trials[0].intermediate_values == {100: 0.6}


def test_a_trial_that_is_cut_off_counts_with_the_weights_that_were_kept(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    for trial_id, kept in (("a", 100), ("b", None)):
        search.suggest(trial_id)
        search.on_trial_result(trial_id, result(100, 0.6, 0.6))
        if kept:
            search.note_checkpoint(trial_id, str(tmp_path / "ray" / "checkpoint_000000"), kept)
        search.on_trial_result(trial_id, result(200, 0.5, 0.5))
    first, second = search.close_interrupted("time budget")
    assert (first.best_val_loss, first.best_step, first.steps) == (0.6, 100, 200)
    assert (second.best_val_loss, second.best_step, second.steps) == (None, None, 200)
