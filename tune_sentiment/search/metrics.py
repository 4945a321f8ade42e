"""Show a running search to Prometheus: figures that Ray exports beside its own, and a file that says where."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import ray
from ray.util.metrics import Gauge

from tune_sentiment.search.records import Observer, Snapshot, TrialRecord

PREFIX = "tune_sentiment_"

_log = logging.getLogger(__name__)


class Figure(NamedTuple):
    """One figure, or with labels beside the phase one for each of their values."""

    name: str
    description: str
    labels: tuple[str, ...] = ()

    @property
    def exported(self) -> str:
        """The name that Prometheus sees."""
        return f"ray_{PREFIX}{self.name}"


# Whoever reaches the port can read them, without a token: numbers of trials and losses, but no setting, name or path.
TRIALS = Figure("trials", "Trials of this phase so far, by state.", ("state",))
TRIALS_WANTED = Figure("trials_wanted", "Trials asked for in this phase.")
BEST_VAL_LOSS = Figure("best_val_loss", "Lowest validation loss of this phase so far.")
SLOTS = Figure("slots", "Trials that may run side by side.")
SLOTS_BUSY = Figure("slots_busy", "Trials that run.")
REVIEWS_PER_SECOND = Figure("reviews_per_second", "Reviews that all running trials together train on in a second.")
# Of those that run, or did in the last half minute: what is not set again Ray forgets, so that 10,000 trials make few
# series at a time. Its agent takes 2,000 of one name and puts the rest into one.
TRIAL_VAL_LOSS = Figure("trial_val_loss", "Last validation loss of a trial that runs, by its number.", ("trial",))
FIGURES = (TRIALS, TRIALS_WANTED, BEST_VAL_LOSS, SLOTS, SLOTS_BUSY, REVIEWS_PER_SECOND, TRIAL_VAL_LOSS)


@contextmanager
def exported_metrics(targets_file: Path | None, search: str) -> Iterator[Observer]:
    """Yield the observer that sets the figures of the search; `targets_file` says inside the block where they are.

    targets_file: for Prometheus's `file_sd_configs`; None on a cluster that is not ours, whose owner has Ray's own.
    """
    metrics = Metrics()
    if targets_file is None:
        yield metrics
        return
    try:
        write_targets(targets_file, search)
    except OSError as problem:  # not worth a search
        _log.warning("Prometheus cannot be told where the figures are: %s", problem)
    try:
        yield metrics
    finally:
        with contextlib.suppress(OSError):
            targets_file.unlink(missing_ok=True)
            targets_file.parent.rmdir()  # unless another search runs


class Metrics:
    """An observer that sets figures in Ray, which exports every ten seconds what was set, and forgets the rest."""

    def __init__(self) -> None:
        """Make the figures known to Ray."""
        self._gauges = {
            figure: Gauge(PREFIX + figure.name, figure.description, ("phase", *figure.labels)) for figure in FIGURES
        }

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Set every figure, also those that are as they were: Ray would forget them."""
        phase = snapshot.phase
        counts = {
            "running": len(snapshot.running),
            "complete": snapshot.complete,
            "stopped": snapshot.stopped,
            "failed": snapshot.failed,
        }
        for state, count in counts.items():
            self._set(TRIALS, count, phase, state=state)
        self._set(TRIALS_WANTED, snapshot.wanted, phase)
        self._set(SLOTS, snapshot.slots, phase)
        self._set(SLOTS_BUSY, snapshot.slots_busy, phase)
        self._set(REVIEWS_PER_SECOND, snapshot.reviews_per_second, phase)
        if snapshot.best is not None and snapshot.best.best_val_loss is not None:
            self._set(BEST_VAL_LOSS, snapshot.best.best_val_loss, phase)
        for record in snapshot.running:
            self._set_loss(record, phase)

    def on_trial_end(self, record: TrialRecord) -> None:
        """Set the trial's last loss, which no snapshot may have shown."""
        if record.fate != "failed":
            self._set_loss(record, "search" if record.source_trial is None else "confirm")

    def close(self) -> None:
        """Do nothing: what is not set again, Ray forgets."""

    def _set_loss(self, record: TrialRecord, phase: str) -> None:
        if record.curve:
            self._set(TRIAL_VAL_LOSS, record.curve[-1][1], phase, trial=str(record.number))

    def _set(self, figure: Figure, value: float, phase: str, **labels: str) -> None:
        self._gauges[figure].set(value, {"phase": phase, **labels})


def write_targets(path: Path, search: str) -> None:
    """Write where this cluster's figures are, as Prometheus's `file_sd_configs` take it, whole or not at all.

    Only here does the search's name stand: a file has rights, a port of this machine has none.
    """
    agents = [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in ray.nodes() if node["Alive"]]
    path.parent.mkdir(exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_text(json.dumps([{"labels": {"search": search}, "targets": agents}]) + "\n", encoding="utf-8")
    os.replace(beside, path)
