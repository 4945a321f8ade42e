"""What it costs a search to show itself to Prometheus: microseconds per snapshot, memory and series in Ray's agent.

python -m benchmarks.metrics [--trials N] [--slots N] [--per-second N]
"""

import argparse
import os
import time
import urllib.request

import psutil
import ray

from tune_sentiment.search.cluster import cluster
from tune_sentiment.search.metrics import TRIAL_VAL_LOSS, Metrics
from tune_sentiment.search.records import Snapshot, TrialRecord

EXPORT_MILLISECONDS = 1000
"""A tenth of what Ray waits between two exports, so that 10,000 trials go by in minutes."""


def at_step(number: int, step: int) -> TrialRecord:
    """Return a trial as it is after a report."""
    curve = tuple((one, 0.7 - 0.0001 * one) for one in range(100, step + 100, 100))
    return TrialRecord(
        number=number, fate="running", reason="", setting={"lr": 0.001}, seed=number, curve=curve,
        best_val_loss=curve[-1][1], best_step=step, best_val_accuracy=0.8, steps=step, max_steps=500,
        seconds=1.0, started=0.0, ended=None,
    )  # fmt: skip


def snapshot(running: tuple[TrialRecord, ...], ended: int, wanted: int) -> Snapshot:
    """Return the state of a search in which these trials run."""
    return Snapshot(
        phase="search", seconds=1.0, time_budget=None, slots=len(running), slots_busy=len(running), busy_share=0.9,
        wanted=wanted, complete=ended, stopped=0, failed=0, running=running, best=running[0], eta_seconds=1.0,
        reviews_per_second=1000.0,
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--per-second", type=float, default=100.0, help="trials; ten times what a real search may have")
    asked = parser.parse_args()
    os.environ.update({"RAY_metrics_report_interval_ms": str(EXPORT_MILLISECONDS)})
    with cluster(address=None, cpus=1, gpus=0, dashboard=False):
        metrics = Metrics()
        (node,) = ray.nodes()
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        driver = psutil.Process()
        agent = next(one for one in driver.children(recursive=True) if one.name().startswith("ray::DashboardA"))
        before = {process: process.memory_info().rss for process in (driver, agent)}
        seconds, snapshots, most, began = 0.0, 0, 0, time.monotonic()
        for first in range(0, asked.trials, asked.slots):
            for step in range(100, 600, 100):
                trials = tuple(at_step(first + slot, step) for slot in range(asked.slots))
                now = snapshot(trials, first, asked.trials)
                started = time.perf_counter()
                metrics.on_snapshot(now)
                seconds += time.perf_counter() - started
                snapshots += 1
            for trial in trials:
                metrics.on_trial_end(trial)
            time.sleep(max(0.0, began + first / asked.per_second - time.monotonic()))
            if first % (50 * asked.slots) == 0:
                with urllib.request.urlopen(address) as answer:
                    lines = answer.read().decode().splitlines()
                most = max(most, sum(line.startswith(TRIAL_VAL_LOSS.exported + "{") for line in lines))
        grown = {process: process.memory_info().rss - size for process, size in before.items()}
    print(
        f"{asked.trials:,} trials in {asked.slots} slots: {1e6 * seconds / snapshots:.0f} us a snapshot ({snapshots:,})"
    )
    print(f"series of {TRIAL_VAL_LOSS.exported}: at most {most} at a time")
    print(f"memory: driver +{grown[driver] >> 20} MiB, Ray's agent +{grown[agent] >> 20} MiB")


if __name__ == "__main__":
    main()
