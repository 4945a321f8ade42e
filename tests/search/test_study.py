"""The journal of the study: a writer that died in the middle of a line, or with the lock, does no harm."""

import os
import pickle
import time
from pathlib import Path

import optuna
import pytest

from tune_sentiment.errors import StudyError
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.journal import mend_journal
from tune_sentiment.search.study import SEARCH_STUDY, open_storage, open_study


def folder_with_trials(path: Path, count: int) -> SearchFolder:
    folder = SearchFolder(path)
    study = open_study(open_storage(folder), SEARCH_STUDY)
    for number in range(count):
        study.add_trial(optuna.trial.create_trial(value=float(number)))
    return folder


def values(folder: SearchFolder) -> list[float | None]:
    return [trial.value for trial in open_study(open_storage(folder), SEARCH_STUDY).trials]


def test_a_line_that_was_cut_off_in_the_middle_of_writing_is_dropped_wherever_it_was_cut(tmp_path: Path) -> None:
    folder = folder_with_trials(tmp_path, 3)
    whole = folder.study_file.read_bytes()
    last_line = whole.splitlines(keepends=True)[-1]
    for kept in range(1, len(last_line)):
        folder.study_file.write_bytes(whole + last_line[:kept])
        assert mend_journal(folder) == kept
        assert folder.study_file.read_bytes() == whole
    study = open_study(open_storage(folder), SEARCH_STUDY)
    study.add_trial(optuna.trial.create_trial(value=9.0))
    assert values(folder) == [0.0, 1.0, 2.0, 9.0]


def test_a_cut_off_line_longer_than_a_block_is_dropped_too(tmp_path: Path) -> None:
    folder = folder_with_trials(tmp_path, 1)
    whole = folder.study_file.read_bytes()
    folder.study_file.write_bytes(whole + b"x" * 200_000)
    assert mend_journal(folder) == 200_000
    assert folder.study_file.read_bytes() == whole


def test_a_journal_of_one_cut_off_line_is_empty_afterwards(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path)
    folder.study_file.write_bytes(b'{"op_code"')
    assert mend_journal(folder) == 10
    assert folder.study_file.read_bytes() == b""
    assert values(folder) == []


def test_the_lock_of_a_dead_writer_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    folder = folder_with_trials(tmp_path, 1)
    lock = tmp_path / "study.log.lock"
    lock.symlink_to(folder.study_file)
    mend_journal(folder)
    assert lock.is_symlink()
    old = time.time() - 60
    os.utime(lock, (old, old), follow_symlinks=False)
    mend_journal(folder)
    assert not lock.is_symlink()


def test_a_journal_that_is_damaged_in_the_middle_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    folder = folder_with_trials(tmp_path, 3)
    lines = folder.study_file.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:1], b"no json\n", *lines[1:]])
    folder.study_file.write_bytes(damaged)
    assert mend_journal(folder) == 0
    with pytest.raises(StudyError, match=r"^the study must be readable: .*study\.log is not .*: put it back"):
        open_storage(folder)
    assert folder.study_file.read_bytes() == damaged


def test_a_study_goes_where_ray_pickles_it(tmp_path: Path) -> None:
    folder = folder_with_trials(tmp_path, 2)
    storage = open_storage(folder).storage
    study = open_study(open_storage(folder), SEARCH_STUDY)
    study.add_trial(optuna.trial.create_trial(value=2.0))  # its timer runs
    copy = pickle.loads(pickle.dumps([storage, study]))[1]
    copy.add_trial(optuna.trial.create_trial(value=3.0))
    assert values(folder) == [0.0, 1.0, 2.0, 3.0]
