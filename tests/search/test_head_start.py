"""The head start: a cluster on its way up while other things are done, and ended whatever becomes of those."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tune_sentiment.errors import ResourceError
from tune_sentiment.search.cluster import Joined
from tune_sentiment.search.head_start import HeadStart
from tune_sentiment.search.ray_dashboard import ComingDashboard, joined_dashboard

NO_DASHBOARD = ComingDashboard(address=lambda: None, begin=lambda: None, opened=joined_dashboard)
CLUSTER = Joined(resources={"CPU": 2.0}, dashboard=NO_DASHBOARD)


class Opened:
    """A cluster that takes as long to start as the test wants, and notes which threads opened and ended it."""

    def __init__(self) -> None:
        self.may_start = threading.Event()
        self.begun = threading.Event()
        self.threads: list[str] = []

    @contextmanager
    def __call__(self) -> Iterator[Joined]:
        self.begun.set()
        assert self.may_start.wait(timeout=30)
        self.threads.append(threading.current_thread().name)
        try:
            yield CLUSTER
        finally:
            self.threads.append(threading.current_thread().name)


def test_the_cluster_starts_before_anybody_waits_for_it() -> None:
    opened = Opened()
    started = HeadStart(opened)
    assert opened.begun.wait(timeout=30)
    opened.may_start.set()
    with started as joined:
        assert joined == CLUSTER
        assert opened.threads == ["head-start"]


def test_the_cluster_ends_in_the_thread_that_started_it_since_linux_ends_its_processes_with_that() -> None:
    opened = Opened()
    opened.may_start.set()
    with HeadStart(opened):
        pass
    assert opened.threads == ["head-start", "head-start"]


def test_a_cluster_that_nobody_waited_for_is_ended_too_and_once() -> None:
    opened = Opened()
    opened.may_start.set()
    started = HeadStart(opened)
    started.close()
    started.close()
    assert opened.threads == ["head-start", "head-start"]


def test_a_cluster_that_cannot_start_says_so_where_it_is_waited_for() -> None:
    @contextmanager
    def refusing() -> Iterator[Joined]:
        raise ResourceError("no cluster")
        yield CLUSTER

    started = HeadStart(refusing)
    with pytest.raises(ResourceError, match="no cluster"), started:
        pass
    started.close()
