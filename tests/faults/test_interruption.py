"""A search that is stopped, killed or out of time keeps all it had and goes on from there."""

import json
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.searching import (
    COMMAND,
    assert_whole,
    ended,
    losses,
    of_session,
    resumed,
    start_search,
    wait_until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_search_that_is_told_to_stop_keeps_all_and_says_how_to_go_on(
    corpus: Path, space: str, tmp_path: Path, sent: signal.Signals
) -> None:
    search = start_search(corpus, space, tmp_path, 1000)
    wait_until(lambda: ended(tmp_path) >= 3, 90, "three trials")
    search.send_signal(sent)
    _, errors = search.communicate(timeout=40)
    assert search.returncode == 130
    resume = errors.strip().splitlines()[-1].strip()
    assert shlex.split(resume)[-5:] == ["--resume", "--name", "cut", "--storage", str(tmp_path)]
    wait_until(lambda: of_session(search.pid) == [], 90, "no process left")
    before = losses(tmp_path)
    assert_whole(resumed(tmp_path, ended(tmp_path) + 2), ended(tmp_path), before)


@pytest.mark.alone
def test_a_search_keeps_its_time_budget_from_start_to_bundle(corpus: Path, space: str, tmp_path: Path) -> None:
    started = time.monotonic()
    search = start_search(corpus, space, tmp_path, 100_000, "--time-budget", "60s", "--json")
    output, errors = search.communicate(timeout=150)
    seconds = time.monotonic() - started
    assert search.returncode == 0, errors
    facts = json.loads(output)
    assert facts["phase"] == "done" and facts["winner"]["val_losses"]
    assert not [trial for trial in facts["trials"] if trial["fate"] == "running"]
    assert 60 - 10 < seconds < 60 + 10


def test_two_searches_under_one_name_at_once_are_refused(corpus: Path, space: str, tmp_path: Path) -> None:
    first = start_search(corpus, space, tmp_path, 1000)
    wait_until(lambda: ended(tmp_path) >= 1, 90, "a trial")
    second = subprocess.run(
        [*COMMAND, "search", "--resume", "--name", "cut", "--storage", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=40)
    assert second.returncode == 2
    assert second.stderr.strip().splitlines()[-1].startswith("error: one process at a time may run a search")
