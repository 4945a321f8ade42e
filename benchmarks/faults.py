"""Do harm to searches again and again, resume them, and count what was lost.

python benchmarks/faults.py FAULT TIMES FILE     # adds one line of JSON a time to FILE, then prints its table
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import BAD, GOOD, SPACE
from tests.faults.searching import NAME, alive, ended, family, start_resume, start_search, trials_of, wait_until
from tests.faults.test_kills import worker_title
from tests.faults.test_nodes import NODES, said
from tests.store import Store
from tune_sentiment import api
from tune_sentiment.search.records import TrialRecord
from tune_sentiment.search.remote import open_remote
from tune_sentiment.search.working_copy import working_copy

Search = subprocess.Popen[str]
Curves = dict[int, tuple[tuple[int, float], ...]]


class Given(NamedTuple):
    """What every search of the benchmark runs on."""

    data: Path
    space: str
    folder: Path
    """An empty one."""
    moments: random.Random


class Counted(NamedTuple):
    """What one search came to."""

    lost: int
    """Trials that had ended before the fault and had not, or otherwise, afterwards; and trials that never ended."""
    doubled: int
    gone: float | None
    """Seconds from the fault to the moment when no process of the search is left; None if it goes on."""
    resumed: float
    """Seconds from the resume, or from the fault if the search goes on by itself, to the next trial that ends."""


def judged(before: Curves, after: tuple[TrialRecord, ...], wanted: int) -> tuple[int, int]:
    """Return how many trials were lost and how many doubled."""
    now = curves(after)
    return wanted - len(now) + sum(now.get(number) != curve for number, curve in before.items()), len(after) - wanted


def curves(trials: tuple[TrialRecord, ...]) -> Curves:
    """Return the losses of the trials that ended well, by number."""
    return {trial.number: trial.curve for trial in trials if trial.fate in ("complete", "stopped")}


def begun(given: Given, storage: Path | str, trials: int, *options: str) -> tuple[Search, Path]:
    """Start a search, wait for a random moment of it, and return it and where its study is on this machine."""
    search = start_search(given.data, given.space, storage, trials, *options)
    place = storage if isinstance(storage, Path) else working_copy(open_remote(storage) / NAME).path.parent
    first = given.moments.randint(1, 5)
    wait_until(lambda: ended(place) >= first, 150, "trials")
    time.sleep(given.moments.uniform(0, 1))
    return search, place


def ends(search: Search) -> float:
    """Wait for the end of a search that has been harmed, and return after how long none of its processes was left."""
    struck = time.monotonic()
    children = family(search.pid) if search.poll() is None else []
    wait_until(lambda: not alive(children), 100, "no process left")
    search.communicate(timeout=100)
    return time.monotonic() - struck


def goes_on(storage: Path | str, place: Path, before: Curves, gone: float) -> Counted:
    """Resume for two more trials, and compare."""
    wanted = len(trials_of(place)) + 2
    began = time.monotonic()
    resumed = start_resume(storage, "--trials", str(wanted))
    here = place if isinstance(storage, Path) else working_copy(open_remote(storage) / NAME).path.parent
    so_far = len(curves(trials_of(here)))
    wait_until(lambda: len(curves(trials_of(here))) > so_far, 150, "a trial after the resume")
    seconds = time.monotonic() - began
    resumed.communicate(timeout=150)
    lost, doubled = judged(before, trials_of(here), wanted)
    return Counted(lost, doubled, gone, seconds)


def stops(strike: Callable[[Search], None]) -> Callable[[Given], Counted]:
    """Return the fault that ends a search, and has to be resumed."""

    def one(given: Given) -> Counted:
        search, place = begun(given, given.folder, 500)
        children = family(search.pid)
        strike(search)
        struck = time.monotonic()
        wait_until(lambda: not alive(children), 100, "no process left")
        gone = time.monotonic() - struck
        search.communicate(timeout=100)
        return goes_on(given.folder, place, curves(trials_of(place)), gone)

    return one


def kill_ray(search: Search) -> None:
    """Kill what a search runs on: the daemon of its only node."""
    next(child for child in family(search.pid) if child.name() == "raylet").kill()
    time.sleep(3)
    search.kill()


def kill_worker(given: Given) -> Counted:
    """Kill the process of a trial; the search goes on in another."""
    search, place = begun(given, given.folder, 12)
    before = curves(trials_of(place))
    next(child for child in family(search.pid) if "ReviewTrainable" in worker_title(child)).kill()
    return survives(search, place, before, 12)


def kill_node(given: Given) -> Counted:
    """Kill all of the second node of a cluster at once; the search goes on on the first."""
    command = [sys.executable, "-c", NODES, "0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as nodes:
        assert nodes.stdin is not None
        search, place = begun(given, given.folder, 16, "--address", said(nodes))
        before = curves(trials_of(place))
        nodes.stdin.write("kill\n")
        nodes.stdin.flush()
        counted = survives(search, place, before, 16)
        nodes.stdin.close()
    return counted


def survives(search: Search, place: Path, before: Curves, wanted: int) -> Counted:
    """Wait for the end of a search that goes on by itself, and compare."""
    struck = time.monotonic()
    so_far = ended(place)
    wait_until(lambda: ended(place) > so_far, 150, "a trial after the fault")
    seconds = time.monotonic() - struck
    _, errors = search.communicate(timeout=250)
    assert search.returncode == 0, errors
    return Counted(*judged(before, trials_of(place), wanted), None, seconds)


def fill_disk(given: Given) -> Counted:
    """Run on a disk of 400 KB until it is full, make it larger, and resume."""
    disk = given.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk], check=True)
    try:
        search = start_search(given.data, given.space, disk, 500)
        gone = ends(search)
        subprocess.run(["mount", "-o", "remount,size=60m", "none", disk], check=True)
        return goes_on(disk, disk, curves(trials_of(disk)), gone)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def kill_driver_of_a_store(given: Given) -> Counted:
    """Kill the driver of a search in S3, and resume it where nothing of it is on the disk."""
    with a_store(given.folder):
        storage = "s3://bucket/runs"
        search, place = begun(given, storage, 500)
        children = family(search.pid)
        search.kill()
        struck = time.monotonic()
        wait_until(lambda: not alive(children), 100, "no process left")
        gone = time.monotonic() - struck
        search.communicate(timeout=100)
        finished = curves(trials_of(place))
        os.environ["XDG_CACHE_HOME"] = str(given.folder / "second machine")
        sent = curves(api.report(NAME, storage)[0].records)
        there = working_copy(open_remote(storage) / NAME).path.parent
        counted = goes_on(storage, there, sent, gone)
        return counted._replace(lost=counted.lost + len(finished.keys() - sent.keys()))


@contextmanager
def a_store(folder: Path) -> Iterator[None]:
    """Run an S3 server, and have this process and its children reach it."""
    store = Store(folder)
    before = dict(os.environ)
    os.environ.update(store.environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        store.close()


FAULTS: dict[str, tuple[str, Callable[[Given], Counted]]] = {
    "driver": ("SIGKILL to the driver", stops(lambda search: search.kill())),
    "interrupt": ("SIGINT to the driver", stops(lambda search: search.send_signal(signal.SIGINT))),
    "terminate": ("SIGTERM to the driver", stops(lambda search: search.send_signal(signal.SIGTERM))),
    "raylet": ("SIGKILL to the raylet, then the driver", stops(kill_ray)),
    "worker": ("SIGKILL to a trial's process", kill_worker),
    "node": ("SIGKILL to one of two nodes", kill_node),
    "disk": ("a full disk", fill_disk),
    "store": ("SIGKILL to the driver of a search in S3, resumed on another machine", kill_driver_of_a_store),
}


def table(file: Path) -> str:
    """Return the table of what the file holds."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    lines = [
        "| fault | times | trials lost | trials doubled | s until nothing is left | s to the next trial that ends |",
        "|---|---|---|---|---|---|",
    ]
    for key, (name, _) in FAULTS.items():
        if own := [row for row in rows if row["fault"] == key]:
            cells = [name, len(own), sum(row["lost"] for row in own), sum(row["doubled"] for row in own)]
            cells += [spread([row[column] for row in own]) for column in ("gone", "resumed")]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def spread(seconds: list[float | None]) -> str:
    """Return the median and the most of some durations."""
    known = [value for value in seconds if value is not None]
    return f"{statistics.median(known):.1f} (at most {max(known):.1f})" if known else "goes on"


def main() -> None:
    """Do one kind of harm some times, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("times", type=int)
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    done = len(asked.file.read_text(encoding="utf-8").splitlines()) if asked.file.exists() else 0
    with tempfile.TemporaryDirectory() as folder:
        data, space = Path(folder), Path(folder) / "tiny.yaml"
        space.write_text(SPACE, encoding="utf-8")
        for name, text in (("reviews.pos", GOOD), ("reviews.neg", BAD)):
            lines = [f"{text} seen {index % 7} times by {index % 11} people" for index in range(300)]
            (data / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for number in range(done, done + asked.times):
            with tempfile.TemporaryDirectory() as empty:
                given = Given(data, str(space), Path(empty), random.Random(number))
                counted = FAULTS[asked.fault][1](given)
            with asked.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"fault": asked.fault, **counted._asdict()}) + "\n")
    print(table(asked.file))


if __name__ == "__main__":
    main()
