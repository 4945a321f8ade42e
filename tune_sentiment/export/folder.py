"""Put a folder in its place whole or not at all."""

import os
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def write_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make `folder`, filled by `fill`, replacing whatever stands there; on any failure the old one stays as it was.

    `fill` gets an empty folder beside `folder`. What it wrote there is on the disk before the name changes hands.

    Raises:
        OSError: if the disk is full, or the place cannot be written.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{uuid4().hex}.new")
    # Not `mkdtemp`: its 0700 would stay on the finished folder, whatever the user's umask says.
    beside.mkdir()
    try:
        fill(beside)
        for path in (*beside.iterdir(), beside):
            _flush(path)
        _swap(beside, folder)
        _flush(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def strangers(folder: Path, names: Collection[str]) -> list[str]:
    """Return what lies in `folder` beside plain files with these `names`, sorted."""
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in names or not entry.is_file())


def _swap(beside: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(beside, folder)
        return
    old = beside.with_suffix(".old")
    os.rename(folder, old)
    try:
        os.rename(beside, folder)
    except BaseException:
        with suppress(OSError):
            os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
