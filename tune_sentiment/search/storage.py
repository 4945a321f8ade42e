"""Tell trouble with the disk from all other trouble: a search then stops, and goes on when there is room again."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from tune_sentiment.errors import StudyError

STORAGE = "storage"
"""Failure of a trial that could not write. Not its own fault, so it is continued later under its number."""

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
    """Return whether a file could not be written for want of room, or because the disk is gone."""
    return isinstance(problem, OSError) and problem.errno in DISK_ERRORS


def names_storage_problem(text: str) -> bool:
    """Return whether `text`, an error of another process, is about that."""
    return any(os.strerror(code).lower() in text.lower() for code in DISK_ERRORS)


def storage_error(problem: BaseException, folder: Path, resume_command: str) -> StudyError | None:
    """Return what to tell the user if trouble with the search's disk is at the bottom of `problem`, else None."""
    for cause in _causes(problem):
        gone = isinstance(cause, FileNotFoundError | PermissionError) and not os.access(folder, os.W_OK)
        if gone or is_storage_problem(cause) or (not isinstance(cause, OSError) and names_storage_problem(str(cause))):
            reason = (cause.strerror if isinstance(cause, OSError) else None) or str(cause).strip().splitlines()[-1]
            return StudyError(
                f"a search needs a disk that it can write to: {folder} ({reason}): "
                f"all trials are kept; when it has room again, continue with: {resume_command}"
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
