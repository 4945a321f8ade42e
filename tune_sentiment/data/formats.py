"""Recognise a SOURCE by what it holds and open it as a stream of labelled reviews."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TypedDict

from tune_sentiment.data.archive import ARCHIVE_SUFFIXES, folders, read_archive, read_folder
from tune_sentiment.data.reviews import Review, Source, lines, listed, shown
from tune_sentiment.data.tables import TABLE_SUFFIXES, read_table
from tune_sentiment.errors import DataError

KINDS = (
    "`demo`, `imdb`, an aclImdb folder or .tar.gz, a folder with reviews.txt and labels.txt, "
    "X.pos with X.neg, or a .csv, .tsv, .jsonl or .parquet file"
)

MAX_TEXT_RATIO = 10
"""Characters of all reviews to bytes of their packed file; real reviews reach 4."""
_NO_BOMB_CHARS = 64 << 20
"""Up to which the ratio does not matter."""
_PACKED_SUFFIXES = (*ARCHIVE_SUFFIXES, ".parquet")

_HALVES = (".pos", ".neg")
_MAX_LISTED = 10
_COURSE_FILES = ("reviews.txt", "labels.txt")


class SourceOptions(TypedDict, total=False):
    """The options of `open_source`, for those who pass them on."""

    text_column: str | None
    label_column: str | None
    data_url: str | None
    data_sha256: str | None
    cache_folder: str | Path | None


def open_source(
    source: str,
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    data_url: str | None = None,
    data_sha256: str | None = None,
    cache_folder: str | Path | None = None,
) -> Source:
    """Return the reviews of `source` (one of KINDS), unread.

    Args:
        source: `demo`, `imdb` or a path; a folder that is itself called demo is given as ./demo.
        text_column: the column of a table that holds the texts, if its name does not tell.
        label_column: the column of a table that holds the labels, if its name does not tell.
        data_url: where `imdb` is downloaded from instead of its official place.
        data_sha256: what the file at `data_url` must hash to, if it is not the official archive.
        cache_folder: where downloads are kept instead of the platform's cache folder.

    Raises:
        DataError: if it is missing, nothing that is known, or could be several things.
    """
    if (data_url or data_sha256) and source != "imdb":
        raise DataError(f"only `imdb` is downloaded: {shown(source, 300)} is not: leave `--data-url` out.")
    problems: list[str] = []
    paths: tuple[Path, ...] = ()
    if source == "demo":
        from tune_sentiment.data.demo import demo_reviews

        name, place, reviews = "demo (generated)", "demo", iter(demo_reviews())
    elif source == "imdb":
        from tune_sentiment.data.download import download_imdb

        archive = download_imdb(data_url, data_sha256, cache_folder)
        name, place, reviews = "imdb", str(archive), _not_swollen(read_archive(archive, problems), archive)
        paths = (archive,)
    else:
        path = _recognise(source)
        paths = _paths_of(path)
        name, place = _name_of(path), source
        if path.is_file() and path.suffix.lower() in TABLE_SUFFIXES:
            reviews = read_table(path, problems, text_column, label_column)
            text_column = label_column = None
        else:
            reviews = _read(path, problems)
        if path.is_file() and path.name.lower().endswith(_PACKED_SUFFIXES):
            reviews = _not_swollen(reviews, path)
    if text_column or label_column:
        raise DataError(
            f"only tables have columns: {shown(source, 300)} is none: leave `--text-column` and `--label-column` out."
        )
    return Source(name, place, _readable(reviews, place), problems, source == "demo", paths)


def _readable(reviews: Iterator[Review], place: str) -> Iterator[Review]:
    try:
        yield from reviews
    except OSError as error:
        raise _unreadable(place, error) from None


def _not_swollen(reviews: Iterator[Review], packed: Path) -> Iterator[Review]:
    """Pass reviews on for as long as a file of this size may hold them; Parquet can repeat a text for nothing."""
    limit = max(_NO_BOMB_CHARS, MAX_TEXT_RATIO * packed.stat().st_size)
    num_chars = 0
    for review in reviews:
        num_chars += len(review.text)
        if num_chars > limit:
            raise DataError(
                f"reviews may take at most {MAX_TEXT_RATIO} times the space of their packed file, or "
                f"{_NO_BOMB_CHARS:,} characters: {packed} holds more: unpack it, or write it as .csv."
            )
        yield review


def _unreadable(place: str, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or error
    file = getattr(error, "filename", None)
    return DataError(f"a source must be readable: {file or place}: {reason}: check the path and its permissions.")


def _recognise(source: str) -> Path:
    """Return the one file or folder that `source` means; of a pair its .pos, of the course's folder reviews.txt."""
    if "\0" in source or not source.strip():
        raise DataError(f"a source must be a name or a path: {shown(source)} is neither: give {KINDS}.")
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            return _recognise_folder(path)
        if path.suffix in _HALVES or (not path.exists() and any(Path(f"{path}{half}").exists() for half in _HALVES)):
            return _whole_pair(path)
        if not path.exists():
            raise DataError(f"a source must exist: {path} does not: give {KINDS}.")
        if not path.is_file():
            raise DataError(f"a source must be a file or a folder: {path} is neither: give {KINDS}.")
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user that there is not
        raise _unreadable(source, error) from None
    if path.name in _COURSE_FILES:
        return path.with_name("reviews.txt")
    if not _is_known(path):
        raise DataError(f"a source must be of a known kind: {path} is of none: give {KINDS}.")
    return path


def _recognise_folder(folder: Path) -> Path:
    found = [place for place in (folder, folder / "aclImdb") if (place / "train" / "pos").is_dir()]
    files = sorted(file for file in folder.iterdir() if file.is_file())
    if any(file.name in _COURSE_FILES for file in files):
        found.append(folder / "reviews.txt")
    found += sorted({file.with_suffix(".pos") for file in files if file.suffix in _HALVES})
    found += [file for file in files if _is_known(file)]
    if not found:
        names = listed([file.name for file in files]) or "no files"
        raise DataError(f"a folder must hold a source of a known kind: {folder} holds {names}: give {KINDS}.")
    if len(found) > 1:
        paths = ", ".join(f"'{candidate}'" for candidate in found[:_MAX_LISTED])
        more = f" and {len(found) - _MAX_LISTED:,} more" if len(found) > _MAX_LISTED else ""
        raise DataError(f"a folder must hold one source: {folder} holds {paths}{more}: give one of these paths.")
    return found[0]


def _is_known(file: Path) -> bool:
    return file.name.lower().endswith((*TABLE_SUFFIXES, *ARCHIVE_SUFFIXES))


def _whole_pair(path: Path) -> Path:
    stem = path.with_suffix("") if path.suffix in _HALVES else path
    for half in _HALVES:
        if not Path(f"{stem}{half}").is_file():
            raise DataError(f"a .pos and a .neg file belong together: {stem}{half} is missing: put it there.")
    return Path(f"{stem}.pos")


def _name_of(path: Path) -> str:
    if path.name == "reviews.txt":
        return path.resolve().parent.name
    return path.stem if path.suffix == ".pos" else path.resolve().name


def _paths_of(path: Path) -> tuple[Path, ...]:
    if path.is_dir():
        return tuple(folders(path))
    if path.name == "reviews.txt":
        return (path, path.with_name("labels.txt"))
    return (path, path.with_suffix(".neg")) if path.suffix == ".pos" else (path,)


def _read(path: Path, problems: list[str]) -> Iterator[Review]:
    if path.is_dir():
        return read_folder(path, problems)
    if path.name == "reviews.txt":
        return _read_course_folder(path, path.with_name("labels.txt"), problems)
    if path.suffix == ".pos":
        return _read_pair(_whole_pair(path), path.with_suffix(".neg"), problems)
    return read_archive(path, problems)


def _read_pair(pos: Path, neg: Path, problems: list[str]) -> Iterator[Review]:
    for label, half in (("pos", pos), ("neg", neg)):
        for line in lines(half, problems):
            yield Review(line, label)


def _read_course_folder(reviews: Path, labels: Path, problems: list[str]) -> Iterator[Review]:
    """Yield the reviews of reviews.txt with the labels of labels.txt, blank lines at the end do not count."""
    for file in (reviews, labels):
        if not file.is_file():
            raise DataError(f"reviews.txt and labels.txt belong together: {file} is missing: put it there.")
    num_texts = num_labels = 0
    is_unpaired = False
    for text, label in zip_longest(lines(reviews, problems), lines(labels, problems)):
        num_texts += text is not None
        num_labels += label is not None
        if text is not None and label is not None:
            yield Review(text, label)
        else:
            is_unpaired = is_unpaired or bool((text or label or "").strip())
    if is_unpaired:
        raise DataError(
            f"reviews.txt and labels.txt must have as many lines: {reviews.parent} has {num_texts:,} reviews and "
            f"{num_labels:,} labels: give each review its label."
        )
