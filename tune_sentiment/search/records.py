"""What a search knows of its trials, as plain values, and the protocol of whoever watches it run."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Fate = Literal["waiting", "running", "complete", "stopped", "failed"]
"""complete: ran all its steps; stopped: by ASHA or by the time budget; failed: see `reason`."""


@dataclass(frozen=True)
class TrialRecord:
    """One trial of the study."""

    number: int
    """The trial's number in the study, from 0; trial 0 is the course's setting."""
    fate: Fate
    reason: str
    """Why it failed or was stopped ("asha", "time budget", "diverged", "out of memory", "error: ..."), else ""."""
    setting: dict[str, Any]
    """The searched hyperparameters, by name."""
    seed: int
    curve: tuple[tuple[int, float], ...]
    """(step, validation loss) of every report, by rising step."""
    best_val_loss: float | None
    """The lowest validation loss of the trial, the one definition of best; None before the first report."""
    best_step: int | None
    best_val_accuracy: float | None
    """Validation accuracy at `best_step`, 0 to 1."""
    steps: int
    """Steps done."""
    max_steps: int
    """Steps that the trial does if nothing stops it (0 if not known yet)."""
    seconds: float
    """Seconds spent in training and validation."""
    started: float | None
    """Seconds since the epoch (UNIX time) at which the trial was created."""
    ended: float | None
    source_trial: int | None = None
    """For a confirmation run: the number of the search trial whose setting is confirmed."""
    note: str = ""
    """What the user should know of it: that it was started again, and why."""
    on_gpu: bool = False
    """Whether its losses were computed on a GPU."""


@dataclass(frozen=True)
class ConfirmedSetting:
    """One setting, trained in full on fresh seeds."""

    trial: int
    """Number of the search trial that the setting comes from."""
    setting: dict[str, Any]
    is_course: bool
    """Whether this is the course's setting (trial 0), which is always confirmed too."""
    search_val_loss: float | None
    """What the search measured, on its own lucky or unlucky seed."""
    seeds: tuple[int, ...]
    val_losses: tuple[float, ...]
    """Best validation loss of each seed, in the order of `seeds`."""
    test_losses: tuple[float, ...] = ()
    test_accuracies: tuple[float, ...] = ()
    """Of each seed's model; filled for the winner and the course's setting only."""


@dataclass(frozen=True)
class Plan:
    """How a search will use the machine, decided before anything runs."""

    device: Literal["cpu", "cuda"]
    cpus: float
    gpus: float
    memory_bytes: int
    cpus_per_trial: float
    gpus_per_trial: float
    slots: int
    """Trials that run side by side."""
    trials: int
    max_steps: int
    """Steps of one full trial at the course's batch size."""
    confirm_runs: int
    trial_bytes: int
    """Estimated peak memory of the largest trial of the space."""
    estimated_seconds: float
    """Rough time for all of it, from a timed probe of the model; 0 if not probed."""
    notes: tuple[str, ...] = ()
    """What the user should know of the plan, a sentence each."""


@dataclass(frozen=True)
class Snapshot:
    """The state of a running search at one moment."""

    phase: Literal["search", "confirm"]
    seconds: float
    """Since the whole command started."""
    time_budget: float | None
    """Seconds, or None if unlimited."""
    slots: int
    slots_busy: int
    """Trials running at this moment."""
    busy_share: float
    """Seconds in training and validation / slot seconds, 0 to 1, so far in this phase."""
    wanted: int
    """Trials asked for in this phase."""
    complete: int
    stopped: int
    failed: int
    running: tuple[TrialRecord, ...]
    best: TrialRecord | None
    eta_seconds: float | None
    """Seconds until this phase ends, running trials counted; None if not known yet."""
    reviews_per_second: float


@dataclass(frozen=True)
class PhaseEnd:
    """How a phase went."""

    busy_seconds: float
    """Slot seconds in training and validation."""
    slot_seconds: float
    timed_out: bool
    full_seconds: tuple[float, ...]
    """Seconds of the trials that ran to their last step."""


class Observer(Protocol):
    """Watches a search: called in the driver's process, often, and so quick to return."""

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Called after reports, seldom enough to take little time, at least every half second and at a phase's end."""

    def on_trial_end(self, record: TrialRecord) -> None:
        """Called once for each trial that ended, whatever its fate."""

    def close(self) -> None:
        """Called once, when the search ended or was interrupted."""


@dataclass(frozen=True)
class Outcome:
    """All that a finished search found, as the report, the model card and `--json` need it."""

    name: str
    folder: str
    phase: Literal["searching", "confirming", "done", "interrupted"]
    records: tuple[TrialRecord, ...]
    confirmations: tuple[TrialRecord, ...]
    """The single runs behind `confirmed`, one per setting and seed."""
    confirmed: tuple[ConfirmedSetting, ...]
    winner: ConfirmedSetting | None
    """The setting with the lowest mean validation loss over the confirmation seeds."""
    busy_share: float
    seconds: float
    rungs: tuple[int, ...]
    """The steps at which ASHA compares trials."""
    request: dict[str, Any] = field(default_factory=dict)
    """search.json: what was asked, data fingerprint, versions."""
    bundle: str | None = None
    """Path of the exported bundle."""
    notes: tuple[str, ...] = ()
