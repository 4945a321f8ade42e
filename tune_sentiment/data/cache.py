"""Keep encoded sources on disk, so that the next start on the same one need not read it again.

An entry is one file: a line of JSON, then arrays, byte for byte. It is found by a key over the state of the source's
files, the options and the code that encodes them, so that nothing old is ever found. Whatever is wrong with an entry,
or with the folder, means no more than that the source is read again.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from sys import version as python_version
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

SWITCH = "TUNE_SENTIMENT_NO_CACHE"
"""The environment variable that turns the cache off, unless it is empty or 0."""
FORMAT = "tune_sentiment encoded reviews 1"
SUFFIX = ".reviews"

MAX_BYTES = 2 << 30
"""Of all entries together; those that were not used for longest go first."""
_SPARED_BYTES = 1 << 30
"""Room on the disk that an entry must leave."""
_MAX_HEADER_BYTES = 1 << 20
_LEFT_BEHIND_SECONDS = 3600
"""Age from which a half-written entry is that of a process that died."""

_SETTLED_NS = 3_000_000_000
"""A file must have been left alone for so long: within the clock of a file system (FAT: 2 s) a change may not show."""

_LIBRARIES = ("numpy", "pyarrow", "scikit-learn")
"""Whose versions may change what is read, cut and split."""


@dataclass(frozen=True)
class Entry:
    """The place of one source's encoding in the cache."""

    file: Path
    paths: tuple[Path, ...]
    state: str
    """What `_state_of` the paths was before they were read."""
    settled: bool


def find_entry(paths: Sequence[Path], options: Mapping[str, Any], folder: str | Path | None) -> Entry | None:
    """Return the place for what is read from `paths` with `options`, or None if there is no cache.

    To be asked before the files are read. `folder` is that of the program's downloads; by default the platform's
    cache folder.
    """
    if os.environ.get(SWITCH, "0") not in ("", "0"):
        return None
    try:
        state, newest = _state_of(paths)
        code = _code()
        libraries = [python_version, *(f"{name} {version(name)}" for name in _LIBRARIES)]
    except (OSError, PackageNotFoundError):
        return None
    place = Path(folder) if folder is not None else platform_folder()
    if code is None or place is None:
        return None
    key = hashlib.sha256(json.dumps([FORMAT, code, libraries, state, dict(options)], sort_keys=True).encode())
    return Entry(
        file=place / "encoded" / f"{key.hexdigest()}{SUFFIX}",
        paths=tuple(paths),
        state=state,
        settled=time.time_ns() - newest > _SETTLED_NS,
    )


def fetch(entry: Entry, types: Sequence[DTypeLike]) -> tuple[dict[str, Any], list[NDArray[Any]]] | None:
    """Return the facts and the arrays (1-d, of these types) that `keep` was given, or None if they are not there."""
    try:
        # Not through a link, and not one that waits for a writer.
        with open(os.open(entry.file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return None
            content = _read(file, entry, types)
        with suppress(OSError):
            os.utime(entry.file)
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError, MemoryError):
        return None
    return content


def keep(entry: Entry, facts: Mapping[str, Any], arrays: Sequence[NDArray[Any]]) -> None:
    """Write what was read from the entry's paths, whole or not at all, unless they have changed in the meantime."""
    header = {
        "format": FORMAT,
        "key": entry.file.stem,
        "lengths": [len(array) for array in arrays],
        "facts": dict(facts),
    }
    line = json.dumps(header, sort_keys=True).encode()
    size = sum(array.nbytes for array in arrays)
    if not entry.settled or size > MAX_BYTES or len(line) > _MAX_HEADER_BYTES:
        return
    beside = entry.file.with_name(f".{entry.file.stem}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        if _state_of(entry.paths)[0] != entry.state:
            return
        # For its owner alone: the reviews can be read back from it.
        entry.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        space = os.statvfs(entry.file.parent)
        if space.f_bavail * space.f_frsize < size + _SPARED_BYTES:
            return
        _drop_old(entry.file.parent, size)
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(_digest(line, arrays).encode() + b" " + line + b"\n")
                for array in arrays:
                    file.write(array.data)
            beside.replace(entry.file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError:
        return


def _read(file: BinaryIO, entry: Entry, types: Sequence[DTypeLike]) -> tuple[dict[str, Any], list[NDArray[Any]]] | None:
    digest, _, line = file.readline(_MAX_HEADER_BYTES + 100).rstrip(b"\n").partition(b" ")
    header = json.loads(line)
    lengths = [int(length) for length in header["lengths"]]
    # Compared before memory is taken.
    needed = sum(length * np.dtype(one).itemsize for length, one in zip(lengths, types, strict=True))
    if min(lengths) < 0 or needed != os.fstat(file.fileno()).st_size - file.tell():
        return None
    arrays: list[NDArray[Any]] = [np.empty(length, one) for length, one in zip(lengths, types, strict=True)]
    for array in arrays:
        if file.readinto(array.data) != array.nbytes:  # type: ignore[attr-defined]
            return None
    if header["format"] != FORMAT or header["key"] != entry.file.stem or _digest(line, arrays).encode() != digest:
        return None
    facts: dict[str, Any] = header["facts"]
    return facts, arrays


def _digest(line: bytes, arrays: Iterable[NDArray[Any]]) -> str:
    digest = hashlib.sha256(line)
    for array in arrays:
        digest.update(array.data)
    return digest.hexdigest()


def _state_of(paths: Sequence[Path]) -> tuple[str, int]:
    """Return a digest over the state of files, or of all files of folders, and the time of the last change in ns.

    Size, times and number of a file, not its content: hashing that would take as long as encoding it does where a
    folder holds 50,000. The time of the last change to a file's state cannot be set back by its owner, as that of the
    content can, so a file of the same name, size and date that was put in place of another is another.
    """
    digest = hashlib.sha256()
    newest = 0

    def add(name: str, status: os.stat_result) -> None:
        nonlocal newest
        newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
        state = (status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest.update(f"{name}\0{state}\n".encode(errors="surrogateescape"))

    for path in paths:
        absolute = os.path.realpath(path)
        try:
            status = os.stat(absolute)
        except FileNotFoundError:  # the test part of a folder without one
            digest.update(f"no {absolute}\n".encode(errors="surrogateescape"))
            continue
        add(f"{path.name}\0{absolute}", status)  # what is found may name the file, as it is called here
        if os.path.isdir(absolute):
            with os.scandir(absolute) as entries:
                for one in sorted(entries, key=lambda entry: entry.name):
                    add(one.name, one.stat())
    return digest.hexdigest(), newest


def _code() -> str | None:
    """Return a digest over the code of this room, which decides what is read and how; None where it is not in files."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    content = [file.read_bytes() for file in files]
    return hashlib.sha256(b"\0".join(content)).hexdigest() if files else None


def platform_folder() -> Path | None:
    """Return the folder that this platform has for caches, or None for a user without a home."""
    from platformdirs import user_cache_dir

    try:
        folder = Path(user_cache_dir("tune_sentiment"))
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None


def _drop_old(folder: Path, coming: int) -> None:
    """Make room for `coming` bytes, and clear what processes that died have left behind."""
    entries = []
    for file in folder.iterdir():
        with suppress(OSError):
            status = file.stat(follow_symlinks=False)
            if file.suffix == SUFFIX:
                entries.append((status.st_mtime, status.st_size, file))
            elif file.suffix == ".part" and time.time() - status.st_mtime > _LEFT_BEHIND_SECONDS:
                file.unlink()
    total = coming + sum(size for _, size, _ in entries)
    for _, size, file in sorted(entries):
        if total <= MAX_BYTES:
            return
        file.unlink(missing_ok=True)
        total -= size
