"""Trials that raise, hang, or run out of memory: named, counted, and no harm to the others."""

import json
from pathlib import Path

import pytest

from tests.faults.searching import start_search, trials_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# Loaded by every Python of the search: breaks some trials from within, where no user's input could.
BREAKING = """
import ctypes, importlib.util, sys

class Breaking:
    def find_spec(self, name, path, target=None):
        if name != "tune_sentiment.search.trainable":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), break_trials(module.ReviewTrainable))
        return spec

def break_trials(trainable):
    begin, step = trainable._begin, trainable.step

    def remembering(self, config):
        self.number = config["number"]
        begin(self, config)

    def breaking(self):
        if self._last is not None:  # after the first report
            if self.number == 2:
                self._progress = raising()
            if self.number == 3:
                self._progress = filling_memory()
            if self.number == 4:  # neither reports, nor gives the interpreter back to a signal handler
                ctypes.PyDLL(None).sleep(1000)
            if self.number == 5:
                self._state.model.linear.bias.data.fill_(float("nan"))
        return step(self)

    trainable._begin, trainable.step = remembering, breaking

def raising():
    raise ValueError("trial 2 is broken")
    yield

def filling_memory():
    import resource, torch
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, -1))
    try:
        yield torch.zeros(2**32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))

sys.meta_path.insert(0, Breaking())
"""


def test_broken_trials_fail_with_their_reasons_and_the_others_go_on(corpus: Path, space: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BREAKING, encoding="utf-8")
    options = ("--trial-timeout", "20s", "--json")  # on a busy machine a trial that is whole may take some seconds
    environment = {"PYTHONPATH": str(tmp_path)}
    search = start_search(corpus, space, tmp_path, 10, *options, environment=environment)
    output, errors = search.communicate(timeout=250)
    assert search.returncode == 0, errors
    trials = {trial.number: trial for trial in trials_of(tmp_path)}
    assert list(trials) == list(range(10))
    assert trials[2].reason == "error: ValueError: trial 2 is broken"
    assert [trials[number].reason for number in (3, 4, 5)] == ["out of memory", "timeout", "diverged"]
    assert {number for number, trial in trials.items() if trial.fate == "failed"} == {2, 3, 4, 5}
    assert all(len(trials[number].curve) >= 1 for number in (2, 3, 4, 5))  # what they had reported is kept
    assert json.loads(output)["winner"]["trial"] not in (2, 3, 4, 5)
    errors_folder = tmp_path / "cut" / "errors"
    assert "ValueError: trial 2 is broken" in (errors_folder / "search_00002.txt").read_text()
    assert "in breaking" in (errors_folder / "search_00004.txt").read_text()  # where it hung


"""
"""
