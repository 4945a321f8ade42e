"""A disk that is full or goes away stops a search with one line; with room again, it goes on and has lost nothing."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.faults.searching import NAME, ended, losses, start_resume, start_search, trials_of
from tests.processes import alive, family
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def mount(*words: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"may not mount a file system here: {done.stderr.strip()}")


class Disk:
    """A small file system of its own, seen at a second place from which it can go away."""

    def __init__(self, folder: Path) -> None:
        self.real, self.seen = folder / "real", folder / "disk"
        self.filler = self.real / "of somebody else"

    def appear(self) -> None:
        mount("--bind", self.real, self.seen)

    def go_away(self) -> None:
        subprocess.run(["umount", "-l", self.seen], check=True)

    def fill(self) -> None:
        """Take all the room there is."""
        more_than_there_is = bytes(shutil.disk_usage(self.real).total)
        with self.filler.open("wb") as file, pytest.raises(OSError, match="No space left"):
            file.write(more_than_there_is)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    made.real.mkdir()
    made.seen.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=60m", "none", made.real)
        made.appear()
        yield made
    finally:
        for place in (made.seen, made.real):
            subprocess.run(["umount", "-l", place], capture_output=True, check=False)


def assert_stopped(search: "subprocess.Popen[str]", children: list[psutil.Process], disk: Disk, reason: str) -> None:
    """The search ends with one line that names its folder, the reason and how to go on, and leaves no process."""
    _, errors = search.communicate(timeout=120)
    last = errors.strip().splitlines()[-1]
    assert search.returncode == 2, errors[-3000:]
    assert last.startswith(f"error: a search needs a disk that it can write to: {disk.seen}/{NAME}"), errors[-3000:]
    assert reason in last
    assert f"continue with: python -m tune_sentiment search --resume --name {NAME}" in last
    wait_until(lambda: alive(children) == [], 15, "no process left")


def test_a_disk_that_is_full_or_goes_away_stops_a_search_and_costs_no_trial(
    corpus: Path, space: str, disk: Disk
) -> None:
    search = start_search(corpus, space, disk.seen, 500)
    wait_until(lambda: ended(disk.real) >= 3, 90, "three trials")
    children = family(search.pid)
    disk.fill()
    assert_stopped(search, children, disk, "No space left on device")
    disk.filler.unlink()
    full = len(trials_of(disk.real))

    search = start_resume(disk.seen)
    wait_until(lambda: ended(disk.real) >= full + 3, 90, "three more")
    children = family(search.pid)
    disk.go_away()
    assert_stopped(search, children, disk, "")
    before = losses(disk.real)
    assert len(before) >= full + 3

    disk.appear()
    trials = len(trials_of(disk.seen)) + 1
    search = start_resume(disk.seen, "--trials", str(trials))
    _, errors = search.communicate(timeout=150)
    assert search.returncode == 0, errors[-3000:]
    assert [trial.number for trial in trials_of(disk.seen)] == list(range(trials))
    assert {trial.fate for trial in trials_of(disk.seen)} <= {"complete", "stopped"}
    assert min(losses(disk.seen)) <= min(before)
