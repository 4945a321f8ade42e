"""Processes of a search that are killed: nothing is lost, nothing doubled, nothing left running."""

import contextlib
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.searching import (
    assert_whole,
    ended,
    losses,
    resumed,
    start_resume,
    start_search,
    trials_of,
)
from tests.processes import alive, family
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(400)]

KILLS = 10


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where Ray writes; the path of a socket in it may have a hundred bytes."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield Path(folder)


def test_a_driver_killed_at_ten_random_moments_loses_and_doubles_no_trial(
    corpus: Path, space: str, tmp_path: Path, short_folder: Path
) -> None:
    moments = random.Random(20261124)
    best = 9.0
    finished: dict[int, float | None] = {}
    for kill in range(KILLS):
        search = start_search(corpus, space, tmp_path, 500) if kill == 0 else start_resume(tmp_path)
        before = ended(tmp_path)
        # Every other time as soon as it works again, else some trials later: also while it writes.
        more = moments.choice([0, 1, 2, 5])
        wait_until(lambda before=before, more=more: ended(tmp_path) >= before + more, 120, "trials")
        wait_until(lambda: (tmp_path / "cut" / "study.log").exists(), 60, "a study")
        time.sleep(moments.uniform(0.0, 0.5))
        children = family(search.pid)
        search.kill()
        search.communicate(timeout=30)
        left = children
        with contextlib.suppress(AssertionError):
            wait_until(lambda children=children: alive(children) == [], 10, "no process left")
        left = [(one.pid, worker_title(one)[:200]) for one in alive(children)]
        assert left == [], f"after kill {kill}"
        trials = trials_of(tmp_path)
        assert [trial.number for trial in trials] == list(range(len(trials)))
        now = {trial.number: trial.best_val_loss for trial in trials if trial.fate in ("complete", "stopped")}
        assert finished.items() <= now.items()  # none was run again
        finished = now
        best = min([best, *losses(tmp_path)])
    assert list(short_folder.iterdir()) == []  # what Ray had written
    total = len(trials_of(tmp_path)) + 1
    assert_whole(resumed(tmp_path, total), total, [best])


def test_trials_whose_processes_are_killed_go_on_in_new_ones(corpus: Path, space: str, tmp_path: Path) -> None:
    search = start_search(corpus, space, tmp_path, 12)
    killed = 0
    while killed < 3:
        before = ended(tmp_path)
        wait_until(lambda before=before: ended(tmp_path) > before, 90, "a trial")
        workers = [child for child in family(search.pid) if "ReviewTrainable" in worker_title(child)]
        for worker in workers[:1]:
            worker.send_signal(signal.SIGKILL)
            killed += 1
    output, errors = search.communicate(timeout=200)
    assert search.returncode == 0, errors
    assert [trial.number for trial in trials_of(tmp_path)] == list(range(12))
    assert {trial.fate for trial in trials_of(tmp_path)} <= {"complete", "stopped"}
    assert "winner" in output


def worker_title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_a_killed_raylet_ends_the_search_at_once_with_the_command_that_resumes(
    corpus: Path, space: str, tmp_path: Path, short_folder: Path
) -> None:
    search = start_search(corpus, space, tmp_path, 500)
    wait_until(lambda: ended(tmp_path) >= 2, 120, "trials")
    children = family(search.pid)
    next(child for child in children if child.name() == "raylet").kill()
    _, errors = search.communicate(timeout=10)
    assert search.returncode == 2
    *_, problem, command = errors.splitlines()
    assert problem.startswith("error: a search needs its Ray cluster: its raylet has died")
    assert command.startswith("  ") and "--resume" in command and "--name cut" in command
    assert "Traceback" not in errors
    wait_until(lambda: alive(children) == [], 10, "no process left")
    best = losses(tmp_path)
    total = len(trials_of(tmp_path)) + 1
    assert_whole(resumed(tmp_path, total), total, best)
