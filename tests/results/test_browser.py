"""The page, opened in a real browser through the DevTools protocol."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import optuna
import pytest

from tune_sentiment.results.report import write_report
from tune_sentiment.search.records import Outcome

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

DRAWN = "location.protocol === 'file:' && document.readyState === 'complete' && document.documentElement.dataset.drawn"
LIMIT = 30.0


class Browser:
    """One tab of a headless Chromium."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, loop: asyncio.AbstractEventLoop) -> None:
        self._socket = socket
        self._loop = loop
        self._calls = 0
        self.problems: list[str] = []
        self.requests: list[str] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(asyncio.wait_for(self._call(method, parameters), LIMIT))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("id") == self._calls:
                assert "error" not in message, message
                return dict(message["result"])
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
            level = message["params"].get("entry", {}).get("level")
            if message["method"] == "Runtime.exceptionThrown" or level == "error":
                self.problems.append(json.dumps(message["params"]))

    def value(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        limit = time.monotonic() + LIMIT
        while time.monotonic() < limit:
            found = self.value(expression)
            if found:
                return found
            self.value("new Promise((done) => setTimeout(done, 20))")
        raise AssertionError(f"never true: {expression}")

    def open(self, path: Path, width: int = 1280, scheme: str = "light") -> int:
        """Open `path` and return after how many milliseconds its first plot stood."""
        mobile = width < 700
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=mobile)
        self.call("Emulation.setTouchEmulationEnabled", enabled=mobile)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url="about:blank")
        self.problems.clear()
        self.requests.clear()
        self.call("Page.navigate", url=path.as_uri())
        return int(self.wait(DRAWN))

    def draw_all(self) -> None:
        """Scroll through the page, which draws its plots when they come near."""
        self.value(
            "(async () => { for (let y = 0; y < document.body.scrollHeight; y += 500) {"
            " scrollTo(0, y); await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); }"
            " scrollTo(0, 0); })()"
        )
        self.wait("[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    profile = tmp_path_factory.mktemp("profile")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen([str(CHROMIUM), *arguments], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    loop = asyncio.new_event_loop()
    try:
        address = next(found[1] for line in process.stderr if (found := re.search(r"ws://(127\.0\.0\.1:\d+)/", line)))

        async def connect() -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
            session = aiohttp.ClientSession()
            async with session.get(f"http://{address}/json") as answer:
                tab = next(tab for tab in await answer.json() if tab["type"] == "page")
            return session, await session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)

        session, socket = loop.run_until_complete(connect())
        tab = Browser(socket, loop)
        for domain in ("Runtime", "Log", "Page", "Network"):
            tab.call(f"{domain}.enable")
        yield tab
        loop.run_until_complete(session.close())
    finally:
        process.terminate()
        process.wait(30)
        process.stderr.close()
        loop.close()


@pytest.fixture(scope="module")
def done(outcome: Outcome, study: optuna.Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("done") / "report.html"
    write_report(outcome, study, path)
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_every_plot_is_drawn_without_an_error_or_a_request_and_nothing_is_wider_than_the_screen(
    browser: Browser, done: Path, width: int, scheme: str
) -> None:
    browser.open(done, width, scheme)
    browser.draw_all()
    assert browser.problems == []
    assert {url for url in browser.requests if not url.startswith(("data:", "blob:"))} == {done.as_uri()}
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.querySelectorAll('.plot').length") == 12
    wider = (
        "[...document.querySelectorAll('.plot')].filter((plot) => !plot.style.minWidth"
        f" && plot.querySelector('.main-svg').getBoundingClientRect().right > {width}).map((plot) => plot.id)"
    )
    assert browser.value(wider) == []


def test_plots_follow_a_change_between_light_and_dark(browser: Browser, done: Path) -> None:
    title = "getComputedStyle(document.querySelector('#curves .xtitle')).fill"
    browser.open(done, scheme="light")
    browser.draw_all()
    assert browser.value(title) == "rgb(27, 31, 36)"
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.wait(f"{title} === 'rgb(230, 234, 238)'")
    # The winner's own ink, too: a black line on a black page would be lost.
    assert browser.value("document.querySelector('#progress .js-line').style.stroke") == "rgb(230, 234, 238)"


def test_a_heading_sorts_both_ways_with_missing_values_last(browser: Browser, done: Path) -> None:
    browser.open(done)
    column = "[...document.querySelectorAll('.sortable th')].findIndex((one) => one.textContent === 'best loss')"
    texts = f"[...document.querySelectorAll('.sortable tbody tr')].map((row) => row.cells[{column}].textContent)"
    click = f"document.querySelectorAll('.sortable th button')[{column}].click()"
    for direction, reverse in (("ascending", False), ("descending", True)):
        browser.value(click)
        shown = browser.value(texts)
        assert shown[-2:] == ["", ""]
        assert shown[:-2] == sorted(shown[:-2], key=float, reverse=reverse)
        assert browser.value(f"document.querySelectorAll('.sortable th')[{column}].ariaSort") == direction


def test_a_reload_keeps_place_sorting_and_what_was_folded(
    browser: Browser, searching: Outcome, study: optuna.Study, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write_report(searching, study, path)
    browser.open(path)
    assert browser.value("document.querySelector('meta[http-equiv=refresh]').content") == "10"
    browser.value("document.querySelectorAll('.sortable th button')[1].click()")
    browser.value("document.querySelector('#request-1 summary').click()")
    browser.wait("!document.querySelector('#request-1').open && sessionStorage.length > 0")
    # The browser's own memory of the place is switched off: what holds it has to be the page's.
    browser.value("history.scrollRestoration = 'manual'; scrollTo(0, 1500); window.before = true")
    browser.call("Page.reload")
    browser.wait(f"!window.before && {DRAWN}")
    assert browser.wait("scrollY") == 1500
    trials = browser.value(
        "[...document.querySelectorAll('.sortable tbody tr')].map((row) => row.cells[1].textContent)"
    )
    assert trials == [str(number) for number in range(30)]
    assert browser.value("document.querySelector('#request-1').open") is False
    assert browser.problems == []


def test_ten_thousand_trials_open_in_three_seconds(
    browser: Browser, ten_thousand: tuple[Outcome, optuna.Study], tmp_path: Path
) -> None:
    write_report(*ten_thousand, tmp_path / "report.html")
    # In the page's own CPU seconds: the machine that runs the tests may be busy with something else.
    browser.call("Performance.enable", timeDomain="threadTicks")
    browser.open(tmp_path / "report.html")
    metrics = {one["name"]: one["value"] for one in browser.call("Performance.getMetrics")["metrics"]}
    assert 0.05 < metrics["TaskDuration"] < 3
