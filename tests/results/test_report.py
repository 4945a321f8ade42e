import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from tests.waiting import Clock, wait_until
from tune_sentiment.errors import StudyError
from tune_sentiment.results import mattered, page, report
from tune_sentiment.search.records import Outcome, Snapshot

SnapshotOf = Callable[..., Snapshot]


def turn(live: report.LiveReport, snapshot: Snapshot) -> None:
    """Show the observer a snapshot and wait for what it writes."""
    live.on_snapshot(snapshot)
    live.close()


def test_the_report_is_one_whole_file(outcome: Outcome, study: optuna.Study, tmp_path: Path) -> None:
    report.write_report(outcome, study, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") and text.endswith("</html>")
    assert "Trial 8 won" in text and "Parallel coordinates" in text
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_report_needs_no_study(outcome: Outcome, tmp_path: Path) -> None:
    report.write_report(outcome, None, tmp_path / "report.html")
    assert "The study was not at hand" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_in_a_missing_folder_is_refused(outcome: Outcome, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="can be written"):
        report.write_report(outcome, None, tmp_path / "missing" / "report.html")


def test_ten_thousand_trials_are_written_in_ten_seconds(
    ten_thousand: tuple[Outcome, optuna.Study], tmp_path: Path
) -> None:
    started = time.process_time()  # as the clock also counts what else this machine does
    report.write_report(*ten_thousand, tmp_path / "report.html")
    assert time.process_time() - started < 10
    assert (tmp_path / "report.html").stat().st_size < 9e6


def times_of_rewriting(live_for: Snapshot, searching: Outcome, path: Path, seconds: int, takes: float) -> list[float]:
    """Return when a live report asked for what it shows, at a snapshot a second; to tell it `takes` seconds."""
    clock, asked = Clock(1000.0), []

    def current() -> tuple[Outcome, None]:
        asked.append(clock.now)
        clock.now += takes
        return searching, None

    live = report.LiveReport(path, current, every=10, clock=clock)
    for _ in range(seconds):
        turn(live, live_for)
        clock.now += 1
    return asked


def test_a_live_report_is_rewritten_no_more_often_than_asked(
    searching: Outcome, snapshot_of: SnapshotOf, tmp_path: Path
) -> None:
    asked = times_of_rewriting(snapshot_of(), searching, tmp_path / "report.html", seconds=25, takes=0)
    assert asked == [1000.0, 1010.0, 1020.0]
    assert 'http-equiv="refresh"' in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_slow_write_is_followed_by_a_pause_of_nineteen_times_its_length(
    searching: Outcome, snapshot_of: SnapshotOf, tmp_path: Path
) -> None:
    asked = times_of_rewriting(snapshot_of(), searching, tmp_path / "report.html", seconds=60, takes=2)
    assert asked == [1000.0, 1040.0]


def test_what_mattered_is_computed_once_a_minute(
    searching: Outcome, study: optuna.Study, snapshot_of: SnapshotOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, computed = Clock(1000.0), []

    def draw(*_: object) -> mattered.Mattered:
        computed.append(clock.now)
        return mattered.Mattered({}, (f"Computed at {clock.now:.0f}.",))

    monkeypatch.setattr(mattered.DrawnApart, "draw", draw)
    live = report.LiveReport(tmp_path / "report.html", lambda: (searching, study), every=10, clock=clock)
    for _ in range(13):
        turn(live, snapshot_of())
        clock.now += 10
    assert computed == [1000.0, 1060.0, 1120.0]
    assert "Computed at 1120." in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_drawing_that_fails_leaves_the_last_one_in_the_live_report(
    searching: Outcome, study: optuna.Study, snapshot_of: SnapshotOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(1000.0)
    live = report.LiveReport(tmp_path / "report.html", lambda: (searching, study), every=10, clock=clock)
    for code, said in (
        ("raise MemoryError('too large')", "could not be computed: MemoryError: too large."),
        (mattered.CHILD, "Compared are the best"),
        ("import os; os.kill(os.getpid(), 9)", "Compared are the best"),
    ):
        monkeypatch.setattr(mattered, "CHILD", code)
        live.on_snapshot(snapshot_of())
        wait_until(lambda: live._writing is not None and live._writing.done(), 60, "the report")
        assert said in (tmp_path / "report.html").read_text(encoding="utf-8")
        clock.now += 2000
    live.close()


def test_a_live_report_does_not_keep_the_search_waiting(
    searching: Outcome, snapshot_of: SnapshotOf, tmp_path: Path
) -> None:
    reached, go = threading.Event(), threading.Event()

    def current() -> tuple[Outcome, None]:
        reached.set()
        assert go.wait(10)
        return searching, None

    live = report.LiveReport(tmp_path / "report.html", current, every=0)
    live.on_snapshot(snapshot_of())
    assert reached.wait(10)
    live.on_snapshot(snapshot_of())
    assert not (tmp_path / "report.html").exists()
    go.set()
    live.close()
    assert (tmp_path / "report.html").exists()


def test_nothing_is_written_after_the_live_report_was_closed(
    outcome: Outcome, searching: Outcome, snapshot_of: SnapshotOf, tmp_path: Path
) -> None:
    live = report.LiveReport(tmp_path / "report.html", lambda: (searching, None))
    live.on_snapshot(snapshot_of())
    live.close()
    report.write_report(outcome, None, tmp_path / "report.html")
    assert "Trial 8 won" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_written_is_complained_of_once_and_tried_again(
    searching: Outcome, snapshot_of: SnapshotOf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock(1000.0)
    folder = tmp_path / "later"
    live = report.LiveReport(folder / "report.html", lambda: (searching, None), clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            turn(live, snapshot_of())
            clock.now += 60
    assert len([record for record in caplog.records if "could not be written" in record.message]) == 1
    folder.mkdir()
    turn(live, snapshot_of())
    assert (folder / "report.html").exists()


def test_a_reader_never_meets_half_a_report(outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report.write_report(outcome, None, tmp_path / "report.html")

    def broken(*_: object) -> str:
        raise RuntimeError("template")

    monkeypatch.setattr(page, "render", broken)
    with pytest.raises(RuntimeError, match="template"):
        report.write_report(replace(outcome, name="other"), None, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "my-search" in text and text.endswith("</html>")


def test_the_results_room_imports_neither_ray_nor_torch() -> None:
    rooms = (
        "comparable facts failures figures leaderboard page pictures plots progress report reproduce series trial_table"
    )
    code = (
        "import sys, importlib\n"
        f"for name in {rooms.split()!r}: importlib.import_module('tune_sentiment.results.' + name)\n"
        "print(sorted({'ray', 'torch', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_progress_and_leaderboard_wait_for_neither_plotly_nor_optuna() -> None:
    code = (
        "import sys\n"
        "import tune_sentiment.results.leaderboard, tune_sentiment.results.progress, tune_sentiment.results.report\n"
        "print(sorted({'plotly', 'optuna', 'jinja2', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
