import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from tune_sentiment.errors import StudyError
from tune_sentiment.results import leaderboard
from tune_sentiment.search.records import Outcome, Plan, TrialRecord


def shown(renderable: RenderableType, width: int = 80) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(renderable)
    return stream.getvalue()


def test_a_row_holds_the_trials_setting_loss_and_confirmation(outcome: Outcome) -> None:
    first, *_, last = leaderboard.rows(outcome)
    assert first["rank"] == 1
    assert first["best_val_loss"] == min(record.best_val_loss or 9.0 for record in outcome.records)
    assert first["lr"] == outcome.records[first["trial"]].setting["lr"]
    assert first["confirmed_val_loss"] == pytest.approx(sum(outcome.winner.val_losses) / 3) if outcome.winner else False
    assert (last["rank"], last["fate"], last["reason"]) == (None, "failed", "diverged")
    assert [row["trial"] for row in leaderboard.rows(outcome) if row["is_course"]] == [0]


def test_the_running_trials_of_a_search_are_marked(searching: Outcome) -> None:
    assert sorted(row["trial"] for row in leaderboard.rows(searching) if row["fate"] == "running") == [28, 29]


def test_the_csv_file_says_what_the_rows_say(outcome: Outcome, tmp_path: Path) -> None:
    leaderboard.write_csv(outcome, tmp_path / "leaderboard.csv")
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    rows = leaderboard.rows(outcome)
    assert len(lines) == len(rows) == 30
    assert list(lines[0]) == list(rows[0])
    assert [
        float(line["best_val_loss"] or "nan") == row["best_val_loss"] for line, row in zip(lines, rows, strict=True)
    ][:28] == [True] * 28
    assert lines[-1]["best_val_loss"] == "" == lines[-1]["rank"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["leaderboard.csv"]


def test_a_reason_with_commas_and_line_breaks_stays_in_its_cell(
    record_of: Callable[..., TrialRecord], outcome: Outcome, tmp_path: Path
) -> None:
    odd = record_of(0, fate="failed", reason='error: "a, b"\nsecond line')
    leaderboard.write_csv(replace(outcome, records=(odd,), confirmed=(), winner=None), tmp_path / "leaderboard.csv")
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == [odd.reason]


def test_a_csv_file_in_a_missing_folder_is_refused(outcome: Outcome, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="can be written"):
        leaderboard.write_csv(outcome, tmp_path / "missing" / "leaderboard.csv")


def test_a_search_without_trials_has_an_empty_leaderboard(outcome: Outcome, tmp_path: Path) -> None:
    nothing = replace(outcome, records=(), confirmed=(), confirmations=(), winner=None)
    assert leaderboard.rows(nothing) == []
    leaderboard.write_csv(nothing, tmp_path / "leaderboard.csv")
    assert (tmp_path / "leaderboard.csv").read_text().count("\n") == 1
    assert "rank" in shown(leaderboard.table(nothing))
    assert "No trial has a validation loss." in shown(leaderboard.summary(nothing))


def test_the_table_fits_80_columns_with_a_column_per_hyperparameter(outcome: Outcome) -> None:
    lines = shown(leaderboard.table(outcome), width=200).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert lines[1].split() == ["rank", "trial", "fate", "loss", "acc", "steps", "dim", "dim", "layers", "lr", "clip"]
    assert lines[2].split()[:6] == ["1", "8+", "complete", "0.4421", "76.7", "%"]
    assert lines[2].split()[-2:] == ["2.8e-03", "0.313"]


def test_the_courses_setting_is_shown_wherever_it_ended(outcome: Outcome) -> None:
    text = shown(leaderboard.table(outcome, top=3))
    assert [line.split()[:2] for line in text.splitlines()[2:6]] == [["1", "8+"], ["2", "1"], ["3", "11"], ["13", "0*"]]
    assert "4 of 30 trials shown" in text


def test_a_wide_space_shares_one_column_that_breaks_its_lines(
    record_of: Callable[..., TrialRecord], outcome: Outcome
) -> None:
    many = {f"hyperparameter_{letter}": 0.123 for letter in "abcdefgh"}
    text = shown(leaderboard.table(replace(outcome, records=(record_of(0, setting=many),), confirmed=(), winner=None)))
    assert "setting" in text
    assert all(f"hyperparameter_{letter}=0.123" in text.replace("\n", "") for letter in "ah")
    assert max(map(len, text.splitlines())) <= 80


def test_text_in_square_brackets_is_shown_as_it_is(record_of: Callable[..., TrialRecord], outcome: Outcome) -> None:
    odd = replace(outcome, records=(record_of(0, setting={"pooling": "[red]x"}),), confirmed=(), winner=None)
    assert "[red]x" in shown(leaderboard.table(odd))


def test_the_summary_sets_the_winner_beside_the_courses_setting(outcome: Outcome) -> None:
    text = shown(leaderboard.summary(outcome))
    assert "Trial 8 won on 3 fresh seeds" in text
    assert "winner (trial 8)" in text and "the course's setting" in text
    line = next(line for line in text.splitlines() if line.startswith("test accuracy"))
    assert line.count("+-") == 2
    assert "of the exported model  76.6 %" in text
    assert "30: 17 complete, 11 stopped (asha 11), 2 failed (diverged 2)" in text
    assert "93 % of 20 min 34 s" in text
    assert "experiments/my-search/report.html" in text and "experiments/my-search/best" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_summary_says_when_the_best_was_not_confirmed(outcome: Outcome) -> None:
    text = shown(leaderboard.summary(replace(outcome, confirmed=(), confirmations=(), phase="interrupted")))
    assert "best, not confirmed (trial 8)" in text
    assert "Nothing was confirmed" in text


def test_the_plan_is_told_in_words() -> None:
    plan = Plan(
        device="cuda",
        cpus=16,
        gpus=1,
        memory_bytes=128 * 10**9,
        cpus_per_trial=2,
        gpus_per_trial=0.125,
        slots=8,
        trials=30,
        max_steps=1200,
        confirm_runs=12,
        trial_bytes=1_200_000_000,
        estimated_seconds=754,
        notes=("Trial 0 was clamped.",),
    )
    text = shown(leaderboard.plan_table(plan))
    for words in ("8 trials side by side", "0.125 GPU", "30 trials of at most 1,200 steps", "12 full runs", "1.2 GB"):
        assert words in text
    assert "about 12 min 34 s" in text and "note: Trial 0 was clamped." in text
    assert "about 12" not in shown(leaderboard.plan_table(replace(plan, estimated_seconds=0)))


def test_the_list_of_searches_shows_a_dash_for_what_is_missing() -> None:
    text = shown(
        leaderboard.searches_table(
            [
                {
                    "name": "demo",
                    "state": "done",
                    "trials": 30,
                    "wanted": 30,
                    "best_val_loss": 0.41234,
                    "winner": 7,
                    "updated": 1_760_000_000,
                },
                {"name": "[b]new", "state": "running", "trials": 3, "wanted": None, "updated": "today"},
            ]
        )
    )
    assert "30/30     0.4123  trial 7  2025-10-0" in text
    assert [line.split() for line in text.splitlines()][2] == ["[b]new", "running", "3", "-", "-", "today"]
