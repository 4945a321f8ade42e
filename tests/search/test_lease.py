"""One process at a time runs a search in an object store; a claim of the dead is void. Against a real S3 server."""

import json
import subprocess
import sys
import threading
import time

import pytest

from tests.store import remote_of
from tests.waiting import wait_until
from tune_sentiment.errors import StudyError
from tune_sentiment.search import lease as leases
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.lease import is_dead_here, leased, this_process
from tune_sentiment.search.remote import Remote

pytestmark = pytest.mark.timeout(120)


def test_a_search_that_is_held_is_refused_to_all_others_and_free_afterwards(
    in_store: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 1.1)  # the server tells times to the second
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.2)
    with leased(remote_of(in_store)) as first:
        refused = pytest.raises(StudyError, match=r"^one process at a time may run a search: s3://bucket/.*/mine is b")
        with refused, leased(remote_of(in_store)):
            pass
        assert first.held()
    with leased(remote_of(in_store)) as second:
        assert second.held()
    assert list((remote_of(in_store) / ".claims").objects()) == []


def test_a_store_that_has_gone_away_is_not_waited_for_in_the_end(
    in_store: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)
    asked: list[str] = []

    def silent(remote: Remote) -> None:
        asked.append(remote.name)
        raise OSError("AWS Error NETWORK_CONNECTION")

    deleted: list[str] = []
    with monkeypatch.context() as away, leased(remote_of(in_store)):
        away.setattr(Remote, "info", silent)
        wait_until(lambda: len(asked) >= 2, 30, "renewals that fail")
        away.setattr(Remote, "delete", lambda remote: deleted.append(remote.name))
    assert deleted == []


def test_of_ten_at_once_at_most_one_holds_the_search(in_store: SearchFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_SECONDS", 1.1)
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.2)
    holding: list[int] = []
    refused: list[int] = []
    most: list[int] = []
    begin, end = threading.Barrier(10), threading.Event()

    def one(number: int) -> None:
        begin.wait()
        try:
            with leased(remote_of(in_store)):
                holding.append(number)
                most.append(len(holding))
                end.wait(4)
                holding.remove(number)
        except StudyError:
            refused.append(number)
            if len(refused) == 9:
                end.set()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most, default=0) <= 1


def test_a_claim_of_a_process_of_this_machine_that_died_is_void_at_once(in_store: SearchFolder) -> None:
    code = "import json; from tune_sentiment.search.lease import this_process; print(json.dumps(this_process()))"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert is_dead_here(dead)
    assert not is_dead_here(json.dumps(this_process()).encode())
    assert is_dead_here(json.dumps({**this_process(), "started": 1.0}).encode())  # its number is another's now
    assert not is_dead_here(json.dumps({**json.loads(dead), "machine": "another"}).encode())
    assert not is_dead_here(b"[]") and not is_dead_here(b"\xff") and not is_dead_here(None)
    (remote_of(in_store) / ".claims" / "of-the-dead").write(dead)
    began = time.monotonic()
    with leased(remote_of(in_store)):
        assert time.monotonic() - began < leases.LEASE_SECONDS / 2
        assert not (remote_of(in_store) / ".claims" / "of-the-dead").exists()


def test_a_claim_of_another_machine_is_void_when_it_is_not_renewed(
    in_store: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 3)  # instead of 30
    monkeypatch.setattr(leases, "BEAT_SECONDS", 1.1)
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.2)
    (remote_of(in_store) / ".claims" / "stale").write(b'{"machine": "another", "pid": 1, "started": 1.0}')
    began = time.monotonic()
    with leased(remote_of(in_store)):
        assert 2 < time.monotonic() - began < 20
