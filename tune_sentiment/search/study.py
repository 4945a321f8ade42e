"""The study: the whole truth about what was tried, in Optuna's journal."""

import math
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tune_sentiment.errors import StudyError
from tune_sentiment.search.database import StudyPlace, open_database
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.journal import open_journal
from tune_sentiment.search.records import Fate, TrialRecord
from tune_sentiment.search.working_copy import fetch_checkpoint

Trial = TypeVar("Trial")

SEARCH_STUDY = "search"
CONFIRMATION_STUDY = "confirmation"

SUMMARY = "summary"
"""User attribute of a trial: what its last report said, as a dict."""
CHECKPOINT = "checkpoint"
"""User attribute of a trial: path of its last checkpoint, relative to the search's folder."""
SEED = "seed"
SOURCE_TRIAL = "source_trial"


def environment() -> dict[str, str]:
    """Return the versions of everything that a result may depend on, and what it is computed on."""
    versions = {"python": platform.python_version(), "platform": platform.platform(), "device": device_name()}
    if revision := git_revision(Path(__file__).parents[2]):
        versions["git revision"] = revision
    for package in ("tune-sentiment", "torch", "ray", "optuna", "numpy", "scikit-learn"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed as a package"
    return versions


def device_name() -> str:
    """Return the names of the GPUs that this process sees, or of the processor."""
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()


def git_revision(checkout: Path) -> str:
    """Return the commit that a checkout is at, with "+" if files differ from it; nothing if it is none."""
    if not (checkout / ".git").exists():
        return ""
    questions = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    try:
        revision, changes = (
            subprocess.run(
                ["git", "-C", checkout, *words], capture_output=True, text=True, timeout=10, check=True
            ).stdout
            for words in questions
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return revision.strip() + ("+" if changes.strip() else "")


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Studies:
    """Where the studies of one search are."""

    storage: BaseStorage
    prefix: str = ""
    """Before the names of the search's studies: a shared database holds those of others, too."""

    def name_of(self, study: str) -> str:
        """Return the name that the search's study `study` has in the storage."""
        return self.prefix + study


def open_storage(folder: SearchFolder, study: StudyPlace | None = None) -> Studies:
    """Return the studies in study.log, which is made if there is none, or those in the database `study`.

    Raises:
        StudyError: if the file is damaged, or the database does not answer.
    """
    return Studies(open_journal(folder)) if study is None else Studies(open_database(study.url), study.prefix)


def open_study(studies: Studies, name: str, sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
    """Return the study `name` of the search, made if there is none; it minimizes the best validation loss."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # progress is shown by the observers
    options: dict[str, Any] = {
        "study_name": studies.name_of(name),
        "storage": studies.storage,
        "sampler": sampler,
        "pruner": optuna.pruners.NopPruner(),
    }
    try:
        return optuna.load_study(**options)
    except KeyError:
        return optuna.create_study(**options, direction="minimize")


def read_study(studies: Studies, name: str) -> optuna.Study:
    """Return the study `name` of the search to read it, an empty one if there is none; nothing is written.

    What reads must not write: the search may have been killed in the middle of a line.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.load_study(study_name=studies.name_of(name), storage=studies.storage)
    except KeyError:
        return optuna.create_study(study_name=name, direction="minimize")  # in memory


def seed_of_trial(search_seed: int, number: int) -> int:
    """Return the seed of a trial's own run: 31 bits that follow from the search's seed and the trial's number."""
    return int(np.random.SeedSequence([search_seed, number]).generate_state(1)[0] >> 1)


def records(study: optuna.Study) -> tuple[TrialRecord, ...]:
    """Return what the study holds, in order of the trials' numbers."""
    return tuple(record_of(trial) for trial in study.get_trials(deepcopy=False))


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Return one trial of a study as a plain value."""
    summary = trial.user_attrs.get(SUMMARY, {})
    curve = tuple(sorted(trial.intermediate_values.items()))
    # Of a trial that was cut off between reports there are no weights but those of its last checkpoint.
    kept = [point for point in curve if point[0] <= summary.get(KEPT_STEP, math.inf)]
    best_step, best = min(kept, key=lambda point: point[1], default=(None, None))
    reason = summary.get("reason", "")
    return TrialRecord(
        number=trial.number,
        fate=_fate(trial, reason),
        reason=reason,
        setting=trial.params or dict(trial.system_attrs.get("fixed_params", {})),
        seed=trial.user_attrs.get(SEED, 0),
        curve=curve,
        best_val_loss=best,
        best_step=best_step,
        best_val_accuracy=summary.get("best_val_accuracy"),
        steps=curve[-1][0] if curve else 0,
        max_steps=summary.get("max_steps", 0),
        seconds=summary.get("seconds", 0.0),
        started=trial.datetime_start.timestamp() if trial.datetime_start else None,
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
        source_trial=trial.user_attrs.get(SOURCE_TRIAL),
        note=summary.get("note", ""),
        on_gpu=bool(summary.get("gpu_ids")),
    )


KEPT_STEP = "kept_step"
"""In the summary of a trial that was cut off: the step of its last checkpoint, 0 if it has none."""
STOPPED_REASONS = ("asha", "time budget")


def _fate(trial: FrozenTrial, reason: str) -> Fate:
    match trial.state:
        case TrialState.COMPLETE:
            return "complete"
        case TrialState.RUNNING:
            return "running"
        case TrialState.WAITING:
            return "waiting"
        case TrialState.PRUNED if reason in STOPPED_REASONS:
            return "stopped"
        case _:
            return "failed"


def unfinished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were running when the last session ended, in order of their numbers."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.RUNNING]


def named(trials: Sequence[Trial], number: int, folder: SearchFolder) -> Trial:
    """Return the trial of that number.

    Raises:
        StudyError: if there is none.
    """
    if not 0 <= number < len(trials):
        raise StudyError(
            f"a trial is named by its number: {folder.name} has trials 0 to {len(trials) - 1}, not {number}: "
            "see `report`."
        )
    return trials[number]


def checkpoint_of(study: optuna.Study, number: int, folder: SearchFolder) -> Path:
    """Return the folder of the trial's last checkpoint; one in an object store is fetched.

    Raises:
        StudyError: if the study has no such trial or no checkpoint of it exists.
    """
    relative = named(study.get_trials(deepcopy=False), number, folder).user_attrs.get(CHECKPOINT)
    if relative is not None and folder.remote is not None:
        fetch_checkpoint(folder, relative)
    if relative is None or not (folder.path / relative).is_dir():
        raise StudyError(
            f"a trial is exported from its weights: those of trial {number} of {folder.name} were not kept, as others "
            f"were better: train it again with `train --from {folder.name} --trial {number} --out DIR`."
        )
    return Path(folder.path / relative)
