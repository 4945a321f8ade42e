"""Read reviews from tables: CSV, TSV, JSON Lines and Parquet, a few rows at a time."""

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tune_sentiment.data.reviews import MAX_REVIEW_CHARS, Review, lines, listed, shown, too_long
from tune_sentiment.errors import DataError

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

TEXT_COLUMNS = (
    "text", "review", "reviews", "review_text", "reviewtext", "review_body", "sentence", "content", "comment", "body",
    "message", "tweet", "phrase", "document",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "labels", "sentiment", "polarity", "rating", "stars", "star_rating", "score", "overall", "class", "target",
)  # fmt: skip

_END = "\0"
"""A last row of our own, which no text file can hold: if it ends up inside a field, a quote was never closed."""

_PARQUET_ROWS = 32
"""Rows decoded at once: few, because a small file can claim a long text in every row."""
_MAX_PARQUET_RATIO, _MIN_BOMB_BYTES = 200, 16 << 20


def read_table(
    path: Path, problems: list[str], text_column: str | None = None, label_column: str | None = None
) -> Iterator[Review]:
    """Yield the reviews of a table, whose kind its suffix tells.

    Raises:
        DataError: if the file is no such table, or its columns cannot be told.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _read_parquet(path, text_column, label_column)
    if suffix == ".jsonl":
        return _read_jsonl(path, problems, text_column, label_column)
    return _read_csv(path, problems, text_column, label_column)


def find_columns(
    names: Sequence[str], text_column: str | None, label_column: str | None, place: str
) -> tuple[str, str]:
    """Return the names of the text and the label column.

    Raises:
        DataError: if either is missing, doubled, or could be several.
    """
    return (
        _find_column(names, text_column, TEXT_COLUMNS, "text", place),
        _find_column(names, label_column, LABEL_COLUMNS, "label", place),
    )


def _find_column(names: Sequence[str], wanted: str | None, known: Sequence[str], role: str, place: str) -> str:
    if wanted is not None:
        found = [name for name in names if name == wanted]
    else:
        found = [name for name in names if name.strip().lower() in known]
    if len(found) == 1:
        return found[0]
    option = f"--{role}-column"
    if not found:
        rule = (
            f"a table must have the {role} column {shown(wanted)}" if wanted else f"a table must have a {role} column"
        )
        raise DataError(f"{rule}: {place} has {listed(list(names), 8)}: name one of them with `{option}`.")
    if len(set(found)) < len(found):
        raise DataError(f"a column must stand in a table once: {place} has {listed(found)}: rename one of them.")
    raise DataError(f"the {role} column must be clear: {place} has {listed(found)}: name one with `{option}`.")


def _read_csv(path: Path, problems: list[str], text_column: str | None, label_column: str | None) -> Iterator[Review]:
    # The module's own limit is one for the whole process; only ever raised, so that nobody else's reading breaks.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_REVIEW_CHARS))
    content = lines(path, problems, newline="")
    header = next(content, "")  # none: a file of a byte-order mark alone
    rows = csv.reader(chain([header], content, [_END]), delimiter=_delimiter(path, header))
    text = label = width = 0
    start = 1
    try:
        for row in rows:
            if row == [_END]:
                return
            if row and row[-1].endswith(_END):
                raise DataError(f"quotes must be closed: {path}, the one opened in line {start:,} never is: close it.")
            if row and not width:
                text, label = map(row.index, find_columns(row, text_column, label_column, str(path)))
                width = len(row)
            elif row and len(row) != width:
                raise DataError(
                    f"every row must have the {width} columns of the first: {path}, line {start:,}, has {len(row)}: "
                    "quote the texts that hold the separator."
                )
            elif row:
                yield Review(row[text], row[label])
            start = rows.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"a table must be readable: {path}, from line {start:,}: {error}: close the quotes and cut long texts."
        ) from None


def _delimiter(path: Path, header: str) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)


def _read_jsonl(path: Path, problems: list[str], text_column: str | None, label_column: str | None) -> Iterator[Review]:
    columns: tuple[str, str] | None = None
    for number, line in enumerate(lines(path, problems), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number:,}"
        try:
            row = json.loads(line, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            reason = error if isinstance(error, ValueError) else "nested too deeply"
            raise DataError(f"every line must be a JSON object: {place}: {reason}: mend it.") from None
        if not isinstance(row, dict):
            raise DataError(f"every line must be a JSON object: {place}: {shown(line.strip())}: mend it.")
        text, label = columns = columns or find_columns(list(row), text_column, label_column, place)
        if text not in row:
            raise DataError(f"every line must have {shown(text)}: {place} has {listed(list(row))}: mend it.")
        yield Review(_cell(row[text], place), _cell(row.get(label), place))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a name stands in it twice")
    return row


def _cell(value: Any, place: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, (str, int, float)):
        raise DataError(f"a text or label must be text or a number: {place}: {shown(value)}: write it as text.")
    text = str(value)
    # JSON can spell half of a character outside the basic plane, which no file can hold.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _read_parquet(path: Path, text_column: str | None, label_column: str | None) -> Iterator[Review]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            names = [field.name for field in table.schema_arrow]
            columns = find_columns(names, text_column, label_column, str(path))
            text_type = table.schema_arrow.field(columns[0]).type
            is_dictionary = pa.types.is_dictionary(text_type)
            value_type = text_type.value_type if is_dictionary else text_type
            if not (pa.types.is_string(value_type) or pa.types.is_large_string(value_type)):
                raise DataError(
                    f"the text column must hold text: {shown(columns[0])} of {path} is {text_type}: convert it."
                )
            _refuse_bomb(table.metadata, path)
            # A dictionary's texts come once per batch, however often they are used.
            for batch in table.iter_batches(65_536 if is_dictionary else _PARQUET_ROWS, columns=list(columns)):
                texts, labels = batch.column(columns[0]), batch.column(columns[1]).to_pylist()
                values = texts.dictionary if is_dictionary else texts
                if (pc.max(pc.binary_length(values)).as_py() or 0) > 4 * MAX_REVIEW_CHARS:
                    raise too_long(str(path))
                for text, label in zip((value.as_py() for value in texts), labels, strict=True):
                    yield Review(_cell(text, str(path)), _cell(label, str(path)))
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        if isinstance(error, OSError) and error.errno is not None:  # of the disk; Arrow's own carry no number
            raise
        raise DataError(f"a Parquet file must be whole: {path}: {shown(error, 200)}: write it again.") from None


def _refuse_bomb(metadata: Any, path: Path) -> None:
    unpacked = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if unpacked > max(_MIN_BOMB_BYTES, _MAX_PARQUET_RATIO * path.stat().st_size):
        raise DataError(
            f"a Parquet file must unpack to at most {_MAX_PARQUET_RATIO} times its size: {path} claims {unpacked:,} "
            "bytes: write it again without compression."
        )
