"""Start Ray in a thread of its own while the data is read and the rest is imported: Ray mostly waits."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from types import TracebackType

from tune_sentiment.errors import SettingsError
from tune_sentiment.search.cluster import Joined, cluster
from tune_sentiment.search.request import SearchRequest
from tune_sentiment.search.resources import this_machine

LAUNCH_SECONDS = 3.0
"""How long the start of Ray has this process to itself."""


class SearchCluster(AbstractContextManager[Joined]):
    """The cluster of a search: begun as soon as it is known which, entered when it is needed, closed in any case."""

    def __init__(self, *, dashboard: bool, token: bool) -> None:
        """Start nothing yet; both are of a private cluster."""
        self._dashboard = dashboard
        self._token = token
        self._cluster: AbstractContextManager[Joined] | None = None

    def begin(self, request: SearchRequest) -> None:
        """Take the cluster that `request` asks for; a private one is on its way up from now on, its raylet started.

        Raises:
            SettingsError: if a cluster that is joined is to ask for no token.
        """
        machine, address = this_machine(), request.resources.address
        if address is not None and not self._token:
            raise SettingsError(
                "--no-token is for a private cluster: --address joins one that its owner protects: leave it out."
            )

        def open_cluster(on_launch: Callable[[], None] = lambda: None) -> AbstractContextManager[Joined]:
            return cluster(
                address=address,
                cpus=machine.cpus,
                gpus=machine.gpus,
                dashboard=self._dashboard,
                token=self._token,
                on_launch=on_launch,
            )

        self._cluster = HeadStart(open_cluster) if address is None else open_cluster()

    def __enter__(self) -> Joined:
        """Wait until the cluster is there.

        Raises:
            ResourceError: if it cannot be started or reached.
        """
        assert self._cluster is not None
        return self._cluster.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the cluster."""
        assert self._cluster is not None
        self._cluster.__exit__(kind, value, traceback)

    def close(self) -> None:
        """End a private cluster that was begun, entered or not."""
        if isinstance(self._cluster, HeadStart):
            self._cluster.close()


class HeadStart(AbstractContextManager[Joined]):
    """A cluster that is being started from now on; to enter it is to wait for it, to leave it is to end it."""

    def __init__(self, open_cluster: Callable[[Callable[[], None]], AbstractContextManager[Joined]]) -> None:
        """Begin to enter what `open_cluster` returns, until it calls what it is given, or fails, or LAUNCH_SECONDS."""
        self._open_cluster = open_cluster
        self._launched = threading.Event()
        self._joined: Future[Joined] = Future()
        self._over = threading.Event()
        # One thread for the whole time: Ray asks Linux to end its processes with the thread that started them.
        self._thread = threading.Thread(target=self._hold, name="head-start", daemon=True)
        self._thread.start()
        # What is imported here meanwhile would take the interpreter from that thread, for which all else waits.
        self._launched.wait(LAUNCH_SECONDS)

    def __enter__(self) -> Joined:
        """Wait until the cluster is there.

        Raises:
            ResourceError: if it cannot be started.
        """
        return self._joined.result()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the cluster."""
        self.close()

    def close(self) -> None:
        """End the cluster, also one that was never entered; one that has ended stays so."""
        self._over.set()
        self._thread.join()

    def _hold(self) -> None:
        try:
            with self._open_cluster(self._launched.set) as joined:
                self._joined.set_result(joined)
                self._over.wait()
        except BaseException as problem:
            if self._joined.done():  # it could not be ended: there is nobody left to tell but the thread's own hook
                raise
            self._joined.set_exception(problem)
            self._launched.set()
