"""A real S3 server on this machine, as a process of its own."""

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.processes import free_port
from tests.waiting import wait_until
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.remote import Remote, open_remote

KEY, SECRET = "AKIAOFTHETESTSONLY", "a-secret-that-must-not-be-written"


class Store:
    """The server, and the environment that reaches it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "XDG_CACHE_HOME": str(folder / "first machine"),
        }
        self.server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.answers, 30, "an S3 server")
        self.put("bucket")

    def answers(self) -> bool:
        try:
            return bool(self.get("moto-api/") is not None)
        except OSError:
            return False

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=5) as answer:
            return bytes(answer.read())

    def put(self, path: str, method: str = "PUT", data: bytes = b"") -> None:
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.url}/{path}", data=data, method=method, headers=headers)
        urllib.request.urlopen(request, timeout=5).close()

    def close(self) -> None:
        self.server.kill()
        self.server.wait(timeout=10)


FORWARDER = """
import asyncio, sys

here, there = map(int, sys.argv[1:])

async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()

async def forward(reader, writer):
    answers, asked = await asyncio.open_connection("127.0.0.1", there)
    await asyncio.gather(pump(reader, asked), pump(answers, writer), return_exceptions=True)

async def main():
    await (await asyncio.start_server(forward, "127.0.0.1", here)).serve_forever()

asyncio.run(main())
"""


class Way:
    """The way to a server, as a process of its own: killed, nobody reaches the server, and it loses nothing."""

    def __init__(self, to_port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._to_port = to_port
        self.open()

    def open(self) -> None:
        words = [sys.executable, "-c", FORWARDER, str(self.port), str(self._to_port)]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self._leads_there, 30, "a way to the server")

    def cut(self) -> None:
        self._process.kill()
        self._process.wait(timeout=10)

    def _leads_there(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> "Way":
        return self

    def __exit__(self, *problem: object) -> None:
        self.cut()


def remote_of(folder: SearchFolder) -> Remote:
    """Where a search in a store is."""
    assert folder.remote is not None
    return folder.remote


def all_objects(uri: str) -> dict[str, bytes]:
    """What is under an URI, by its path."""
    folder = open_remote(uri)
    return {name: (folder / name).read() or b"" for name, info in folder.objects(recursive=True) if info.is_file}
