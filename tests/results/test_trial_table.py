from collections.abc import Callable
from dataclasses import replace

from tune_sentiment.results.trial_table import trial_table
from tune_sentiment.search.records import Outcome


def test_cells_have_a_worded_and_a_sortable_value(outcome: Outcome) -> None:
    table = trial_table(outcome)
    headings = [heading for _, heading in table["columns"]]
    first = dict(zip(headings, table["rows"][0]["cells"], strict=True))
    best = outcome.records[8]
    assert first["rank"] == ("1", "1")
    assert first["best loss"] == ("0.4421", str(best.best_val_loss))
    assert first["steps"] == ("1,200 of 1,200", "1200")
    assert first["lr"] == ("2.8e-03", str(best.setting["lr"]))
    assert first["reason"] == ("", "")
    last = dict(zip(headings, table["rows"][-1]["cells"], strict=True))
    assert last["best loss"] == ("", "") and last["reason"] == ("diverged", "diverged")


def test_the_confirmed_loss_has_a_column_only_if_there_is_one(outcome: Outcome) -> None:
    def keys(table: dict[str, list[tuple[str, str]]]) -> list[str]:
        return [key for key, _ in table["columns"]]

    assert "confirmed_val_loss" in keys(trial_table(outcome))
    assert "confirmed_val_loss" not in keys(trial_table(replace(outcome, confirmed=(), confirmations=())))


def test_a_long_table_keeps_the_best_five_hundred(outcome_of: Callable[..., Outcome]) -> None:
    table = trial_table(outcome_of(1500))
    assert len(table["rows"]) == 500 and table["total"] == 1500
    assert [row["cells"][0][0] for row in table["rows"][::499]] == ["1", "500"]
