"""Have the first trials begin early: Ray's processes for them start first, and are the ones that trials then get."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

NICENESS = 15
"""Of the processes that only show something: that of Ray's workers, so that they do not hold those up."""


@contextmanager
def dashboard_aside() -> Iterator[Callable[[], str | None]]:
    """Have `ray.init` start its dashboard and autoscaler beside the rest inside this block, on a private cluster.

    Ray 2.60 starts the raylet once the dashboard answers, seconds later, and only the raylet starts the processes for
    trials. Its log monitor is left out: it sends what workers print to the driver, where `log_to_driver` is off.

    Yields what waits for the dashboard, to be called after `ray.init`: it returns "host:port", or None where there is
    none, and raises what its start raised.
    """
    from ray._private.node import Node

    address: Future[str | None] = Future()
    over = threading.Event()
    threads: list[threading.Thread] = []

    def start(node: Any, options: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # this thread's only, and that of what it starts
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            rays_own["start_monitor"](node)
            rays_own["start_api_server"](node, **options)
            address.set_result(node.webui_url or None)
        except BaseException as problem:
            address.set_exception(problem)
        over.wait()  # Ray asks Linux to end processes with the thread that started them

    def begin(node: Any, **options: Any) -> None:
        node._webui_url = ""  # as without a dashboard, until it is there
        threads.append(threading.Thread(target=start, args=(node, options), name="dashboard", daemon=True))
        threads[0].start()

    replaced = {"start_monitor": _do_nothing, "start_log_monitor": _do_nothing, "start_api_server": begin}
    rays_own: dict[str, Callable[..., None]] = {name: getattr(Node, name) for name in replaced}
    for name, function in replaced.items():
        setattr(Node, name, function)
    try:
        yield lambda: address.result() if threads else None
    finally:
        for name, function in rays_own.items():
            setattr(Node, name, function)
        over.set()
        for thread in threads:
            thread.join()


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
