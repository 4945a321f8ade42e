"""What a search returns to Python: the winner, the table of trials, figures, and what a notebook shows of it."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest

from tune_sentiment.api.result import SearchResult
from tune_sentiment.errors import BundleError, SettingsError, StudyError
from tune_sentiment.results import leaderboard
from tune_sentiment.results.notebook import result_view, view
from tune_sentiment.search.records import Outcome, Snapshot, TrialRecord

StudyOf = Callable[[Outcome], optuna.Study]


@pytest.fixture(scope="module")
def found(outcome: Outcome, study: optuna.Study) -> SearchResult:
    return SearchResult(outcome, study)


def test_the_best_is_the_winner_with_its_means_and_spreads(found: SearchResult, outcome: Outcome) -> None:
    winner, best = outcome.winner, found.best
    assert winner is not None and best is not None
    assert (best.trial, best.setting, best.seeds, best.confirmed) == (winner.trial, winner.setting, 3, True)
    assert best.val_loss == pytest.approx(np.mean(winner.val_losses))
    assert best.val_loss_spread == pytest.approx(np.std(winner.val_losses, ddof=1))
    assert best.test_accuracy == pytest.approx(np.mean(winner.test_accuracies))
    assert best.exported_test_accuracy == winner.test_accuracies[int(np.argmin(winner.val_losses))]


def test_nothing_measured_is_no_best(outcome: Outcome) -> None:
    empty = SearchResult(replace(outcome, records=(), confirmations=(), confirmed=(), winner=None))
    assert empty.best is None and empty.trials.empty and empty.confirmed.empty
    assert "No trial has a validation loss" in repr(empty) and "No trial" in empty._repr_html_()


def test_trials_are_a_table_of_every_trial_best_first(found: SearchResult, outcome: Outcome) -> None:
    table = found.trials
    assert len(table) == len(outcome.records) and table.index.name == "trial"
    assert [*table.index] == [row["trial"] for row in leaderboard.rows(outcome)]
    assert set(outcome.records[0].setting) < set(table.columns)
    record = outcome.records[5]
    assert table.loc[5, "best_val_loss"] == record.best_val_loss
    assert pd.Timestamp(table.loc[5, "ended"]).timestamp() == pytest.approx(record.ended, abs=1e-3)
    ranks = table["rank"].dropna().tolist()
    assert ranks == sorted(ranks) and table["best_val_loss"].idxmin() == table.index[0]


def test_a_running_search_has_a_table_too(searching: Outcome) -> None:
    table = SearchResult(searching).trials
    assert (table["fate"] == "running").sum() == 2
    assert table.loc[table["fate"] == "running", "ended"].isna().all()


def test_confirmed_settings_are_a_table(found: SearchResult, outcome: Outcome) -> None:
    assert outcome.winner is not None
    assert found.confirmed.index[0] == outcome.winner.trial
    assert found.confirmed.loc[0, "is_course"]
    assert found.confirmed["test_accuracy"].notna().sum() == 2


def test_every_figure_is_plotlys(found: SearchResult, outcome: Outcome) -> None:
    drawings: dict[str, Any] = {name: getattr(found, name)() for name in dir(SearchResult) if name.startswith("plot_")}
    assert set(drawings) == {
        f"plot_{kind}"
        for kind in ("progress", "curves", "confirmed", "slots", "importance", "parallel", "contour", "slice")
    }
    for name, drawing in drawings.items():
        assert type(drawing).__module__.startswith("plotly"), name
        assert drawing.data and drawing.to_plotly_json(), name
    assert found.plot_slice("lr").layout.xaxis.title.text == "lr"
    contour = found.plot_contour("lr", "n_layers").layout
    assert {contour.xaxis.title.text, contour.yaxis.title.text} == {"lr", "n_layers"}


def test_a_figure_that_cannot_be_drawn_says_why(
    found: SearchResult, outcome_of: Callable[..., Outcome], study_of: StudyOf
) -> None:
    with pytest.raises(SettingsError, match="got 'colour': one of"):
        found.plot_slice("colour")
    few = outcome_of(5)
    with pytest.raises(StudyError, match="what mattered takes 8 trials"):
        SearchResult(few, study_of(few)).plot_importance()


def test_a_notebook_shows_the_verdict_the_confirmed_and_the_first_trials(outcome: Outcome) -> None:
    page = result_view(replace(outcome, name="<b>", folder="/a<b>/x"))
    assert "won on 3 fresh seeds" in page and "the course&#x27;s setting" in page
    assert page.count("<table ") == 2 and page.count("<tr>") == 2 + len(outcome.confirmed) + 10
    assert "/a&lt;b&gt;/x/report.html" in page and "<b>/x" not in page
    assert re.fullmatch(r"<search 'my-search', done: Trial \d+ won .*>", repr(SearchResult(outcome)))


def test_a_notebook_shows_the_state_of_a_search_with_its_best_once(
    snapshot_of: Callable[..., Snapshot], record_of: Callable[..., TrialRecord]
) -> None:
    run = record_of(2, source_trial=8, seed=1001, best_val_loss=0.3)
    for best in (None, run):
        page = view(snapshot_of(phase="confirm", best=best), ["trial 3 failed: <b>"], 7)
        assert page.count("best ") == 1 and "<b>confirming 12/30</b>" in page
        assert "8,231 reviews/s" in page and "6 earlier failures" in page and "trial 3 failed: &lt;b&gt;" in page


def test_a_search_without_a_bundle_has_no_predictor(outcome: Outcome) -> None:
    with pytest.raises(BundleError, match="my-search is interrupted: finish it with resume=True"):
        SearchResult(replace(outcome, bundle=None, phase="interrupted")).predictor()
