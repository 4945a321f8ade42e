"""The journal: written at once, on the disk soon, and never behind a failure in silence."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.waiting import wait_until
from tune_sentiment.search import journal
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.journal import open_journal


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> optuna.Study:
    monkeypatch.setattr(journal, "SECONDS_TO_DISK", 0.2)
    return optuna.create_study(storage=open_journal(SearchFolder(tmp_path)), study_name="search")


def test_what_is_written_outlives_the_process_at_once(tmp_path: Path) -> None:
    dying = f"""
import os, optuna
from pathlib import Path
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.journal import open_journal
study = optuna.create_study(storage=open_journal(SearchFolder(Path({str(tmp_path)!r}))), study_name="search")
study.tell(study.ask(), 0.5)
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", dying], capture_output=True, check=False).returncode == -9
    study = optuna.load_study(storage=open_journal(SearchFolder(tmp_path)), study_name="search")
    assert [trial.value for trial in study.trials] == [0.5]


def test_many_lines_get_to_the_disk_at_once_and_soon(study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), fsync(handle)))
    trial = study.ask()
    for step in range(100):
        trial.report(0.5, step)
    path = study._storage._backend._file_path
    wait_until(lambda: synced and synced[-1] == os.stat(path).st_size, 20, "the disk to have it all")
    assert len(synced) < 50


def test_a_disk_that_fails_later_is_heard_of_at_the_next_line(
    study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    backend = study._storage._backend
    wait_until(lambda: backend._timer is None, 20, "the way to the disk")
    monkeypatch.setattr(os, "fsync", full)
    study.ask()
    wait_until(lambda: backend._failure is not None, 20, "the failure")
    with pytest.raises(OSError, match="No space left on device"):
        study.ask()
    monkeypatch.undo()
    study.tell(study.ask(), 0.5)
    assert study.trials[-1].value == 0.5


def test_the_file_is_opened_only_to_read_what_is_new_also_of_others(
    tmp_path: Path, study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = optuna.load_study(storage=open_journal(SearchFolder(tmp_path)), study_name="search")
    study.tell(study.ask(), 0.5)
    assert [trial.value for trial in other.trials] == [0.5]
    opened: list[Any] = []
    really = open
    monkeypatch.setattr("builtins.open", lambda *a, **k: (opened.append(a), really(*a, **k))[1])
    assert [trial.value for trial in other.trials] == [0.5]
    assert opened == []
    study.tell(study.ask(), 0.4)
    assert [trial.value for trial in other.trials] == [0.5, 0.4]
    assert opened != []


def test_where_old_lines_begin_is_forgotten_and_they_can_still_be_read(
    study: optuna.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "OFFSETS", 10)
    for number in range(50):
        study.tell(study.ask(), float(number))
    backend = study._storage._backend
    assert len(backend._log_number_offset) < 20
    assert [trial.value for trial in study.trials] == [float(number) for number in range(50)]
    lines = list(backend.read_logs(3))
    assert lines == list(journal.WholeLines(str(SearchFolder(tmp_path).study_file)).read_logs(3))
    assert len(lines) == 1 + 2 * 50 - 3  # the study, and two for each trial
