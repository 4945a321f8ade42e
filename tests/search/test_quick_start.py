"""The dashboard behind the trials: it is there, and what Ray does elsewhere is as it was."""

import os
import time
import urllib.error
import urllib.request
from contextlib import suppress

import psutil
import pytest
import ray
from ray._private.node import Node
from ray.tune.execution.class_cache import _ActorClassCache
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from tests.waiting import wait_until
from tune_sentiment.search import quick_start
from tune_sentiment.search.cluster import cluster
from tune_sentiment.search.quick_start import NICENESS, any_process_will_do

STARTERS = ("start_monitor", "start_api_server", "start_log_monitor", "start_raylet")


def started() -> dict[str, psutil.Process]:
    """The Python processes of Ray below this one, by the name of their program."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        for word in process.cmdline():
            if word.endswith((".py", "raylet", "gcs_server")):
                found[word.rsplit("/")[-1]] = process
    return found


def workers() -> set[int]:
    """The processes that Ray has for actors and have none yet."""
    return {one.pid for one in psutil.Process().children(recursive=True) if one.name().startswith("ray::IDLE")}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_dashboard_starts_when_it_is_told_to_and_gives_way_to_the_rest() -> None:
    before = [getattr(Node, name) for name in STARTERS]
    own = psutil.Process().nice()
    with cluster(address=None, cpus=1, gpus=0, dashboard=True) as joined:
        processes = started()
        assert {"raylet", "gcs_server"} <= set(processes) and "dashboard.py" not in processes
        assert joined.dashboard.address() is None
        joined.dashboard.begin()
        wait_until(lambda: joined.dashboard.address() is not None, 60, "a dashboard")
        processes = started()
        assert {"dashboard.py", "monitor.py"} <= set(processes)
        assert "log_monitor.py" not in processes  # nobody reads what it would send
        assert processes["dashboard.py"].nice() == NICENESS
        assert processes["raylet"].nice() == psutil.Process().nice() == own
        address = joined.dashboard.opened(str(joined.dashboard.address())).address
        with pytest.raises(urllib.error.HTTPError, match="401"):  # it answers, and asks for its token
            urllib.request.urlopen(f"{address}/api/version", timeout=30)
    assert [getattr(Node, name) for name in STARTERS] == before
    _, left = psutil.wait_procs(list(processes.values()), timeout=30)
    assert left == []


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("told", [False, True])
def test_a_cluster_that_ends_before_its_dashboard_answers_leaves_nothing(told: bool) -> None:
    with cluster(address=None, cpus=1, gpus=0, dashboard=True) as joined:
        if told:
            joined.dashboard.begin()
        assert joined.dashboard.address() is None
        processes = list(started().values())
    for process in processes + list(started().values()):
        with suppress(psutil.NoSuchProcess):
            process.wait(30)
    assert not started()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_without_a_dashboard_nothing_starts_that_only_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_start, "LONGEST_WAIT", 0.0)
    with cluster(address=None, cpus=1, gpus=0, dashboard=False) as joined:
        joined.dashboard.begin()
        time.sleep(2)
        assert not {"dashboard.py", "monitor.py"} & set(started())


class Asked:
    def pid(self) -> int:
        return os.getpid()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_trial_gets_the_process_that_was_started_ahead_of_it() -> None:
    rays_own = _ActorClassCache.get
    with cluster(address=None, cpus=1, gpus=0, dashboard=False):
        ahead: set[int] = set()
        wait_until(lambda: bool(ahead.update(workers()) or ahead), 60, "a process that was started ahead")
        group = placement_group([{"CPU": 1}])  # as Ray Tune does; no CPU is free from here on
        assert group.wait(60)
        time.sleep(2)  # after one second of that, Ray would end processes that are too many
        with any_process_will_do():
            actor = (
                _ActorClassCache()
                .get(Asked)
                .options(num_cpus=1, scheduling_strategy=PlacementGroupSchedulingStrategy(group))
            )
            assert ray.get(actor.remote().pid.remote(), timeout=60) in ahead
    assert _ActorClassCache.get is rays_own


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_dashboard_that_cannot_start_is_told_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._private import services

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no page today")

    monkeypatch.setattr(services, "start_api_server", fails)
    monkeypatch.setattr(quick_start, "LONGEST_WAIT", 0.0)  # no trial runs
    with cluster(address=None, cpus=1, gpus=0, dashboard=True) as joined:

        def told() -> bool:
            try:
                assert joined.dashboard.address() is None
            except RuntimeError as problem:
                return str(problem) == "no page today"
            return False

        wait_until(told, 60, "what the start raised")
    _, left = psutil.wait_procs(list(started().values()), timeout=30)
    assert left == []
