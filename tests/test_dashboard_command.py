"""The command `dashboard` on a finished search, and what it refuses."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.command_line import refusal
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.request import validated_request, write_request
from tune_sentiment.search.study import SEARCH_STUDY, open_storage, open_study


@pytest.fixture
def finished(tmp_path: Path) -> SearchFolder:
    """What a search named "first" left in `experiments/`: its request, and a study of three trials."""
    folder = SearchFolder(tmp_path / "experiments" / "first")
    folder.path.mkdir(parents=True)
    resources = {"cpus_per_trial": 1.0}
    request = validated_request(
        created="2026-11-25T12:00:00+00:00", command="search", data={"source": "demo"}, seed=0, trials=3,
        confirm_top=0, confirm_seeds=0, resources=resources,
    )  # fmt: skip
    write_request(folder, request)
    study = open_study(open_storage(folder), SEARCH_STUDY)
    for loss in (0.6, 0.4, 0.5):
        study.tell(study.ask(), loss)
    return folder


def test_dashboard_shows_a_finished_search_until_ctrl_c(finished: SearchFolder, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tune_sentiment", "dashboard", "first", "--port", "0"]
    before = finished.study_file.read_bytes()
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as page:
        assert page.stdout
        address = page.stdout.readline().removeprefix("optuna-dashboard at ").strip()
        port = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=\S{32}", address)
        assert port
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(), urllib.request.ProxyHandler({}))
        assert opener.open(address, timeout=30).url.endswith("/dashboard/studies/0")
        with opener.open(f"{address.partition('?')[0]}api/studies/0", timeout=30) as answered:
            assert len(json.load(answered)["trials"]) == 3
        taken = refusal("dashboard", "first", "--port", port[1], cwd=tmp_path)
        assert f"{port[1]} is not (Address already in use)" in taken and "--port" in taken
        page.send_signal(signal.SIGINT)
        _, errors = page.communicate(timeout=30)
    assert page.returncode == 0 and errors.count("\n") == 2
    assert errors.startswith(f"from another machine: ssh -N -L {port[1]}:127.0.0.1:{port[1]} ")
    assert finished.study_file.read_bytes() == before


def test_sigterm_ends_it_too(finished: SearchFolder) -> None:
    command = [sys.executable, "-m", "tune_sentiment", "dashboard", str(finished.path), "--port", "0"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as page:
        assert page.stdout and page.stdout.readline().startswith("optuna-dashboard at ")
        page.terminate()
    assert page.returncode == 0


@pytest.mark.usefixtures("finished")
def test_dashboard_refuses_what_is_no_search_and_no_port(tmp_path: Path) -> None:
    assert "no search.json in nothing" in refusal("dashboard", "nothing", cwd=tmp_path)
    assert "--port must be" in refusal("dashboard", "first", "--port", "70000", cwd=tmp_path)


def test_a_search_without_a_study_is_refused_and_none_is_made(finished: SearchFolder, tmp_path: Path) -> None:
    finished.study_file.unlink()
    assert "first has none yet" in refusal("dashboard", "first", cwd=tmp_path)
    assert not finished.study_file.exists()


@pytest.mark.usefixtures("finished")
def test_without_its_extra_it_says_how_to_install_it(tmp_path: Path) -> None:
    program = (
        "import sys\nsys.modules['optuna_dashboard'] = None\nfrom tune_sentiment import cli\n"
        "sys.argv[1:] = ['dashboard', 'first']\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'tune-sentiment[dashboard]'" in done.stderr and "Traceback" not in done.stderr
