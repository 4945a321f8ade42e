"""Placement, with Ray's logical GPUs: how many trials share a GPU, and that each is told its own."""

import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from tests.conftest import Recorder
from tests.training.conftest import VOCAB_SIZE, make_split
from tests.waiting import wait_until
from tune_sentiment.search import run
from tune_sentiment.search.budget import Interruption
from tune_sentiment.search.cluster import ENVIRONMENT, private_runtime_env
from tune_sentiment.search.folder import SearchFolder, make_folder
from tune_sentiment.search.records import Plan
from tune_sentiment.search.resources import cluster_machine, plan_search
from tune_sentiment.search.run import Phase, run_phase, shared
from tune_sentiment.search.scheduler import asha
from tune_sentiment.search.space import load_space
from tune_sentiment.search.study import SEARCH_STUDY, SUMMARY, open_storage, open_study
from tune_sentiment.search.trainable import ReviewTrainable
from tune_sentiment.training.loop import TrainingData

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

DATA = TrainingData(make_split(400, seed=1), make_split(60, seed=2), VOCAB_SIZE)
SPACE = load_space("demo").override(epochs=2, report_every=4, n_layers=1)
TRIALS = 8


@pytest.fixture(scope="module")
def four_gpus() -> Iterator[dict[str, float]]:
    with pytest.MonkeyPatch.context() as patched:
        for name, value in ENVIRONMENT.items():
            patched.setenv(name, value)
        ray.init(
            address="local",
            num_cpus=4,
            num_gpus=4,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env=private_runtime_env(sys.executable),
        )
        yield ray.cluster_resources()
        ray.shutdown()


def run_on(resources: dict[str, float], folder: Path, gpus_per_trial: float, slots: int) -> list[FrozenTrial]:
    machine = cluster_machine(resources)
    plan: Plan = plan_search(
        machine,
        largest=SPACE.largest(),
        vocab_size=VOCAB_SIZE,
        trials=TRIALS,
        max_steps=16,
        confirm_runs=0,
        cpus_per_trial=0.5,
        gpus_per_trial=gpus_per_trial,
    )
    assert (machine.gpus, plan.slots, plan.device) == (4, slots, "cuda")
    place = SearchFolder(folder)
    make_folder(place)
    phase = Phase(
        folder=place,
        studies=open_storage(place),
        space=SPACE,
        data=shared(DATA),
        plan=plan,
        seed=0,
        observers=[Recorder()],
        interruption=Interruption(),
        command_started=time.monotonic(),
        time_budget=None,
        trial_timeout=None,
    )
    run_phase(
        phase,
        name="search",
        study_name=SEARCH_STUDY,
        sampler=RandomSampler(seed=0),
        scheduler=asha(16, 4),
        wanted=TRIALS,
        deadline=lambda _: math.inf,
    )
    return open_study(phase.studies, SEARCH_STUDY).get_trials()


def meeting(together: int) -> type[ReviewTrainable]:
    """Return a trainable whose processes wait in their first step until `together` of them have got there.

    Otherwise the first would have run all these short trials before the last has started, on a busy machine.
    """

    class Meeting(ReviewTrainable):
        def step(self) -> dict[str, Any]:
            here = Path(self.logdir).parent / f".here_{os.getpid()}"
            if not here.exists():
                here.touch()
                wait_until(lambda: len(list(here.parent.glob(".here_*"))) >= together, 120, "the other processes")
            return super().step()

    return Meeting


def gpus_of(trial: FrozenTrial) -> list[str]:
    ids: str = trial.user_attrs[SUMMARY]["gpu_ids"]
    return ids.split(",")


def most_at_once(trials: list[FrozenTrial]) -> int:
    """The most of `trials` that ran at the same moment, from what their processes say of when they began."""
    times = [(one.user_attrs[SUMMARY]["began"], one.datetime_complete.timestamp()) for one in trials]  # type: ignore[union-attr]
    return max(sum(began <= moment < ended for began, ended in times) for moment, _ in times)


def test_two_trials_share_a_gpu_and_no_more(
    four_gpus: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ReviewTrainable", meeting(8))
    trials = run_on(four_gpus, tmp_path, gpus_per_trial=0.5, slots=8)
    assert len(trials) == TRIALS
    assert all(len(gpus_of(trial)) == 1 for trial in trials)
    assert sorted(gpus_of(trial)[0] for trial in trials) == [*"00112233"]
    for gpu in "0123":
        assert most_at_once([trial for trial in trials if gpus_of(trial) == [gpu]]) == 2


def test_a_trial_that_asked_for_two_gpus_has_two_of_its_own(
    four_gpus: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "ReviewTrainable", meeting(2))
    trials = run_on(four_gpus, tmp_path, gpus_per_trial=2, slots=2)
    assert len(trials) == TRIALS
    assert all(len(set(gpus_of(trial))) == 2 for trial in trials)
    for gpu in "0123":
        assert most_at_once([trial for trial in trials if gpu in gpus_of(trial)]) == 1
