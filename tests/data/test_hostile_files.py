"""Every kind of file with every kind of damage: read or refused in one sentence, in little memory and time."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.small_corpora import layout, made_up, pack, unpack
from tune_sentiment.data import encoding
from tune_sentiment.data.dataset import load_dataset
from tune_sentiment.errors import DataError

REVIEWS = [review._replace(text=review.text.replace("review", "café")) for review in made_up(60)]

Damage = Callable[[str], bytes]

DAMAGE: dict[str, tuple[Damage, str]] = {
    "empty": (lambda text: b"", "must hold reviews: .* is empty: give another"),
    "byte-order mark alone": (lambda text: b"\xef\xbb\xbf", "must hold reviews: .* none with a word: give another"),
    "UTF-16 mark alone": (lambda text: b"\xff\xfe", "must hold reviews: .* none with a word: give another"),
    "NUL bytes": (lambda text: text.encode() + b"\0", r"must be text: .* is binary \(it holds NUL bytes\)"),
    "binary": (lambda text: bytes(range(256)) * 4000, "must be text: .* is binary"),
    "UTF-16 without a mark": (lambda text: text.encode("utf-16-le"), "must be text: .* is binary"),
    "UTF-32": (lambda text: text.encode("utf-32"), "must be text: .* is binary"),
    "a line of 3 million": (lambda text: text.encode() + b"x " * 1_500_000, "at most 1,000,000 characters: line 6"),
    "UTF-8": (str.encode, ""),
    "UTF-8 with a mark": (lambda text: text.encode("utf-8-sig"), ""),
    "UTF-16": (lambda text: text.encode("utf-16"), ""),
    "Latin-1": (lambda text: text.encode("latin-1"), ""),
    "CR": (lambda text: text.replace("\n", "\r").encode(), ""),
    "CRLF": (lambda text: text.replace("\n", "\r\n").encode(), ""),
    "no last line end": (lambda text: text.rstrip("\n").encode(), ""),
}


def in_format(kind: str) -> str:
    if kind == "jsonl":
        lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label, *_ in REVIEWS]
    else:
        separator = {"csv": ",", "tsv": "\t"}[kind]
        lines = [separator.join(row) for row in [("text", "label"), *(review[:2] for review in REVIEWS)]]
    return "".join(f"{line}\n" for line in lines)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_table_with_every_damage_is_read_or_refused(tmp_path: Path, kind: str, damage: str) -> None:
    write, message = DAMAGE[damage]
    (tmp_path / f"a.{kind}").write_bytes(write(in_format(kind)))
    expect_read_or_refused(tmp_path / f"a.{kind}", message)


@pytest.mark.parametrize("damaged", ["reviews.txt", "labels.txt"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_the_course_folder_with_every_damage_is_read_or_refused(tmp_path: Path, damaged: str, damage: str) -> None:
    write, message = DAMAGE[damage]
    texts = {
        "reviews.txt": "".join(f"{review.text}\n" for review in REVIEWS),
        "labels.txt": "".join(f"{review.label}\n" for review in REVIEWS),
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(write(text) if name == damaged else text.encode())
    if "mark alone" in damage:
        message = "must have as many lines: .* has (0 reviews and 60|60 reviews and 0) labels"
    expect_read_or_refused(tmp_path, message)


def expect_read_or_refused(source: Path, message: str) -> None:
    if message:
        with pytest.raises(DataError, match=message) as refusal:
            load_dataset(str(source))
        assert str(refusal.value).isprintable() and len(str(refusal.value)) < 600
    else:
        dataset = load_dataset(str(source))
        assert sum(map(len, dataset.splits.values())) == 60
        assert "café" in dataset.vocabulary.words


def test_a_terminal_is_safe_from_what_a_file_says(tmp_path: Path) -> None:
    for content in ("te\x1b[2Jxt,label\nx,1\n", "text,label\nx,\x1b[31mpos\n", "text,label\nx,y\x07\n"):
        (tmp_path / "a.csv").write_text(content)
        with pytest.raises(DataError) as refusal:
            load_dataset(str(tmp_path / "a.csv"))
        assert str(refusal.value).isprintable()


def test_a_dangling_link_in_a_folder_is_named(tmp_path: Path) -> None:
    unpack(tmp_path, layout(REVIEWS))
    (tmp_path / "aclImdb" / "train" / "pos" / "broken_1.txt").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"must be readable: .*broken_1\.txt: No such file or directory"):
        load_dataset(str(tmp_path))


def test_more_different_words_than_any_model_may_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text(in_format("csv"))
    monkeypatch.setattr(encoding, "MAX_WORDS", 20)
    with pytest.raises(DataError, match=r"at most 20 different ones .*a\.csv has more, such as 'café', 'number16'"):
        load_dataset(str(tmp_path / "a.csv"))
    monkeypatch.setattr(encoding, "MAX_WORDS", 4_000_000)
    monkeypatch.setattr(encoding, "MAX_FILE_BYTES", 100)
    with pytest.raises(DataError, match=r"in 100 characters: .*a\.csv has more"):
        load_dataset(str(tmp_path / "a.csv"))


def line_of_100_megabytes(folder: Path) -> Path:
    with open(folder / "line.csv", "wb") as file:
        file.write(b"text,label\ngood,1\n")
        for _ in range(100):
            file.write(b"x " * 500_000)
    return folder / "line.csv"


def parquet_of_repeated_long_texts(folder: Path) -> Path:
    texts, labels = pa.array(["y " * 499_000] * 100), pa.array([1, 0] * 50)
    pq.write_table(pa.table({"text": texts, "label": labels}), folder / "long.parquet", compression="zstd")
    return folder / "long.parquet"


def parquet_of_repeated_short_texts(folder: Path) -> Path:
    table = pa.table({"text": pa.array(["good film " * 100] * 400_000), "label": pa.array([1, 0] * 200_000)})
    pq.write_table(table, folder / "short.parquet", compression="zstd")
    return folder / "short.parquet"


def parquet_of_long_labels(folder: Path) -> Path:
    pq.write_table(pa.table({"text": ["good"] * 100, "label": ["y " * 499_000] * 100}), folder / "label.parquet")
    return folder / "label.parquet"


def archive_of_repeated_texts(folder: Path) -> Path:
    return pack(folder / "a.tar.gz", {f"train/pos/{number}_9.txt": b"good " * 150_000 for number in range(95)})


def json_of_brackets(folder: Path) -> Path:
    (folder / "deep.jsonl").write_text("[" * 900_000 + "\n")
    return folder / "deep.jsonl"


def json_of_many_names(folder: Path) -> Path:
    (folder / "names.jsonl").write_text("{" + ",".join(f'"{number}":1' for number in range(90_000)) + "}\n")
    return folder / "names.jsonl"


def table_of_many_columns(folder: Path) -> Path:
    (folder / "wide.csv").write_text(",".join(["x"] * 499_000) + "\n")
    return folder / "wide.csv"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the memory from /proc")
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (line_of_100_megabytes, "at most 1,000,000 characters: line 3 of"),
        (parquet_of_repeated_long_texts, "at most 10 times the space of their packed file"),
        (parquet_of_repeated_short_texts, "at most 10 times the space of their packed file"),
        (parquet_of_long_labels, "labels must be known: 'y y y"),
        (archive_of_repeated_texts, "must unpack to at most 67,108,864 bytes"),
        (json_of_brackets, "nested too deeply"),
        (json_of_many_names, "must have a text column"),
        (table_of_many_columns, "must have a text column"),
    ],
)
def test_a_bomb_is_refused_by_the_command_in_little_memory(
    tmp_path: Path, write: Callable[[Path], Path], message: str
) -> None:
    program = (
        "import sys\n"
        "from tune_sentiment.cli import main\n"
        "sys.argv = ['tune-sentiment', 'data', sys.argv[1]]\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(write(tmp_path))], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert int(done.stdout) * 1024 < 600e6
