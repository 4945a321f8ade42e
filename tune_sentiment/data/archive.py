"""Read the layout of the Large Movie Review Dataset, `{train,test}/{pos,neg}/*.txt`, from a folder or its .tar.gz."""

import gzip
import re
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from tune_sentiment.data.reviews import MAX_REVIEW_CHARS, Review, counted, decode, shown, too_long
from tune_sentiment.errors import DataError

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz")

MAX_UNPACKED_BYTES = 8 << 30
MAX_RATIO = 200
"""Unpacked to packed bytes; the official archive has 4."""
_NO_BOMB_BYTES = 64 << 20
"""Below this the ratio does not matter."""
_LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_MAX_HEADER_BYTES = 1 << 16
_MAX_REVIEW_BYTES = 4 * MAX_REVIEW_CHARS

_MEMBER = re.compile(r"(?:\./)*(?:aclImdb/)?(?P<key>(?P<part>train|test)/(?P<label>pos|neg)/[^/.][^/]*\.txt)")


def read_archive(path: Path, problems: list[str]) -> Iterator[Review]:
    """Yield the reviews of an aclImdb .tar.gz, member by member; nothing is unpacked to disk.

    Raises:
        DataError: if it is no such archive, is cut short or damaged, unpacks to far too much, or holds a member that
            has no business in it: an absolute path, a path with `..`, a link or a device.
    """
    packed = path.stat().st_size
    limit = min(MAX_UNPACKED_BYTES, max(_NO_BOMB_BYTES, MAX_RATIO * packed))
    converted = 0
    seen: set[str] = set()
    try:
        with gzip.open(path) as unpacked:
            with tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_CheckedHeader) as archive:
                for member in archive:
                    archive.members.clear()  # type: ignore[attr-defined]  # or it keeps every header it has seen
                    _refuse_strange(member, path)
                    if member.offset_data + member.size > limit:
                        raise _bomb(path, limit)
                    match = _MEMBER.fullmatch(member.name)
                    content = archive.extractfile(member) if match and member.isreg() else None
                    if match is None or content is None:
                        continue
                    if member.size > _MAX_REVIEW_BYTES:
                        raise too_long(f"{member.name} in {path}")
                    if match["key"] in seen:
                        raise DataError(
                            f"an archive must hold a file once: {path} repeats {member.name}: pack it again."
                        )
                    seen.add(match["key"])
                    text, was_converted = decode(content.read(), f"{member.name} in {path}")
                    converted += was_converted
                    yield Review(text, match["label"], match["part"] == "test", match["key"])
            _read_to_the_end(unpacked, path, limit)
    except (
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
        tarfile.TarError,
        ValueError,
        RecursionError,
        OverflowError,
    ) as error:
        raise DataError(f"an archive must be whole: {path}: {error}: get it again.") from None
    if not seen:
        raise DataError(
            f"an archive must hold train/pos/*.txt and train/neg/*.txt: {path} has none: give the aclImdb archive."
        )
    if converted:
        problems.append(f"Read {counted(converted)} as Windows-1252, not being UTF-8.")


def folders(path: Path) -> list[Path]:
    """Return the folders of an unpacked aclImdb folder that its reviews are in, whether or not they are there."""
    return [path / part / label for part in ("train", "test") for label in ("pos", "neg")]


def read_folder(path: Path, problems: list[str]) -> Iterator[Review]:
    """Yield the reviews of an unpacked aclImdb folder, the one that holds `train`.

    Raises:
        DataError: if a file is binary or longer than any review can be.
    """
    converted = 0
    for folder in folders(path):
        part, label = folder.parts[-2:]
        for file in sorted(folder.glob("[!.]*.txt")):
            status = file.stat()
            if not stat.S_ISREG(status.st_mode):
                continue
            if status.st_size > _MAX_REVIEW_BYTES:
                raise too_long(str(file))
            text, was_converted = decode(file.read_bytes(), str(file))
            converted += was_converted
            yield Review(text, label, part == "test", f"{part}/{label}/{file.name}")
    if converted:
        problems.append(f"Read {counted(converted)} as Windows-1252, not being UTF-8.")


class _CheckedHeader(tarfile.TarInfo):
    """A header that refuses, before tarfile reads them into memory, names and attributes of any length."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_CheckedHeader":
        header = super().frombuf(buf, encoding, errors)
        if header.type in _LONG_HEADERS and header.size > _MAX_HEADER_BYTES:
            raise DataError(
                f"an archive's headers must be at most {_MAX_HEADER_BYTES:,} bytes: one claims {header.size:,}: "
                "get the archive again."
            )
        return header


def _refuse_strange(member: tarfile.TarInfo, path: Path) -> None:
    if member.name.startswith(("/", "\\")) or (".." in member.name and ".." in re.split(r"[/\\]", member.name)):
        reason = "must stay below its folder"
    elif not (member.isreg() or member.isdir()) or member.issparse():
        reason = "must hold plain files only, no links or devices"
    else:
        return
    raise DataError(f"an archive {reason}: {path} holds {shown(member.name)}: get it from where you trust.")


def _read_to_the_end(unpacked: gzip.GzipFile, path: Path, limit: int) -> None:
    """Read what follows the last member: only at its very end does gzip find out that the archive is damaged."""
    while unpacked.read(1 << 20):
        if unpacked.tell() > limit:
            raise _bomb(path, limit)


def _bomb(path: Path, limit: int) -> DataError:
    return DataError(
        f"an archive of this size must unpack to at most {limit:,} bytes: {path} claims more: "
        "unpack it yourself and give the folder."
    )
