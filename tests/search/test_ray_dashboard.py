"""How to open Ray's dashboard: commands that work elsewhere than where they were made."""

import getpass
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.test_confirm import trial as made_trial
from tune_sentiment.search.private_cluster import kept_private
from tune_sentiment.search.ray_dashboard import (
    Announcement,
    ComingDashboard,
    RayDashboard,
    joined_dashboard,
    private_dashboard,
)
from tune_sentiment.search.records import Snapshot, TrialRecord


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def printed_by(command: str | None, home: Path) -> str:
    """Run a command as another terminal would, where nothing of ours is set."""
    assert command
    elsewhere = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, shell=True, env=elsewhere, cwd="/", check=True, capture_output=True, text=True, timeout=100
    ).stdout


def opened(**options: bool) -> RayDashboard:
    return private_dashboard("127.0.0.1:8265", **options)


def test_the_command_shows_the_token_kept_at_home(home: Path) -> None:
    with kept_private():
        found = opened()
    token = (home / ".ray" / "auth_token").read_text()
    assert printed_by(found.token_command, home) == token and len(token) == 64
    assert found.token_note == "" and found.address == "http://127.0.0.1:8265"


def test_the_command_shows_a_token_in_a_file_that_the_user_names(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my token").write_text("a" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "my token")
    monkeypatch.chdir(tmp_path)
    with kept_private():
        found = opened()
    assert printed_by(found.token_command, home) == "a" * 64


def test_a_token_of_the_users_own_is_not_looked_for_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "b" * 64)
    with kept_private():
        found = opened(own_token=True)
    assert (found.token_command, found.token_note) == (None, "the one in RAY_AUTH_TOKEN")


def test_a_search_without_a_token_says_so() -> None:
    with kept_private(token=False):
        found = opened(asks=False)
    assert (found.token_command, found.token_note) == (None, "none is asked for")


def test_a_token_that_is_kept_nowhere_is_said_to_be_so(home: Path) -> None:
    (home / ".ray").touch()
    with kept_private():
        found = opened()
    assert found.token_command is None and "set RAY_AUTH_TOKEN before" in found.token_note


def test_without_a_script_beside_the_interpreter_the_interpreter_is_asked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "a folder" / "python"
    python.parent.mkdir()
    monkeypatch.setattr(sys, "executable", str(python))
    with kept_private():
        command = opened().token_command
    assert command and shlex.split(command) == [str(python), "-m", "ray.scripts.scripts", "get-auth-token"]


@pytest.mark.parametrize(("mode", "asks"), [("token", True), ("disabled", False)])
def test_a_cluster_of_somebody_elses_may_ask_for_no_token(
    mode: str, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    from ray._raylet import Config

    Config.initialize("")
    try:
        found = joined_dashboard("10.0.0.1:8265")
    finally:
        monkeypatch.undo()
        Config.initialize("")
    assert bool(found.token_command) == asks and bool(found.token_note) != asks
    assert "-L 8265:10.0.0.1:8265 " in found.tunnel


@pytest.mark.parametrize(
    ("connection", "where"),
    [
        ("", f"@{socket.gethostname()}"),
        ("203.0.113.9 50000 192.0.2.7 22", "@192.0.2.7"),
        ("203.0.113.9 50000 192.0.2.7 2222", "-p 2222 *@192.0.2.7"),
    ],
)
def test_the_tunnel_goes_the_way_that_the_user_came(
    connection: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", connection)
    expected = where.replace("*", getpass.getuser()) if "*" in where else getpass.getuser() + where
    assert opened().tunnel == f"ssh -N -L 8265:127.0.0.1:8265 {expected}"


def test_a_user_without_a_name_is_left_to_be_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert " USER@" in opened().tunnel


def snapshot_of(*running: TrialRecord) -> Snapshot:
    return Snapshot(
        phase="search", seconds=5.0, time_budget=None, slots=2, slots_busy=len(running), busy_share=0.5, wanted=4,
        complete=0, stopped=0, failed=0, running=running, best=None, eta_seconds=None, reviews_per_second=0.0,
    )  # fmt: skip


class Coming:
    """A dashboard whose address, or what its start raised, is set by the test."""

    def __init__(self) -> None:
        self.found: str | Exception | None = None
        self.begun = 0

    def address(self) -> str | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def begin(self) -> None:
        self.begun += 1


def test_the_dashboard_begins_with_the_first_trial_and_is_announced_once() -> None:
    coming, announced = Coming(), list[RayDashboard]()
    watching = Announcement(ComingDashboard(coming.address, coming.begin, private_dashboard), announced.append)
    watching.on_snapshot(snapshot_of())
    assert coming.begun == 0
    watching.on_snapshot(snapshot_of(made_trial(0, None, fate="running")))
    assert coming.begun == 1 and announced == []
    coming.found = "127.0.0.1:8265"
    for _ in range(3):
        watching.on_snapshot(snapshot_of())
    assert [one.address for one in announced] == ["http://127.0.0.1:8265"]


def test_a_search_goes_on_without_a_dashboard_that_did_not_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    coming, announced = Coming(), list[RayDashboard]()
    watching = Announcement(ComingDashboard(coming.address, coming.begin, private_dashboard), announced.append)
    coming.found = RuntimeError("no page today")
    for _ in range(3):
        watching.on_snapshot(snapshot_of())
    assert announced == []
    assert caplog.messages == ["Ray's dashboard did not start, the search goes on without it: no page today"]
