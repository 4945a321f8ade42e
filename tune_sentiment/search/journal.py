"""The file that a study is in: lines that are whole or not there."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import LOCK_FILE_SUFFIX, get_lock_file

from tune_sentiment.errors import StudyError
from tune_sentiment.search.folder import SearchFolder

STALE_LOCK_SECONDS = 5.0
"""Optuna holds the lock on the journal for one write."""


SECONDS_TO_DISK = 1.0
"""What a power cut may cost of the study; what was written outlives the process from the start."""

OFFSETS = 1000
"""Beginnings of lines that are remembered; only the last one is ever asked for."""


class WholeLines(JournalFileBackend):
    """Optuna's journal, which leaves no half line behind when the disk is full, and does not wait for the disk.

    Optuna has each line on the disk before it goes on, which takes milliseconds, a dozen times a trial. Here a thread
    sees to it, within SECONDS_TO_DISK.
    """

    def __init__(self, file_path: str) -> None:
        """Append to the file at `file_path`, which is made if there is none."""
        super().__init__(file_path)
        self._guard = threading.Lock()
        self._timer: threading.Timer | None = None
        self._failure: OSError | None = None

    def __reduce__(self) -> tuple[type["WholeLines"], tuple[str]]:
        """Be made anew where Ray Tune pickles the study's searcher: a lock and a timer cannot be."""
        return WholeLines, (self._file_path,)

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Yield the lines from that number on; mostly there are none, which the size of the file tells.

        Where each line begins is forgotten once it is read: 2 KB a trial. One asked for again is found from the start.
        """
        if os.stat(self._file_path).st_size == self._log_number_offset.get(log_number_from):
            return iter(())
        offsets = self._log_number_offset
        if log_number_from in offsets and len(offsets) > OFFSETS:
            self._log_number_offset = {0: 0, log_number_from: offsets[log_number_from]}
        return super().read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append whole lines or nothing.

        Raises:
            OSError: if they cannot be written, or earlier ones did not get to the disk.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        with get_lock_file(self._lock), open(self._file_path, "ab", buffering=0) as journal:
            size = os.fstat(journal.fileno()).st_size
            try:
                _write_all(journal, lines)
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(self._file_path, size)
                raise
        with self._guard:
            if self._timer is None:
                self._timer = threading.Timer(SECONDS_TO_DISK, self._to_disk)
                self._timer.daemon = True
                self._timer.start()

    def _to_disk(self) -> None:
        with self._guard:
            self._timer = None  # whatever is written from now on is for the next one
        try:
            with open(self._file_path, "rb") as journal:
                os.fsync(journal.fileno())
        except FileNotFoundError:
            return  # the folder of the search was deleted
        except OSError as problem:
            self._failure = problem


def _write_all(file: IO[bytes], content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


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
