"""The head start: a cluster on its way up while other things are done, and ended whatever becomes of those."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tune_sentiment.errors import ResourceError
from tune_sentiment.search import head_start
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
    def __call__(self, on_launch: Callable[[], None]) -> Iterator[Joined]:
        self.begun.set()
        on_launch()
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
    def refusing(_: Callable[[], None]) -> Iterator[Joined]:
        raise ResourceError("no cluster")
        yield CLUSTER

    started = HeadStart(refusing)
    with pytest.raises(ResourceError, match="no cluster"), started:
        pass
    started.close()


def test_the_start_has_the_process_to_itself_until_it_works_on_alone() -> None:
    before: list[str] = []

    @contextmanager
    def slow(on_launch: Callable[[], None]) -> Iterator[Joined]:
        time.sleep(0.5)
        before.append("launched")
        on_launch()
        yield CLUSTER

    with HeadStart(slow):
        assert before == ["launched"]


def test_a_start_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_start, "LAUNCH_SECONDS", 0.1)
    free = threading.Event()

    @contextmanager
    def hanging(_: Callable[[], None]) -> Iterator[Joined]:
        free.wait(30)
        yield CLUSTER

    started = HeadStart(hanging)
    free.set()
    started.close()
