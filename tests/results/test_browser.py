"""The page, opened in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests.browser import CHROMIUM, Browser, open_browser
from tune_sentiment.results.report import write_report
from tune_sentiment.search.records import Outcome

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

DRAWN = "location.protocol === 'file:' && document.readyState === 'complete' && document.documentElement.dataset.drawn"


def open_report(browser: Browser, path: Path, width: int = 1280, scheme: str = "light") -> int:
    """Open `path` and return after how many milliseconds its first plot stood."""
    mobile = width < 700
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=mobile)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=mobile)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.call("Page.navigate", url="about:blank")
    browser.problems.clear()
    browser.requests.clear()
    browser.call("Page.navigate", url=path.as_uri())
    return int(browser.wait(DRAWN))


def draw_all(browser: Browser) -> None:
    """Scroll through the page, which draws its plots when they come near."""
    browser.value(
        "(async () => { for (let y = 0; y < document.body.scrollHeight; y += 500) {"
        " scrollTo(0, y); await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); }"
        " scrollTo(0, 0); })()"
    )
    browser.wait("[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture(scope="module")
def done(outcome: Outcome, study: optuna.Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("done") / "report.html"
    write_report(outcome, study, path)
    return path


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_every_plot_is_drawn_without_an_error_or_a_request_and_nothing_is_wider_than_the_screen(
    browser: Browser, done: Path, width: int, scheme: str
) -> None:
    open_report(browser, done, width, scheme)
    draw_all(browser)
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
    open_report(browser, done, scheme="light")
    draw_all(browser)
    assert browser.value(title) == "rgb(27, 31, 36)"
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    browser.wait(f"{title} === 'rgb(230, 234, 238)'")
    # The winner's own ink, too: a black line on a black page would be lost.
    assert browser.value("document.querySelector('#progress .js-line').style.stroke") == "rgb(230, 234, 238)"


def test_a_heading_sorts_both_ways_with_missing_values_last(browser: Browser, done: Path) -> None:
    open_report(browser, done)
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
    open_report(browser, path)
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
    open_report(browser, tmp_path / "report.html")
    metrics = {one["name"]: one["value"] for one in browser.call("Performance.getMetrics")["metrics"]}
    assert 0.05 < metrics["TaskDuration"] < 3
