"""The files of the cache: private, bounded, whole or not at all, and never a reason to fail."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.data.cached import Reader, csv
from tests.test_planted_pickles import Planted
from tune_sentiment.data import cache
from tune_sentiment.data.dataset import load_dataset
from tune_sentiment.data.download import download_imdb
from tune_sentiment.errors import DataError


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


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.SWITCH)
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
    assert list((tmp_path / "cache" / "encoded").iterdir()) == []  # the folder is there: it was tried


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


def test_many_at_once_all_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cache.SWITCH)
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
