"""A small corpus, and a watcher that writes down what it sees."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# Small models gain nothing from several threads, and lose much where tests share the machine. Set before torch loads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What a test says of reading is not to come from the home of whoever runs it, nor to fill it.
os.environ["TUNE_SENTIMENT_NO_CACHE"] = "1"

from tune_sentiment.search.records import Snapshot, TrialRecord

if TYPE_CHECKING:
    from tests.dashboard_search import DashboardSearch
    from tests.store import Store
    from tune_sentiment.search.folder import SearchFolder

# A shell's background jobs ignore Ctrl-C, and so would every process that a test starts to interrupt it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files with slow tests first: of the two processes that share the files, none is to wait for a late one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


# The same inputs in every run of CI, where a failure must be that of the change at hand.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


class Recorder:
    """An observer that keeps everything it was told."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.ended: list[TrialRecord] = []
        self.closed = 0

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def on_trial_end(self, record: TrialRecord) -> None:
        self.ended.append(record)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


GOOD = "a wonderful warm film with a great cast"
BAD = "a dreadful cold film with an awful cast"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 reviews in two files, told apart by three words of each."""
    return write_corpus(tmp_path_factory.mktemp("corpus"), 300)


def write_corpus(folder: Path, each: int) -> Path:
    """Write `each` good and as many bad reviews into `folder`, and return it."""
    for name, text in (("reviews.pos", GOOD), ("reviews.neg", BAD)):
        lines = [f"{text} seen {index % 7} times by {index % 11} people" for index in range(each)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


SPACE = """\
search:
  embedding_dim: {type: int, low: 8, high: 16}
  hidden_dim: {type: int, low: 8, high: 16, log: true}
  lr: {type: float, low: 0.01, high: 0.1, log: true}
fixed: {epochs: 6, n_layers: 1, seq_length: 20, report_every: 5}
"""


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("space") / "tiny.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="session")
def dashboard_search(corpus: Path, space: str, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[DashboardSearch]":
    """A search that runs, for the tests that look at one: they come last of those that are alone."""
    from tests.dashboard_search import running_search

    with running_search(corpus, space, tmp_path_factory.mktemp("a home")) as search:
        yield search


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Store]":
    """An S3 server with an empty bucket, named `bucket`; this process and its children reach it."""
    from tests.store import Store

    started = Store(tmp_path_factory.mktemp("machines"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in started.environment.items():
            patch.setenv(name, value)
        yield started
    started.close()


@pytest.fixture
def in_store(store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "SearchFolder":
    """The working copy of a search, for which there is nothing in the store yet."""
    from tune_sentiment.search.places import new_place

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = new_place(f"s3://bucket/{tmp_path.name}", "mine")
    made.path.mkdir(parents=True)
    return made
