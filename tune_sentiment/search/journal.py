"""The file that a study is in: lines that are whole or not there."""

import contextlib
import os
import time
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import LOCK_FILE_SUFFIX

from tune_sentiment.errors import StudyError
from tune_sentiment.search.folder import SearchFolder

STALE_LOCK_SECONDS = 5.0
"""Optuna holds the lock on the journal for one write."""


class WholeLines(JournalFileBackend):
    """Optuna's journal, which leaves no half line behind when the disk is full."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines or nothing."""
        size = os.stat(self._file_path).st_size
        try:
            super().append_logs(logs)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self._file_path, size)
            raise


def open_journal(folder: SearchFolder) -> JournalStorage:
    """Return the storage in study.log, which is made if there is none.

    Raises:
        StudyError: if the file is damaged.
    """
    _refuse_other_files(folder)
    try:
        return JournalStorage(WholeLines(str(folder.study_file)))
    except Exception as problem:  # Optuna has no exception of its own for a damaged journal
        raise StudyError(
            f"the study must be readable: {folder.study_file} is not ({problem}): put it back from a copy; "
            f"checkpoints under {folder.ray_folder} are untouched."
        ) from problem


def mend_journal(folder: SearchFolder) -> int:
    """Cut off the end of study.log if its writer died in the middle of a line, and return the bytes cut off.

    What was cut off had not been answered as written. Left there, the next line would be glued to it, and the whole
    journal be unreadable. Only for the process that holds the search: a line may be in the middle of being written.
    """
    lock = folder.study_file.with_name(folder.study_file.name + LOCK_FILE_SUFFIX)
    if lock.is_symlink() and time.time() - lock.lstat().st_mtime > STALE_LOCK_SECONDS:
        lock.unlink(missing_ok=True)  # of a dead writer: Optuna itself would wait for half a minute
    if not folder.study_file.exists():
        return 0
    _refuse_other_files(folder)
    with folder.study_file.open("rb+") as journal:
        size = journal.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            begin = max(0, end - 65_536)
            journal.seek(begin)
            newline = journal.read(end - begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        journal.truncate(end)
    return size - end


def _refuse_other_files(folder: SearchFolder) -> None:
    """Refuse a file that is no journal at all, before anything is cut off from it or written behind it."""
    try:
        with folder.study_file.open("rb") as journal:
            start = journal.read(1)
    except OSError:
        return
    if start not in (b"", b"{"):
        raise StudyError(
            f"the study must be a journal of Optuna: {folder.study_file} is none: put it back from a copy; "
            f"checkpoints under {folder.ray_folder} are untouched."
        )
