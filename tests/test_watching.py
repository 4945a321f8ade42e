"""What can watch a search while it runs: Ray's dashboard, a real Prometheus, optuna-dashboard. One search for all."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, Browser, open_browser
from tests.dashboard_search import NAME, TRIALS, DashboardSearch
from tests.processes import free_port
from tests.waiting import wait_until
from tune_sentiment.search.metrics import (
    BEST_VAL_LOSS,
    FIGURES,
    REVIEWS_PER_SECOND,
    SLOTS,
    SLOTS_BUSY,
    TRIAL_VAL_LOSS,
    TRIALS_WANTED,
)

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]

GRAFANA = Path(__file__).parents[1] / "deploy" / "grafana" / "tune_sentiment.json"
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture
def search(dashboard_search: DashboardSearch) -> DashboardSearch:
    return dashboard_search


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as tab:
        tab.call("Emulation.setDeviceMetricsOverride", width=1500, height=1000, deviceScaleFactor=1, mobile=False)
        yield tab


def fetched(address: str, **headers: str) -> tuple[int, Any]:
    """Return the status and the JSON of an answer, None where it is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(address, headers=headers), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, None


def test_a_search_says_how_to_open_rays_dashboard_in_commands_that_work(search: DashboardSearch) -> None:
    address = search.says(r"^Ray dashboard: (http://127\.0\.0\.1:\d+)$")
    port = address.rpartition(":")[2]
    assert search.says(r"^  from another machine: (ssh .+)$").startswith(f"ssh -N -L {port}:127.0.0.1:{port} ")
    jobs = f"{address}/api/jobs/"
    assert fetched(jobs)[0] == 401
    status, listed = fetched(jobs, Authorization=f"Bearer {search.token()}")
    assert status == 200 and f"--name {NAME}" in listed[0]["entrypoint"]


@needs_chromium
def test_chromium_finds_the_search_and_its_trials_in_rays_dashboard(search: DashboardSearch, browser: Browser) -> None:
    address = search.says(r"^Ray dashboard: (\S+)$")
    browser.call("Page.navigate", url=address)
    browser.wait_for_text("Authentication Token Required")
    browser.value("document.querySelector('[role=dialog] input').focus()")
    browser.call("Input.insertText", text=search.token())
    submit = "[...document.querySelectorAll('[role=dialog] button')].find((one) => one.innerText.match(/submit/i))"
    browser.wait(f"!{submit}.disabled")
    browser.value(f"{submit}.click()")
    browser.wait("!document.querySelector('[role=dialog]')")
    browser.wait_for_text("Cluster status")
    browser.open_for_text(f"{address}/#/jobs", f"--name {NAME}", "RUNNING")
    browser.open_for_text(f"{address}/#/actors", "ReviewTrainable", f"{NAME}, search: trials from 0 on", "ALIVE")


class Prometheus:
    """A Prometheus of its own, told of our folder and nothing else."""

    def __init__(self, address: str) -> None:
        self._address = address

    def asked(self, expression: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"query": expression})
        status, answer = fetched(f"{self._address}/api/v1/query?{query}")
        assert status == 200, expression
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def number(self, expression: str) -> float:
        (one,) = self.asked(expression)
        return float(one["value"][1])


@contextmanager
def scraping(folder: Path, search: DashboardSearch) -> Iterator[Prometheus]:
    settings = folder / "prometheus.yml"
    settings.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: tune_sentiment\n"
        "    file_sd_configs:\n"
        f"      - files: ['{search.folder.path.parent}/.prometheus/*.json']\n"
        "        refresh_interval: 10s\n"
    )
    listen = f"127.0.0.1:{free_port()}"
    words = [f"--config.file={settings}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={listen}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["prometheus", *words], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(f"http://{listen}/api/v1/status/config"), 30, "an answer of Prometheus")
        yield Prometheus(f"http://{listen}")
    finally:
        process.terminate()
        process.wait(30)


def answers(address: str) -> bool:
    try:
        return fetched(address)[0] == 200
    except OSError:
        return False


@pytest.fixture
def prometheus(search: DashboardSearch, tmp_path: Path) -> Iterator[Prometheus]:
    if not shutil.which("prometheus"):
        pytest.skip("no Prometheus on this machine (Debian: apt-get install prometheus)")
    with scraping(tmp_path, search) as running:
        seen = [f"last_over_time({figure.exported}[5m])" for figure in FIGURES]
        wait_until(lambda: all(map(running.asked, seen)), 60, "each of our figures")
        yield running


def test_prometheus_scrapes_the_figures_and_the_panels_of_grafana_show_them(
    search: DashboardSearch, prometheus: Prometheus
) -> None:
    shown = {figure: prometheus.asked(f"last_over_time({figure.exported}[5m])") for figure in FIGURES}
    assert all(shown.values()), shown
    for figure, series in shown.items():
        for one in series:
            own = {name for name in one["metric"] if name[0].islower() and not name.startswith("otel_")}
            assert own == {"job", "instance", "search", "phase", *figure.labels}
            assert (one["metric"]["search"], one["metric"]["phase"]) == (NAME, "search")
    assert [float(one["value"][1]) for one in shown[TRIALS_WANTED]] == [TRIALS]
    for figure in (SLOTS_BUSY, REVIEWS_PER_SECOND):  # at one moment they may be 0, between two trials
        most = f"max_over_time({figure.exported}[5m])"
        wait_until(lambda most=most: prometheus.number(most) > 0, 30, most)
    (slots,) = shown[SLOTS]
    assert prometheus.number(f"max_over_time({SLOTS_BUSY.exported}[5m])") <= float(slots["value"][1])

    panels = json.loads(GRAFANA.read_text(encoding="utf-8"))["panels"]
    for panel in panels:
        for target in panel["targets"]:
            shows = partial(prometheus.asked, target["expr"].replace("$search", NAME))
            wait_until(lambda shows=shows: bool(shows()), 30, f"data for {panel['title']}")

    # What it saw is what the study holds.
    losses = {
        str(trial.number): [float(loss) for loss in trial.intermediate_values.values()] for trial in search.trials
    }
    for one in shown[TRIAL_VAL_LOSS]:
        assert float(one["value"][1]) in losses[one["metric"]["trial"]]
    (best,) = shown[BEST_VAL_LOSS]
    assert float(best["value"][1]) in itertools.chain(*losses.values())


@needs_chromium
def test_chromium_sees_the_trials_of_a_running_search_in_optuna_dashboard(
    search: DashboardSearch, browser: Browser
) -> None:
    words = ["dashboard", NAME, "--storage", str(search.folder.path.parent), "--port", "0"]
    page = subprocess.Popen([sys.executable, "-m", "tune_sentiment", *words], stdout=-1, stderr=-1, text=True)
    assert page.stdout and page.stderr
    try:
        address = page.stdout.readline().removeprefix("optuna-dashboard at ").strip()
        browser.call("Page.navigate", url=address)
        browser.wait_for_text("search (id=0)", "History", "Hyperparameter Importance")
        assert "token" not in browser.value("location.href")
        page_address = address.partition("?")[0]
        browser.call("Page.navigate", url=f"{page_address}dashboard/studies/0/trials")
        shown = browser.wait_for_text("Trial 0", "Trial 2")
        assert "Complete" in shown or "Pruned" in shown
        assert not [problem for problem in browser.problems if page_address in problem]
    finally:
        page.send_signal(signal.SIGINT)
        _, complaints = page.communicate(timeout=30)
    assert page.returncode == 0
    assert "only read" in complaints and "Traceback" not in complaints
    assert search.process.poll() is None
