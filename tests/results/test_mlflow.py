"""A search on a real MLflow server, which is killed in the middle and comes back."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient, pyfunc, set_tracking_uri
from mlflow.entities import Run

import tune_sentiment
from tests.command_line import refusal
from tests.conftest import BAD, GOOD
from tests.processes import free_port
from tests.waiting import wait_until
from tune_sentiment.api.result import SearchResult
from tune_sentiment.errors import SettingsError
from tune_sentiment.results import mlflow_log
from tune_sentiment.results.mlflow_log import MlflowLog
from tune_sentiment.results.mlflow_server import FATE, KEY, MlflowServer
from tune_sentiment.search.records import Snapshot, TrialRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

OFFLINE = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class Server:
    """`mlflow server` on 127.0.0.1, with its database and its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        places = f"--backend-store-uri sqlite:///{self._folder}/mlflow.db --artifacts-destination {self._folder}/files"
        where = f"--host 127.0.0.1 --port {self._port} --workers 1"
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *places.split(), *where.split()],
                env={**os.environ, **OFFLINE},
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        limit = time.monotonic() + 150
        while time.monotonic() < limit:
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=5).close()
                return
            except OSError:
                assert self._process.poll() is None, (self._folder / "log.txt").read_text()
                time.sleep(0.1)
        raise TimeoutError("the server did not start")

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


class Killer:
    """An observer that kills the server once it has a trial that ended."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client = MlflowClient(server.address)
        self.had: list[str] = []

    def on_snapshot(self, snapshot: Snapshot) -> None: ...

    def on_trial_end(self, record: TrialRecord) -> None:
        limit = time.monotonic() + 30
        while record.number >= 1 and not self.had and time.monotonic() < limit:
            runs = self._client.search_runs([experiment(self._client)], f"tags.{FATE} != ''")
            self.had = [run.data.tags[KEY] for run in runs]
            time.sleep(0.1)
        if self.had:
            self._server.kill()

    def close(self) -> None: ...


def experiment(client: MlflowClient) -> str:
    found = client.get_experiment_by_name("tune_sentiment")
    assert found is not None
    return str(found.experiment_id)


@dataclass
class Story:
    """What happened: a search whose server died, then the same search extended with the server back."""

    first: SearchResult
    had: list[str]
    warnings: list[str]
    second: SearchResult
    client: MlflowClient
    parent: Run
    children: list[Run]
    address: str

    def child(self, record: TrialRecord) -> Run:
        (found,) = [run for run in self.children if run.data.tags[KEY] == mlflow_log.key_of(record)]
        return found


class Heard(logging.Handler):
    """Keeps the warnings of our own code."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture(scope="module")
def story(corpus: Path, space: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("mlflow")
    server = Server(folder)
    killer, heard = Killer(server), Heard()
    options: dict[str, Any] = {"name": "logged", "storage": str(folder / "experiments"), "dashboard": False}
    options |= {"mlflow": server.address.replace("//", "//ana:hunter2@")}  # an open server takes any password
    logging.getLogger("tune_sentiment").addHandler(heard)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mlflow_log, "EVERY", 0.2)
            first = tune_sentiment.search(
                str(corpus), space=space, trials=4, confirm_top=1, confirm_seeds=1, observers=[killer], **options
            )
            server.start()
            second = tune_sentiment.search(resume=True, trials=6, **options)
        client = MlflowClient(server.address)
        everything = client.search_runs([experiment(client)])
        parents = [run for run in everything if KEY not in run.data.tags]
        assert len(parents) == 1, "a search that is resumed goes on in its run"
        yield Story(
            first=first,
            had=killer.had,
            warnings=heard.texts,
            second=second,
            client=client,
            parent=parents[0],
            children=[run for run in everything if KEY in run.data.tags],
            address=server.address,
        )
    finally:
        logging.getLogger("tune_sentiment").removeHandler(heard)
        server.kill()


def test_a_server_that_dies_costs_a_warning_and_nothing_else(story: Story) -> None:
    assert story.had, "the server had a trial before it was killed"
    assert story.first.outcome.phase == "done" and story.first.bundle is not None
    assert len(story.warnings) == 1 and "the search goes on without it" in story.warnings[0]
    assert "hunter2" not in story.warnings[0] and "***@127.0.0.1" in story.warnings[0]


def test_what_a_dead_server_missed_is_there_after_the_resume_and_nothing_twice(story: Story) -> None:
    outcome = story.second.outcome
    expected = [mlflow_log.key_of(record) for record in (*outcome.records, *outcome.confirmations)]
    assert len(outcome.records) == 6
    assert sorted(run.data.tags[KEY] for run in story.children) == sorted(expected)
    assert {run.data.tags["mlflow.parentRunId"] for run in story.children} == {story.parent.info.run_id}
    assert story.second.study.user_attrs[mlflow_log.RUN] == story.parent.info.run_id


def test_each_trial_has_its_setting_its_curve_and_its_fate(story: Story) -> None:
    outcome = story.second.outcome
    for record in (*outcome.records, *outcome.confirmations):
        run = story.child(record)
        expected = {**record.setting, "seed": record.seed}
        assert run.data.params == {name: str(value) for name, value in expected.items()}
        history = story.client.get_metric_history(run.info.run_id, "val_loss")
        assert tuple((point.step, point.value) for point in sorted(history, key=lambda p: p.step)) == record.curve
        assert run.data.metrics["best_val_loss"] == record.best_val_loss
        assert (run.data.tags["fate"], run.data.tags["reason"]) == (record.fate, record.reason)
        assert run.info.status == "FINISHED" and run.info.run_name == mlflow_log.name_of(record)


def test_the_search_has_the_winners_figures(story: Story) -> None:
    found, best = story.parent.data, story.second.best
    assert best is not None
    assert found.metrics["winner_val_loss"] == best.val_loss
    assert found.metrics["exported_test_accuracy"] == best.exported_test_accuracy
    assert found.tags["winner"] == f"trial {best.trial}"
    assert found.tags["winner lr"] == str(best.setting["lr"])
    assert "won on" in found.tags["mlflow.note.content"] or "No setting beat" in found.tags["mlflow.note.content"]
    assert story.parent.info.status == "FINISHED" and story.parent.info.run_name == "logged"


def test_the_model_is_loaded_back_and_predicts_as_the_bundle_does(story: Story, tmp_path: Path) -> None:
    set_tracking_uri(story.address)
    try:
        model = pyfunc.load_model(f"runs:/{story.parent.info.run_id}/model", dst_path=str(tmp_path))
    finally:
        set_tracking_uri(None)  # type: ignore[arg-type]
    answers = model.predict([GOOD, BAD])
    expected = story.second.predictor().predict([GOOD, BAD])
    assert list(answers["label"]) == [one.label for one in expected] == ["positive", "negative"]
    assert list(answers["probability"]) == pytest.approx([one.probability for one in expected], abs=1e-6)
    assert not list(tmp_path.rglob("*.pkl")), "nothing is pickled"


def test_a_running_trial_is_there_at_once_and_one_that_ended_is_not_begun_again(
    story: Story, snapshot_of: Callable[..., Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_log, "EVERY", 0.05)
    bare = replace(story.second.outcome, name="watched", records=(), confirmations=())
    longest = max(story.second.outcome.records, key=lambda record: len(record.curve))
    ended = replace(longest, number=0)  # ASHA may have stopped any of them at its first report
    running = replace(ended, fate="running", curve=ended.curve[:3], steps=ended.curve[2][0])
    study, server = optuna.create_study(), MlflowServer(story.address)
    log = MlflowLog(server, study, bare)
    log.on_snapshot(snapshot_of(running=(running,)))
    wait_until(lambda: server.trials(log.run) != {}, 30, "the running trial")
    (child,) = (child for child, _ in server.trials(log.run).values())
    wait_until(lambda: server.last_step(child, "val_loss") == running.steps, 30, "its curve so far")
    log.on_trial_end(ended)  # while the last snapshot says that it runs
    wait_until(lambda: server.trials(log.run)[mlflow_log.key_of(ended)][1], 30, "its fate")
    log.on_trial_end(replace(ended, number=1, curve=(), best_val_loss=None, fate="failed", reason="diverged"))
    wait_until(lambda: server.trials(log.run).get("search 1", ("", False))[1], 30, "the next one")
    log.close()
    log.stop(failed=False)
    runs = story.client.search_runs([experiment(story.client)], f"tags.`mlflow.parentRunId` = '{log.run}'")
    assert sorted((run.data.tags[KEY], FATE in run.data.tags) for run in runs) == [
        ("search 0", True),
        ("search 1", True),
    ]
    history = story.client.get_metric_history(child, "val_loss")
    assert sorted((point.step, point.value) for point in history) == list(ended.curve)
    failed = story.client.get_run(server.trials(log.run)["search 1"][0])
    assert (failed.info.status, failed.data.tags["reason"]) == ("FAILED", "diverged")
    assert story.client.get_run(log.run).info.status == "KILLED"
    again = MlflowLog(server, study, bare)
    again.stop(failed=True)
    assert again.run == log.run and story.client.get_run(log.run).info.status == "FAILED"


def test_no_password_is_written_anywhere(story: Story) -> None:
    texts = [file for file in story.second.folder.rglob("*") if file.suffix in (".json", ".html", ".log", ".md")]
    assert len(texts) > 4
    assert not [file for file in texts if b"hunter2" in file.read_bytes()]
    everything = [{**run.data.params, **run.data.tags} for run in (story.parent, *story.children)]
    assert "hunter2" not in json.dumps(everything) and "***@127.0.0.1" in json.dumps(everything)


def test_a_server_that_does_not_answer_is_refused_before_anything_starts(corpus: Path, tmp_path: Path) -> None:
    address = f"http://ana:hunter2@127.0.0.1:{free_port()}"
    said = refusal("search", "--data", corpus, "--name", "none", "--mlflow", address, cwd=tmp_path)
    assert "--mlflow needs a tracking server that answers: http://***@127.0.0.1" in said
    assert "hunter2" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:5000", "mlruns", "", "nonsense://here"])
def test_what_is_no_address_of_a_server_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"--mlflow needs .*: (write it like|check the address)"):
        MlflowServer(address)
