"""The working copy, on this machine, of a search that is in an object store."""

import hashlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tune_sentiment.errors import StudyError
from tune_sentiment.search.folder import LOCK_FILE, REQUEST_FILE, STUDY_FILE, SearchFolder
from tune_sentiment.search.remote import Remote, not_answering

FOLDERS = ("errors", "best")
"""Those that are mirrored with what is in them."""


def working_copy(remote: Remote) -> SearchFolder:
    """Return the folder of the search at `remote`: the place of its working copy follows from the URI."""
    import pooch

    digest = hashlib.sha256(remote.parent_uri.encode()).hexdigest()[:16]
    return SearchFolder(Path(pooch.os_cache("tune_sentiment")) / "searches" / digest / remote.name, remote)


def files_of(folder: Path) -> list[str]:
    """Return the relative paths of what is mirrored of a working copy; the study comes last."""
    paths = [path for pattern in ("*", *(f"{inside}/*" for inside in FOLDERS)) for path in folder.glob(pattern)]
    names = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    return sorted(filter(is_mirrored, names), key=lambda name: (name == STUDY_FILE, name))


def is_mirrored(name: str) -> bool:
    """Return whether a file of that relative path is mirrored: no lock, and nothing that is not yet in its place."""
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and (name == STUDY_FILE or not name.startswith(STUDY_FILE))


def fetch(folder: SearchFolder, only: Collection[str] = ()) -> None:
    """Bring the working copy up to the state of the store, all of it or the files named in `only`.

    A study that holds all that the store has, and more, stays: its process was killed before it had sent the rest.

    Raises:
        StudyError: if the store does not answer, or the working copy cannot be written.
    """
    assert folder.remote is not None
    with _problems_told(folder):
        if not (folder.remote / REQUEST_FILE).exists():
            _put_aside(folder.path)
            return
        for inside in ("", *FOLDERS):
            for name, info in (folder.remote / inside if inside else folder.remote).objects():
                relative = f"{inside}/{name}" if inside else name
                if info.is_file and is_mirrored(relative) and (not only or relative in only):
                    _fetch_one(folder.remote / relative, folder.path / relative, info)


def fetch_unless_running(folder: SearchFolder, only: Collection[str] = ()) -> None:
    """Fetch, unless this machine is running the search: the working copy is what the store will have then."""
    make_working_copy(folder)
    try:
        with FileLock(folder.path / LOCK_FILE, timeout=0):
            fetch(folder, only)
    except Timeout:
        return


def fetch_checkpoint(folder: SearchFolder, relative: str) -> None:
    """Copy a checkpoint from the store to its place in the working copy, if there is one.

    Raises:
        StudyError: if the store does not answer, or the working copy cannot be written.
    """
    assert folder.remote is not None
    target = folder.path / relative
    shutil.rmtree(target, ignore_errors=True)  # a resumed trial writes others under the same names
    with _problems_told(folder):
        (folder.remote / relative).download(target)
        if not any(target.iterdir()):
            target.rmdir()


def make_working_copy(folder: SearchFolder) -> None:
    """Make the folder of a working copy.

    Raises:
        StudyError: if it cannot be made.
    """
    with _problems_told(folder):
        folder.path.mkdir(parents=True, exist_ok=True)


def _fetch_one(source: Remote, target: Path, info: Any) -> None:
    written = info.mtime.timestamp()
    if target.exists() and (target.stat().st_size, target.stat().st_mtime) == (info.size, written):
        return  # fetched before
    content = source.read() or b""
    if target.name == STUDY_FILE and target.exists() and target.read_bytes().startswith(content):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.write_bytes(content)
    os.utime(beside, (written, written))
    os.replace(beside, target)


def _put_aside(path: Path) -> None:
    """Move away what a search has left here that somebody has deleted in the store."""
    left = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    if left:
        aside = path / f".before.{time.time_ns()}"
        aside.mkdir()
        for entry in left:
            entry.rename(aside / entry.name)


@contextmanager
def _problems_told(folder: SearchFolder) -> Iterator[None]:
    assert folder.remote is not None
    try:
        yield
    except OSError as problem:
        if problem.errno is None:  # pyarrow's, of the store
            raise not_answering(folder.remote.uri, problem) from None
        raise StudyError(
            f"a search in an object store needs a working copy on this machine: {folder.path} cannot be written "
            f"({problem.strerror}): name another cache folder in XDG_CACHE_HOME."
        ) from None
