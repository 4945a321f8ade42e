"""Searches in an object store: working copy, mirror and lease, against a real S3 server."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.search.test_confirm import trial
from tests.store import KEY, SECRET, Store, all_objects, remote_of
from tests.waiting import Clock, wait_until
from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.search import mirror as mirrors
from tune_sentiment.search.checkpoints import CheckpointSweeper
from tune_sentiment.search.folder import SearchFolder, write_request_file
from tune_sentiment.search.lease import Lease, leased
from tune_sentiment.search.mirror import Mirror, mirrored
from tune_sentiment.search.places import existing_place, held, new_place, places
from tune_sentiment.search.remote import is_remote, open_remote
from tune_sentiment.search.storage import TAKEN_OVER, is_storage_problem
from tune_sentiment.search.working_copy import fetch, fetch_checkpoint, files_of, working_copy

pytestmark = pytest.mark.timeout(120)

REQUEST = {"format_version": 1}


def elsewhere(folder: SearchFolder, tmp_path: Path) -> SearchFolder:
    """The same search on another machine, which has nothing of it yet."""
    other = SearchFolder(tmp_path / "another machine" / "mine", folder.remote)
    other.path.mkdir(parents=True, exist_ok=True)
    return other


def test_a_name_inside_keeps_the_rest_of_the_uri(store: Store) -> None:
    folder = open_remote(f"s3://bucket/a/?endpoint_override=127.0.0.1:{store.port}&scheme=http")
    assert (folder / "b").uri == f"s3://bucket/a/b?endpoint_override=127.0.0.1:{store.port}&scheme=http"
    assert ((folder / "b").path, (folder / "b").name, (folder / "b").parent_uri) == ("bucket/a/b", "b", folder.uri)
    (folder / "b").write(b"here")
    assert open_remote("s3://bucket/a/b").read() == b"here"
    assert (folder / "nothing").read() is None and not (folder / "nothing").exists()
    assert is_remote("gs://bucket/x") and not is_remote("experiments/x")


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("s3://nobucket/x", StudyError, r"^a search needs a bucket that is there: nobucket of s3://nobucket/x is not"),
        ("s3://key:hunter2@bucket/x", SettingsError, r"^--storage must not show a password.*AWS_ACCESS_KEY_ID"),
        ("ftp://host/x", SettingsError, r"^--storage is a folder or the URI of an object store: ftp://host/x is none"),
        ("s3:///", SettingsError, r"^--storage is a folder or the URI"),
    ],
)
def test_what_is_no_store_is_refused_in_one_line(store: Store, uri: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as refusal:
        open_remote(uri)
    assert "hunter2" not in str(refusal.value) and "\n" not in str(refusal.value)


def test_any_file_system_of_pyarrow_takes_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = new_place(f"file://{tmp_path}/shared", "mine")
    with held(folder, new=True) as lease:
        write_request_file(folder, REQUEST)
        with mirrored(folder, lease):
            folder.study_file.write_text("{}\n")
    assert (tmp_path / "shared" / "mine" / "study.log").read_text() == "{}\n"
    assert list((tmp_path / "shared" / "mine" / ".claims").iterdir()) == []
    assert [found.name for found in places(f"file://{tmp_path}/shared")] == ["mine"]


def test_what_is_written_is_in_the_store_within_seconds_and_at_the_end_of_a_trial_at_once(
    in_store: SearchFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "EVERY_SECONDS", 0.3)
    write_request_file(in_store, REQUEST)
    with leased(remote_of(in_store)) as lease, mirrored(in_store, lease) as mirror:
        assert mirror is not None
        in_store.study_file.write_text('{"a": 1}\n{"half')
        wait_until(
            lambda: (remote_of(in_store) / "study.log").read() == b'{"a": 1}\n', 10, "the line, and not half another"
        )
        monkeypatch.setattr(mirrors, "EVERY_SECONDS", 60)
        time.sleep(0.4)
        in_store.study_file.write_text('{"a": 1}\n{"b": 2}\n')
        mirror.on_trial_end(None)  # type: ignore[arg-type]
        wait_until(lambda: (remote_of(in_store) / "study.log").read() == b'{"a": 1}\n{"b": 2}\n', 10, "both lines")
        (in_store.path / "errors").mkdir()
        (in_store.path / "errors" / "search_00001.txt").write_text("Traceback")
        in_store.bundle.mkdir()
        (in_store.bundle / "model.safetensors").write_bytes(b"weights")
        (in_store.bundle / "model.onnx").write_bytes(b"graph")
        (in_store.path / "ray").mkdir()
        (in_store.path / "ray" / "x").write_text("not ours to send")
        (in_store.path / "study.log.lock").write_text("nor this")
    assert sorted(all_objects(remote_of(in_store).uri)) == sorted(
        ["best/model.onnx", "best/model.safetensors", "errors/search_00001.txt", "search.json", "study.log"]
    )
    (in_store.bundle / "model.onnx").unlink()
    with leased(remote_of(in_store)) as lease, mirrored(in_store, lease):
        pass
    assert not (remote_of(in_store) / "best/model.onnx").exists()  # of an earlier bundle
    other = elsewhere(in_store, tmp_path)
    fetch(other)
    assert files_of(other.path) == ["best/model.safetensors", "errors/search_00001.txt", "search.json", "study.log"]
    assert other.study_file.read_text() == in_store.study_file.read_text()


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        (None, "1\n2\n"),
        ("1\n", "1\n2\n"),  # older
        ("1\n2\n3\n", "1\n2\n3\n"),  # killed before it had sent the rest
        ("1\n9\n3\n4\n", "1\n2\n"),  # another machine has gone on from there since
    ],
)
def test_a_working_copy_is_fetched_unless_it_holds_more_of_the_same(
    in_store: SearchFolder, here: str | None, expected: str
) -> None:
    (remote_of(in_store) / "search.json").write(b'{"format_version": 1}')
    (remote_of(in_store) / "study.log").write(b"1\n2\n")
    if here is not None:
        in_store.study_file.write_text(here)
    fetch(in_store)
    assert in_store.study_file.read_text() == expected


def test_a_search_that_was_deleted_in_the_store_does_not_come_back(in_store: SearchFolder) -> None:
    write_request_file(in_store, REQUEST)
    in_store.study_file.write_text("old\n")
    fetch(in_store)
    assert not in_store.request_file.exists() and not in_store.study_file.exists()
    (old,) = in_store.path.glob(".before.*/study.log")
    assert old.read_text() == "old\n"


def test_a_checkpoint_is_fetched_anew_each_time(in_store: SearchFolder) -> None:
    checkpoint = remote_of(in_store) / "ray/search/trial_00001/checkpoint_000000"
    (checkpoint / "best.pt").write(b"first")
    fetch_checkpoint(in_store, "ray/search/trial_00001/checkpoint_000000")
    (checkpoint / "best.pt").write(b"again")
    fetch_checkpoint(in_store, "ray/search/trial_00001/checkpoint_000000")
    assert (in_store.path / "ray/search/trial_00001/checkpoint_000000/best.pt").read_bytes() == b"again"
    fetch_checkpoint(in_store, "ray/search/trial_00002/checkpoint_000000")
    assert not (in_store.path / "ray/search/trial_00002/checkpoint_000000").exists()


def test_only_the_checkpoints_that_can_matter_stay_in_the_store(in_store: SearchFolder) -> None:
    ray = remote_of(in_store) / "ray/search"
    for number in range(6):
        (ray / f"trial_{number:05d}/checkpoint_000000/best.pt").write(bytes(1000))
        (ray / f"trial_{number:05d}/result.json").write(b"{}")
    sweeper = CheckpointSweeper(in_store, phase="search", ended=(), keep=4, always=[5], max_bytes=3500)
    for number in range(6):
        sweeper.on_trial_end(trial(number, 0.5 + number / 100))
    (ray / "trial_00004/checkpoint_000001/best.pt").write(bytes(1000))  # late, after it was deleted
    (ray / "trial_00004_5af1/checkpoint_000000/best.pt").write(bytes(1000))  # of one that was handed out again
    sweeper.close()
    left = [name for name, info in ray.objects(recursive=True) if info.is_file and "checkpoint_" in name]
    assert len(left) == 3  # more are no more than 3500 bytes
    assert "trial_00000/checkpoint_000000/best.pt" in left and not any(name.startswith("trial_00004") for name in left)
    assert (ray / "trial_00004/result.json").exists()


def test_a_store_that_is_silent_for_too_long_is_a_failure_that_stays(
    in_store: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, answers, asked = Clock(), [True], [0]
    monkeypatch.setattr(mirrors, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(mirrors, "time", SimpleNamespace(monotonic=clock, sleep=time.sleep))

    def held() -> bool:
        asked[0] += 1
        if not answers[0]:
            raise OSError("AWS Error NETWORK_CONNECTION during HeadObject operation")
        return True

    def for_seconds(seconds: float, *, answering: bool) -> None:
        answers[0], before = answering, asked[0]
        wait_until(lambda: asked[0] >= before + 2, 10, "another try")  # when one begins, that before it has ended
        clock.now += seconds

    mirror = Mirror(in_store, held)
    mirror.start()
    for _ in range(3):
        for_seconds(0.6 * mirrors.GIVE_UP_SECONDS, answering=False)
        assert mirror.failure == ""
        for_seconds(0, answering=True)  # a short silence is none
    for_seconds(1.1 * mirrors.GIVE_UP_SECONDS, answering=False)
    assert mirror.failure.startswith("no answer for ")
    answers[0] = True
    mirror.send()
    assert mirror.failure  # the search is stopping by now
    write_request_file(in_store, REQUEST)
    mirror.finish()  # but what there is still arrives
    assert (remote_of(in_store) / "search.json").exists()


def test_what_a_trial_s_end_wrote_is_in_the_store_when_the_search_goes_on(
    in_store: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "WAITING_SHARE", 100.0)
    monkeypatch.setattr(mirrors, "TRIAL_END_SECONDS", 10.0)
    write_request_file(in_store, REQUEST)
    mirror = Mirror(in_store, lambda: True)
    mirror.start()
    for number in range(1, 6):
        in_store.study_file.write_text("ended\n" * number)
        time.sleep(0.02)  # a wait is a share of this
        mirror.on_trial_end(trial(0, 0.5))
        assert (remote_of(in_store) / "study.log").read() == b"ended\n" * number
    mirror.finish()


def test_trials_that_end_all_the_time_hardly_wait_for_a_store_that_is_silent(in_store: SearchFolder) -> None:
    answers = [True]

    def held() -> bool:
        if not answers[0]:
            raise OSError("AWS Error NETWORK_CONNECTION during HeadObject operation")
        return True

    write_request_file(in_store, REQUEST)
    mirror = Mirror(in_store, held)
    mirror.start()
    answers[0] = False
    began = time.monotonic()
    for _ in range(50):
        mirror.on_trial_end(trial(0, 0.5))
    assert time.monotonic() - began < 2 * mirrors.TRIAL_END_SECONDS
    answers[0] = True
    mirror.finish()


def test_who_was_cut_off_and_lost_the_search_writes_nothing_more(in_store: SearchFolder) -> None:
    write_request_file(in_store, REQUEST)
    lease = Lease(remote_of(in_store))
    mirror = Mirror(in_store, lease.held)
    mirror.start()
    for name, _ in (remote_of(in_store) / ".claims").objects():  # as one that takes it over does
        (remote_of(in_store) / ".claims" / name).delete()
    in_store.study_file.write_text("mine\n")
    wait_until(lambda: mirror.failure == TAKEN_OVER, 10, "the failure")
    with pytest.raises(OSError, match=TAKEN_OVER) as refusal:
        mirror.finish()
    assert is_storage_problem(refusal.value)
    assert (remote_of(in_store) / "study.log").read() is None
    lease.close()


def test_a_name_is_taken_by_what_is_in_the_store(in_store: SearchFolder, tmp_path: Path) -> None:
    storage = in_store.storage
    with pytest.raises(StudyError, match=r"^a search is named by .*: no search.json in s3://.*/mine: see `list`"):
        existing_place("mine", storage)
    (remote_of(in_store) / "search.json").write(b'{"format_version": 1}')
    with pytest.raises(StudyError, match=r"^a new search needs a name of its own: s3://.*/mine exists"):
        new_place(storage, "mine")
    with pytest.raises(StudyError, match="a new search needs a name of its own"), held(in_store, new=True):
        pass
    assert existing_place("mine", storage).path == existing_place(f"{storage}/mine", "elsewhere").path == in_store.path
    assert [found.name for found in places(storage)] == ["mine"]
    with pytest.raises(StudyError, match="a search's name is a folder's"):
        new_place(storage, "a/b")


def test_credentials_that_are_not_accepted_are_one_line(store: Store) -> None:
    store.put("moto-api/reset-auth", "POST", b"0")  # from now on credentials are checked
    try:
        with pytest.raises(
            StudyError, match=r"^a search needs a store that it may read and write: s3://bucket/x is"
        ) as no:
            open_remote("s3://bucket/x")
    finally:
        store.put("moto-api/reset-auth", "POST", b"inf")
    assert KEY not in str(no.value) and SECRET not in str(no.value)


def test_a_working_copy_has_its_place_by_uri(store: Store) -> None:
    first, second = (working_copy(open_remote(f"s3://bucket/{name}") / "mine") for name in ("a", "b"))
    assert first.path != second.path and first.path.is_relative_to(os.environ["XDG_CACHE_HOME"])
