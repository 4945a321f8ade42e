"""Start a search as a user does, watch it, resume it, and see that nothing was lost."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tune_sentiment import api
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.records import Outcome, TrialRecord
from tune_sentiment.search.study import SEARCH_STUDY, open_storage, read_study, records

COMMAND = [sys.executable, "-m", "tune_sentiment"]
NAME = "cut"


def start_search(
    corpus: Path,
    space: str,
    storage: Path | str,
    trials: int,
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Start a search in a session of its own."""
    words = ["search", "--data", str(corpus), "--space", space, "--storage", str(storage), "--name", NAME]
    return start(*words, "--trials", str(trials), "--confirm-top", "1", "--confirm-seeds", "1", *options,
                 environment=environment)  # fmt: skip


def start_resume(storage: Path | str, *options: str) -> subprocess.Popen[str]:
    return start("search", "--resume", "--name", NAME, "--storage", str(storage), *options)


def start(*words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words, "--no-dashboard"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )


def trials_of(storage: Path) -> tuple[TrialRecord, ...]:
    """The trials of the search, read while it runs."""
    folder = SearchFolder(storage / NAME)
    return records(read_study(open_storage(folder), SEARCH_STUDY)) if folder.study_file.exists() else ()


def ended(storage: Path) -> int:
    """How many trials of the search have ended."""
    return sum(trial.fate in ("complete", "stopped", "failed") for trial in trials_of(storage))


def losses(storage: Path) -> list[float]:
    return [trial.best_val_loss for trial in trials_of(storage) if trial.best_val_loss is not None]


def resumed(storage: Path, trials: int) -> Outcome:
    return api.search(name=NAME, storage=str(storage), resume=True, trials=trials, dashboard=False).outcome


def assert_whole(outcome: Outcome, trials: int, before: list[float]) -> None:
    """Exactly the trials asked for, each once and ended, and the best no worse than before."""
    assert [record.number for record in outcome.records] == list(range(trials))
    assert all(record.fate in ("complete", "stopped") for record in outcome.records)
    assert min(record.best_val_loss or 9.0 for record in outcome.records) <= min(before)
    assert outcome.phase == "done" and outcome.bundle is not None
