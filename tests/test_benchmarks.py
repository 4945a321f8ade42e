"""The benchmarks of the search run: recorded curves are replayed, and the bookkeeping is driven without Ray."""

import argparse
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest

from benchmarks.overhead import without_ray
from benchmarks.recording import recorded
from benchmarks.replay import Curves, load, replay
from benchmarks.sampler import POLICIES
from benchmarks.search import drawn, job_of
from benchmarks.sleeping import bench
from tune_sentiment.search import rungs
from tune_sentiment.search.scheduler import Ladder
from tune_sentiment.search.study import SEARCH_STUDY, open_study, records


@pytest.fixture(scope="module")
def curves() -> Curves:
    return load("rt")


def test_two_hundred_settings_are_recorded_to_their_ends(curves: Curves) -> None:
    assert curves.losses.shape == (200, 19)
    assert 0.5 < curves.losses.min() < curves.losses.max() < 2
    assert len(np.unique(curves.points, axis=0)) == 200


@pytest.mark.parametrize("name", ["random", "ours", "stock OptunaSearch + ASHA"])
def test_a_search_is_replayed_alike_within_its_time(curves: Curves, name: str) -> None:
    seconds = 6 * curves.full_seconds() / 2
    times, regrets = replay(curves, POLICIES[name], 2, seconds, seed=3)
    assert (times, regrets) == replay(curves, POLICIES[name], 2, seconds, seed=3)
    assert times == sorted(times) and 0 < times[0] < times[-1] < seconds
    assert min(regrets) >= -1e-9


def test_a_recorded_setting_has_its_own_curve(curves: Curves) -> None:
    nearest = load("rt", smooth=False)
    course = nearest.space.course_point()[0]
    curve, truth = nearest.draw(course, np.random.default_rng(0))
    assert truth == curve.min()
    assert any((curve == losses).all() for losses in curves.losses)


def test_the_bookkeeping_of_a_search_runs_without_ray() -> None:
    with bench(slots=2) as one:
        without_ray(one, trials=15, steps=9)
        found = records(open_study(one.studies, SEARCH_STUDY))
        assert len(one.clock.ended) == len(found) == 15
        assert {record.fate for record in found} == {"complete", "stopped"}
        assert one.folder.report_file.exists()


def test_what_a_benchmark_prints_is_added_to_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results, data = tmp_path / "RESULTS.md", tmp_path / "my reviews.csv"
    results.write_text("# Results\n")
    data.write_text("")
    monkeypatch.setattr("sys.argv", ["step.py", "--data", str(data)])

    def bench(*, no_results: bool) -> None:
        with recorded("step", argparse.Namespace(no_results=no_results), results):
            print("\nsmall: one layer\n| | ms |\n|---|---|\n| ours | 3 |\nand\nmore")

    bench(no_results=True)
    assert results.read_text() == "# Results\n"
    bench(no_results=False)
    head, text = results.read_text().split(":\n\n", 1)
    assert head.startswith("# Results\n\n`python -m benchmarks.step --data 'my reviews.csv'`, 20")
    assert "cores of" in head and "torch 2." in head
    assert text == "- small: one layer\n\n| | ms |\n|---|---|\n| ours | 3 |\n\n- and\n- more\n"
    assert capsys.readouterr().out.count("| ours | 3 |") == 2


def test_a_benchmark_that_fails_leaves_the_results_alone(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n")

    def bench() -> None:
        with recorded("step", argparse.Namespace(no_results=False), results):
            print("half of it")
            raise SystemExit("a peer failed")

    with pytest.raises(SystemExit):
        bench()
    assert results.read_text() == "# Results\n"


BENCHMARKS = sorted(path.stem for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_fits_the_package_as_it_is(name: str) -> None:
    if name == "fuzz":
        pytest.importorskip("atheris")
    importlib.import_module(f"benchmarks.{name}")


def test_the_peers_are_told_numbers_that_ours_has(tmp_path: Path) -> None:
    job = job_of("demo", trials=2, folder=tmp_path)
    assert 0 < job["grace_period"] < job["max_steps"] and job["grace_period"] % job["report_every"] == 0
    assert Path(job["arrays"]).exists() and [set(setting) for setting in job["settings"]] == [set(job["space"])]


def test_ours_can_be_timed_at_the_rungs_of_the_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of("demo", trials=2, folder=tmp_path)
    monkeypatch.setenv("PEER_JOB", json.dumps(job))
    monkeypatch.setattr(rungs, "LADDER", rungs.LADDER)
    importlib.import_module("benchmarks.peers.ours_as_they_do").set_rungs()
    (rung,) = rungs.ladder(job["steps_of_ours"], job["report_every"])
    assert rung == (job["grace_period"], pytest.approx(1 / 3))


def test_ours_can_be_timed_with_the_rule_of_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEER_JOB", json.dumps(job_of("demo", trials=2, folder=tmp_path)))
    monkeypatch.setattr(Ladder, "on_result", Ladder.on_result)
    importlib.reload(importlib.import_module("benchmarks.peers.ours_as_they_do")).stop_as_optuna_does()
    losses = np.random.default_rng(0).permutation(20) / 20
    study = optuna.create_study(pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=10, reduction_factor=3))
    pruned = []
    for loss in losses:
        trial = study.ask()
        trial.report(loss, 10)
        pruned.append(trial.should_prune())
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    one = Ladder([rungs.Rung(10, 1 / 3)])
    ours = [one.on_result(SimpleNamespace(trial_id=str(index)), 10, -loss) for index, loss in enumerate(losses)]
    assert [answer == "STOP" for answer in ours] == pruned
    assert 10 < sum(pruned) < 20


def test_every_peer_can_be_given_the_same_settings(tmp_path: Path) -> None:
    job = job_of("demo", trials=5, folder=tmp_path)
    settings = drawn(job, seed=3)["settings"]
    assert settings[:1] == job["settings"] and len({str(one) for one in settings}) == 5
    assert settings == drawn(job, seed=3)["settings"] != drawn(job, seed=4)["settings"]
    assert all(low <= one[name] <= high for one in settings for name, (_, low, high) in job["space"].items())
