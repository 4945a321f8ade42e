"""Download the official IMDB archive once, checked, into a cache folder."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_sentiment.data.cache import platform_folder
from tune_sentiment.errors import DataError
from tune_sentiment.masking import masked

OFFICIAL_URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
OFFICIAL_SHA256 = "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe"

MAX_BYTES = 1 << 30
"""Of a download; the archive has 84,125,825. A server could otherwise go on sending until the disk is full."""

_BLOCK_BYTES = 1 << 14
_MAX_RESUMES = 20


def download_imdb(url: str | None = None, sha256: str | None = None, cache_folder: str | Path | None = None) -> Path:
    """Return the path of the Large Movie Review Dataset's archive, downloaded if it is not in the cache yet.

    A connection that breaks is resumed where it broke; nothing that does not hash to `sha256` stays in the cache.

    Args:
        url: an http or https address; the official one by default.
        sha256: what the file must hash to; the official archive's by default, for mirrors too.
        cache_folder: where it is kept; the platform's cache folder by default.

    Raises:
        DataError: if it cannot be reached, is not the file it should be, or cannot be written.
    """
    import pooch

    url = url or OFFICIAL_URL
    place = masked(url.partition("?")[0])  # whatever the query is called, it may be a signature
    sha256 = (sha256 or OFFICIAL_SHA256).lower()
    if not re.match(r"https?://[^/\s]", url):
        raise DataError(f"a download's address must start with http:// or https://: {place}: correct it.")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise DataError(f"a SHA-256 must be 64 hexadecimal digits: {sha256[:80]!r}: correct it.")
    folder = Path(cache_folder) if cache_folder else platform_folder()
    if folder is None:
        raise DataError("a download needs a folder to be kept in: there is no home folder: name a cache folder.")
    name = "aclImdb_v1.tar.gz" if sha256 == OFFICIAL_SHA256 else f"aclImdb_{sha256[:12]}.tar.gz"
    pooch.get_logger().setLevel("WARNING")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(pooch.retrieve(url, known_hash=sha256, fname=name, path=folder, downloader=_fetch))
    except OSError as error:
        if error.errno is None:  # an error of the network: only those of the disk carry a number
            raise DataError(
                f"a download must arrive: {place} did not ({_reason(error)}): check the network, give another "
                "address with `--data-url`, or give the archive's path instead of `imdb`."
            ) from None
        raise DataError(
            f"a download needs a folder to be kept in: {folder}: {error.strerror}; name another cache folder."
        ) from None
    except ValueError:
        raise DataError(
            f"a download must be the file it should be: what {place} sent does not hash to {sha256[:12]}...: "
            "try again, or give another address with `--data-url`."
        ) from None


def _fetch(url: str, output_file: str, _pooch: object) -> None:
    """Download `url` to `output_file`, going on where the connection broke for as long as that brings new bytes."""
    import pooch

    with open(output_file, "wb") as file, _progress_bar() as bar:
        draw = bar.draw

        def draw_what_is_not_too_much(completed: int, total: int) -> None:
            if file.tell() > MAX_BYTES:
                raise DataError(
                    f"a download may have at most {MAX_BYTES:,} bytes: {masked(url.partition('?')[0])} sends more: "
                    "give another address with `--data-url`."
                )
            draw(completed, total)

        bar.draw = draw_what_is_not_too_much

        def place_the_bytes(response: Any, **_: object) -> None:
            if response.status_code == 200:  # the whole file, even if only the rest was asked for
                file.seek(0)
                file.truncate()
            bar.completed = file.tell()

        for _ in range(_MAX_RESUMES):
            start = file.tell()
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
            downloader = pooch.HTTPDownloader(
                progressbar=bar, chunk_size=_BLOCK_BYTES, headers=headers, hooks={"response": place_the_bytes}
            )
            try:
                downloader(url, file, None)
                return
            except OSError as error:
                if error.errno is not None or file.tell() <= start:
                    raise


@dataclass
class _Bar:
    """What pooch asks of a progress bar, drawn by rich."""

    draw: Callable[[int, int], None]
    completed: int = 0
    """Bytes on disk before this connection, then also its own."""
    _total: int = 0

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, expected: int) -> None:
        self._total = self.completed + expected

    def update(self, received: int) -> None:
        self.completed = min(self.completed + received, self._total) if self._total else self.completed + received
        self.draw(self.completed, self._total)

    def reset(self) -> None:
        """Do nothing: pooch calls this before it fills the bar."""

    def close(self) -> None:
        """Do nothing: the bar outlives a connection."""


@contextmanager
def _progress_bar() -> Iterator[_Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("Downloading the IMDB reviews"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("download", total=None)
        yield _Bar(lambda completed, total: progress.update(task, completed=completed, total=total or None))


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"HTTP status {response.status_code}"
