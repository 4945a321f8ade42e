"""Make a real control group with less CPU time and memory than the machine has, as a container has."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")


@contextmanager
def limited(cpus: float, memory_bytes: int) -> Iterator[list[str]]:
    """Yield what a command must be run by to run in a group of `cpus` CPUs' worth of time and so much memory.

    Raises:
        OSError: if this machine lets us make no group.
    """
    name = f"tune-test-{os.getpid()}"
    quota, period = str(int(cpus * 100_000)), "100000"
    if (GROUPS / "cgroup.controllers").exists():
        folders = [GROUPS / name]
        limits = {folders[0] / "cpu.max": f"{quota} {period}", folders[0] / "memory.max": str(memory_bytes)}
    else:
        folders = [GROUPS / "cpu" / name, GROUPS / "memory" / name]
        limits = {
            folders[0] / "cpu.cfs_period_us": period,
            folders[0] / "cpu.cfs_quota_us": quota,
            folders[1] / "memory.limit_in_bytes": str(memory_bytes),
        }
    made: list[Path] = []
    try:
        for folder in folders:
            folder.mkdir()
            made.append(folder)
        for file, limit in limits.items():
            file.write_text(limit)
        enter = "; ".join(f'echo $$ > "{folder}/cgroup.procs" || exit 125' for folder in folders)
        yield ["sh", "-c", f'{enter}; exec "$@"', "-"]
    finally:
        for folder in made:
            with suppress(OSError):  # a process that is still there; the group goes with the machine
                folder.rmdir()


def groups_can_be_made() -> bool:
    """Return whether this machine lets us make such a group."""
    try:
        with limited(1, 1 << 30):
            return True
    except OSError:
        return False
