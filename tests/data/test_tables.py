"""Reviews from CSV, TSV, JSON Lines and Parquet."""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_sentiment.data.reviews import MAX_REVIEW_CHARS
from tune_sentiment.data.tables import read_table
from tune_sentiment.errors import DataError

TEXTS = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5)


def read(path: Path, **columns: str) -> list[tuple[str, str]]:
    return [(text, label) for text, label, *_ in read_table(path, [], **columns)]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"good, really ""good""",1\n"two\nlines",0\n'),
        ("a.csv", 'id;Review;Sentiment\n1;good, really "good";1\n\n2;"two\nlines";0\n'),
        ("a.CSV", '\ufefftext,label\r\n"good, really ""good""",1\r\n"two\nlines",0\r\n'),
        ("a.tsv", 'label\tsentence\n1\t"good, really ""good"""\n0\t"two\nlines"'),
        ("a.jsonl", '{"text": "good, really \\"good\\"", "stars": 1}\n\n{"stars": 0, "text": "two\\nlines"}\n'),
    ],
)
def test_every_kind_of_table_reads_the_same(tmp_path: Path, name: str, content: str) -> None:
    assert read(written(tmp_path, name, content)) == [('good, really "good"', "1"), ("two\nlines", "0")]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_all_line_ends_end_a_row(tmp_path: Path, end: str) -> None:
    content = end.join(["text,label", "good,1", "bad,0", ""])
    assert read(written(tmp_path, "a.csv", content)) == [("good", "1"), ("bad", "0")]


def test_tables_in_utf16_and_latin1_are_read(tmp_path: Path) -> None:
    content = "text,label\nun café,pos\n"
    assert read(written(tmp_path, "a.csv", content.encode("utf-16"))) == [("un café", "pos")]
    problems: list[str] = []
    old = written(tmp_path, "old.csv", content.encode("latin-1"))
    assert [review.text for review in read_table(old, problems)] == ["un café"]
    assert problems == ["old.csv is not UTF-8 and was read as Windows-1252."]


@settings(deadline=None)
@given(TEXTS)
def test_any_text_survives_csv_json_and_parquet(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with open(Path(folder) / "a.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *((text, "pos") for text in texts)])
        with open(Path(folder) / "a.jsonl", "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"text": text, "label": "pos"}) + "\n" for text in texts)
        pq.write_table(pa.table({"text": texts, "label": ["pos"] * len(texts)}), Path(folder) / "a.parquet")
        for name in ("a.csv", "a.jsonl", "a.parquet"):
            assert read(Path(folder) / name) == [(text, "pos") for text in texts], name


@pytest.mark.parametrize("labels", [[1, 0], [1.0, 0.0], [True, False], ["1", "0"], [1, None]])
def test_labels_of_every_type_are_spelled_out(tmp_path: Path, labels: list[Any]) -> None:
    pq.write_table(pa.table({"text": ["good", "bad"], "label": labels}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(
        "".join(
            json.dumps({"text": text, "label": label}) + "\n"
            for text, label in zip(("good", "bad"), labels, strict=True)
        )
    )
    spelled = [("good", str(labels[0])), ("bad", "" if labels[1] is None else str(labels[1]))]
    assert read(tmp_path / "a.jsonl") == spelled
    assert read(tmp_path / "a.parquet") == spelled


def test_a_parquet_column_of_categories_is_read(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["good", "bad", "good"]).dictionary_encode(), "label": [1, 0, 1]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [("good", "1"), ("bad", "0"), ("good", "1")]


def test_half_of_a_character_in_json_is_replaced(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a.jsonl", '{"text": "broken \\ud83d heart", "label": 1}\n')) == [
        ("broken ? heart", "1")
    ]


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text,text2,label,mood\nwrong,good,9,1\n")
    assert read(path, text_column="text2", label_column="mood") == [("good", "1")]


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        ("id,label", {}, r"must have a text column: .*a\.csv has 'id', 'label': name one of them with `--text-column`"),
        ("text,id", {}, r"must have a label column: .*a\.csv has 'text', 'id': name one of them with `--label-column`"),
        ("text,label", {"text_column": "words"}, "must have the text column 'words': .* has 'text', 'label'"),
        ("text,review,label", {}, "text column must be clear: .* has 'text', 'review': name one with `--text-column`"),
        ("text,stars,label", {}, "label column must be clear: .* has 'stars', 'label': name one with `--label-column`"),
        ("text,label,text", {}, "must stand in a table once: .* has 'text', 'text': rename one"),
        ("text,mood,mood", {"label_column": "mood"}, "must stand in a table once: .* has 'mood', 'mood'"),
    ],
)
def test_columns_that_cannot_be_told_are_refused(
    tmp_path: Path, header: str, columns: dict[str, str], message: str
) -> None:
    row = ",".join("x" for _ in header.split(","))
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, "a.csv", f"{header}\n{row}\n"), **columns)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'text,label\ngood,1\n"never closed,0\nmore,', "must be closed: .*, the one opened in line 3 never"),
        ("a.csv", 'text,label\ngood,1\n"a,0\n' + "more,1\n" * 200_000, "from line 3: field larger than field limit"),
        ("a.csv", "text,label\ngood,1\ngood, really,1\n", r"the 2 columns of the first: .*, line 3, has 3: quote the"),
        ("a.csv", "text,label\ngood\n", r"the 2 columns of the first: .*, line 2, has 1"),
        ("a.csv", "text,label\ngo\0d,1\n", "is binary"),
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n" + "x" * 1_000_001, "line 2 of .* has more"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"', r"must be a JSON object: .*, line 2: Expecting"),
        ("a.jsonl", '["a", 1]\n', r"""must be a JSON object: .*, line 1: '\["a", 1\]': mend it"""),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"label": 0}\n', "must have 'text': .*, line 2 has 'label': mend it"),
        ("a.jsonl", '{"text": "a", "text": "b", "label": 1}\n', "line 1: a name stands in it twice"),
        ("a.jsonl", '{"text": ["a"], "label": 1}\n', r"must be text or a number: .*, line 1: .*'a'"),
        ("a.jsonl", "[" * 100_000 + "\n", "line 1: nested too deeply"),
        ("a.jsonl", '{"text": "a", "label": ' + "9" * 5000 + "}\n", "line 1: Exceeds the limit"),
        ("a.parquet", "", "must be whole: .*a.parquet"),
        ("a.parquet", "PAR1 and then nothing", "must be whole: .*a.parquet"),
    ],
)  # fmt: skip
def test_broken_tables_are_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(written(tmp_path, name, content))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_parquet_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": [f"text {n}" for n in range(5000)], "label": [n % 2 for n in range(5000)]}),
        tmp_path / "a.parquet",
    )
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="Parquet file must be whole"):
        read(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(whole[:1000] + b"\xff" * 2000 + whole[3000:])
    with pytest.raises(DataError, match="Parquet file must be whole"):
        read(tmp_path / "a.parquet")


def test_text_in_parquet_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    damaged = pa.array([b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"text": damaged, "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="Parquet file must be whole"):
        read(tmp_path / "a.parquet")


def test_a_parquet_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2], "label": [1, 0]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"text column must hold text: 'text' of .* is int64: convert it"):
        read(tmp_path / "a.parquet")


def test_a_parquet_bomb_is_refused_unread(tmp_path: Path) -> None:
    one = pa.array(["y" * 20_000_000])
    table = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 100_000), one), "label": [1] * 100_000})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    assert (tmp_path / "a.parquet").stat().st_size < 10_000
    with pytest.raises(DataError, match=r"at most 200 times its size: .* claims [0-9,]+ bytes"):
        read(tmp_path / "a.parquet")


def test_a_text_in_parquet_longer_than_any_review_is_refused(tmp_path: Path) -> None:
    texts = ["good", "x" * (4 * MAX_REVIEW_CHARS + 1)]
    for column in (pa.array(texts), pa.array(texts).dictionary_encode()):
        pq.write_table(pa.table({"text": column, "label": [1, 0]}), tmp_path / "a.parquet")
        with pytest.raises(DataError, match=r"at most 1,000,000 characters: .*a\.parquet"):
            read(tmp_path / "a.parquet")
