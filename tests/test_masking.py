"""Secrets in URLs, which end in no file and on no screen."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.command_line import refusal
from tests.data.small_corpora import layout, made_up, pack
from tune_sentiment import api
from tune_sentiment.data import download
from tune_sentiment.masking import all_masked, masked
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.request import read_request, validated_request, write_request


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://ana:hunter2@db.example/optuna", "postgresql://***@db.example/optuna"),
        ("postgresql+psycopg2://ana:hunter2@db:5432/x", "postgresql+psycopg2://***@db:5432/x"),
        ("mysql://ana:hunter2@with@signs@db/x", "mysql://***@db/x"),
        ("mysql://ana:hunter2/with/slashes@db/x", "mysql://***@db/x"),
        ("redis://:hunter2@h:6379/0", "redis://***@h:6379/0"),
        ("https://hunter2@mlflow.example/", "https://***@mlflow.example/"),
        ("s3://bucket/x?access_key=hunter2&region=eu", "s3://bucket/x?access_key=***&region=eu"),
        ("s3://AKIA:hunter2@bucket/x?endpoint_override=http://h:9000", "s3://***@bucket/x?endpoint_override=http://h:9000"),
        ("https://h/x?a=1&X-Amz-Signature=hunter2", "https://h/x?a=1&X-Amz-Signature=***"),
        ("https://h/x?X-Amz-Credential=hunter2&a=1", "https://h/x?X-Amz-Credential=***&a=1"),
        ("https://account.blob/x?sv=1&sig=hunter2", "https://account.blob/x?sv=1&sig=***"),
        ("postgresql://h/x?user=ana&PASSWORD=hunter2", "postgresql://h/x?user=ana&PASSWORD=***"),
        ("search --data https://ana:hunter2@h/r.csv --seed 1", "search --data https://***@h/r.csv --seed 1"),
        ("https://h/reviews.csv?page=2", "https://h/reviews.csv?page=2"),
        ("http://127.0.0.1:8000/a.tar.gz", "http://127.0.0.1:8000/a.tar.gz"),
        ("sqlite:////home/ana/study.db", "sqlite:////home/ana/study.db"),
        ("write to ana@example.org", "write to ana@example.org"),
    ],
)  # fmt: skip
def test_passwords_and_tokens_in_urls_are_masked_and_nothing_else(text: str, expected: str) -> None:
    assert masked(text) == expected
    assert masked(expected) == expected


def test_every_text_is_masked_at_any_depth() -> None:
    deep = {"redis://u:hunter2@h": [{"b": ("https://hunter2@h", 1, None, 2.5)}]}
    assert all_masked(deep) == {"redis://***@h": [{"b": ["https://***@h", 1, None, 2.5]}]}


def request(**data: Any) -> Any:
    return validated_request(
        created="2026-11-24T00:00:00+00:00",
        command="python -m tune_sentiment search --data imdb --data-url https://ana:hunter2@h/a.tar.gz",
        data={"source": "imdb", **data},
        seed=0,
        trials=1,
        confirm_top=1,
        confirm_seeds=1,
        resources={"address": "ray://ana:hunter2@h:10001"},
        notes=("read from https://h/x?token=hunter2",),
    )


def test_the_request_is_written_and_shown_without_secrets(tmp_path: Path) -> None:
    asked = request(data_url="https://ana:hunter2@h/a.tar.gz?X-Amz-Signature=hunter2")
    write_request(SearchFolder(tmp_path), asked)
    assert "hunter2" not in (tmp_path / "search.json").read_text()
    assert "hunter2" not in json.dumps(asked.for_readers())
    assert read_request(SearchFolder(tmp_path)).data.data_url == "https://***@h/a.tar.gz?X-Amz-Signature=***"
    assert asked.data.data_url and "hunter2" in asked.data.data_url  # for the download itself


def test_a_download_that_fails_says_so_without_secrets(tmp_path: Path) -> None:
    url = "http://ana:hunter2@127.0.0.1:9/a.tar.gz?token=hunter2"
    said = refusal("data", "imdb", "--data-url", url, cwd=tmp_path)
    assert "hunter2" not in said and "http://***@127.0.0.1:9/a.tar.gz did not" in said


class Archive(BaseHTTPRequestHandler):
    """A server of one small archive, whoever asks."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
def test_no_secret_of_an_address_reaches_any_file_or_line_of_a_search(
    tmp_path: Path, space: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    Archive.content = pack(tmp_path / "made.tar.gz", layout(made_up(80))).read_bytes()
    monkeypatch.setattr(download, "OFFICIAL_SHA256", hashlib.sha256(Archive.content).hexdigest())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    storage = tmp_path / "storage"
    with ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"http://ana:hunter2@127.0.0.1:{server.server_port}/a.tar.gz?X-Amz-Signature=hunter2"
        outcome = api.search(
            "imdb", data_url=url, space=space, trials=2, confirm_top=1, confirm_seeds=1, name="x",
            storage=str(storage), dashboard=False,
        )  # fmt: skip
        server.shutdown()
    assert outcome.bundle is not None
    files = [path for path in storage.rglob("*") if path.is_file()]
    assert {"search.json", "report.html", "config.json", "README.md"} <= {path.name for path in files}
    assert [path.name for path in files if b"hunter2" in path.read_bytes()] == []
    assert b"http://***@127.0.0.1" in (storage / "x" / "search.json").read_bytes()
    said = capfd.readouterr()
    assert "hunter2" not in said.out + said.err
