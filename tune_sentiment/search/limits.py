"""Read what a container or a batch system leaves this process of its machine: Linux control groups, both versions."""

from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")

_UNLIMITED = 1 << 60
"""Bytes from which a limit of version 1 means none: it has no word for that."""


def cpu_quota() -> float:
    """Return the CPUs' worth of time that this process may use, infinity without a limit."""
    quota = float("inf")
    for folder in _groups("cpu"):
        words = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        # "max" and -1 are no limit.
        if len(words) == 2 and words[0].isdigit() and float(words[1]) > 0:
            quota = min(quota, float(words[0]) / float(words[1]))
    return quota


def memory_left() -> float:
    """Return the bytes that this process and its children may still take, infinity without a limit.

    What the system can drop at will, files read or written long ago, counts as free.
    """
    left = float("inf")
    for folder in _groups("memory"):
        limit = _words(folder / "memory.max") or _words(folder / "memory.limit_in_bytes")
        used = _words(folder / "memory.current") or _words(folder / "memory.usage_in_bytes")
        if limit and limit[0].isdigit() and int(limit[0]) < _UNLIMITED:
            taken = int(used[0]) - _droppable(folder) if used else 0
            left = min(left, max(0, int(limit[0]) - taken))
    return left


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's group for `controller` and of those around it, whose limits hold, too."""
    try:
        lines = OWN.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    places = [(GROUPS, "/"), (GROUPS / controller, "/")]  # where a container sees itself as all there is
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            places += [(GROUPS, path), (GROUPS / "unified", path)]
        elif controller in controllers.split(","):
            places += [(GROUPS / controller, path), (GROUPS / controllers, path)]
    seen: set[Path] = set()
    for mount, path in places:
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder not in seen and folder.is_relative_to(mount) and folder.is_dir():
                seen.add(folder)
                yield folder


def _droppable(folder: Path) -> int:
    """Return the bytes of files in memory that nobody has used lately; in version 1 with those of the groups inside."""
    words = _words(folder / "memory.stat")
    found = dict(zip(words[::2], words[1::2], strict=False))
    return int(found.get("total_inactive_file") or found.get("inactive_file") or 0)


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []
