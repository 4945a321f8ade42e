"""Run thousands of short trials in one search, kill a worker every 20 s, and count what is lost, leaks or grows.

python benchmarks/soak.py [--trials 2000] [--kill-every 20] [--samples FILE]
"""

import argparse
import csv
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.searching import COMMAND, NAME, trials_of
from tests.processes import alive, family

SPACE = """\
search:
  embedding_dim: {type: int, low: 4, high: 8}
  lr: {type: float, low: 0.001, high: 0.1, log: true}
fixed: {epochs: 4, hidden_dim: 4, n_layers: 1, seq_length: 8, report_every: 1}
"""
REVIEWS = 40
"""Of each class: 64 for training, two steps an epoch, eight reports a trial that ASHA does not stop."""
WARM = 200
"""Trials after which nothing may grow any more."""
SAMPLE_SECONDS = 2.0
ENDED = {1, 2, 3}
"""Optuna's states complete, pruned and failed, as its journal writes them."""
STATE_SET = 6
"""The journal's code for a new state of a trial."""


@dataclass
class Sample:
    """What the search held at one moment: memory in MB (anonymous), open descriptors and files."""

    seconds: float
    ended: int
    driver: float
    raylet: float
    gcs: float
    agents: float
    worker: float
    """Of the largest worker."""
    driver_fds: int
    raylet_fds: int
    worker_fds: int
    threads: int
    """Of the driver."""
    processes: int
    shared_memory_files: int
    ray_files: int
    """In the cluster's folder, its logs most of all."""
    search_files: int
    """In the search's own folder."""


class Journal:
    """Counts the trials that have ended, by reading only what was written since."""

    def __init__(self, path: Path) -> None:
        self.path, self.place, self.ended = path, 0, 0

    def look(self) -> int:
        """Return how many have ended by now."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self.place)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.place += len(line)
                entry = json.loads(line)
                self.ended += entry["op_code"] == STATE_SET and entry.get("state") in ENDED
        return self.ended


def is_worker(process: psutil.Process) -> bool:
    """Return whether a process runs trials."""
    with suppress(psutil.Error):
        # Idle it is called ReviewTrainable, at work by the name that Ray gives to what it wraps.
        return "Trainable" in process.name() or "Trainable" in " ".join(process.cmdline())
    return False


def megabytes(process: psutil.Process) -> float:
    """Return the memory that a process holds of its own, files in memory left out, 0 if it is gone."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{process.pid}/status").read_text().split("RssAnon:")[1].split()[0]) * 1024 / 1e6
    return 0.0


def fds(process: psutil.Process) -> int:
    """Return the open descriptors of a process, 0 if it is gone."""
    with suppress(psutil.Error):
        return process.num_fds()
    return 0


def files_below(folder: Path) -> int:
    """Return how many files a folder holds."""
    return sum(len(names) for _, _, names in os.walk(folder))


def sample(driver: psutil.Process, began: float, ended: int, temporary: Path, storage: Path) -> Sample:
    """Measure the search."""
    children = family(driver.pid)
    by_name: dict[str, list[psutil.Process]] = {}
    for child in children:
        with suppress(psutil.Error):
            kind = "worker" if is_worker(child) else child.name()
            by_name.setdefault(kind, []).append(child)
    workers = by_name.get("worker", [])
    agents = [child for name, found in by_name.items() if "Agent" in name for child in found]

    def of(name: str) -> float:
        return sum(map(megabytes, by_name.get(name, [])))

    return Sample(
        seconds=round(time.monotonic() - began, 1),
        ended=ended,
        driver=megabytes(driver),
        raylet=of("raylet"),
        gcs=of("gcs_server"),
        agents=sum(map(megabytes, agents)),
        worker=max(map(megabytes, workers), default=0.0),
        driver_fds=fds(driver),
        raylet_fds=sum(map(fds, by_name.get("raylet", []))),
        worker_fds=max(map(fds, workers), default=0),
        threads=driver.num_threads(),
        processes=len(children),
        shared_memory_files=files_below(Path("/dev/shm")),
        ray_files=files_below(temporary),
        search_files=files_below(storage),
    )


def soak(trials: int, kill_every: float, folder: Path) -> tuple[list[Sample], int, int, list[psutil.Process]]:
    """Run the search; return the samples, the workers killed, the exit code, and the processes it left."""
    storage, temporary = folder / "storage", folder / "ray"
    storage.mkdir()
    temporary.mkdir()
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    for half, word in (("pos", "wonderful"), ("neg", "dreadful")):
        lines = [f"a {word} film seen {number % 7} times by {number % 5}\n" for number in range(REVIEWS)]
        (folder / f"reviews.{half}").write_text("".join(lines), encoding="utf-8")
    words = ["--data", str(folder / "reviews"), "--space", str(folder / "space.yaml"), "--storage", str(storage)]
    effort = ["--trials", str(trials), "--confirm-top", "1", "--confirm-seeds", "1", "--no-dashboard"]
    with (folder / "said.txt").open("wb") as said:
        driver = psutil.Popen(
            [*COMMAND, "search", *words, "--name", NAME, *effort],
            stdout=said, stderr=said, env=os.environ | {"RAY_TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    journal = Journal(storage / NAME / "study.log")
    began = time.monotonic()
    samples: list[Sample] = []
    seen: dict[int, psutil.Process] = {}
    killed, next_kill, victim = 0, 0.0, None
    while driver.poll() is None:
        ended = journal.look()
        if ended and not next_kill:
            next_kill = time.monotonic() + kill_every
        with suppress(psutil.NoSuchProcess):
            samples.append(sample(driver, began, ended, temporary, storage))
            seen |= {child.pid: child for child in family(driver.pid)}
        workers = [child for child in seen.values() if child.is_running() and is_worker(child)]
        if next_kill and time.monotonic() >= next_kill and workers and ended < trials:
            victim = min(workers, key=lambda worker: worker.create_time())
            victim.kill()
            killed += 1
            next_kill += kill_every
        if samples and len(samples) % 15 == 0:
            print(json.dumps(asdict(samples[-1])), file=sys.stderr, flush=True)
        time.sleep(SAMPLE_SECONDS)
    time.sleep(5)
    return samples, killed, driver.returncode, alive(list(seen.values()))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--kill-every", type=float, default=20)
    parser.add_argument("--samples", type=Path, help="write every sample there, as CSV")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="soak-") as place:
        folder = Path(place)
        samples, killed, code, left = soak(options.trials, options.kill_every, folder)
        if options.samples:
            with options.samples.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(asdict(samples[0])))
                writer.writeheader()
                writer.writerows(map(asdict, samples))
        trials = trials_of(folder / "storage")
        if code:
            print((folder / "said.txt").read_text(errors="replace")[-3000:])
        temporary_left = [path.name for path in (folder / "ray").iterdir()]
    fates = Counter(trial.fate for trial in trials)
    numbers = [trial.number for trial in trials]
    print(f"exit code {code}, {samples[-1].seconds:.0f} s, {killed} workers killed")
    print(f"trials: {len(trials)} of {options.trials}, {dict(fates)}, each once: {numbers == list(range(len(trials)))}")
    print(f"reasons: {dict(Counter(trial.reason for trial in trials))}")
    print(f"left behind: processes {[one.name() for one in left]}, temporary folders {temporary_left}")
    print(f"\n| | at {WARM} trials | at the end | most |\n|---|---|---|---|")
    during = [one for one in samples if 0 < one.ended < options.trials]
    warm = [one for one in during if WARM <= one.ended < WARM * 1.5] or during[:1]
    late = [one for one in during if one.ended > options.trials - WARM / 2] or during[-1:]
    for key in list(asdict(samples[0]))[2:]:
        first, last = (statistics.median(getattr(one, key) for one in group) for group in (warm, late))
        print(f"| {key} | {first:.0f} | {last:.0f} | {max(getattr(one, key) for one in during):.0f} |")


if __name__ == "__main__":
    main()
