"""A made-up search of realistic shape: curves that fall and rise again, ASHA's cuts, failures, confirmations."""

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from tune_sentiment.search.records import ConfirmedSetting, Outcome, Snapshot, TrialRecord

BEGIN = 1_760_000_000.0
RUNGS = (100, 300, 900)
MAX_STEPS = 1200
COURSE = {"embedding_dim": 400, "hidden_dim": 256, "n_layers": 2, "lr": 0.001, "clip": 5.0}
DISTRIBUTIONS = {
    "embedding_dim": IntDistribution(50, 500),
    "hidden_dim": IntDistribution(32, 512, log=True),
    "n_layers": IntDistribution(1, 3),
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "clip": FloatDistribution(0.25, 10.0, log=True),
}
REQUEST = {
    "command": ["python", "-m", "tune_sentiment", "search", "--data", "my reviews.csv", "--trials", "30"],
    "created": "2026-02-03T10:12:13Z",
    "data": {
        "source": "my reviews.csv",
        "name": "my reviews",
        "generated": False,
        "fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "reviews": {"train": 8530, "validation": 1066, "test": 1066},
    },
    "space": {"name": "course", "search": {"lr": {"type": "float", "low": 0.0001, "high": 0.01, "log": True}}},
    "seeds": {"search": 0, "confirm": [1000, 1001, 1002]},
    "versions": {"tune_sentiment": "0.1.0", "torch": "2.13.0", "ray": "2.60.0", "optuna": "5.0.0", "python": "3.11.7"},
    "time_budget": None,
}


def record(number: int, **changes: Any) -> TrialRecord:
    """Return a trial that ran all its steps, but for `changes`."""
    trial = TrialRecord(
        number=number,
        fate="complete",
        reason="",
        setting=dict(COURSE),
        seed=number,
        curve=((100, 0.6), (200, 0.5), (300, 0.55)),
        best_val_loss=0.5,
        best_step=200,
        best_val_accuracy=0.75,
        steps=300,
        max_steps=300,
        seconds=30.0,
        started=BEGIN + 40 * number,
        ended=BEGIN + 40 * number + 32,
    )
    return replace(trial, **changes)


def snapshot(**changes: Any) -> Snapshot:
    """Return a search of 30 trials in mid-run, but for `changes`."""
    running = (
        record(12, fate="running", steps=300, max_steps=1200, curve=((100, 0.61), (300, 0.512)), best_val_loss=0.498),
        record(13, fate="running", steps=0, max_steps=1200, curve=(), best_val_loss=None, best_step=None),
    )
    state = Snapshot(
        phase="search",
        seconds=80.0,
        time_budget=600.0,
        slots=2,
        slots_busy=2,
        busy_share=0.931,
        wanted=30,
        complete=5,
        stopped=6,
        failed=1,
        running=running,
        best=record(7, best_val_loss=0.43123, best_step=600, setting=COURSE | {"lr": 0.00131}),
        eta_seconds=95.0,
        reviews_per_second=8231.4,
    )
    return replace(state, **changes)


def make_outcome(trials: int = 30, phase: Any = "done", seed: int = 0) -> Outcome:
    """Return a search on two slots: trial 0 the course's setting, some trials cut at rungs, some diverged."""
    chance, records, free = random.Random(seed), [], [BEGIN, BEGIN]
    for number in range(trials):
        setting = dict(COURSE) if number == 0 else _setting(chance)
        slot = free.index(min(free))
        trial = _trial(number, setting, free[slot] + 2.0, chance)
        free[slot] = (trial.ended or 0.0) + 0.5
        records.append(trial)
    if phase == "searching":
        records[-2:] = [_cut(trial, 200, "running", "") for trial in records[-2:]]
        return _outcome(records, (), phase)
    confirmed, runs = _confirm(records, max(free), chance)
    return _outcome(records, runs, phase, confirmed)


def make_study(outcome: Outcome) -> optuna.Study:
    """Return the study, in memory, that the outcome's trials would have left."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    states = {
        "complete": optuna.trial.TrialState.COMPLETE,
        "stopped": optuna.trial.TrialState.PRUNED,
        "failed": optuna.trial.TrialState.FAIL,
        "running": optuna.trial.TrialState.RUNNING,
        "waiting": optuna.trial.TrialState.WAITING,
    }
    study.add_trials(
        optuna.trial.create_trial(
            state=states[trial.fate],
            value=trial.best_val_loss if trial.fate == "complete" else None,
            params=trial.setting,
            distributions=DISTRIBUTIONS,
        )
        for trial in outcome.records
    )
    return study


def _setting(chance: random.Random) -> dict[str, Any]:
    return {
        "embedding_dim": chance.randint(50, 500),
        "hidden_dim": round(2 ** chance.uniform(5, 9)),
        "n_layers": chance.randint(1, 3),
        "lr": 10 ** chance.uniform(-4, -2),
        "clip": 10 ** chance.uniform(math.log10(0.25), 1),
    }


def _trial(number: int, setting: dict[str, Any], started: float, chance: random.Random) -> TrialRecord:
    ideal = 0.43 + 0.09 * abs(math.log10(setting["lr"]) + 2.6) + 0.02 * (setting["n_layers"] - 1)
    pace = 0.2 + 0.8 * (math.log10(setting["lr"]) + 4) / 2
    curve = []
    for step in range(100, MAX_STEPS + 1, 100):
        fall = (0.693 - ideal) * math.exp(-step * pace / 110)
        rise = 0.00008 * max(0, step - 500) * pace
        curve.append((step, ideal + fall + rise + chance.gauss(0, 0.006)))
    per_step = 0.02 + setting["hidden_dim"] / 20_000
    best_step, best = min(curve, key=lambda point: point[1])
    trial = record(
        number,
        setting=setting,
        curve=tuple(curve),
        best_val_loss=best,
        best_step=best_step,
        best_val_accuracy=1.0 - best / 1.9,
        steps=MAX_STEPS,
        max_steps=MAX_STEPS,
        seconds=MAX_STEPS * per_step,
        started=started,
        ended=started + MAX_STEPS * per_step + 1.5,
    )
    if setting["lr"] > 0.007:
        return replace(_cut(trial, 100, "failed", "diverged"), best_val_loss=None, best_step=None, curve=())
    if setting["hidden_dim"] > 470:
        return _cut(trial, 200, "failed", "out of memory")
    if number and curve[0][1] > 0.608:
        return _cut(trial, 100, "stopped", "asha")
    if number and curve[2][1] > 0.53:
        return _cut(trial, 300, "stopped", "asha")
    return trial


def _cut(trial: TrialRecord, steps: int, fate: Any, reason: str) -> TrialRecord:
    curve = tuple(point for point in trial.curve if point[0] <= steps)
    best_step, best = min(curve, key=lambda point: point[1]) if curve else (None, None)
    seconds = trial.seconds * steps / max(trial.steps, 1)
    return replace(
        trial,
        fate=fate,
        reason=reason,
        curve=curve,
        best_val_loss=best,
        best_step=best_step,
        best_val_accuracy=None if best is None else 1.0 - best / 1.9,
        steps=steps,
        seconds=seconds,
        ended=None if fate == "running" else (trial.started or 0.0) + seconds + 1.5,
    )


def _confirm(
    records: list[TrialRecord], started: float, chance: random.Random
) -> tuple[list[ConfirmedSetting], tuple[TrialRecord, ...]]:
    complete = [trial for trial in records if trial.fate == "complete"]
    ranked = sorted(complete, key=lambda trial: trial.best_val_loss or 9.0)
    settings, runs, free = [], [], [started, started]
    for trial in (*[one for one in ranked if one.number][:3], records[0]):
        losses = tuple((trial.best_val_loss or 0.0) + 0.012 + chance.gauss(0, 0.008) for _ in range(3))
        for seed, loss in zip((1000, 1001, 1002), losses, strict=True):
            slot = free.index(min(free))
            run = replace(trial, number=len(runs), seed=seed, best_val_loss=loss, source_trial=trial.number)
            run = replace(run, started=free[slot], ended=free[slot] + run.seconds + 1.0)
            free[slot] = run.ended or 0.0
            runs.append(run)
        settings.append(
            ConfirmedSetting(
                trial=trial.number,
                setting=trial.setting,
                is_course=trial.number == 0,
                search_val_loss=trial.best_val_loss,
                seeds=(1000, 1001, 1002),
                val_losses=losses,
            )
        )
    settings.sort(key=lambda setting: statistics.fmean(setting.val_losses))
    scored = [
        replace(
            setting,
            test_losses=tuple(loss + 0.005 for loss in setting.val_losses),
            test_accuracies=tuple(1.0 - loss / 1.9 for loss in setting.val_losses),
        )
        if place == 0 or setting.is_course
        else setting
        for place, setting in enumerate(settings)
    ]
    return scored, tuple(runs)


def _outcome(
    records: list[TrialRecord],
    runs: tuple[TrialRecord, ...],
    phase: Any,
    confirmed: list[ConfirmedSetting] | None = None,
) -> Outcome:
    return Outcome(
        name="my-search",
        folder="experiments/my-search",
        phase=phase,
        records=tuple(records),
        confirmations=runs,
        confirmed=tuple(confirmed or ()),
        winner=confirmed[0] if confirmed else None,
        busy_share=0.931,
        seconds=1234.0,
        rungs=RUNGS,
        request=dict(REQUEST),
        bundle="experiments/my-search/best" if phase == "done" else None,
    )


@pytest.fixture(scope="session")
def outcome() -> Outcome:
    """A finished search of 30 trials."""
    return make_outcome()


@pytest.fixture(scope="session")
def searching() -> Outcome:
    """A search of 30 trials, two of which run."""
    return make_outcome(phase="searching")


@pytest.fixture(scope="session")
def study(outcome: Outcome) -> optuna.Study:
    """The study of `outcome`."""
    return make_study(outcome)


@pytest.fixture(scope="session")
def ten_thousand() -> tuple[Outcome, optuna.Study]:
    """A finished search of 10,000 trials, and its study."""
    many = make_outcome(10_000)
    return many, make_study(many)


@pytest.fixture(scope="session")
def study_of() -> Callable[[Outcome], optuna.Study]:
    """What makes the study of any outcome."""
    return make_study


@pytest.fixture(scope="session")
def outcome_of() -> Callable[..., Outcome]:
    """What makes an outcome: trials, phase, seed."""
    return make_outcome


@pytest.fixture(scope="session")
def record_of() -> Callable[..., TrialRecord]:
    """What makes one trial: number, and the fields that differ from a complete one."""
    return record


@pytest.fixture(scope="session")
def snapshot_of() -> Callable[..., Snapshot]:
    """What makes the state of a running search: the fields that differ."""
    return snapshot
