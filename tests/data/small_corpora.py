"""Small corpora in every format, written for one test each."""

import gzip
import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tune_sentiment.data.reviews import Review

SHARED = Path(__file__).parents[3] / "shared" / "data"


def made_up(num_reviews: int = 40) -> list[Review]:
    """Return reviews, every other one positive, no two alike."""
    return [
        Review(f"review number{number} is {'good' if number % 2 == 0 else 'bad'}", "pos" if number % 2 == 0 else "neg")
        for number in range(num_reviews)
    ]


def layout(reviews: Iterable[Review], part: str = "train") -> dict[str, bytes]:
    """Return the files of an aclImdb folder by their path in it."""
    return {f"aclImdb/{part}/{label}/{number}_7.txt": text.encode() for number, (text, label, *_) in enumerate(reviews)}


def pack(path: Path, files: dict[str, bytes], extra: Sequence[tarfile.TarInfo] = ()) -> Path:
    """Write `files` and the empty members `extra` to a .tar.gz that is the same each time."""
    with gzip.GzipFile(path, "wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for member in extra:
            archive.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def unpack(folder: Path, files: dict[str, bytes]) -> Path:
    """Write `files` below `folder`."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_pair(stem: Path, reviews: Iterable[Review]) -> Path:
    """Write X.pos and X.neg, one review a line, and return the stem."""
    halves: dict[str, list[str]] = {"pos": [], "neg": []}
    for text, label, *_ in reviews:
        halves[label].append(text)
    for label, texts in halves.items():
        Path(f"{stem}.{label}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return stem
