"""A search in an object store: killed, cut off, gone on with elsewhere; a real S3 server on this machine."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.command_line import answer, refusal, run_apart
from tests.faults.searching import (
    NAME,
    ended,
    start_resume,
    start_search,
    trials_of,
)
from tests.processes import alive, family
from tests.store import KEY, SECRET, Store, Way, all_objects
from tests.waiting import wait_until
from tune_sentiment import api
from tune_sentiment.search.mirror import EVERY_SECONDS
from tune_sentiment.search.records import TrialRecord
from tune_sentiment.search.remote import open_remote
from tune_sentiment.search.working_copy import working_copy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def copies(storage: str) -> Path:
    """The folder of this machine's working copies of the searches in `storage`."""
    return working_copy(open_remote(storage) / NAME).path.parent


def whole(trials: tuple[TrialRecord, ...]) -> dict[int, TrialRecord]:
    return {trial.number: trial for trial in trials if trial.fate in ("complete", "stopped")}


def test_a_search_in_a_store_is_killed_and_another_machine_goes_on(
    store: Store, corpus: Path, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = "s3://bucket/runs"
    search = start_search(corpus, space, storage, 500)
    here = copies(storage)
    wait_until(lambda: ended(here) >= 4, 150, "four trials")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second machine"))
    second = refusal("search", "--resume", "--name", NAME, "--storage", storage, cwd=tmp_path)
    assert second.startswith("error: one process at a time may run a search: s3://bucket/runs")

    search.kill()
    killed = time.time()
    search.communicate(timeout=30)
    finished = whole(trials_of(here))
    sent = whole(api.report(NAME, storage)[0].records)
    lost = [trial for number, trial in finished.items() if number not in sent]
    # What ended while the last was being sent was not: a busy machine takes its time for that.
    assert len(sent) >= 4 and all(killed - (trial.ended or 0) < 3 * EVERY_SECONDS for trial in lost)

    folder = tmp_path / "another folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    total = len(trials_of(copies(storage))) + 1
    again = start_resume(storage, "--trials", str(total))
    _, errors = again.communicate(timeout=200)
    assert again.returncode == 0, errors[-3000:]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third machine"))
    listed = json.loads(answer("list", "--storage", storage, "--json", cwd=folder, by=run_apart))["searches"]
    assert [(one["name"], one["state"], one["trials"]) for one in listed] == [(NAME, "done", total)]
    reported = json.loads(answer("report", NAME, "--storage", storage, "--json", cwd=folder))
    assert [trial["trial"] for trial in reported["trials"]] and len(reported["trials"]) == total
    outcome, _ = api.report(NAME, storage)
    assert [trial.number for trial in outcome.records] == list(range(total))
    assert whole(outcome.records).keys() == set(range(total))
    assert all(whole(outcome.records)[number].curve == trial.curve for number, trial in sent.items())  # none run again
    best = min(trial.best_val_loss or 9.0 for trial in outcome.records)
    assert best <= min(trial.best_val_loss or 9.0 for trial in sent.values())
    answer("export", NAME, "--storage", storage, "--out", "bundle", cwd=folder)
    assert Path("bundle/model.safetensors").is_file() and Path(outcome.bundle or "", "model.safetensors").is_file()

    objects = all_objects(storage)
    for name in ("search.json", "study.log", "report.html", "leaderboard.csv", "best/model.safetensors"):
        assert objects[f"{NAME}/{name}"]
    assert any("/ray/search/trial_" in name and "/checkpoint_" in name for name in objects)
    assert not [name for name in objects if "/.claims/" in name]
    files = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    written = {**objects, **files}
    assert not [name for name, content in written.items() if SECRET.encode() in content or KEY.encode() in content]


def test_a_store_that_goes_away_and_comes_back_costs_no_trial(
    store: Store, corpus: Path, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = "s3://bucket/away"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    with Way(store.port) as way:
        monkeypatch.setenv("AWS_ENDPOINT_URL", way.url)
        search = start_search(corpus, space, storage, 500)
        here = copies(storage)
        wait_until(lambda: ended(here) >= 2, 150, "two trials")

        store.server.send_signal(signal.SIGSTOP)  # it does not answer for a while: the search goes on afterwards
        time.sleep(5)
        before = ended(here)
        store.server.send_signal(signal.SIGCONT)
        wait_until(lambda: ended(here) >= before + 3, 60, "three trials more")

        children = family(search.pid)
        way.cut()
        _, errors = search.communicate(timeout=120)
        last = errors.strip().splitlines()[-1]
        assert search.returncode == 2 and "Traceback" not in errors, errors[-3000:]
        assert last.startswith(f"error: a search needs a store that it can write to: {storage}/cut ("), last
        assert "continue with: python -m tune_sentiment search --resume --name cut" in last
        wait_until(lambda: alive(children) == [], 15, "no process left")
        finished = whole(trials_of(here))
        told = refusal("search", "--resume", "--name", NAME, "--storage", storage, cwd=tmp_path)
        assert told.startswith(f"error: a search needs a store that it may read and write: {storage}")

        way.open()
        total = len(trials_of(here)) + 1
        again = start_resume(storage, "--trials", str(total))
        _, errors = again.communicate(timeout=200)
        assert again.returncode == 0, errors[-3000:]
        outcome, _ = api.report(NAME, storage)
    assert [trial.number for trial in outcome.records] == list(range(total))
    assert whole(outcome.records).keys() == set(range(total))
    assert all(whole(outcome.records)[number].curve == trial.curve for number, trial in finished.items())
    assert min(trial.best_val_loss or 9.0 for trial in outcome.records) <= min(
        trial.best_val_loss or 9.0 for trial in finished.values()
    )
