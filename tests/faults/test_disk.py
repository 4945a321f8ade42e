"""A disk that is full or goes away stops a search with one line; with room again, it goes on and has lost nothing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.searching import alive, ended, family, losses, start_resume, start_search, trials_of, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def mount(*words: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"may not mount a file system here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=400k", "none", folder)
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


@pytest.fixture
def disk_that_goes_away(tmp_path: Path) -> Iterator[Path]:
    real, folder = tmp_path / "real", tmp_path / "disk"
    real.mkdir()
    folder.mkdir()
    try:
        mount("--bind", real, folder)
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], capture_output=True, check=False)


def assert_stopped(search: "subprocess.Popen[str]", storage: Path, reason: str) -> None:
    """The search ends with one line that names its folder, the reason and how to go on."""
    _, errors = search.communicate(timeout=120)
    last = errors.strip().splitlines()[-1]
    assert search.returncode == 2, errors[-3000:]
    assert last.startswith(f"error: a search needs a disk that it can write to: {storage}/cut"), errors[-3000:]
    assert reason in last
    assert "continue with: python -m tune_sentiment search --resume --name cut" in last


def assert_goes_on(storage: Path, trials: int, before: list[float]) -> None:
    again = start_resume(storage, "--trials", str(trials))
    _, errors = again.communicate(timeout=150)
    assert again.returncode == 0, errors[-3000:]
    assert [trial.number for trial in trials_of(storage)] == list(range(trials))
    assert {trial.fate for trial in trials_of(storage)} <= {"complete", "stopped"}
    assert min(losses(storage)) <= min(before, default=9.0)


def test_a_full_disk_stops_the_search_and_room_lets_it_go_on(corpus: Path, space: str, small_disk: Path) -> None:
    search = start_search(corpus, space, small_disk, 500)
    children = []
    while search.poll() is None:
        children = family(search.pid) or children
        try:
            search.wait(timeout=0.3)
        except subprocess.TimeoutExpired:
            continue
    assert_stopped(search, small_disk, "No space left on device")
    wait_until(lambda: alive(children) == [], 15, "no process left")
    mount("-o", "remount,size=60m", "none", small_disk)
    assert_goes_on(small_disk, len(trials_of(small_disk)) + 1, losses(small_disk))


def test_a_disk_that_goes_away_and_comes_back_costs_no_trial(
    corpus: Path, space: str, disk_that_goes_away: Path, tmp_path: Path
) -> None:
    search = start_search(corpus, space, disk_that_goes_away, 500)
    wait_until(lambda: ended(disk_that_goes_away) >= 3, 90, "three trials")
    subprocess.run(["umount", "-l", disk_that_goes_away], check=True)
    assert_stopped(search, disk_that_goes_away, "")
    before = losses(tmp_path / "real")
    assert len(before) >= 3
    mount("--bind", tmp_path / "real", disk_that_goes_away)
    assert_goes_on(disk_that_goes_away, len(trials_of(disk_that_goes_away)) + 1, before)
