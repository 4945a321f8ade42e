"""Write a file whole or not at all."""

import contextlib
import uuid
from pathlib import Path

from tune_sentiment.errors import StudyError


def replace_file(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) beside `path`, then rename it into place: no reader ever meets half a file.

    Raises:
        StudyError: if the folder is missing, full or cannot be written; `path` is then as it was.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        beside.replace(path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise _not_writable(path, problem) from None
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def make_folder(folder: Path) -> None:
    """Make `folder` and those above it, if missing.

    Raises:
        StudyError: if that cannot be done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _not_writable(folder, problem) from None


def _not_writable(path: Path, problem: OSError) -> StudyError:
    reason = problem.strerror or str(problem)
    return StudyError(
        f"a result needs a folder that can be written: {path} ({reason}): make room there or choose another folder."
    )
