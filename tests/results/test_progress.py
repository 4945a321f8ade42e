import io
import os
import pty
import re
import select
import sys
from collections.abc import Callable

import pytest
from rich.console import Console

from tests.waiting import Clock
from tune_sentiment.results import progress
from tune_sentiment.search.records import Snapshot, TrialRecord

SnapshotOf = Callable[..., Snapshot]
RecordOf = Callable[..., TrialRecord]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(snapshot: Snapshot, width: int = 80, height: int = 24) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(progress.live_view(snapshot, height))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_terminal_gets_the_live_display_and_anything_else_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress.progress_for(Terminal()), progress.LiveProgress)
    assert isinstance(progress.progress_for(io.StringIO()), progress.PlainProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.progress_for(Terminal()), progress.PlainProgress)


def test_a_plain_line_is_written_at_most_every_ten_seconds(snapshot_of: SnapshotOf) -> None:
    stream, clock = io.StringIO(), Clock()
    plain = progress.PlainProgress(stream, clock=clock)
    for _ in range(50):
        plain.on_snapshot(snapshot_of(best=None))
        clock.now += 0.5
    assert stream.getvalue().splitlines() == [progress.plain_line(snapshot_of(best=None))] * 3


def test_a_plain_line_says_all_there_is_to_know(snapshot_of: SnapshotOf) -> None:
    assert progress.plain_line(snapshot_of()) == (
        "searching 12/30: 5 complete, 6 stopped, 1 failed, 2 running; slots 2/2 busy, 93 % so far; "
        "best 0.4312 (trial 7); 8,231 reviews/s; 1 min 20 s of 10 min 00 s, about 1 min 35 s left"
    )
    bare = snapshot_of(best=None, eta_seconds=None, time_budget=None, running=(), phase="confirm")
    assert progress.plain_line(bare).startswith("confirming 12/30")
    assert progress.plain_line(bare).endswith("best none yet; 8,231 reviews/s; 1 min 20 s")


def test_a_new_best_and_a_failure_have_lines_of_their_own(snapshot_of: SnapshotOf, record_of: RecordOf) -> None:
    stream, clock = io.StringIO(), Clock()
    plain = progress.PlainProgress(stream, clock=clock)
    plain.on_snapshot(snapshot_of())
    clock.now += 1
    plain.on_snapshot(snapshot_of())
    plain.on_snapshot(snapshot_of(best=record_of(9, best_val_loss=0.42)))
    plain.on_trial_end(record_of(3, fate="failed", reason="error: two\nlines \x1b[31m", setting={"lr": 0.002}))
    plain.on_trial_end(record_of(4))
    lines = stream.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["new best", "searching 12/30", "new best", "trial 3 failed"]
    assert lines[0].startswith("new best: 0.4312, trial 7 at step 600: embedding_dim=400")
    assert lines[3] == "trial 3 failed: error: two lines [31m (lr=2.0e-03)"


def test_the_leaders_own_small_gains_wait_their_turn(snapshot_of: SnapshotOf, record_of: RecordOf) -> None:
    stream, clock = io.StringIO(), Clock()
    plain = progress.PlainProgress(stream, every=10, clock=clock)
    for place in range(30):
        plain.on_snapshot(snapshot_of(best=record_of(7, best_val_loss=0.5 - place / 1000)))
        clock.now += 1
    news = [line for line in stream.getvalue().splitlines() if line.startswith("new best")]
    assert [line.split()[2] for line in news] == ["0.5000,", "0.4900,", "0.4800,"]


def test_each_phase_reports_its_own_best(snapshot_of: SnapshotOf, record_of: RecordOf) -> None:
    stream, clock = io.StringIO(), Clock()
    plain = progress.PlainProgress(stream, clock=clock)
    plain.on_snapshot(snapshot_of())
    plain.on_snapshot(snapshot_of(phase="confirm", best=record_of(0, best_val_loss=0.6)))
    plain.close()
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["new", "searching", "new", "confirming"]


def test_the_last_state_of_a_phase_is_written_however_soon_it_comes(snapshot_of: SnapshotOf) -> None:
    stream = io.StringIO()
    plain = progress.PlainProgress(stream, clock=Clock())
    for phase, complete in (("search", 3), ("search", 4), ("search", 5), ("confirm", 0), ("confirm", 1)):
        plain.on_snapshot(snapshot_of(phase=phase, complete=complete, stopped=0, failed=0, wanted=5))
    plain.close()
    states = [" ".join(line.split()[:2]) for line in stream.getvalue().splitlines() if "ing " in line]
    assert states == ["searching 3/5:", "searching 5/5:", "confirming 0/5:", "confirming 1/5:"]


def test_a_failed_confirmation_names_the_trial_that_it_confirms(record_of: RecordOf) -> None:
    failed = record_of(2, fate="failed", reason="diverged", source_trial=8, seed=1001, setting={})
    assert progress.failure_text(failed) == "trial 8 on seed 1001 failed: diverged ()"


def test_a_stream_without_unicode_gets_escapes(record_of: RecordOf) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    progress.PlainProgress(stream).on_trial_end(
        record_of(1, fate="failed", reason="kaputt: Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n")
    )
    assert b"Gr\\xfcn" in raw.getvalue()


def test_a_line_with_a_command_stays_in_one_piece_above_the_display(snapshot_of: SnapshotOf) -> None:
    command = "  from another machine: " + "x" * 150
    for stream in (io.StringIO(), Terminal()):
        shown = progress.progress_for(stream)
        shown.on_snapshot(snapshot_of())
        shown.say(command)
        shown.on_snapshot(snapshot_of())
        shown.close()
        written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
        assert command in written.splitlines()


def test_a_closed_stream_never_stops_the_search(snapshot_of: SnapshotOf, record_of: RecordOf) -> None:
    for stream in (io.StringIO(), Terminal()):
        stream.close()
        for watcher in (progress.PlainProgress(stream), progress.LiveProgress(stream)):
            watcher.on_snapshot(snapshot_of())
            watcher.on_trial_end(record_of(1, fate="failed", reason="diverged"))
            watcher.close()


def test_a_display_that_breaks_is_given_up_and_the_search_goes_on(
    snapshot_of: SnapshotOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def broken(snapshot: Snapshot, height: int) -> None:
        attempts.append(height)
        raise RuntimeError("no display today")

    monkeypatch.setattr(progress, "live_view", broken)
    live = progress.LiveProgress(Terminal())
    for _ in range(3):
        live.on_snapshot(snapshot_of())
    live.close()
    assert len(attempts) == 1


def test_stdout_is_left_alone_while_the_display_stands(snapshot_of: SnapshotOf) -> None:
    before = sys.stdout
    live = progress.LiveProgress(Terminal())
    live.on_snapshot(snapshot_of())
    during = sys.stdout
    live.close()
    assert during is before


def test_the_live_display_fits_80_and_60_columns(snapshot_of: SnapshotOf) -> None:
    for width in (80, 60):
        lines = shown(snapshot_of(), width)
        assert max(map(len, lines)) <= width
        text = " ".join(lines)
        for words in ("searching 12/30", "5 complete, 6 stopped, 1 failed, 2 running", "slots 2/2 busy, 93 % so far"):
            assert words in text
        for words in ("8,231 reviews/s", "1 min 20 s of 10 min 00 s", "about 1 min 35 s left", "lr=1.3e-03"):
            assert words in text
    assert shown(snapshot_of())[-2].split()[:4] == ["12", "300/1,200", "0.5120", "0.4980"]
    assert shown(snapshot_of())[-1].split()[:4] == ["13", "0/1,200", "-", "-"]


def test_more_running_trials_than_lines_are_counted(snapshot_of: SnapshotOf, record_of: RecordOf) -> None:
    many = tuple(record_of(number, fate="running", max_steps=1200) for number in range(64))
    lines = shown(snapshot_of(running=many), height=24)
    assert len(lines) <= 23
    assert lines[-1] == "... and 50 more that run"
    assert len(shown(snapshot_of(running=many), height=5)) < 12


def test_a_confirmation_run_is_shown_with_its_trial_and_seed(snapshot_of: SnapshotOf, record_of: RecordOf) -> None:
    run = record_of(2, fate="running", max_steps=1200, source_trial=8, seed=1001)
    assert any(
        line.split()[:3] == ["8", "seed", "1001"] for line in shown(snapshot_of(phase="confirm", running=(run,)))
    )


def test_a_search_that_has_just_begun_can_be_shown(snapshot_of: SnapshotOf) -> None:
    state = snapshot_of(running=(), best=None, eta_seconds=None, time_budget=None, complete=0, stopped=0, failed=0)
    assert "best none yet" in shown(state)


def test_the_live_display_draws_on_a_real_terminal_and_gives_the_cursor_back(
    snapshot_of: SnapshotOf, record_of: RecordOf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w") as stream:
        live = progress.progress_for(stream)
        assert isinstance(live, progress.LiveProgress)
        live.on_snapshot(snapshot_of())
        live.on_trial_end(record_of(4, fate="failed", reason="diverged", setting={}))
        live.on_snapshot(snapshot_of(complete=29, failed=1, stopped=0))
        live.close()
        live.on_snapshot(snapshot_of(phase="confirm", complete=1))
        live.close()
        stream.flush()
        content = b""
        while select.select([leader], [], [], 1.0)[0]:  # a terminal hands over 4 KiB at a time
            content += os.read(leader, 65_536)
        written = content.decode()
    os.close(leader)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    assert "trial 4 failed: diverged" in plain
    assert "searching 30/30" in plain and "confirming 8/30" in plain
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 2
    assert capsys.readouterr() == ("", "")


def test_no_color_keeps_the_live_display_without_colours(
    snapshot_of: SnapshotOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    live = progress.progress_for(stream)
    live.on_snapshot(snapshot_of())
    live.close()
    assert "5 complete" in stream.getvalue()
    assert not re.search(r"\x1b\[(?:[0-9;]*;)?(?:3|9)[0-7]m", stream.getvalue())
