"""A search in an object store: killed, cut off, gone on with elsewhere; a real S3 server on this machine."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.faults.searching import (
    COMMAND,
    NAME,
    ended,
    start_resume,
    start_search,
    trials_of,
    wait_until,
)
from tests.store import KEY, SECRET, Store, all_objects
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


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False, timeout=100)


def test_a_search_in_a_store_is_killed_and_another_machine_goes_on(
    store: Store, corpus: Path, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = "s3://bucket/runs"
    search = start_search(corpus, space, storage, 500)
    here = copies(storage)
    wait_until(lambda: ended(here) >= 4, 150, "four trials")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "second machine"))
    second = command("search", "--resume", "--name", NAME, "--storage", storage)
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].startswith("error: one process at a time may run a search: s3://bucket/runs")

    search.kill()
    killed = time.time()
    search.communicate(timeout=30)
    finished = whole(trials_of(here))
    sent = whole(api.report(NAME, storage)[0].records)
    lost = [trial for number, trial in finished.items() if number not in sent]
    assert len(sent) >= 4 and all(killed - (trial.ended or 0) < EVERY_SECONDS for trial in lost)

    (tmp_path / "another folder").mkdir()
    monkeypatch.chdir(tmp_path / "another folder")
    total = len(trials_of(copies(storage))) + 1
    again = start_resume(storage, "--trials", str(total))
    _, errors = again.communicate(timeout=200)
    assert again.returncode == 0, errors[-3000:]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "third machine"))
    listed = json.loads(command("list", "--storage", storage, "--json").stdout)["searches"]
    assert [(one["name"], one["state"], one["trials"]) for one in listed] == [(NAME, "done", total)]
    reported = json.loads(command("report", NAME, "--storage", storage, "--json").stdout)
    assert [trial["trial"] for trial in reported["trials"]] and len(reported["trials"]) == total
    outcome, _ = api.report(NAME, storage)
    assert [trial.number for trial in outcome.records] == list(range(total))
    assert whole(outcome.records).keys() == set(range(total))
    assert all(whole(outcome.records)[number].curve == trial.curve for number, trial in sent.items())  # none run again
    best = min(trial.best_val_loss or 9.0 for trial in outcome.records)
    assert best <= min(trial.best_val_loss or 9.0 for trial in sent.values())
    exported = command("export", NAME, "--storage", storage, "--out", "bundle")
    assert exported.returncode == 0, exported.stderr
    assert Path("bundle/model.safetensors").is_file() and Path(outcome.bundle or "", "model.safetensors").is_file()

    objects = all_objects(storage)
    for name in ("search.json", "study.log", "report.html", "leaderboard.csv", "best/model.safetensors"):
        assert objects[f"{NAME}/{name}"]
    assert any("/ray/search/trial_" in name and "/checkpoint_" in name for name in objects)
    assert not [name for name in objects if "/.claims/" in name]
    files = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    written = {**objects, **files}
    assert not [name for name, content in written.items() if SECRET.encode() in content or KEY.encode() in content]
