"""A folder in an object store, s3://… or gs://…, through pyarrow's file systems."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.masking import masked

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

BUCKETS = ("s3", "gs", "gcs")
"""Schemes whose first part of a path is a bucket, which must be there before anything can be written to it."""
_REQUEST_ID = re.compile(r"\s*\(Request ID:.*", re.S)


def is_remote(storage: str) -> bool:
    """Return whether `storage` is the URI of an object store, and no path."""
    return "://" in storage


@dataclass(frozen=True)
class Remote:
    """A folder in an object store."""

    uri: str
    filesystem: "FileSystem"
    """How pyarrow reaches it: with credentials from the environment, which are no part of it."""
    path: str
    """Of the folder, as `filesystem` takes it: bucket/prefix."""

    def __truediv__(self, name: str) -> "Remote":
        """Return the folder or object `name` inside this one."""
        parts = urlsplit(self.uri)
        uri = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))
        return Remote(uri, self.filesystem, f"{self.path}/{name}")

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def parent_uri(self) -> str:
        """The URI of the folder that this one is in."""
        parts = urlsplit(self.uri)
        return urlunsplit(parts._replace(path=parts.path.rpartition("/")[0]))

    def read(self) -> bytes | None:
        """Return the object, or None if there is none.

        Raises:
            OSError: if the store does not answer.
        """
        try:
            with self.filesystem.open_input_stream(self.path) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def write(self, content: bytes) -> None:
        """Put `content` there, whole or not at all: an object is there once all of it has arrived.

        Raises:
            OSError: if the store does not take it.
        """
        try:
            stream = self.filesystem.open_output_stream(self.path)
        except FileNotFoundError:  # a file system that has folders
            self.filesystem.create_dir(self.path.rpartition("/")[0])
            stream = self.filesystem.open_output_stream(self.path)
        with stream:
            stream.write(content)

    def info(self) -> Any:
        """Return pyarrow's `FileInfo` of the object; its `mtime` is the store's own time, its `size` in bytes."""
        return self.filesystem.get_file_info(self.path)

    def exists(self) -> bool:
        """Return whether there is an object of this name."""
        return bool(self.info().is_file)

    def delete(self) -> None:
        """Delete the object, if there is one."""
        try:
            self.filesystem.delete_file(self.path)
        except FileNotFoundError:
            return

    def objects(self, *, recursive: bool = False) -> Iterator[tuple[str, Any]]:
        """Yield the relative path and the `FileInfo` of what is in this folder."""
        from pyarrow.fs import FileSelector

        for info in self.filesystem.get_file_info(FileSelector(self.path, allow_not_found=True, recursive=recursive)):
            yield info.path[len(self.path) + 1 :], info

    def download(self, folder: Path) -> None:
        """Copy the objects directly in here into `folder`, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, info in self.objects():
            if info.is_file and (content := (self / name).read()) is not None:
                (folder / name).write_bytes(content)


def open_remote(uri: str) -> Remote:
    """Return the folder at `uri`, after asking the store whether it may be read.

    Raises:
        SettingsError: if it is no URI of a store, or shows a password.
        StudyError: if the store does not answer, or has no such bucket.
    """
    from pyarrow.fs import FileSystem

    if masked(uri) != uri:
        raise SettingsError(
            f"--storage must not show a password, which others could read in the list of processes: got {masked(uri)}: "
            "put it into the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) or ~/.aws/credentials."
        )
    uri = _without_last_slash(uri)
    try:
        filesystem, path = FileSystem.from_uri(uri)
        if filesystem.type_name == "s3":
            # As any that was pickled, the copy gives up on a store that does not answer after three times, or 10 s; the
            # original only after ten times, or 100 s.
            filesystem = copy.copy(filesystem)
        bucket = path.partition("/")[0]
        if urlsplit(uri).scheme in BUCKETS and not bucket:
            raise ValueError("it names no bucket")
        found = filesystem.get_file_info(bucket if urlsplit(uri).scheme in BUCKETS else path)
    except (ValueError, TypeError, NotImplementedError) as problem:
        raise SettingsError(
            f"--storage is a folder or the URI of an object store: {uri} is none ({reason_of(problem)}): "
            "write s3://bucket/folder or gs://bucket/folder."
        ) from None
    except OSError as problem:
        raise not_answering(uri, problem) from None
    if urlsplit(uri).scheme in BUCKETS and found.type.name == "NotFound":
        raise StudyError(f"a search needs a bucket that is there: {bucket} of {uri} is not: make it, or name another.")
    return Remote(uri, filesystem, path.rstrip("/"))


def not_answering(uri: str, problem: BaseException) -> StudyError:
    """Return what to tell the user of a store that refuses or does not answer."""
    return StudyError(
        f"a search needs a store that it may read and write: {uri} is none ({reason_of(problem)}): check its name, the "
        "credentials in the environment and, for another store than Amazon's, AWS_ENDPOINT_URL."
    )


def reason_of(problem: BaseException) -> str:
    """Return what pyarrow says in one line, without what only the store's support could read."""
    lines = _REQUEST_ID.sub("", str(problem)).strip().splitlines() or [type(problem).__name__]
    # An error of another process comes as its whole traceback, which says at its end what went wrong.
    return masked(lines[-1 if "Traceback" in lines[0] else 0].rstrip(".:"))


def _without_last_slash(uri: str) -> str:
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/")))
