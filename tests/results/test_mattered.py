"""What mattered is drawn in a process of its own: the same as here, nothing imported here, and nothing left behind."""

import os
import subprocess
import sys
import threading

import optuna
import pytest

from tests.processes import alive, family
from tests.waiting import wait_until
from tune_sentiment.results import mattered
from tune_sentiment.results.comparable import comparison
from tune_sentiment.results.mattered import DrawnApart
from tune_sentiment.results.plots import what_mattered
from tune_sentiment.search.records import Outcome

SLOW = "import time; time.sleep(300)"
ALONE = """
import sys, time
from tune_sentiment.results import mattered
from tests.results.conftest import make_outcome, make_study
from tune_sentiment.results.comparable import comparison
from tune_sentiment.results.page import render
outcome = make_outcome(30)
drawn = mattered.DrawnApart().draw(comparison(outcome, make_study(outcome)))
assert "Importance" in drawn.figures
render(outcome, drawn, time.time())
heavy = ("sklearn", "scipy", "pandas", "plotly.graph_objs", "optuna.importance")
print([name for name in heavy if name in sys.modules])
"""
ASKING = """
import time
from tune_sentiment.results.mattered import DrawnApart
class Lasting:
    def __reduce__(self):
        return time.sleep, (300,)
DrawnApart().draw(Lasting())
"""
"""What it is given to draw takes 300 s to read."""


def test_it_is_the_same_as_drawn_here(outcome: Outcome, study: optuna.Study) -> None:
    drawn = DrawnApart().draw(comparison(outcome, study))
    assert next(iter(drawn.figures)) == "Importance"
    assert drawn == what_mattered(outcome, study)


def test_the_process_that_asks_imports_nothing_of_what_draws() -> None:
    said = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.splitlines()[-1] == "[]"


def test_it_ends_when_it_is_stopped(outcome: Outcome, study: optuna.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mattered, "CHILD", SLOW)
    apart, before = DrawnApart(), {child.pid for child in family(os.getpid())}
    problems: list[Exception] = []

    def draw() -> None:
        try:
            apart.draw(comparison(outcome, study))
        except ChildProcessError as problem:
            problems.append(problem)

    drawing = threading.Thread(target=draw)
    drawing.start()
    wait_until(lambda: {child.pid for child in family(os.getpid())} - before, 20, "a process")
    apart.stop()
    drawing.join(20)
    assert "ended with -9" in str(problems[0])
    assert {child.pid for child in family(os.getpid())} <= before


def test_it_ends_with_the_process_that_asked_however_that_ends() -> None:
    asking = subprocess.Popen([sys.executable, "-c", ASKING])
    wait_until(lambda: [one for one in family(asking.pid) if one.nice() == 19], 30, "a drawing under way")
    children = family(asking.pid)
    asking.kill()
    asking.wait(20)
    wait_until(lambda: not alive(children), 20, "no process left")
