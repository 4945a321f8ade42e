"""Do harm to searches again and again, resume them, and count what was lost: `python benchmarks/faults.py [TIMES]`."""

import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import BAD, GOOD, SPACE
from tests.faults.searching import alive, ended, family, start_resume, start_search, trials_of, wait_until

Search = subprocess.Popen[str]


class Counted(NamedTuple):
    """What one search came to."""

    lost: int
    doubled: int
    seconds_gone: float
    """From the fault to the moment when no process of the search is left."""
    seconds_resumed: float
    """From the resume to its first trial that ends."""


def kill_driver(search: Search) -> None:
    """As the system does when memory runs out."""
    search.kill()


def interrupt(search: Search) -> None:
    """As Ctrl-C does."""
    search.send_signal(signal.SIGINT)


def terminate(search: Search) -> None:
    """As a batch system does when the time is up."""
    search.send_signal(signal.SIGTERM)


def kill_ray(search: Search) -> None:
    """Kill what a search runs on: the daemon of its only node."""
    raylets = [child for child in family(search.pid) if child.name() == "raylet"]
    raylets[0].kill()
    time.sleep(3)
    search.kill()


FAULTS: dict[str, Callable[[Search], None]] = {
    "SIGKILL to the driver": kill_driver,
    "SIGINT to the driver": interrupt,
    "SIGTERM to the driver": terminate,
    "SIGKILL to the raylet, then the driver": kill_ray,
}


def one(fault: Callable[[Search], None], data: Path, space: str, moments: random.Random) -> Counted:
    """Start a search, do the harm at a random moment, resume it for two more trials, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        storage = Path(folder)
        search = start_search(data, space, storage, 500)
        first = moments.randint(1, 5)
        wait_until(lambda: ended(storage) >= first, 120, "trials")
        time.sleep(moments.uniform(0, 1))
        children = family(search.pid)
        fault(search)
        struck = time.monotonic()
        wait_until(lambda: not alive(children), 60, "no process left")
        gone = time.monotonic() - struck
        search.communicate(timeout=60)
        before = {trial.number: trial.curve for trial in trials_of(storage) if trial.fate in ("complete", "stopped")}
        wanted = len(trials_of(storage)) + 2
        resumed = start_resume(storage, "--trials", str(wanted))
        begun = time.monotonic()
        wait_until(lambda: ended(storage) > len(before), 120, "a trial after the resume")
        seconds = time.monotonic() - begun
        resumed.communicate(timeout=120)
        after = {trial.number: trial for trial in trials_of(storage)}
        whole = [number for number, trial in after.items() if trial.fate in ("complete", "stopped")]
        lost = wanted - len(whole) + sum(after[number].curve != curve for number, curve in before.items())
        return Counted(lost, len(after) - wanted, gone, seconds)


def main() -> None:
    """Print the table."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    moments = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        data, space = Path(folder), Path(folder) / "tiny.yaml"
        space.write_text(SPACE, encoding="utf-8")
        for name, text in (("reviews.pos", GOOD), ("reviews.neg", BAD)):
            lines = [f"{text} seen {index % 7} times by {index % 11} people" for index in range(300)]
            (data / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print("| fault | times | trials lost | trials doubled | s until nothing is left | s to resume |")
        print("|---|---|---|---|---|---|")
        for name, fault in FAULTS.items():
            counted = [one(fault, data, str(space), moments) for _ in range(times)]
            gone, resumed = ([getattr(run, key) for run in counted] for key in ("seconds_gone", "seconds_resumed"))
            print(
                f"| {name} | {times} | {sum(run.lost for run in counted)} | {sum(run.doubled for run in counted)} "
                f"| {statistics.median(gone):.1f} (at most {max(gone):.1f}) "
                f"| {statistics.median(resumed):.1f} (at most {max(resumed):.1f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
