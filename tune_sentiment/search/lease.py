"""The lock on a search in an object store: a claim that its holder renews, and that is void once it does not."""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from tune_sentiment.errors import StudyError
from tune_sentiment.search.remote import Remote, not_answering

CLAIMS = ".claims"
"""Folder of the claims in that of the search."""
BEAT_SECONDS = 5.0
"""Between two renewals of a claim."""
LEASE_SECONDS = 30.0
"""A claim that was not renewed for so long is void: its holder is dead, or cut off from the store."""
LOOK_SECONDS = 1.0


class Lease:
    """This process's claim.

    Whoever wants the search first writes a claim of its own, under a name that nobody else has, and then lists all of
    them. Stores answer a list with all that was written before it, so of two at once at least one sees the other, and
    whoever sees a claim that is alive withdraws. Nothing but this is asked of the store, neither conditional writes
    nor an exact clock: ages are told from the store's own times.
    """

    def __init__(self, folder: Remote) -> None:
        """Write the claim and begin to renew it."""
        self._folder = folder / CLAIMS
        self._claim = self._folder / uuid.uuid4().hex
        self._text = json.dumps(this_process()).encode()
        self._claim.write(self._text)
        self._ended = threading.Event()
        self._answers = True
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def held(self) -> bool:
        """Return whether the claim still stands: another takes the search over once it was not renewed in time.

        Raises:
            OSError: if the store does not answer.
        """
        return self._claim.exists()

    def take(self) -> None:
        """Clear away claims that are void; wait for one whose holder may be dead, at most as long as a lease.

        Raises:
            StudyError: if another process holds the search.
        """
        seen = {claim.name: info.mtime for claim, info in self._others()}
        deadline = time.monotonic() + LEASE_SECONDS
        while True:
            now = self._claim.info().mtime
            left = []
            for claim, info in self._others():
                if now - info.mtime > timedelta(seconds=LEASE_SECONDS) or is_dead_here(claim.read()):
                    claim.delete()
                elif info.mtime != seen.get(claim.name):  # renewed since, or new
                    raise self._refused()
                else:
                    left.append(claim)
            if not left:
                return
            if time.monotonic() > deadline:
                for claim in left:
                    claim.delete()
                return
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Give the search back; a store that did not answer last is not waited for, as the claim is void soon."""
        self._ended.set()
        if not self._answers:
            return
        self._thread.join()
        with suppress(OSError):
            self._claim.delete()

    def _others(self) -> list[tuple[Remote, Any]]:
        own = self._claim.name
        return [(self._folder / name, info) for name, info in self._folder.objects() if info.is_file and name != own]

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            try:
                if not self.held():
                    return
                self._claim.write(self._text)
                self._answers = True
            except OSError:  # the next one may arrive
                self._answers = False

    def _refused(self) -> StudyError:
        return StudyError(
            f"one process at a time may run a search: {self._folder.parent_uri} is being run by another: "
            "wait for it, or give another `--name`."
        )


@contextmanager
def leased(folder: Remote) -> Iterator[Lease]:
    """Hold the search in `folder` for this process, inside the block.

    Raises:
        StudyError: if another process holds it, or the store cannot be written to.
    """
    with ExitStack() as stack:
        try:
            lease = Lease(folder)
            stack.callback(lease.close)
            lease.take()
        except OSError as problem:
            raise not_answering(folder.uri, problem) from None
        yield lease


def this_process() -> dict[str, Any]:
    """Return what tells this process from all others, of this machine and of others."""
    return {"machine": machine(), "pid": os.getpid(), "started": psutil.Process().create_time()}


def machine() -> str:
    """Return what tells this machine, since it was started, from others: one that has restarted is another."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = str(psutil.boot_time())
    # Containers share the machine's kernel, but not its processes.
    with suppress(OSError):
        boot += f" {Path('/proc/self/ns/pid').readlink()}"
    return f"{socket.gethostname()} {boot}"


def is_dead_here(claim: bytes | None) -> bool:
    """Return whether a claim's process was one of this machine, and is gone: nobody needs to wait for it then."""
    try:
        holder = json.loads(claim or b"{}")
        if holder.get("machine") != machine():
            return False
        process = psutil.Process(holder["pid"])
        gone = process.status() == psutil.STATUS_ZOMBIE
        return gone or bool(abs(process.create_time() - holder["started"]) > 1)
    except psutil.NoSuchProcess:
        return True
    except (ValueError, KeyError, TypeError, AttributeError, psutil.Error):
        return False
