"""A search on a cluster of two nodes, one of which dies."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.util.state import list_actors

from tests.conftest import SPACE, write_corpus
from tests.faults.searching import COMMAND, NAME, ended, losses, start_search, trials_of
from tests.processes import free_port
from tests.waiting import wait_until
from tune_sentiment.data.dataset import load_dataset

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]

# Started as a program of its own: Ray allows one cluster to a process.
NODES = """
import json
import sys
from ray._private.internal_api import node_stats
from ray.cluster_utils import Cluster

port = int(sys.argv[1])  # of the dashboard, which takes jobs, or 0
head = {"num_cpus": 1, "include_dashboard": port > 0, "dashboard_host": "127.0.0.1", "dashboard_port": port}
head["dashboard_agent_listen_port"] = 0  # any: Ray's own may be another cluster's, and jobs would wait for ever
cluster = Cluster(initialize_head=True, head_node_args=head)
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        cluster.remove_node(second, allow_graceful=False)
        print("killed", flush=True)
    if line.strip() == "bytes":  # by node: of all that was ever put into its object store, or sent there
        tables = cluster.global_state.node_table()
        stats = {table["NodeID"]: node_stats(table["NodeManagerAddress"], table["NodeManagerPort"]) for table in tables}
        print(json.dumps({node: one.store_stats.cumulative_created_bytes for node, one in stats.items()}), flush=True)
cluster.shutdown()
"""


@pytest.fixture
def dashboard_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def large_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 reviews: so many that nothing else in an object store is as large."""
    return write_corpus(tmp_path_factory.mktemp("large"), 10_000)


@pytest.fixture(scope="module")
def short_space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "short.yaml"
    settings = SPACE.replace("epochs: 6", "epochs: 1").replace("report_every: 5", "report_every: 100")
    path.write_text(settings, encoding="utf-8")
    return path


@pytest.fixture
def nodes(dashboard_port: int, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    # Ray hands the path of its interpreter to a shell unquoted, and this checkout may be at one with spaces.
    environment = tmp_path / "environment"
    environment.symlink_to(sys.prefix)
    started = subprocess.Popen(
        [environment / "bin" / "python", "-c", NODES, str(dashboard_port)],
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


def said(nodes: "subprocess.Popen[str]", asked: str = "") -> str:
    """The next line, the answer to what was asked."""
    assert nodes.stdin is not None and nodes.stdout is not None
    if asked:
        nodes.stdin.write(f"{asked}\n")
        nodes.stdin.flush()
    return nodes.stdout.readline().strip()


def test_a_node_that_dies_costs_no_trial(
    corpus: Path, space: str, tmp_path: Path, nodes: "subprocess.Popen[str]"
) -> None:
    address = said(nodes)
    search = start_search(corpus, space, tmp_path, 16, "--address", address)
    wait_until(lambda: ended(tmp_path) >= 3, 120, "three trials")
    before = losses(tmp_path)
    assert said(nodes, "kill") == "killed"
    output, errors = search.communicate(timeout=240)
    assert search.returncode == 0, errors[-3000:]
    assert "slots          2" in errors
    assert [trial.number for trial in trials_of(tmp_path)] == list(range(16))
    assert {trial.fate for trial in trials_of(tmp_path)} <= {"complete", "stopped"}
    assert min(losses(tmp_path)) <= min(before)
    assert "winner" in output


def test_a_whole_search_is_submitted_as_a_job_and_its_data_reaches_each_node_once(
    large_corpus: Path, short_space: Path, tmp_path: Path, nodes: "subprocess.Popen[str]", dashboard_port: int
) -> None:
    said(nodes)
    words = ["search", "--data", str(large_corpus), "--space", str(short_space), "--storage", str(tmp_path)]
    command = [*COMMAND, *words, "--name", NAME, "--trials", "12", "--confirm-top", "1", "--confirm-seeds", "1"]
    command += ["--address", "auto", "--cpus-per-trial", "0.5"]
    ray = Path(sys.executable).with_name("ray")
    submit = [ray, "job", "submit", "--address", f"http://127.0.0.1:{dashboard_port}", "--", *command]
    answers: list[subprocess.CompletedProcess[str]] = []

    def taken() -> bool:
        answers.append(subprocess.run(submit, capture_output=True, text=True, check=False, timeout=200))
        return "No available agent" not in answers[-1].stdout + answers[-1].stderr

    wait_until(taken, 120, "an agent that takes jobs")  # Ray's is not there yet when its nodes are
    done = answers[-1]
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "succeeded" in done.stdout
    assert [trial.number for trial in trials_of(tmp_path)] == list(range(12))
    assert (tmp_path / NAME / "best" / "model.safetensors").exists()

    # More processes than one on each node had the data, in the search and again in the confirmation.
    actors = list_actors(address=f"http://127.0.0.1:{dashboard_port}", limit=1000)
    processes = Counter(actor.node_id for actor in actors if "ReviewTrainable" in actor.class_name and actor.pid)
    put = json.loads(said(nodes, "bytes"))
    assert len(processes) == len(put) == 2 and min(processes.values()) > 1
    dataset = load_dataset(str(large_corpus))
    arrays = [array for split in (dataset.train, dataset.validation) for array in (split.token_ids, split.offsets)]
    once = sum(array.nbytes for array in arrays)
    assert once > 1_000_000
    assert all(once < sent < 1.5 * once for sent in put.values())
