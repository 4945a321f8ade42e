"""The folder of a search: the places inside it, making and finding it, and the lock on it."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tune_sentiment.errors import StudyError
from tune_sentiment.search.remote import Remote

FORMAT_VERSION = 1
REQUEST_FILE = "search.json"
STUDY_FILE = "study.log"
LOCK_FILE = ".lock"
RAY = "ray"
FETCH_SECONDS = 2.0


@dataclass(frozen=True)
class SearchFolder:
    """The places inside a search's folder."""

    path: Path
    """Where its files are written; for a search in an object store, its working copy on this machine."""
    remote: Remote | None = None
    """Where everything is kept, if in an object store."""

    @property
    def name(self) -> str:
        """The search's name."""
        return self.path.name

    @property
    def storage(self) -> str:
        """What `--storage` names to find it."""
        return str(self.path.parent) if self.remote is None else self.remote.parent_uri

    @property
    def place(self) -> str:
        """The folder as the user knows it: a path or an URI."""
        return str(self.path) if self.remote is None else self.remote.uri

    @property
    def request_file(self) -> Path:
        """What was asked."""
        return self.path / REQUEST_FILE

    @property
    def study_file(self) -> Path:
        """The Optuna study."""
        return self.path / STUDY_FILE

    @property
    def ray_folder(self) -> Path:
        """Ray Tune's own files."""
        return self.path / RAY

    @property
    def states_kept(self) -> int:
        """Checkpoints kept of a running trial. In a store the study may still name the last but one after a crash."""
        return 1 if self.remote is None else 2

    def relative(self, checkpoint: str) -> str:
        """Return the path of a checkpoint that Ray wrote, relative to this folder."""
        return os.path.relpath(checkpoint, self.path if self.remote is None else self.remote.path)

    def checkpoint(self, relative: str) -> str:
        """Return where the checkpoint of that relative path is, a path or an URI."""
        return str(self.path / relative) if self.remote is None else (self.remote / relative).uri

    @property
    def report_file(self) -> Path:
        """The report's page."""
        return self.path / "report.html"

    @property
    def leaderboard_file(self) -> Path:
        """Every trial as a row."""
        return self.path / "leaderboard.csv"

    @property
    def targets_file(self) -> Path:
        """Where Prometheus finds the running search; one folder for all searches, for one line in its settings."""
        return self.path.parent / ".prometheus" / f"{self.name}.json"

    @property
    def modified(self) -> float:
        """Seconds since the epoch at which the search was last written to; 0 if it is not there."""
        files = [file for file in (self.request_file, self.study_file) if file.exists()]
        return max((file.stat().st_mtime for file in files), default=0.0)

    @property
    def bundle(self) -> Path:
        """The exported winner."""
        return self.path / "best"


def free_folder(storage: Path, name: str) -> SearchFolder:
    """Return the folder that a new search will have; it is not made yet.

    Raises:
        StudyError: if the name is taken, is no plain name, or `storage` cannot be written to.
    """
    folder = SearchFolder(storage.absolute() / name)
    check_name(name)
    if folder.request_file.exists():
        raise name_is_taken(folder)
    nearest = next(parent for parent in (folder.path, *folder.path.parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise _not_writable(folder, "it may not be written to")
    return folder


def check_name(name: str) -> None:
    """Refuse a name that is none for a folder.

    Raises:
        StudyError: saying so.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise StudyError(f"a search's name is a folder's: --name {name!r}: give one without slashes.")


def name_is_taken(folder: SearchFolder) -> StudyError:
    """Return what to tell the user who begins a search where there is one."""
    return StudyError(
        f"a new search needs a name of its own: {folder.place} exists: "
        "give another --name, or continue it with --resume."
    )


def make_folder(folder: SearchFolder) -> None:
    """Make the folder of a search, if it is not there yet.

    Raises:
        StudyError: if it cannot be made or written to.
    """
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        probe = folder.path / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise _not_writable(folder, str(problem.strerror)) from None


def _not_writable(folder: SearchFolder, reason: str) -> StudyError:
    return StudyError(
        f"a search needs a folder to write to: {folder.path} is not one ({reason}): give another with --storage."
    )


def find_folder(experiment: str, storage: Path) -> SearchFolder:
    """Return the folder of a search that exists, given its path or its name under `storage`.

    Raises:
        StudyError: if there is none.
    """
    for candidate in (Path(experiment), storage / experiment):
        if (candidate / REQUEST_FILE).is_file():
            return SearchFolder(candidate.absolute())
    raise StudyError(
        f"a search is named by its folder or its name: no {REQUEST_FILE} in {experiment} or {storage / experiment}: "
        "see `list`, or give `--storage`."
    )


@contextmanager
def locked(folder: SearchFolder) -> Iterator[None]:
    """Hold the search for this process; the system drops the lock when the process dies, however it dies.

    Raises:
        StudyError: if another process holds it.
    """
    lock = FileLock(folder.path / LOCK_FILE)
    try:
        # A command that only reads holds the lock for a moment while it brings a working copy up to date.
        lock.acquire(timeout=0 if folder.remote is None else FETCH_SECONDS)
    except Timeout:
        raise StudyError(
            f"one process at a time may run a search: {folder.path} is being run by another: "
            "wait for it, or give another `--name`."
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_request_file(folder: SearchFolder, request: Mapping[str, Any]) -> None:
    """Write search.json, whole or not at all."""
    beside = folder.path / f".{REQUEST_FILE}.{os.getpid()}"
    beside.write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
    os.replace(beside, folder.request_file)


def read_request_file(folder: SearchFolder) -> dict[str, Any]:
    """Return search.json.

    Raises:
        StudyError: if it is damaged or of a newer format.
    """
    try:
        request = json.loads(folder.request_file.read_text(encoding="utf-8"))
        found = request["format_version"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as problem:
        raise StudyError(
            f"{REQUEST_FILE} must be whole: {folder.request_file} is not ({problem}): put it back from a copy; "
            f"the trials are safe in {STUDY_FILE}, the best weights in {folder.ray_folder}, and a bundle in "
            f"{folder.bundle} works without it."
        ) from None
    if found != FORMAT_VERSION:
        raise StudyError(
            f"{REQUEST_FILE} must be of format {FORMAT_VERSION}: {folder.request_file} is of {found}: "
            "use the version that wrote it."
        )
    return dict(request)
