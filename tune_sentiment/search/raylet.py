"""Notice that the raylet of a private cluster has died: Ray ends the search then, a quarter of a minute later."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LOOK_SECONDS = 0.5
"""Between two looks at whether it lives."""


@contextmanager
def watched_raylet(when_lost: Callable[[], None] | None) -> Iterator[None]:
    """Call `when_lost`, in a thread of its own, if the raylet that this process has started dies inside this block.

    Nothing is watched without `when_lost`, nor on a cluster that was joined.
    """
    from ray._private import ray_constants, worker

    node = worker._global_node
    started: list[Any] = [] if node is None else node.all_processes.get(ray_constants.PROCESS_TYPE_RAYLET, [])
    if when_lost is None or not started:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if started[0].process.poll() is not None:
                when_lost()
                return

    thread = threading.Thread(target=watch, name="raylet", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
