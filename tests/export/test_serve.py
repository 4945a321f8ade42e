"""The server, a real one in a process of its own: what it answers, what it refuses, and how it stops."""

import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.command_line import refusal
from tests.export.made_up import made_up_reviews
from tests.processes import of_session
from tests.readme import commands
from tests.waiting import wait_until
from tune_sentiment import api
from tune_sentiment.errors import SettingsError
from tune_sentiment.export.predict import Predictor

pytestmark = [pytest.mark.timeout(180)]
START_SECONDS = 90


@contextmanager
def running(bundle: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in a session of its own, and its address; whatever is left of it is killed at the end."""
    command = [sys.executable, "-m", "tune_sentiment", "serve", str(bundle), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True, start_new_session=True)
    assert process.stdout
    too_late = threading.Timer(START_SECONDS, process.kill)
    too_late.start()
    try:
        line = process.stdout.readline()
        too_late.cancel()
        assert line.startswith("serving at http://"), process.communicate()[1]
        yield process, line.removeprefix("serving at ").strip()
    finally:
        too_late.cancel()
        process.terminate()
        try:
            process.wait(timeout=40)
        finally:
            for left in of_session(process.pid):
                os.kill(left, signal.SIGKILL)


@pytest.fixture(scope="module")
def address(predictor: Predictor) -> Iterator[str]:
    with running(predictor.bundle.folder, "--replicas", "2") as (process, where):
        yield where
        process.terminate()
        assert_stops(process, where)  # here, since a test of its own would have to start another


def assert_stops(process: "subprocess.Popen[str]", where: str) -> None:
    """A server that was told to stop ends as it should, and leaves no process."""
    said, errors = process.communicate(timeout=40)
    assert process.returncode == 0, errors
    assert said == "", "the address was all there was to say"
    assert errors == f"OpenAPI page: {where}/docs; Ctrl-C stops the server\n"
    wait_until(lambda: of_session(process.pid) == [], 30, "no process left")


def ask(url: str, body: bytes | None = None, method: str | None = None) -> tuple[int, Any]:
    """Return the status and the JSON of an answer."""
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as problem:
        return problem.code, json.load(problem)


def ask_and_be_hung_up_on(url: str, body: bytes) -> tuple[int, Any]:
    """As `ask`, where the server answers and hangs up before it has read all of a body that is too long."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    connection.putrequest("POST", place.path)
    connection.putheader("Content-Length", str(len(body)))
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.endheaders(body)
    with closing(connection):
        response = connection.getresponse()
        return response.status, json.load(response)


def question(texts: Any) -> bytes:
    return json.dumps({"texts": texts}).encode()


@pytest.mark.slow
def test_the_server_answers_what_the_predictor_answers(address: str, predictor: Predictor) -> None:
    odd = ["", "unheard-of <br /> words", "sch\u00f6n \U0001f600"]
    texts = [text for text, _ in made_up_reviews(997, seed=4)] + odd
    status, found = ask(f"{address}/predict", question(texts))
    assert status == 200
    for answer, expected in zip(found["predictions"], predictor.predict(texts), strict=True):
        assert answer.pop("probability") == pytest.approx(expected.probability, abs=1e-6)
        assert answer == {name: getattr(expected, name) for name in ("label", "words", "unknown_words", "cut", "note")}


@pytest.mark.slow
def test_clients_that_ask_together_each_get_their_own_answer(address: str, predictor: Predictor) -> None:
    reviews = [text for text, _ in made_up_reviews(400, seed=5)]
    asked = [reviews[start : start + 1 + start % 4] for start in range(396)]
    with ThreadPoolExecutor(32) as clients:
        found = list(clients.map(lambda texts: ask(f"{address}/predict", question(texts)), asked))
    probability_of = {text: one.probability for text, one in zip(reviews, predictor.predict(reviews), strict=True)}
    for texts, (status, answer) in zip(asked, found, strict=True):
        assert status == 200
        expected = [probability_of[text] for text in texts]
        assert [one["probability"] for one in answer["predictions"]] == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (question([]), 422, "`texts` must hold 1 to 1,000 texts, got none"),
        (question(["a"] * 1001), 422, "`texts` must hold 1 to 1,000 texts, got more"),
        (question("one text"), 422, "`texts` must be a list of strings, got str"),
        (question(["fine", 7]), 422, "every text must be a string, got int as number 2"),
        (question(None), 422, "`texts` must be a list of strings, got NoneType"),
        (b'{"texts": ["a"], "model": "b"}', 422, "got `model` too: leave it out"),
        (b"{}", 422, "the body must hold `texts`"),
        (b"[]", 422, "the body must be an object, got list"),
        (b"", 422, "the body must be JSON"),
        (b"a great film", 422, "the body must be JSON"),
        (b'{"texts": ["\xff"]}', 422, "the body must be JSON"),
        (b'{"texts": ["\\ud800"]}', 422, "the body must be JSON"),
        (b"[" * 100_000, 422, "the body must be JSON"),
        (question(["a" * 1_000_001]), 413, "a body may have at most 1,000,000 bytes, got more"),
        (b" " * 5_000_000, 413, "a body may have at most 1,000,000 bytes, got more"),
    ],
    ids=lambda value: value[:20].decode("ascii", "replace") if isinstance(value, bytes) else None,
)
def test_a_wrong_request_is_refused_with_a_sentence(address: str, body: bytes, status: int, said: str) -> None:
    code, found = (ask_and_be_hung_up_on if status == 413 else ask)(f"{address}/predict", body)
    assert (code, list(found)) == (status, ["error"])
    assert said in found["error"] and found["error"].endswith(".") and "\n" not in found["error"]
    assert ask(f"{address}/healthz") == (200, {"status": "ok"}), "and the server goes on"


@pytest.mark.slow
def test_a_full_request_is_answered(address: str) -> None:
    texts = ["film " * 190] * 1000
    assert 950_000 < len(question(texts)) <= 1_000_000
    status, found = ask(f"{address}/predict", question(texts))
    assert (status, len(found["predictions"])) == (200, 1000)


@pytest.mark.slow
def test_the_server_answers_as_the_readme_asks_it(address: str) -> None:
    (serve,), (curl,) = commands("tune-sentiment serve"), commands("curl -X POST")
    assert shlex.split(serve)[:2] == ["tune-sentiment", "serve"] and len(shlex.split(serve)) == 3  # as `running` does
    asked = shlex.split(curl)
    url = next(word for word in asked if word.startswith("http")).replace("http://127.0.0.1:8000", address)
    status, found = ask(url, asked[asked.index("-d") + 1].encode())
    assert (status, len(found["predictions"])) == (200, 1)


@pytest.mark.slow
def test_other_addresses_and_methods_are_refused_with_a_sentence(address: str) -> None:
    assert ask(f"{address}/nowhere") == (404, {"error": "there is nothing at this address: see /docs."})
    assert ask(f"{address}/predict") == (405, {"error": "GET is not for this address: see /docs."})


@pytest.mark.slow
def test_the_openapi_page_describes_question_answer_and_refusals(address: str) -> None:
    described = ask(f"{address}/openapi.json")[1]
    predict = described["paths"]["/predict"]["post"]
    body = predict["requestBody"]["content"]["application/json"]["schema"]["properties"]["texts"]
    assert (body["minItems"], body["maxItems"]) == (1, 1000)
    assert set(predict["responses"]) == {"200", "413", "422"}
    assert {"label", "probability"} <= set(described["components"]["schemas"]["Answer"]["properties"])
    with urllib.request.urlopen(f"{address}/docs", timeout=30) as page:
        assert b"swagger" in page.read().lower()


@pytest.mark.slow
def test_only_this_machine_reaches_a_server_unless_told_otherwise(address: str) -> None:
    port = int(address.rpartition(":")[2])
    listening = [one for one in psutil.net_connections("tcp") if one.status == "LISTEN"]
    (proxy,) = {one.pid for one in listening if one.laddr.port == port}
    assert {one.laddr.ip for one in listening if one.laddr.port == port} == {"127.0.0.1"}
    assert proxy
    session = set(of_session(os.getsid(proxy)))
    hosts = {one.laddr.ip for one in listening if one.pid in session}
    assert len(session) > 5 and hosts <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, "Ray's own ports too"


@pytest.mark.slow
def test_a_server_that_is_stopped_at_the_terminal_leaves_no_process(predictor: Predictor) -> None:
    with running(predictor.bundle.folder) as (process, where):
        assert ask(f"{where}/healthz")[0] == 200
        assert len(of_session(process.pid)) > 3
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells the whole group
        assert_stops(process, where)


def test_what_cannot_be_served_is_refused_before_ray_starts(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = predictor.bundle.folder
    assert "nowhere" in refusal("serve", "nowhere", cwd=tmp_path)
    assert "--replicas must be >= 1: got 0" in refusal("serve", bundle, "--replicas", "0", cwd=tmp_path)
    assert "--port must be 0 to 65535: got 70000" in refusal("serve", bundle, "--port", "70000", cwd=tmp_path)
    assert "no.such.host.invalid:8000 is not" in refusal(
        "serve", bundle, "--host", "no.such.host.invalid", cwd=tmp_path
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"a free port: 127.0.0.1:{port} is not" in refusal("serve", bundle, "--port", port, cwd=tmp_path)
    error = refusal("serve", bundle, "--host", "0.0.0.0", "--no-token", cwd=tmp_path)
    assert "needs Ray's token authentication (CVE-2023-48022): 0.0.0.0" in error and "leave --no-token out" in error
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    error = refusal("serve", bundle, "--host", "0.0.0.0", cwd=tmp_path)
    assert "needs Ray's token authentication (CVE-2023-48022): 0.0.0.0 with RAY_AUTH_MODE=disabled" in error


def test_without_the_extra_the_refusal_names_it(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(SettingsError, match=r"pip install 'tune-sentiment\[serve\]'"):
        api.serve(predictor.bundle.folder)
