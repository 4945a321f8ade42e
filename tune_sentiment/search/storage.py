"""Tell trouble with the disk from all other trouble: a search then stops, and goes on when there is room again."""

import errno
import os
from collections.abc import Iterator

from tune_sentiment.errors import StudyError
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.remote import reason_of

STORAGE = "storage"
"""Failure of a trial that could not write. Not its own fault, so it is continued later under its number."""

TAKEN_OVER = "another process has taken the search over"
"""Failure of a search in an object store that was cut off from it for so long that another process runs it now."""

DISK_ERRORS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EIO,
    errno.ESTALE,
    errno.ENODEV,
    errno.ENOTCONN,
)


def is_storage_problem(problem: BaseException) -> bool:
    """Return whether a file could not be written for want of room, or because the disk or the store is gone."""
    return isinstance(problem, OSError) and (problem.errno in DISK_ERRORS or _is_of_a_store(str(problem)))


def names_storage_problem(text: str) -> bool:
    """Return whether `text`, an error of another process, is about that."""
    return _is_of_a_store(text) or bool(named_disk_error(text))


def named_disk_error(text: str) -> str:
    """Return what the system calls the trouble with a disk that `text` is about, nothing if it is about none."""
    return next((os.strerror(code) for code in DISK_ERRORS if os.strerror(code).lower() in text.lower()), "")


def _is_of_a_store(text: str) -> bool:
    """Return whether that is how pyarrow's file systems speak of an object store, without an error number."""
    return any(words in text for words in ("AWS Error", "google::cloud::Status", "Azure Error", TAKEN_OVER))


def storage_error(problem: BaseException, folder: SearchFolder, resume_command: str) -> StudyError | None:
    """Return what to tell the user if trouble with the search's disk is at the bottom of `problem`, else None."""
    for cause in _causes(problem):
        gone = isinstance(cause, FileNotFoundError | PermissionError) and not os.access(folder.path, os.W_OK)
        if gone or is_storage_problem(cause) or (not isinstance(cause, OSError) and names_storage_problem(str(cause))):
            reason = (cause.strerror if isinstance(cause, OSError) else None) or reason_of(cause)
            what = "disk" if folder.remote is None else "store"
            return StudyError(
                f"a search needs a {what} that it can write to: {folder.place} ({reason}): "
                f"all trials are kept; when {'it has room' if what == 'disk' else 'it answers'} again, "
                f"continue with: {resume_command}"
            )
    return None


def _causes(problem: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    rest: list[BaseException | None] = [problem]
    while rest:
        cause = rest.pop(0)
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            rest += [cause.__cause__, cause.__context__]
