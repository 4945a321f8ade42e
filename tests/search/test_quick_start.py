"""The dashboard beside the rest: it is there, behind the trials, and what Ray does elsewhere is as it was."""

import urllib.error
import urllib.request

import psutil
import pytest
from ray._private.node import Node

from tune_sentiment.search.cluster import cluster
from tune_sentiment.search.quick_start import NICENESS

STARTERS = ("start_monitor", "start_api_server", "start_log_monitor")


def started() -> dict[str, psutil.Process]:
    """The Python processes of Ray below this one, by the name of their program."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        for word in process.cmdline():
            if word.endswith((".py", "raylet", "gcs_server")):
                found[word.rsplit("/")[-1]] = process
    return found


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_dashboard_starts_beside_the_rest_and_gives_way_to_it() -> None:
    before = [getattr(Node, name) for name in STARTERS]
    own = psutil.Process().nice()
    with cluster(address=None, cpus=1, gpus=0, dashboard=True) as joined:
        processes = started()
        assert {"raylet", "gcs_server", "dashboard.py"} <= set(processes)
        assert "log_monitor.py" not in processes  # nobody reads what it would send
        assert processes["dashboard.py"].nice() == NICENESS
        assert processes["raylet"].nice() == psutil.Process().nice() == own
        assert joined.dashboard is not None
        with pytest.raises(urllib.error.HTTPError, match="401"):  # it answers, and asks for its token
            urllib.request.urlopen(f"{joined.dashboard.address}/api/version", timeout=30)
    assert [getattr(Node, name) for name in STARTERS] == before
    _, left = psutil.wait_procs(list(processes.values()), timeout=30)
    assert left == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_dashboard_that_cannot_start_is_told_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    from tune_sentiment.errors import ResourceError

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no page today")

    monkeypatch.setattr(services, "start_api_server", fails)
    with (
        pytest.raises(ResourceError, match="no page today"),
        cluster(address=None, cpus=1, gpus=0, dashboard=True),
    ):
        raise AssertionError("the cluster was entered")
    _, left = psutil.wait_procs(list(started().values()), timeout=30)
    assert left == []
