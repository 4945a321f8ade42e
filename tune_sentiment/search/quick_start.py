"""Have the first trials begin early: their processes start first and are kept for them, what only shows starts last."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

NICENESS = 15
"""Of the processes that only show something: that of Ray's workers, so that they do not hold those up."""
LONGEST_WAIT = 20.0
"""Seconds after which the dashboard starts even if no trial has begun: it may show why."""


class LateDashboard:
    """Ray's dashboard and autoscaler, which start when they are told to, beside the trials."""

    def __init__(self) -> None:
        """Start nothing."""
        self._begin, self._end = threading.Event(), threading.Event()
        self._address: Future[str | None] = Future()
        self._thread: threading.Thread | None = None

    def prepare(self, start: Callable[[], str | None]) -> None:
        """Have `start`, which returns "host:port", called when `begin` is, or after LONGEST_WAIT."""

        def run() -> None:
            with contextlib.suppress(OSError):  # this thread's only, and that of what it starts
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
            self._begin.wait(LONGEST_WAIT)
            if self._end.is_set():
                return
            try:
                self._address.set_result(start())
            except BaseException as problem:
                self._address.set_exception(problem)
            self._end.wait()  # Ray asks Linux to end processes with the thread that started them

        self._thread = threading.Thread(target=run, name="dashboard", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Start it now."""
        self._begin.set()

    def address(self) -> str | None:
        """Return "host:port", or None as long as it does not answer, and where there is none.

        Raises what its start raised.
        """
        return self._address.result() if self._address.done() else None

    def end(self) -> None:
        """Start it no more, and wait for a start that has begun; to be called before Ray's processes are ended."""
        self._end.set()
        self._begin.set()
        if self._thread is not None:
            self._thread.join()


@contextmanager
def raylet_first(on_launch: Callable[[], None]) -> Iterator[LateDashboard]:
    """Have `ray.init` leave the dashboard and autoscaler to what is yielded inside this block, on a private cluster.

    `on_launch` is called when the raylet has been started, which works on by itself from then on.
    Ray 2.60 starts the raylet once the dashboard answers, seconds later, and only the raylet starts the processes for
    trials. Its log monitor is left out: it sends what workers print to the driver, where `log_to_driver` is off.
    """
    from ray._private.node import Node

    late = LateDashboard()

    def later(node: Any, *, include_dashboard: bool | None, **options: Any) -> None:
        node._webui_url = ""  # as without a dashboard, until it is there

        def start() -> str | None:
            rays_own["start_monitor"](node)
            rays_own["start_api_server"](node, include_dashboard=include_dashboard, **options)
            return node.webui_url or None

        if include_dashboard:
            late.prepare(start)

    def launch(node: Any, *arguments: Any, **options: Any) -> None:
        rays_own["start_raylet"](node, *arguments, **options)
        on_launch()

    replaced = {
        "start_monitor": _do_nothing,
        "start_log_monitor": _do_nothing,
        "start_api_server": later,
        "start_raylet": launch,
    }
    rays_own: dict[str, Callable[..., None]] = {name: getattr(Node, name) for name in replaced}
    for name, function in replaced.items():
        setattr(Node, name, function)
    try:
        yield late
    finally:
        for name, function in rays_own.items():
            setattr(Node, name, function)
        late.end()


@contextmanager
def any_process_will_do() -> Iterator[None]:
    """Have Ray Tune ask for no environment of their own for trials inside this block.

    Ray 2.60's Tune wants a few variables set in their processes. Those that Ray has started ahead of time, with all of
    this process's variables, then do not fit, and new ones are started: 3 s later, beside the idle ones.
    """
    from ray.tune.execution.class_cache import _ActorClassCache

    rays_own = _ActorClassCache.get
    _ActorClassCache.get = _actor_class  # type: ignore[method-assign]
    try:
        yield
    finally:
        _ActorClassCache.get = rays_own  # type: ignore[method-assign]


def _actor_class(cache: Any, trainable: type) -> Any:
    import ray

    if trainable not in cache._cache:
        cache._cache[trainable] = ray.remote(trainable)
    return cache._cache[trainable]


def _do_nothing(node: Any) -> None:
    """Start nothing."""
