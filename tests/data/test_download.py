"""The download of the IMDB archive, from a server on this machine."""

import gzip
import hashlib
import io
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest

from tests.data.small_corpora import layout, made_up, pack
from tune_sentiment.data import download
from tune_sentiment.data.dataset import load_dataset
from tune_sentiment.data.download import OFFICIAL_SHA256, download_imdb
from tune_sentiment.errors import DataError

Respond = Callable[[BaseHTTPRequestHandler, bytes], None]


class Mirror:
    """A server of one file that answers as the test tells it, and notes what was asked for."""

    def __init__(self, content: bytes, respond: Respond) -> None:
        self.content, self.respond = content, respond
        self.ranges: list[str | None] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.ranges.append(self.headers["Range"])
                mirror.respond(self, mirror.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/aclImdb_v1.tar.gz"
        self.sha256 = hashlib.sha256(content).hexdigest()
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def whole(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def half(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Announce everything, send half and hang up."""
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content[: len(content) // 2])


def in_pieces(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Hang up after 100,000 bytes, but go on from wherever one asks to."""
    start = int((request.headers["Range"] or "bytes=0-")[len("bytes=") : -1])
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(len(content) - start))
    request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    request.end_headers()
    request.wfile.write(content[start : start + 100_000])


def half_then_whole(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Hang up the first time; the second time send all of it again, whatever was asked for."""
    (whole if request.headers["Range"] else half)(request, content)


def missing(request: BaseHTTPRequestHandler, content: bytes) -> None:
    request.send_error(404)


def damaged(request: BaseHTTPRequestHandler, content: bytes) -> None:
    whole(request, content[:-1] + b"x")


def endless(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Send for as long as anybody listens."""
    request.send_response(200)
    request.end_headers()
    with suppress(OSError):
        while True:
            request.wfile.write(b"x" * 10_000)


def swelling(request: BaseHTTPRequestHandler, content: bytes) -> None:
    """Send a small answer that unpacks to a large one, though nobody asked for a packed one."""
    packed = gzip.compress(b"x" * 3_000_000)
    request.send_response(200)
    request.send_header("Content-Encoding", "gzip")
    request.send_header("Content-Length", str(len(packed)))
    request.end_headers()
    request.wfile.write(packed)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = layout(made_up(60)) | layout(made_up(20), "test") | {"aclImdb/noise": random.Random(0).randbytes(250_000)}
    archive = pack(tmp_path / "made.tar.gz", files)
    started = Mirror(archive.read_bytes(), whole)
    yield started
    started.stop()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "a cache" / "that is not there yet"


def test_the_archive_is_downloaded_once_and_read(mirror: Mirror, cache: Path) -> None:
    options = {"data_url": mirror.url, "data_sha256": mirror.sha256.upper(), "cache_folder": cache}
    dataset = load_dataset("imdb", **options)  # type: ignore[arg-type]
    assert (dataset.name, dataset.generated, dataset.official_test) == ("imdb", False, True)
    assert [len(split) for split in dataset.splits.values()] == [54, 6, 20]
    mirror.stop()
    assert load_dataset("imdb", **options).fingerprint == dataset.fingerprint  # type: ignore[arg-type]
    assert mirror.ranges == [None]
    assert [file.read_bytes() for file in cache.iterdir()] == [mirror.content]


def test_a_connection_that_breaks_is_resumed_where_it_broke(mirror: Mirror, cache: Path) -> None:
    mirror.respond = in_pieces
    assert download_imdb(mirror.url, mirror.sha256, cache).read_bytes() == mirror.content
    # Of what came, up to one block is asked for again.
    starts = [int((asked or "bytes=0-")[len("bytes=") : -1]) for asked in mirror.ranges]
    assert starts[0] == 0 and len(starts) == 3
    assert all(80_000 < second - first <= 100_000 for first, second in pairwise(starts))


def test_a_server_that_cannot_resume_is_read_from_the_start(mirror: Mirror, cache: Path) -> None:
    mirror.respond = half_then_whole
    assert download_imdb(mirror.url, mirror.sha256, cache).read_bytes() == mirror.content
    assert len(mirror.ranges) == 2 and mirror.ranges[1] is not None


@pytest.mark.parametrize(
    ("respond", "message"),
    [
        (
            half,
            r"must arrive: http://127\.0\.0\.1:\d+/aclImdb_v1\.tar\.gz did not \(\w+Error\): check the network, give",
        ),
        (missing, r"must arrive: http://127\.0\.0\.1:\d+/aclImdb_v1\.tar\.gz did not \(HTTP status 404\): check"),
        (
            damaged,
            r"must be the file it should be: what http://127.* sent does not hash to [0-9a-f]{12}\.\.\.: try again",
        ),
    ],
)
def test_what_is_truncated_missing_or_wrong_is_refused_and_leaves_nothing(
    mirror: Mirror, cache: Path, respond: Respond, message: str
) -> None:
    mirror.respond = respond
    with pytest.raises(DataError, match=message) as caught:
        load_dataset("imdb", data_url=mirror.url, data_sha256=mirror.sha256, cache_folder=cache)
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []
    assert len(mirror.ranges) <= 2


@pytest.mark.parametrize("respond", [endless, swelling])
def test_a_server_that_sends_without_end_does_not_fill_the_disk(
    mirror: Mirror, cache: Path, respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.respond = respond
    monkeypatch.setattr(download, "MAX_BYTES", 1_000_000)
    with pytest.raises(DataError, match=r"may have at most 1,000,000 bytes: http://127.* sends more: give another"):
        download_imdb(mirror.url, mirror.sha256, cache)
    assert list(cache.iterdir()) == []


def test_a_mirror_must_serve_the_official_archive_unless_told_otherwise(mirror: Mirror, cache: Path) -> None:
    with pytest.raises(DataError, match=f"does not hash to {OFFICIAL_SHA256[:12]}"):
        download_imdb(mirror.url, cache_folder=cache)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_replaced(mirror: Mirror, cache: Path) -> None:
    kept = download_imdb(mirror.url, mirror.sha256, cache)
    kept.write_bytes(mirror.content[:100])
    assert download_imdb(mirror.url, mirror.sha256, cache).read_bytes() == mirror.content


def test_nobody_at_the_address_is_said_so(mirror: Mirror, cache: Path) -> None:
    mirror.stop()
    with pytest.raises(DataError, match=r"did not \(ConnectionError\): .* give the archive's path instead of `imdb`"):
        download_imdb(mirror.url, mirror.sha256, cache)
    assert list(cache.iterdir()) == []


def test_passwords_and_signatures_stay_out_of_messages(mirror: Mirror, cache: Path) -> None:
    mirror.respond = missing
    secret = mirror.url.replace("//", "//user:pass@") + "?signature=abc"
    with pytest.raises(DataError, match=r"http://\*\*\*@127\.0\.0\.1:\d+/aclImdb_v1\.tar\.gz did not") as caught:
        download_imdb(secret, mirror.sha256, cache)
    assert "pass" not in str(caught.value) and "abc" not in str(caught.value)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "x", "http://", "http:// x"])
def test_only_http_addresses_are_taken(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match=r"must start with http:// or https://: .*: correct it"):
        download_imdb(url, cache_folder=tmp_path)


def test_a_hash_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be 64 hexadecimal digits: 'abc': correct it"):
        download_imdb("http://127.0.0.1/", "abc", tmp_path)


def test_a_cache_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"needs a folder to be kept in: .*file/cache: Not a directory; name another"):
        download_imdb("http://127.0.0.1/", cache_folder=tmp_path / "file" / "cache")


def test_progress_is_drawn_on_stderr(mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", out := io.StringIO())
    monkeypatch.setattr("sys.stderr", err := io.StringIO())
    mirror.respond = in_pieces
    download_imdb(mirror.url, mirror.sha256, cache)
    size = f"{len(mirror.content) / 1000:.1f}"
    assert out.getvalue() == ""
    assert "Downloading the IMDB reviews" in err.getvalue()
    assert f"{size}/{size} kB" in err.getvalue()
