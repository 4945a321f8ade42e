"""What a search cost: read from the reports of its trials, and from its processes while it ran."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Measured:
    """One search."""

    wall_seconds: float
    """From the start of its process to its end."""
    search_seconds: float
    """From there to the last report of a trial."""
    target_seconds: float | None
    """From there to the first validation loss at or under the target; None: it was never reached."""
    first_report_seconds: float
    trials: int
    steps: int
    steps_per_second: float
    """Of `search_seconds`."""
    busy_share: float
    """Seconds in training and validation, of the seconds of all workers until the last report."""
    best_loss: float
    peak_gb: float
    """All its processes together, what they share counted once, 10^9 bytes."""


def watched(process: subprocess.Popen[Any]) -> int:
    """Wait until a process ends, and return the most bytes that it and all below it took (PSS)."""
    peak = 0
    while True:
        try:
            process.wait(timeout=LOOK_SECONDS)
            return peak
        except subprocess.TimeoutExpired:
            peak = max(peak, tree_bytes(process.pid))


def tree_bytes(pid: int) -> int:
    """Return the proportional set size of a process and all below it, now."""
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for member in members:
        try:
            lines = Path(f"/proc/{member.pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def events_of_ours(folder: Path) -> list[dict[str, Any]]:
    """Return the reports of our search as `peers.job.note` writes them.

    When they came stands in TensorBoard's files; the seconds of work in the study, for a whole trial.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from tune_sentiment.search.checkpoints import trial_folder
    from tune_sentiment.search.folder import SearchFolder
    from tune_sentiment.search.outcome import open_outcome

    events = []
    for record in open_outcome(SearchFolder(folder))[0].records:
        curves = EventAccumulator(str(folder / "ray" / "search" / trial_folder(record.number))).Reload()
        events += [
            {
                "time": point.wall_time,
                "trial": str(record.number),
                "step": point.step,
                "val_loss": point.value,
                "busy": record.seconds,
            }
            for point in curves.Scalars("val_loss")
        ]
    return events


def measured(
    events: Sequence[dict[str, Any]], *, started: float, ended: float, workers: int, target: float, peak_bytes: int
) -> Measured:
    """Return what the reports of a search's trials add up to."""
    last: dict[str, dict[str, Any]] = {}
    for event in sorted(events, key=lambda event: event["time"]):
        last[event["trial"]] = event
    losses = [(event["time"], event["val_loss"]) for event in events if event["val_loss"] is not None]
    steps = sum(event["step"] for event in last.values())
    search_seconds = max(event["time"] for event in events) - started
    reached = min((moment for moment, loss in losses if loss <= target), default=None)
    return Measured(
        wall_seconds=ended - started,
        search_seconds=search_seconds,
        target_seconds=None if reached is None else reached - started,
        first_report_seconds=min(event["time"] for event in events) - started,
        trials=len(last),
        steps=steps,
        steps_per_second=steps / search_seconds,
        busy_share=sum(event["busy"] for event in last.values()) / (workers * search_seconds),
        best_loss=min(loss for _, loss in losses),
        peak_gb=peak_bytes / 1e9,
    )
