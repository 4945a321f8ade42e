"""The cache of encoded sources: found when nothing has changed, and never a reason to be wrong."""

import os
import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tests.data.cached import Reader, csv
from tests.data.small_corpora import layout, made_up, pack, unpack, write_pair
from tests.test_planted_pickles import Planted
from tune_sentiment.data import cache, dataset
from tune_sentiment.data.dataset import Dataset


def assert_same(one: Dataset, other: Dataset) -> None:
    for part in fields(Dataset):
        if part.name not in ("train", "validation", "test"):
            assert getattr(one, part.name) == getattr(other, part.name)
    for mine, theirs in zip(one.splits.values(), other.splits.values(), strict=True):
        for name in ("token_ids", "offsets", "labels"):
            left, right = getattr(mine, name), getattr(theirs, name)
            assert left.dtype == right.dtype and np.array_equal(left, right) and right.flags.writeable
    assert dataset._fingerprint(other.vocabulary, list(other.splits.values())) == one.fingerprint


SOURCES: dict[str, Callable[[Path], str | Path]] = {
    "demo": lambda folder: "demo",
    "pair": lambda folder: write_pair(folder / "mine", [*made_up(60), *made_up(60)]),
    "folder": lambda folder: unpack(folder / "f", layout(made_up(60)) | layout(made_up(20), "test")),
    "archive": lambda folder: pack(folder / "a.tar.gz", layout(made_up(60)) | layout(made_up(20), "test")),
    "table": csv,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_second_start_reads_the_cache_and_finds_the_same(read: Reader, tmp_path: Path, kind: str) -> None:
    source = SOURCES[kind](tmp_path)
    was_read, first = read(source)
    assert was_read
    was_read, second = read(source)
    assert not was_read
    assert_same(first, second)


def rewritten(folder: Path) -> None:
    path = csv(folder)
    before = path.stat()
    csv(folder, "fine")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as long, as old, and another


def replaced(folder: Path) -> None:
    path = csv(folder)
    before = path.stat()
    (folder / "new").mkdir()
    csv(folder / "new", "fine").replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [rewritten, replaced])
def test_another_content_of_the_same_name_size_and_date_is_read(
    read: Reader, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    read(csv(tmp_path))
    change(tmp_path)
    was_read, loaded = read(tmp_path / "a.csv")
    assert was_read
    assert loaded.vocabulary.words[0] == "fine"


def test_a_file_more_in_a_folder_is_noticed(read: Reader, tmp_path: Path) -> None:
    source = unpack(tmp_path / "f", layout(made_up(60)))
    read(source)
    unpack(source, {"aclImdb/train/pos/999_9.txt": b"one more"})
    was_read, loaded = read(source)
    assert was_read
    assert sum(map(len, loaded.splits.values())) == 61


def test_a_file_under_another_name_is_told_of_by_that_name(read: Reader, tmp_path: Path) -> None:
    csv(tmp_path, "café").write_bytes((tmp_path / "a.csv").read_text().encode("latin-1"))
    (tmp_path / "b.csv").symlink_to("a.csv")
    for name in ("a.csv", "b.csv"):
        was_read, loaded = read(tmp_path / name)
        assert was_read and loaded.problems[0].startswith(f"{name} is not UTF-8")
        assert not read(tmp_path / name)[0]


def test_options_code_and_versions_are_part_of_the_key(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = csv(tmp_path)
    assert read(source)[0]
    assert read(source, split_seed=1)[0]
    assert read(source, text_column="text")[0]
    assert not read(source)[0]
    with monkeypatch.context() as patch:
        patch.setattr(cache, "version", lambda name: "0")
        assert read(source)[0]
    code = tmp_path / "code"
    code.mkdir()
    for file in Path(cache.__file__).parent.glob("*.py"):
        (code / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(cache, "__file__", str(code / "cache.py"))
    assert not read(source)[0]
    (code / "vocabulary.py").write_text("changed")
    assert read(source)[0]
    for file in code.glob("*.py"):
        file.unlink()
    assert read(source)[0] and read(source)[0]  # code that is not in files cannot be told from other code


def test_a_source_that_was_only_just_written_is_not_kept(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_SETTLED_NS", 3600 * 10**9)
    source = csv(tmp_path)
    assert read(source)[0] and read(source)[0]
    assert read.entries == []


def test_a_source_that_changes_while_it_is_read_is_not_kept(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = csv(tmp_path)
    number_words = dataset.number_words

    def changing(*arguments: object) -> object:
        csv(tmp_path, "fine")
        return number_words(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dataset, "number_words", changing)
    assert read(source)[1].vocabulary.words[0] == "good"
    assert read.entries == []


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "no header": lambda content: content.partition(b"\n")[2],
    "a flipped bit in the arrays": lambda content: content[:-50] + bytes([content[-50] ^ 1]) + content[-49:],
    "a flipped bit in the facts": lambda content: content.replace(b'"generated": false', b'"generated": true '),
    "of another version": lambda content: content.replace(b"encoded reviews 1", b"encoded reviews 0"),
    "lengths beyond reason": lambda content: content.replace(b'"lengths": [', b'"lengths": [9' + b"9" * 30),
    "negative lengths": lambda content: content.replace(b'"lengths": [', b'"lengths": [-'),
    "infinite lengths": lambda content: content.replace(b'"lengths": [', b'"lengths": [Infinity,'),
    "no lengths": lambda content: content.replace(b'"lengths"', b'"other"'),
    "nested deeply": lambda content: b"0 " + b"[" * 100_000 + b"\n",
    "a list": lambda content: b"0 []\n",
    "a pickle": lambda content: pickle.dumps(Planted(Path("/nonexistent/trace"))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_not_used_and_made_again(read: Reader, tmp_path: Path, damage: str) -> None:
    source = csv(tmp_path)
    _, first = read(source)
    (entry,) = read.entries
    whole = entry.read_bytes()
    assert DAMAGE[damage](whole) != whole
    entry.write_bytes(DAMAGE[damage](whole))
    was_read, again = read(source)
    assert was_read
    assert_same(first, again)
    assert not read(source)[0]
    assert [file.read_bytes() for file in entry.parent.iterdir()] == [whole]


def test_an_entry_under_another_ones_name_or_behind_a_link_is_not_used(read: Reader, tmp_path: Path) -> None:
    source = csv(tmp_path)
    read(source)
    (entry,) = read.entries
    read(source, split_seed=1)
    (other,) = set(read.entries) - {entry}
    entry.replace(other)
    assert read(source, split_seed=1)[0]
    elsewhere = other.replace(tmp_path / "elsewhere")
    other.symlink_to(elsewhere)
    assert read(source, split_seed=1)[0]
    assert not other.is_symlink()
    other.unlink()
    os.mkfifo(other)
    assert read(source, split_seed=1)[0]
