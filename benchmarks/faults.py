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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil

from tests.conftest import BAD, GOOD, SPACE
from tests.faults.searching import NAME, ended, start_resume, start_search, trials_of
from tests.faults.test_kills import worker_title
from tests.faults.test_nodes import NODES, said
from tests.processes import alive, family
from tests.store import Store, Way
from tests.waiting import wait_until
from tune_sentiment import api
from tune_sentiment.search.records import TrialRecord
from tune_sentiment.search.remote import open_remote
from tune_sentiment.search.working_copy import working_copy

SURVIVING_TRIALS = 30
"""Of a search that goes on by itself: enough for it to be in the middle when it is harmed."""
TRIAL_EPOCHS = 20
"""Of each trial, for a second or more."""

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
    search = start_search(given.data, given.space, storage, trials, "--confirm-seeds", "0", *options)
    place = storage if isinstance(storage, Path) else working_copy(open_remote(storage) / NAME).path.parent
    first = given.moments.randint(1, 5)
    wait_until(lambda: ended(place) >= first, 150, "trials")
    time.sleep(given.moments.uniform(0, 1))
    return search, place


def goes_on(storage: Path | str, place: Path, before: Curves, gone: float) -> Counted:
    """Resume for two more trials, and compare."""
    wanted = len(trials_of(place)) + 2
    began = time.monotonic()
    resumed = start_resume(storage, "--trials", str(wanted))
    here = place if isinstance(storage, Path) else working_copy(open_remote(storage) / NAME).path.parent
    so_far = len(curves(trials_of(here)))
    wait_until(lambda: len(curves(trials_of(here))) > so_far, 150, "a trial after the resume")
    seconds = time.monotonic() - began
    _, errors = resumed.communicate(timeout=150)
    assert resumed.returncode == 0, errors
    lost, doubled = judged(before, trials_of(here), wanted)
    return Counted(lost, doubled, gone, seconds)


def stopped(
    search: Search,
    storage: Path | str,
    place: Path,
    strike: Callable[[], None],
    mend: Callable[[], None] = lambda: None,
) -> Counted:
    """Do the harm, wait until nothing is left of the search, mend what was harmed, and resume."""
    children = family(search.pid)
    strike()
    struck = time.monotonic()
    wait_until(lambda: search.poll() is not None and not alive(children), 100, "no process left")
    gone = time.monotonic() - struck
    search.communicate(timeout=100)
    before = curves(trials_of(place))
    mend()
    return goes_on(storage, place, before, gone)


def stops(strike: Callable[[Search], None]) -> Callable[[Given], Counted]:
    """Return the fault that ends a search, and has to be resumed."""

    def one(given: Given) -> Counted:
        search, place = begun(given, given.folder, 500)
        return stopped(search, given.folder, place, lambda: strike(search))

    return one


def interrupt(search: Search) -> None:
    """Do what a terminal does at Ctrl-C."""
    os.killpg(search.pid, signal.SIGINT)


def kill_ray(search: Search) -> None:
    """Kill what a search runs on: the daemon of its only node."""
    next(child for child in family(search.pid) if child.name() == "raylet").kill()


def kill_worker(given: Given) -> Counted:
    """Kill the process of a trial; the search goes on in another."""
    search, place = begun(given, given.folder, SURVIVING_TRIALS)

    def strike() -> None:
        workers: list[psutil.Process] = []
        while not workers:  # none while one makes room for the next
            workers = [child for child in family(search.pid) if "ReviewTrainable" in worker_title(child)]
        workers[0].kill()

    return survives(search, place, strike)


def kill_node(given: Given) -> Counted:
    """Kill all of the second node of a cluster at once; the search goes on on the first."""
    command = [sys.executable, "-c", NODES, "0"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as nodes:
        assert nodes.stdin is not None
        search, place = begun(given, given.folder, SURVIVING_TRIALS, "--address", said(nodes))
        counted = survives(search, place, lambda: said(nodes, "kill"))
        nodes.stdin.close()
    return counted


def survives(search: Search, place: Path, strike: Callable[[], object]) -> Counted:
    """Do the harm, wait for the end of a search that goes on by itself, and compare."""
    before = curves(trials_of(place))
    struck, so_far = time.monotonic(), ended(place)
    strike()
    wait_until(lambda: ended(place) > so_far, 150, "a trial after the fault")
    seconds = time.monotonic() - struck
    _, errors = search.communicate(timeout=250)
    assert search.returncode == 0, errors
    return Counted(*judged(before, trials_of(place), SURVIVING_TRIALS), None, seconds)


def fill_disk(given: Given) -> Counted:
    """Fill the disk to the last byte, and make room again once the search has ended."""
    disk = given.folder / "disk"
    disk.mkdir()
    filling = disk / "filling"

    def fill() -> None:
        with filling.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "none", disk], check=True)
    try:
        search, place = begun(given, disk, 500)
        return stopped(search, disk, place, fill, filling.unlink)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def cut_off_store(given: Given) -> Counted:
    """Cut a search off from the S3 server that it is in, and let it reach it again once it has ended."""
    with a_store(given.folder) as store, Way(store.port) as way:
        os.environ["AWS_ENDPOINT_URL"] = way.url
        storage = "s3://bucket/runs"
        search, place = begun(given, storage, 500)
        return stopped(search, storage, place, way.cut, way.open)


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
def a_store(folder: Path) -> Iterator[Store]:
    """Run an S3 server, and have this process and its children reach it."""
    store = Store(folder)
    before = dict(os.environ)
    os.environ.update(store.environment)
    try:
        yield store
    finally:
        os.environ.clear()
        os.environ.update(before)
        store.close()


FAULTS: dict[str, tuple[str, Callable[[Given], Counted]]] = {
    "driver": ("SIGKILL to the driver", stops(lambda search: search.kill())),
    "terminate": ("SIGTERM to the driver", stops(lambda search: search.terminate())),
    "interrupt": ("Ctrl-C: SIGINT to the driver and all that it started", stops(interrupt)),
    "worker": ("SIGKILL to a trial's process", kill_worker),
    "raylet": ("SIGKILL to the only node's raylet", stops(kill_ray)),
    "node": ("SIGKILL to one of two nodes", kill_node),
    "disk": ("a full disk, with room again later", fill_disk),
    "away": ("an S3 server that goes away and comes back", cut_off_store),
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
        space.write_text(SPACE.replace("epochs: 6", f"epochs: {TRIAL_EPOCHS}"), encoding="utf-8")
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
