"""The cache of encoded sources: found when nothing has changed, and never a reason to fail or to be wrong."""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from tests.data.small_corpora import layout, made_up, pack, unpack, write_pair
from tests.test_planted_pickles import Planted
from tune_sentiment.data import cache, dataset
from tune_sentiment.data.dataset import Dataset, load_dataset
from tune_sentiment.data.download import download_imdb
from tune_sentiment.errors import DataError


@pytest.fixture(autouse=True)
def _switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.SWITCH)
    # The tests' sources were written just now. (Time alone cannot be set back: that is what the cache relies on.)
    monkeypatch.setattr(cache, "_SETTLED_NS", 0)


class Reader:
    """Loads a source with a cache, and tells whether it was read for that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self._times_read = 0
        monkeypatch.setattr(dataset, "encode", self._encode)

    def _encode(self, *arguments: object) -> object:
        from tune_sentiment.data.encoding import encode

        self._times_read += 1
        return encode(*arguments)  # type: ignore[arg-type]

    def __call__(self, source: str | Path, **options: object) -> tuple[bool, Dataset]:
        before = self._times_read
        loaded = load_dataset(str(source), cache_folder=self.folder, **options)  # type: ignore[arg-type]
        return self._times_read > before, loaded

    @property
    def entries(self) -> list[Path]:
        return sorted((self.folder / "encoded").glob(f"*{cache.SUFFIX}"))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Reader:
    return Reader(monkeypatch, tmp_path / "cache")


def assert_same(one: Dataset, other: Dataset) -> None:
    for part in fields(Dataset):
        if part.name not in ("train", "validation", "test"):
            assert getattr(one, part.name) == getattr(other, part.name)
    for mine, theirs in zip(one.splits.values(), other.splits.values(), strict=True):
        for name in ("token_ids", "offsets", "labels"):
            left, right = getattr(mine, name), getattr(theirs, name)
            assert left.dtype == right.dtype and np.array_equal(left, right) and right.flags.writeable
    assert dataset._fingerprint(other.vocabulary, list(other.splits.values())) == one.fingerprint


def csv(folder: Path, word: str = "good") -> Path:
    rows = [f"{word} word{number},{number % 2}" for number in range(60)]
    (folder / "a.csv").write_text("\n".join(["text,label", *rows, "...,1", "naïve film,1", "the word1,1"]))
    return folder / "a.csv"


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


def test_a_pickle_in_the_cache_is_not_run(read: Reader, tmp_path: Path) -> None:
    source, trace = csv(tmp_path), tmp_path / "trace"
    read(source)
    (entry,) = read.entries
    entry.write_bytes(pickle.dumps(Planted(trace)))
    assert read(source)[0]
    assert not trace.exists()


def test_it_works_without_a_folder_to_write_to(read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = csv(tmp_path)
    read.folder.write_text("a file where the folder should be")
    assert read(source)[0] and read(source)[0]
    monkeypatch.setattr(cache, "platform_folder", lambda: None)
    assert load_dataset(str(source)).fingerprint == read(source)[1].fingerprint


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what Python does for a user it does not know
    assert cache.platform_folder() is None
    with pytest.raises(DataError, match="needs a folder to be kept in: there is no home folder: name a cache folder"):
        download_imdb("http://127.0.0.1:9/never-asked")


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys\n"
        "from tune_sentiment.data import cache\n"
        "from tune_sentiment.data.dataset import load_dataset\n"
        "cache._SETTLED_NS = 0\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"  # as on a full disk
        "print(len(load_dataset(sys.argv[1], cache_folder=sys.argv[2]).train))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(csv(tmp_path)), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "50\n"
    assert list((tmp_path / "cache" / "encoded").iterdir()) == []


def test_nothing_is_kept_on_a_disk_that_is_nearly_full(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_SPARED_BYTES", 1 << 60)
    read(csv(tmp_path))
    assert read.entries == []


def test_an_entry_is_for_its_owner_alone(read: Reader, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        read(csv(tmp_path))
    finally:
        os.umask(before)
    (entry,) = read.entries
    assert entry.stat().st_mode & 0o777 == 0o600
    assert entry.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_entry_of_another_user_is_not_used(read: Reader, tmp_path: Path) -> None:
    source = csv(tmp_path)
    read(source)
    os.chown(read.entries[0], 12345, 12345)
    assert read(source)[0]


def test_the_entries_used_longest_ago_go_first(read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = csv(tmp_path)
    for seed in (0, 1, 2):
        read(source, split_seed=seed)
        for entry in read.entries:  # each an hour older than the one after it
            os.utime(entry, (entry.stat().st_mtime - 3600,) * 2)
    assert not read(source, split_seed=0)[0]  # used just now
    left_behind, fresh = (read.folder / "encoded" / f".{name}.part" for name in ("old", "new"))
    for part in (left_behind, fresh):
        part.write_bytes(b"half")
    os.utime(left_behind, (time.time() - 7200,) * 2)
    monkeypatch.setattr(cache, "MAX_BYTES", sum(one.stat().st_size for one in read.entries))
    read(source, split_seed=3)
    assert [read(source, split_seed=seed)[0] for seed in (0, 2, 3)] == [False] * 3
    assert len(read.entries) == 3 and fresh.exists() and not left_behind.exists()
    assert read(source, split_seed=1)[0]


def test_an_environment_variable_turns_it_off(read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = csv(tmp_path)
    monkeypatch.setenv(cache.SWITCH, "1")
    assert read(source)[0]
    assert read.entries == []
    monkeypatch.setenv(cache.SWITCH, "0")
    assert read(source)[0] and not read(source)[0]


def test_many_at_once_all_find_the_same(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from tune_sentiment.data import cache\n"
        "from tune_sentiment.data.dataset import load_dataset\n"
        "cache._SETTLED_NS = 0\n"
        "cache.MAX_BYTES = 9000\n"  # room for three or so: they drop each other's all the time
        "datasets = (load_dataset(sys.argv[1], cache_folder=sys.argv[2], split_seed=n % 5) for n in range(50))\n"
        "print(*sorted({dataset.fingerprint for dataset in datasets}))\n"
    )
    arguments = [sys.executable, "-c", program, str(csv(tmp_path)), str(tmp_path / "cache")]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    printed = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4
    expected = sorted(load_dataset(str(csv(tmp_path)), split_seed=seed).fingerprint for seed in range(5))
    assert printed == [" ".join(expected) + "\n"] * 4
    left = list((tmp_path / "cache" / "encoded").iterdir())
    assert left and all(file.suffix == cache.SUFFIX for file in left)
