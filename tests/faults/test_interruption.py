"""A search that is stopped or out of time keeps all it had and goes on from there."""

import json
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.command_line import refusal
from tests.faults.searching import NAME, assert_whole, ended, losses, resumed, start_resume, start_search
from tests.processes import of_session
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def told_to_stop(search: "subprocess.Popen[str]", sent: signal.Signals, storage: Path) -> None:
    """Stop a running search; it says how to go on, and leaves no process."""
    search.send_signal(sent)
    _, errors = search.communicate(timeout=60)
    assert search.returncode == 130
    resume = errors.strip().splitlines()[-1].strip()
    assert shlex.split(resume)[-5:] == ["--resume", "--name", NAME, "--storage", str(storage)]
    wait_until(lambda: of_session(search.pid) == [], 90, "no process left")


def test_a_search_that_is_told_to_stop_keeps_all_and_says_how_to_go_on(
    corpus: Path, space: str, tmp_path: Path
) -> None:
    search = start_search(corpus, space, tmp_path, 1000)
    wait_until(lambda: ended(tmp_path) >= 3, 90, "three trials")
    told_to_stop(search, signal.SIGINT, tmp_path)
    first, before = ended(tmp_path), losses(tmp_path)

    search = start_resume(tmp_path)
    wait_until(lambda: ended(tmp_path) >= first + 3, 90, "three more")
    again = refusal("search", "--resume", "--name", NAME, "--storage", tmp_path, cwd=tmp_path)
    assert again.startswith("error: one process at a time may run a search")
    told_to_stop(search, signal.SIGTERM, tmp_path)
    assert min(losses(tmp_path)) <= min(before)

    before = losses(tmp_path)
    assert_whole(resumed(tmp_path, ended(tmp_path) + 2), ended(tmp_path), before)


@pytest.mark.alone
def test_a_search_keeps_its_time_budget_from_start_to_bundle(corpus: Path, space: str, tmp_path: Path) -> None:
    started = time.monotonic()
    search = start_search(corpus, space, tmp_path, 100_000, "--time-budget", "45s", "--json")
    output, errors = search.communicate(timeout=150)
    seconds = time.monotonic() - started
    assert search.returncode == 0, errors
    facts = json.loads(output)
    assert facts["phase"] == "done" and facts["winner"]["val_losses"]
    assert not [trial for trial in facts["trials"] if trial["fate"] == "running"]
    assert 30 < seconds < 45 + 10  # the end is budgeted with care, as it takes longer on a busy machine
