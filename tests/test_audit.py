"""The audit of the lock: a hole fails it, one accepted with a reason does not, and silence is never called clean."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.audit import ACCEPTED, LOCK, asked, judged

HOLE = {
    "id": "PYSEC-2026-1",
    "aliases": ["CVE-2026-12345"],
    "summary": "lets strangers in",
    "affected": [
        {
            "package": {"name": "holey", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


class Service(BaseHTTPRequestHandler):
    """Answers as OSV does, the other service that pip-audit knows, whose address can be given."""

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = {"vulns": [HOLE]} if (question["package"]["name"], question["version"]) == ("holey", "1.0") else {}
        answer = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[tuple[str, ...]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield "-s", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def lock_of(folder: Path, *pins: str) -> Path:
    path = folder / "requirements.lock"
    path.write_text("".join(f"{pin}\n" for pin in pins))
    return path


def test_a_hole_fails_the_audit_unless_it_is_accepted_with_a_reason(tmp_path: Path, service: tuple[str, ...]) -> None:
    answer = asked(lock_of(tmp_path, "holey==1.0", "whole==2.0"), *service)
    found = judged(answer, {})
    assert found.code == 1
    assert found.lines[0] == "audit: HOLE: holey 1.0: PYSEC-2026-1 CVE-2026-12345, fixed in 1.1"
    accepted = judged(answer, {"CVE-2026-12345": "we never call it"})
    assert accepted.code == 0
    assert accepted.lines[0].startswith("audit: accepted: holey 1.0") and "we never call it" in accepted.lines[0]


def test_a_lock_without_holes_passes_and_names_what_need_not_be_accepted(
    tmp_path: Path, service: tuple[str, ...]
) -> None:
    answer = asked(lock_of(tmp_path, "holey==1.1", "whole==2.0"), *service)
    assert judged(answer, {}) == (("audit: looked up 2 packages: none has an open hole",), 0)
    assert "CVE-2026-12345 is accepted" in judged(answer, {"CVE-2026-12345": "gone by now"}).lines[0]


def test_a_service_that_cannot_be_reached_is_said_so_and_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    done = subprocess.run([sys.executable, str(LOCK.parent / "scripts/audit.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("audit: NOT DONE: the service could not be reached: ")
    assert done.stdout.count("\n") == 1


def test_packages_that_the_service_does_not_know_are_not_called_clean() -> None:
    skipped = {"dependencies": [{"name": "one", "skip_reason": "Dependency not found on PyPI"}], "fixes": []}
    found = judged(skipped, {})
    assert found == (("audit: NOT DONE for 1 of 1 packages: the service does not answer for them",), 0)


def test_every_accepted_hole_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in ACCEPTED.values())
