"""A search that runs for as long as it is looked at, with Ray's dashboard: one for all who look."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.waiting import wait_until
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.study import SEARCH_STUDY, open_storage, read_study

NAME = "private-name"
TRIALS = 5000


class DashboardSearch:
    """A search without a terminal, started where the environment asks for no token, and what it said on stderr."""

    def __init__(self, corpus: Path, space: str, folder: Path) -> None:
        self.folder = SearchFolder(folder / "storage" / NAME)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "HOME": str(folder),  # where the token is kept
            "RAY_AUTH_MODE": "disabled",
            "RAY_metrics_report_interval_ms": "1000",  # ten times as often as usual, so that we need not wait
        }
        words = ["search", "--data", str(corpus), "--space", space, "--storage", str(folder / "storage")]
        self._stderr = folder / "stderr"
        with self._stderr.open("wb") as stderr:
            self.process = psutil.Popen(
                [sys.executable, "-m", "tune_sentiment", *words, "--name", NAME, "--trials", str(TRIALS), "--json"],
                env=self.environment,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    @property
    def said(self) -> str:
        return self._stderr.read_text(encoding="utf-8")

    def says(self, pattern: str) -> str:
        found = re.search(pattern, self.said, re.MULTILINE)
        assert found, self.said
        return found[1]

    @property
    def trials(self) -> list[Any]:
        return read_study(open_storage(self.folder), SEARCH_STUDY).get_trials(deepcopy=False)

    def has_trials(self) -> bool:
        """Whether three trials have ended and the dashboard is there, by when every process is that there will be."""
        assert self.process.poll() is None, self.said
        if "  from another machine: " not in self.said:
            return False
        return self.folder.study_file.exists() and sum(trial.state.is_finished() for trial in self.trials) >= 3

    def token(self) -> str:
        """Return what the command that was printed for the token prints, in a shell of another terminal."""
        shell = {"HOME": self.environment["HOME"], "PATH": "/usr/bin:/bin"}
        command = self.says(r"^  its token: (.+)$")
        return subprocess.run(
            command, shell=True, env=shell, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def tree(self) -> list[psutil.Process]:
        """Return its processes."""
        return [self.process, *self.process.children(recursive=True)]

    def listening(self) -> set[tuple[str, str, int]]:
        """Return (process, address, port) of every socket that waits for connections or datagrams."""
        found = set()
        for process in self.tree():
            with suppress(psutil.Error):
                for connection in process.net_connections("inet"):
                    if connection.status == psutil.CONN_LISTEN or connection.type == socket.SOCK_DGRAM:
                        found.add((called(process), connection.laddr.ip, connection.laddr.port))
        return found


def called(process: psutil.Process) -> str:
    """Return the name of a process, of one that runs a script of Ray's the script's."""
    scripts = [Path(word).name for word in process.cmdline()[1:] if word.endswith(".py")]
    return scripts[0] if process.name().startswith("python") and scripts else process.name()


@contextmanager
def running_search(corpus: Path, space: str, folder: Path) -> Iterator[DashboardSearch]:
    """Yield it when trials have ended; it has to stop as it should, and Prometheus not to look for it any more."""
    search = DashboardSearch(corpus, space, folder)
    try:
        wait_until(search.has_trials, 150, "three trials that ended")
        yield search
        targets = search.folder.targets_file
        assert targets.exists()
        search.process.send_signal(signal.SIGINT)
        assert search.process.wait(60) == 130
        assert not targets.parent.exists(), "Prometheus would look for a search that is over"
    finally:
        if search.process.is_running():
            for process in reversed(search.tree()):
                with suppress(psutil.Error):
                    process.kill()
