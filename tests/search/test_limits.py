"""Control groups: what a container leaves of the machine, in both versions, real where groups can be made."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.machines.control_groups import groups_can_be_made, limited
from tune_sentiment.search import limits
from tune_sentiment.search.limits import cpu_quota, memory_left
from tune_sentiment.search.resources import this_machine

INFINITY = float("inf")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(limits, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "OWN", tmp_path / "own")
    (tmp_path / "cgroup").mkdir()
    return tmp_path


def written(folder: Path, own: str, files: dict[str, str]) -> None:
    (folder / "own").write_text(own)
    for name, content in files.items():
        (folder / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup" / name).write_text(content)


@pytest.mark.parametrize(
    ("own", "files", "cpus", "memory"),
    [
        pytest.param("", {}, INFINITY, INFINITY, id="no groups"),
        pytest.param(
            "0::/\n",
            {"cpu.max": "150000 100000\n", "memory.max": "1000\n", "memory.current": "300\n",
             "memory.stat": "anon 100\ninactive_file 200\n"},
            1.5, 900, id="version 2, a container that sees itself as all",
        ),
        pytest.param(
            "0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n", "memory.current": "300\n"},
            INFINITY, INFINITY, id="version 2, no limits",
        ),
        pytest.param(
            "0::/batch/job7\n",
            {"batch/cpu.max": "100000 100000\n", "batch/memory.max": "5000\n", "batch/memory.current": "4000\n",
             "batch/job7/cpu.max": "400000 100000\n", "batch/job7/memory.max": "max\n"},
            1.0, 1000, id="version 2, the limit is that of a group around",
        ),
        pytest.param(
            "4:memory:/docker/f00\n3:cpu,cpuacct:/docker/f00\n0::/\n",
            {"cpu/docker/f00/cpu.cfs_quota_us": "50000\n", "cpu/docker/f00/cpu.cfs_period_us": "100000\n",
             "memory/docker/f00/memory.limit_in_bytes": "2000\n", "memory/docker/f00/memory.usage_in_bytes": "1500\n",
             "memory/docker/f00/memory.stat": "inactive_file 1\ntotal_inactive_file 500\n",
             "memory/memory.limit_in_bytes": "9223372036854771712\n"},
            0.5, 1000, id="version 1",
        ),
        pytest.param(
            "4:memory:/docker/f00\n3:cpu:/docker/f00\n",
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n",
             "memory/memory.limit_in_bytes": "2000\n", "memory/memory.usage_in_bytes": "9000\n"},
            2.0, 0, id="version 1, a container that sees itself as all",
        ),
        pytest.param(
            "4:memory:/\n3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            INFINITY, INFINITY, id="version 1, no limits",
        ),
        pytest.param("\x00\n:\n0::/../..\n", {"cpu.max": "\n", "memory.max": "ten\n"}, INFINITY, INFINITY, id="noise"),
    ],
)  # fmt: skip
def test_the_tightest_limit_around_this_process_counts(
    groups: Path, own: str, files: dict[str, str], cpus: float, memory: float
) -> None:
    written(groups, own, files)
    assert (cpu_quota(), memory_left()) == (cpus, memory)


def test_the_plan_has_no_more_than_the_limits_leave(groups: Path) -> None:
    written(groups, "0::/\n", {"cpu.max": "150000 100000\n", "memory.max": "1000000\n", "memory.current": "0\n"})
    machine = this_machine()
    assert (machine.cpus, machine.memory_bytes) == (1, 1_000_000)


def test_half_a_cpu_is_still_one(groups: Path) -> None:
    written(groups, "0::/\n", {"cpu.max": "50000 100000\n"})
    assert this_machine().cpus == 1


@pytest.mark.skipif(not groups_can_be_made(), reason="this machine lets us make no control group")
def test_a_process_in_a_real_group_sees_its_limits() -> None:
    program = "from tune_sentiment.search.limits import *; print(cpu_quota(), memory_left())"
    with limited(cpus=1.5, memory_bytes=300 << 20) as wrapper:
        done = subprocess.run([*wrapper, sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    cpus, memory = map(float, done.stdout.split())
    assert cpus == 1.5 and 100 << 20 < memory < 300 << 20
