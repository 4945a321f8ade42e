"""A search on a cluster of two nodes, one of which dies."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.searching import COMMAND, NAME, ended, losses, start_search, trials_of
from tests.processes import free_port
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]

# Started as a program of its own: Ray allows one cluster to a process.
NODES = """
import sys
from ray.cluster_utils import Cluster

port = int(sys.argv[1])  # of the dashboard, which takes jobs, or 0
head = {"num_cpus": 1, "include_dashboard": port > 0, "dashboard_host": "127.0.0.1", "dashboard_port": port}
cluster = Cluster(initialize_head=True, head_node_args=head)
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
cluster.shutdown()
"""


@pytest.fixture
def dashboard_port() -> int:
    return free_port()


@pytest.fixture
def nodes(dashboard_port: int) -> Iterator["subprocess.Popen[str]"]:
    started = subprocess.Popen(
        [sys.executable, "-c", NODES, str(dashboard_port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "RAY_DEDUP_LOGS": "0"},
    )
    yield started
    assert started.stdin is not None
    started.stdin.close()
    started.wait(timeout=60)


def said(nodes: "subprocess.Popen[str]") -> str:
    assert nodes.stdout is not None
    return nodes.stdout.readline().strip()


def test_a_node_that_dies_costs_no_trial(
    corpus: Path, space: str, tmp_path: Path, nodes: "subprocess.Popen[str]"
) -> None:
    address = said(nodes)
    search = start_search(corpus, space, tmp_path, 16, "--address", address)
    wait_until(lambda: ended(tmp_path) >= 3, 120, "three trials")
    before = losses(tmp_path)
    assert nodes.stdin is not None
    nodes.stdin.write("kill\n")
    nodes.stdin.flush()
    assert said(nodes) == "killed"
    output, errors = search.communicate(timeout=240)
    assert search.returncode == 0, errors[-3000:]
    assert "slots          2" in errors
    assert [trial.number for trial in trials_of(tmp_path)] == list(range(16))
    assert {trial.fate for trial in trials_of(tmp_path)} <= {"complete", "stopped"}
    assert min(losses(tmp_path)) <= min(before)
    assert "winner" in output


def test_a_whole_search_is_submitted_as_a_job(
    corpus: Path, space: str, tmp_path: Path, nodes: "subprocess.Popen[str]", dashboard_port: int
) -> None:
    said(nodes)
    words = ["search", "--data", str(corpus), "--space", space, "--storage", str(tmp_path), "--name", NAME]
    command = [*COMMAND, *words, "--trials", "6", "--confirm-top", "1", "--confirm-seeds", "1", "--address", "auto"]
    ray = Path(sys.executable).with_name("ray")
    submit = [ray, "job", "submit", "--address", f"http://127.0.0.1:{dashboard_port}", "--", *command]
    answers: list[subprocess.CompletedProcess[str]] = []

    def taken() -> bool:
        answers.append(subprocess.run(submit, capture_output=True, text=True, check=False, timeout=200))
        return "No available agent" not in answers[-1].stdout + answers[-1].stderr

    wait_until(taken, 60, "an agent that takes jobs")  # Ray's is not there yet when its nodes are
    done = answers[-1]
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "succeeded" in done.stdout
    assert [trial.number for trial in trials_of(tmp_path)] == list(range(6))
    assert (tmp_path / NAME / "best" / "model.safetensors").exists()
