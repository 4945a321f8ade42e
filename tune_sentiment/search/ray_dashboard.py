"""Say how to open Ray's dashboard, once it is there: where, what shows its token, the way from another machine."""

import getpass
import logging
import os
import shlex
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tune_sentiment.search.records import Snapshot, TrialRecord

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayDashboard:
    """How to open the dashboard of the cluster that a search runs on."""

    address: str
    token_command: str | None
    """A command that prints the token which the page asks for; None: `token_note` says why."""
    token_note: str
    """Where there is no such command, the sentence to tell the user; else empty."""
    tunnel: str
    """A command for another machine, after which the page is at the same address there."""


@dataclass(frozen=True)
class ComingDashboard:
    """A dashboard that starts when it is told to, or runs already, or never will."""

    address: Callable[[], str | None]
    """Returns "host:port", or None as long as it does not answer; raises what its start raised."""
    begin: Callable[[], None]
    opened: Callable[[str], RayDashboard]
    """Returns how to open what runs at "host:port"."""


class Announcement:
    """An observer that has the dashboard start when a trial runs, and says once how to open it."""

    def __init__(self, coming: ComingDashboard, announce: Callable[[RayDashboard], None] | None) -> None:
        """Call `announce`, if anybody wants to know, when the dashboard is there."""
        self._coming = coming
        self._announce = announce
        self._done = False

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """See whether it is time."""
        if self._done:
            return
        if snapshot.running:
            self._coming.begin()
        try:
            url = self._coming.address()
        except Exception as problem:  # not worth a search
            self._done = True
            _log.warning("Ray's dashboard did not start, the search goes on without it: %s", problem)
            return
        if url is not None:
            self._done = True
            if self._announce:
                self._announce(self._coming.opened(url))

    def on_trial_end(self, record: TrialRecord) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def private_dashboard(url: str, *, asks: bool = True, own_token: bool = False) -> RayDashboard:
    """Return how to open the dashboard at `url`, "host:port", of the private cluster that this process has started.

    asks: whether the cluster asks for a token. own_token: whether the user had set RAY_AUTH_TOKEN.
    """
    token, path = os.environ.get("RAY_AUTH_TOKEN"), os.environ.get("RAY_AUTH_TOKEN_PATH")
    command: str | None = _token_command()
    note = ""
    if not asks:
        command, note = None, "none is asked for"
    elif own_token:
        command, note = None, "the one in RAY_AUTH_TOKEN"
    elif token and token != _token_at_home():
        command, note = None, "made up for this search, with no home folder to keep it: set RAY_AUTH_TOKEN before"
    elif not token and path:
        command = f"env {shlex.quote(f'RAY_AUTH_TOKEN_PATH={os.path.abspath(path)}')} {command}"
    return RayDashboard(f"http://{url}", command, note, tunnel(url))


def joined_dashboard(url: str) -> RayDashboard:
    """Return how to open the dashboard at `url`, "host:port", of somebody's cluster that this process has joined."""
    from ray._raylet import AuthenticationMode, get_authentication_mode  # type: ignore[attr-defined]

    asks = get_authentication_mode() == AuthenticationMode.TOKEN
    command = _token_command() if asks else None
    return RayDashboard(f"http://{url}", command, "" if asks else "none is asked for", tunnel(url))


def _token_at_home() -> str | None:
    try:
        return (Path.home() / ".ray" / "auth_token").read_text(encoding="ascii").strip()
    except (OSError, RuntimeError, ValueError):
        return None


def _token_command() -> str:
    """Return a command that works in any shell, whatever environment is active there."""
    script = Path(sys.executable).with_name("ray")
    words = [str(script)] if script.is_file() else [sys.executable, "-m", "ray.scripts.scripts"]
    return shlex.join([*words, "get-auth-token"])


def tunnel(url: str) -> str:
    """Return the `ssh` that brings the page at `url`, "host:port", to another machine, on the same port there.

    It reaches this machine by the name by which whoever is logged in here did.
    """
    page = urlsplit(f"//{url}")
    # client's address and port, then this machine's, as sshd tells them
    _, _, here, ssh_port = (os.environ.get("SSH_CONNECTION", "").split() + [""] * 4)[:4]
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "USER"
    port = [] if ssh_port in ("", "22") else ["-p", ssh_port]
    return shlex.join(
        ["ssh", "-N", "-L", f"{page.port}:{page.hostname}:{page.port}", *port, f"{user}@{here or socket.gethostname()}"]
    )
