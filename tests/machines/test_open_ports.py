"""What a stranger can reach while a search runs: nothing from outside, and on this machine only what is listed."""

import http.client
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.dashboard_search import NAME, DashboardSearch

pytestmark = pytest.mark.alone

LISTED = ("ray::DashboardAgent", "monitor.py", "dashboard.py")
"""The processes whose Prometheus figures answer without the token, to this machine alone; see SECURITY.md."""

PRIVATE = ("film", "corpus", "reviews.pos", NAME, "hidden_dim")
"""Of the reviews, the paths, the search's name and the settings: nothing that may stand in an answer."""


@pytest.fixture
def search(dashboard_search: DashboardSearch) -> DashboardSearch:
    return dashboard_search


def outer_addresses() -> list[str]:
    """Return this machine's addresses as others see them."""
    return [
        entry.address.partition("%")[0]
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
        and not entry.address.startswith(("127.", "::1", "fe80"))
        and psutil.net_if_stats()[name].isup
    ]


def fetched(port: int, path: str) -> tuple[int, str]:
    """Return the status and the text of an HTTP answer on loopback, 0 where there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read(1 << 20).decode(errors="replace")
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read(1 << 20).decode(errors="replace")
    except (OSError, http.client.HTTPException):  # what gRPC answers is no HTTP/1 at all
        return 0, ""


@pytest.mark.slow
def test_every_socket_of_a_search_is_bound_to_loopback(search: DashboardSearch) -> None:
    listening = search.listening()
    assert {"gcs_server", "raylet", "ray::DashboardAgent"} <= {name for name, *_ in listening}
    assert {address for _, address, _ in listening} <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, listening


@pytest.mark.slow
def test_no_port_of_a_search_answers_on_an_outer_address(search: DashboardSearch) -> None:
    addresses = outer_addresses()
    if not addresses:
        pytest.skip("this machine has no address but loopback")
    for _, _, port in search.listening():
        for address in addresses:
            with pytest.raises(OSError):
                socket.create_connection((address, port), timeout=2).close()


@pytest.mark.slow
def test_nothing_but_what_is_listed_answers_without_the_token(search: DashboardSearch) -> None:
    answering = {}
    for name, _, port in search.listening():
        for path in ("/", "/metrics", "/api/version", "/api/jobs/", "/nodes?view=summary", "/logs"):
            status, text = fetched(port, path)
            if status and status not in (401, 403, 404, 405):
                answering[name, path] = text
    unlisted = {
        place: text[:200]
        for place, text in answering.items()
        if not (place[0] in LISTED and text.startswith("# HELP"))
        # The dashboard's page is public and empty: all that it shows it has to ask for, with the token.
        and place != ("dashboard.py", "/")
    }
    assert answering and not unlisted
    assert not [word for word in PRIVATE for text in answering.values() if word in text]


@pytest.mark.slow
def test_a_stranger_without_the_token_cannot_join_the_cluster(search: DashboardSearch, tmp_path: Path) -> None:
    """Not even one on this machine: a Ray client of another user, who has no token or a wrong one."""
    (port,) = {port for name, _, port in search.listening() if name == "gcs_server"}
    program = (
        "import sys, ray\n"
        "ray.init(address=sys.argv[1], logging_level='CRITICAL', log_to_driver=False)\n"
        "print('joined', ray.get(ray.remote(lambda: 42).remote()))\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    patience = {"HOME": str(tmp_path), "RAY_gcs_rpc_server_reconnect_timeout_s": "3"}
    here = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # or its Ray would ask the outer address, where nobody is
    refusals = (
        (here | {"RAY_AUTH_MODE": "disabled"}, "Unauthenticated"),
        (here | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}, "Unauthenticated"),
        ({"RAY_AUTH_MODE": "disabled"}, "Failed to connect to GCS"),
    )
    command = [sys.executable, "-c", program, f"127.0.0.1:{port}"]
    with ThreadPoolExecutor() as strangers:  # side by side, for Ray takes half a minute to give up
        attempts = [
            strangers.submit(
                subprocess.run, command, env=kept | patience | given, capture_output=True, text=True, timeout=100
            )
            for given, _ in refusals
        ]
    for attempt, (given, refusal) in zip(attempts, refusals, strict=True):
        done = attempt.result()
        assert done.returncode != 0 and "joined" not in done.stdout, given
        assert refusal in done.stderr, done.stderr[-2000:]


@pytest.mark.slow
def test_the_files_of_the_cluster_are_in_a_folder_that_only_the_user_may_enter(search: DashboardSearch) -> None:
    (session,) = {
        Path(word.partition("=")[2])
        for process in search.tree()
        if process.name() == "raylet"
        for word in process.cmdline()
        if word.startswith("--temp_dir=")
    }
    assert session.is_dir()
    assert session.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_no_command_line_shows_the_token(search: DashboardSearch) -> None:
    """Any user of the machine can list command lines."""
    tokens = {search.process.environ().get("RAY_AUTH_TOKEN")} - {None}
    for process in search.tree():
        with suppress(psutil.Error):
            tokens |= {process.environ().get("RAY_AUTH_TOKEN")} - {None}
    assert tokens
    for process in search.tree():
        with suppress(psutil.Error):
            assert not [token for token in tokens if token in json.dumps(process.cmdline())]
