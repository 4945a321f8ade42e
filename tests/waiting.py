"""Wait for what has to come true, within a limit; and a clock that a test turns, where nothing has to be waited for."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Look often whether `condition` holds; fail with `what` was waited for when it does not within `seconds`."""
    deadline, pause = time.monotonic() + seconds, 0.02
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)
        pause = min(1.2 * pause, 0.3)  # looking takes time from what is waited for


class Clock:
    """A clock that a test turns."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
