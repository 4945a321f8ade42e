"""The study in a shared database: a real PostgreSQL and a real MariaDB, on this machine only."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.samplers import RandomSampler
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from tests.faults.searching import NAME, start_resume, start_search
from tests.processes import free_port
from tests.search.test_sampler import result
from tests.waiting import wait_until
from tune_sentiment import api
from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.intake import check_free, prepare
from tune_sentiment.search.database import StudyPlace, check_study_url
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.outcome import open_outcome
from tune_sentiment.search.records import TrialRecord
from tune_sentiment.search.sampler import StudySearch
from tune_sentiment.search.space import load_space
from tune_sentiment.search.study import SEARCH_STUDY, open_storage, records


def binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or sorted(
        Path(path) for path in [shutil.which("initdb")] if path
    )
    return found[-1].parent if found else None


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """URL of an empty database."""
    programs = binaries()
    if programs is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    # Not below pytest's own folder, which every pytest that starts shuts to other users.
    with tempfile.TemporaryDirectory(prefix="postgresql") as folder:
        yield from serving(programs, Path(folder))


def serving(programs: Path, folder: Path) -> Iterator[str]:
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    port = free_port()
    data = folder / "data"
    quiet = {"check": True, "cwd": folder, "capture_output": True, "timeout": 60}
    subprocess.run([*as_user, programs / "initdb", "-D", data, "-A", "trust", "-U", "ana"], **quiet)
    server = subprocess.Popen(
        [*as_user, programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
    wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, 30, "PostgreSQL")
    yield f"postgresql://ana@127.0.0.1:{port}/postgres"
    subprocess.run([*as_user, programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
    server.wait(timeout=30)


def trials_in(storage: Path) -> tuple[TrialRecord, ...]:
    folder = SearchFolder(storage / NAME)
    return open_outcome(folder)[0].records if folder.request_file.exists() else ()


def ended_in(storage: Path) -> int:
    return sum(trial.fate in ("complete", "stopped") for trial in trials_in(storage))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_search_in_postgresql_is_killed_resumed_reported_and_exported(
    postgresql: str, corpus: Path, space: str, tmp_path: Path
) -> None:
    search = start_search(corpus, space, tmp_path, 500, "--study", postgresql)
    wait_until(lambda: ended_in(tmp_path) >= 3, 120, "three trials")
    search.kill()
    search.communicate(timeout=30)
    before = {trial.number: trial.curve for trial in trials_in(tmp_path) if trial.fate in ("complete", "stopped")}
    total = len(trials_in(tmp_path)) + 1
    again = start_resume(tmp_path, "--trials", str(total))
    _, errors = again.communicate(timeout=150)
    assert again.returncode == 0, errors
    outcome, _ = api.report("cut", str(tmp_path))
    assert [trial.number for trial in outcome.records] == list(range(total))
    assert {trial.fate for trial in outcome.records} <= {"complete", "stopped"}
    assert before.items() <= {trial.number: trial.curve for trial in outcome.records}.items()
    assert outcome.winner is not None and outcome.bundle is not None
    assert not (tmp_path / "cut" / "study.log").exists()
    with pytest.raises(StudyError, match=r"^a new search needs a name of its own: postgresql://.*127.* holds 'cut/"):
        prepare(str(corpus), space=space, name="cut", storage=str(tmp_path / "elsewhere"), study=postgresql)
    other = prepare(str(corpus), space=space, name="other", storage=str(tmp_path), study=postgresql)
    assert other.request.study_prefix == "other/"


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty database."""
    server = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    if server is None:
        pytest.skip("no MariaDB here (Debian: apt-get install mariadb-server-core)")
    folder = tmp_path_factory.mktemp("mysql")
    (folder / "data").mkdir()
    port = free_port()
    options = ["--no-defaults", "--skip-grant-tables", *(["--user=root"] if os.geteuid() == 0 else [])]
    running = subprocess.Popen(
        [server, *options, f"--datadir={folder / 'data'}", f"--socket={folder / 'socket'}", f"--port={port}",
         "--bind-address=127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    engine = create_engine(f"mysql+pymysql://root@127.0.0.1:{port}")
    wait_until(lambda: answers(engine), 60, "MariaDB")
    with engine.begin() as connection:
        connection.execute(text("CREATE DATABASE optuna"))
    engine.dispose()
    yield f"mysql://root@127.0.0.1:{port}/optuna"
    running.terminate()
    running.wait(timeout=60)


def answers(engine: Engine) -> bool:
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False


# Three trials: one ends, one is stopped, and the process dies in the middle of the third.
DIES = """
import os, sys
from tests.search.test_database import searcher
from tests.search.test_sampler import result

search = searcher(sys.argv[1], sys.argv[2])
for name in "abc":
    search.suggest(name)
    search.on_trial_result(name, result(100, 0.7, 0.7))
search.on_trial_complete("a", result(300, 0.5, 0.4))
search.on_trial_complete("b", result(200, 0.6, 0.6))
os._exit(9)
"""


def searcher(url: str, folder: str) -> StudySearch:
    place = SearchFolder(Path(folder))
    studies = open_storage(place, StudyPlace(url, "mine/"))
    return StudySearch(
        storage=studies.storage, study_name=studies.name_of(SEARCH_STUDY), sampler=RandomSampler(seed=0),
        space=load_space("course"), seed=0, folder=place,
    )  # fmt: skip


def test_a_study_in_mysql_survives_its_process_and_goes_on(mysql: str, tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, mysql, tmp_path], capture_output=True, text=True, check=False)
    assert died.returncode == 9, died.stderr
    search = searcher(mysql, str(tmp_path))
    before = records(search.study)
    assert [record.fate for record in before] == ["complete", "stopped", "running"]
    assert [record.curve for record in before] == [((100, 0.7), (300, 0.5)), ((100, 0.7), (200, 0.6)), ((100, 0.7),)]
    config = search.suggest("again")
    assert isinstance(config, dict) and config["number"] == 2  # under its number
    search.on_trial_complete("again", result(300, 0.3, 0.3))
    assert search.suggest("next")["number"] == 3  # type: ignore[index, call-overload]
    after = records(search.study)
    assert after[:2] == before[:2] and after[2].best_val_loss == 0.3
    assert not (tmp_path / "study.log").exists()
    with pytest.raises(StudyError, match=r"^a new search needs a name of its own: mysql://\*\*\*@127.* holds 'mine/"):
        check_free(open_storage(SearchFolder(tmp_path), StudyPlace(mysql, "mine/")), mysql)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://ana:hunter2@db/x", r"^--study must not show a password, .*\*\*\*.*: put it into ~/\.pgpass"),
        ("redis://db/x", "^--study names a PostgreSQL or MySQL database: got redis://: write postgresql://"),
        ("no url", "^--study is the URL of a database: what was given is none: write"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_its_password(url: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refusal:
        check_study_url(url)
    assert "hunter2" not in str(refusal.value)


def test_a_database_that_does_not_answer_is_one_line(corpus: Path, space: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://ana@127.0.0.1:{taken.getsockname()[1]}/x"
        with pytest.raises(StudyError, match=r"^the study's database must answer: postgresql://\*\*\*@.* does not \("):
            prepare(str(corpus), space=space, name="x", storage=str(tmp_path), study=url)
    assert list(tmp_path.iterdir()) == []
