"""Keep a search in an object store: its files are written in a working copy on this machine and sent there at once.

The study is a file that grows line by line, which object stores do not have. Checkpoints are not sent from here: trials
write them to the store themselves, from wherever they run.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tune_sentiment.search.folder import STUDY_FILE, SearchFolder
from tune_sentiment.search.lease import LEASE_SECONDS, Lease
from tune_sentiment.search.records import Snapshot, TrialRecord
from tune_sentiment.search.storage import TAKEN_OVER
from tune_sentiment.search.working_copy import files_of

EVERY_SECONDS = 3.0
"""Between two looks at what has changed: what a machine that is lost for good may cost, next to the time of sending."""
QUICK_SECONDS = 0.3
"""What takes longer to send than this is not sent again at once."""
TRIAL_END_SECONDS = 0.5
"""For how long a trial's end may wait for the store, so that what was seen to end is never run again."""
WAITING_SHARE = 0.2
"""Share of its time that a search may spend so: thousands of short trials then wait no longer than they take."""
GIVE_UP_SECONDS = LEASE_SECONDS - 5
"""For how long a store may not answer until the search stops: before another process may take it over."""


class Mirror:
    """Sends what has changed to the store, every few seconds and when a trial ends; an observer of the search."""

    def __init__(self, folder: SearchFolder, held: Callable[[], bool]) -> None:
        """Take the working copy, and what tells whether the search is still this process's."""
        assert folder.remote is not None
        self._folder = folder
        self._remote = folder.remote
        self._held = held
        self._sent: dict[str, tuple[int, int]] = {}
        self._wake = threading.Event()
        self._sending = threading.Condition()
        self._wanted = self._done = 0
        """How many ends of trials there were, and how many of them the store has."""
        self._waited_at = time.monotonic()
        self._ended = False
        self._answered = time.monotonic()
        self._given_up = ""
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    @property
    def failure(self) -> str:
        """Why nothing can be kept any more: another process has the search, or the store has not answered for long."""
        silent = time.monotonic() - self._answered
        if silent > GIVE_UP_SECONDS and not self._given_up:
            self._given_up = f"no answer for {silent:.0f} s"  # for good: the search is stopping by now
        return self._given_up

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Do nothing: reports are sent every few seconds."""

    def on_trial_end(self, record: TrialRecord) -> None:
        """Have it sent that a trial has ended, and wait for that as long as a search can afford to."""
        with self._sending:
            self._wanted += 1
            wanted = self._wanted
            self._wake.set()
            most = min(TRIAL_END_SECONDS, WAITING_SHARE * (time.monotonic() - self._waited_at))
            self._sending.wait_for(lambda: self._done >= wanted, timeout=most)
        self._waited_at = time.monotonic()

    def close(self) -> None:
        """Do nothing: what comes after the last trial is sent as well, until `finish`."""

    def start(self) -> None:
        """Send all there is, and from now on what changes.

        Raises:
            OSError: if the store does not take it.
        """
        self.send()
        self._thread.start()

    def finish(self) -> None:
        """Send what is left, the study last: what it says is there then is there.

        Raises:
            OSError: if the store does not take it.
        """
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self.send()
        kept = set(files_of(self._folder.path))
        for name, info in (self._remote / "best").objects():
            if info.is_file and f"best/{name}" not in kept:  # of an earlier bundle
                (self._remote / "best" / name).delete()

    def send(self) -> None:
        """Send the files that have changed since they were sent.

        Raises:
            OSError: if the store does not take them, or the search is another process's by now.
        """
        self._refuse_if_taken_over()
        for name in files_of(self._folder.path):
            self._send_ends()
            self._send_file(name)
        self._answered = time.monotonic()

    def _refuse_if_taken_over(self) -> None:
        if not self._held():
            self._given_up = TAKEN_OVER
            raise OSError(TAKEN_OVER)

    def _send_file(self, name: str) -> None:
        path = self._folder.path / name
        try:
            found = path.stat()
            if self._sent.get(name) == (found.st_mtime_ns, found.st_size):
                return
            content = path.read_bytes()
        except FileNotFoundError:  # replaced at this moment, or not there yet
            return
        if name == STUDY_FILE:
            content = content[: content.rfind(b"\n") + 1]  # the last line may be in the middle of being written
        (self._remote / name).write(content)
        self._sent[name] = (found.st_mtime_ns, found.st_size)
        self._answered = time.monotonic()

    def _send_ends(self) -> None:
        """Send the study before anything else if the end of a trial waits for that."""
        wanted = self._wanted
        if self._done < wanted:
            self._refuse_if_taken_over()
            self._send_file(STUDY_FILE)
            with self._sending:
                self._done = wanted
                self._sending.notify_all()

    def _run(self) -> None:
        while not self._ended and not self._given_up:
            self._wake.wait(EVERY_SECONDS)
            self._wake.clear()
            began = time.monotonic()
            with suppress(OSError):  # the next one may arrive
                self._send_ends()
                self.send()
            taken = time.monotonic() - began
            if taken > QUICK_SECONDS:
                time.sleep(min(EVERY_SECONDS, taken))  # sending takes half of the time at most


@contextmanager
def mirrored(folder: SearchFolder, lease: Lease | None) -> Iterator[Mirror | None]:
    """Mirror the working copy inside the block, and all of it at its end, however it ends; nothing without a lease.

    Raises:
        OSError: if the store does not take it.
    """
    if lease is None:
        yield None
        return
    mirror = Mirror(folder, lease.held)
    mirror.start()
    try:
        yield mirror
    finally:
        mirror.finish()
