"""Recorded learning curves, and searches over them on a virtual clock."""

import heapq
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from ray.tune.search import Searcher
from scipy.optimize import nnls
from scipy.special import log_ndtr
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from benchmarks.curves import TABLES, read
from tune_sentiment.search.sampler import METRIC, StudySearch
from tune_sentiment.search.space import Space

NOWHERE = Path("/nonexistent")
"""The folder of a search that writes nothing."""
WORST = 100.0
"""What a run that diverged is reported as."""
LEADERS = 3
"""The product's default for `--confirm-top`."""
NEAR = 8
"""Recorded settings, around one that is asked for, whose luck it may have."""


def use_fast_normal() -> None:
    """Have Optuna take the logarithm of the normal distribution from SciPy: the same numbers, a tenth of the time.

    For hundreds of thousands of suggestions; the product leaves Optuna as it is.
    """
    from optuna.samplers._tpe import _truncnorm

    _truncnorm._log_ndtr = log_ndtr


@dataclass(frozen=True)
class Curves:
    """What a setting does, as one table of recorded curves says it, in one of two ways.

    smooth: the curve is what a Gaussian process through all recorded curves expects there, plus how one of the NEAR
        nearest recorded ones, by chance, differs from what is expected of it: another seed is another curve. The truth
        is the lowest loss that is expected.
    nearest: the curve is that of the nearest recorded setting, whatever the seed, and the truth is its lowest loss.
    """

    space: Space
    points: NDArray[np.float64]
    """The settings, scaled to 0 to 1, (num_settings, num_coordinates); a choice has a coordinate for each value."""
    losses: NDArray[np.float64]
    """Validation losses, (num_settings, num_reports); what a run that diverged did not report is WORST."""
    seconds_per_size: NDArray[np.float64]
    """Of a step, validation counted, for each of `sizes`."""
    process: GaussianProcessRegressor
    """Fitted to the lowest losses, for its kernel."""
    weights: NDArray[np.float64]
    """Of the kernel with each recorded setting, for the expected loss of each report, (num_settings, num_reports)."""
    best: float
    """The lowest truth there is."""
    smooth: bool

    @property
    def num_reports(self) -> int:
        """Reports of a full run."""
        return self.losses.shape[1]

    @property
    def report_every(self) -> int:
        """Steps between two reports."""
        return int(self.space.fixed["report_every"])

    def report_seconds(self, params: Mapping[str, Any]) -> float:
        """Return the seconds from one report to the next."""
        return float(sizes(params) @ self.seconds_per_size) * self.report_every

    def full_seconds(self) -> float:
        """Return the mean seconds of a full run over the space."""
        sample = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        settings = [sample.ask(self.space.distributions).params for _ in range(300)]
        return float(np.mean([self.report_seconds(one) for one in settings])) * self.num_reports

    def draw(self, params: Mapping[str, Any], chance: np.random.Generator) -> tuple[NDArray[np.float64], float]:
        """Return a curve of a setting, and its truth."""
        point = scaled(params, self.space.distributions)
        order = ((self.points - point) ** 2).sum(axis=1).argsort()
        if not self.smooth:
            curve = self.losses[order[0]]
            return curve, float(curve.min())
        expected = expected_at(self.process, self.points, self.weights, point[None], self.losses)[0]
        other = chance.choice(order[:NEAR])
        there = expected_at(self.process, self.points, self.weights, self.points[other][None], self.losses)[0]
        return expected + self.losses[other] - there, float(expected.min())


def expected_at(
    process: GaussianProcessRegressor,
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    where: NDArray[np.float64],
    losses: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the expected curves at the points `where`, (num_points, num_reports)."""
    expected: NDArray[np.float64] = losses.mean(axis=0) + process.kernel_.k1(where, points) @ weights
    return expected


def load(name: str, *, smooth: bool = True) -> Curves:
    """Return the curves of the table `name`."""
    space = TABLES[name].searched
    rows = [row for row in read() if row["table"] == name]
    settings = [json.loads(row["setting"]) for row in rows]
    losses = np.full((len(rows), max(len(row["step"]) for row in rows)), WORST)
    for losses_of, row in zip(losses, rows, strict=True):
        losses_of[: len(row["val_loss"])] = row["val_loss"]
    points = np.array([scaled(one, space.distributions) for one in settings])
    lengths = RBF(np.ones(points.shape[1]), (0.1, 20))
    kernel = ConstantKernel(1.0) * lengths + WhiteKernel(0.3, (1e-3, 3))
    process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(points, losses.min(axis=1))
    noise = process.kernel_.k2.noise_level * np.eye(len(points))
    weights = np.linalg.solve(process.kernel_.k1(points) + noise, losses - losses.mean(axis=0))
    best = float(losses.min())
    if smooth:
        sample = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
        many = np.array([scaled(sample.ask(space.distributions).params, space.distributions) for _ in range(5_000)])
        best = float(expected_at(process, points, weights, many, losses).min())
    measured = np.array([row["seconds"][-1] / row["step"][-1] if row["step"] else np.nan for row in rows])
    return Curves(space, points, losses, fitted_seconds(settings, measured), process, weights, best, smooth)


def scaled(params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> NDArray[np.float64]:
    """Return a setting as coordinates from 0 to 1; two choices are as far apart as the ends of a range."""
    coordinates: list[float] = []
    for name, distribution in distributions.items():
        value = params[name]
        if isinstance(distribution, CategoricalDistribution):
            coordinates += [math.sqrt(0.5) * (value == choice) for choice in distribution.choices]
        else:
            assert isinstance(distribution, IntDistribution | FloatDistribution)
            low, high = float(distribution.low), float(distribution.high)
            if distribution.log:
                coordinates.append(math.log(value / low) / math.log(high / low))
            else:
                coordinates.append((value - low) / (high - low))
    return np.array(coordinates)


def sizes(params: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return what the time of a step grows with: the sizes of the word vectors and of the LSTM's layers."""
    embedding, hidden, layers = params["embedding_dim"], params["hidden_dim"], params["n_layers"]
    ways = 2 if params.get("bidirectional") else 1
    first, deeper = ways * hidden * (embedding + hidden), (layers - 1) * ways * hidden * (ways * hidden + hidden)
    return np.array([1.0, embedding, first, deeper, layers * ways, layers * ways * hidden], dtype=np.float64)


def fitted_seconds(settings: list[dict[str, Any]], measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the seconds of a step for each of `sizes`, fitted to what was measured.

    The machine was shared: what one setting took says as much of its neighbours on the machine as of the setting.
    """
    known = np.isfinite(measured)
    matrix = np.array([sizes(one) for one in settings])[known]
    scale = matrix.max(axis=0)
    weights, _ = nnls(matrix / scale / measured[known, None], np.ones(known.sum()))
    seconds: NDArray[np.float64] = weights / scale
    return seconds


@dataclass(frozen=True)
class Policy:
    """A way to search: who chooses the settings, and who stops them."""

    name: str
    searcher: Callable[[Curves, int], Searcher]
    """From the curves and a seed."""
    scheduler: Callable[[Curves], Any] | None
    """None: every trial runs to its end."""
    feeds_last: bool = False
    """Whether ASHA compares by the last loss, as a search without a best loss does."""


def own(make: Callable[[Space, int], optuna.samplers.BaseSampler]) -> Callable[[Curves, int], Searcher]:
    """Return our searcher, with a sampler of `make`, on a study in memory; the course's setting comes first."""

    def searcher(curves: Curves, seed: int) -> Searcher:
        search = StudySearch(
            storage=optuna.storages.InMemoryStorage(),
            study_name="replay",
            sampler=make(curves.space, seed),
            space=curves.space,
            seed=seed,
            folder=NOWHERE,
        )
        search.study.enqueue_trial(curves.space.course_point()[0])
        return search

    return searcher


@dataclass(eq=False)
class Replayed:
    """A trial, as far as a scheduler looks at it."""

    trial_id: str
    config: dict[str, Any]
    curve: NDArray[np.float64]
    truth: float
    report_seconds: float
    reports: int = 0
    lowest: float = math.inf


def replay(curves: Curves, policy: Policy, workers: int, seconds: float, seed: int) -> tuple[list[float], list[float]]:
    """Search for `seconds` of the virtual clock; return the times of changes among the leaders, and the regret then.

    That is the lowest truth of the LEADERS trials that are the best so far, less the lowest truth there is: the leaders
    would be run again on fresh seeds, and the one that is really the best be found.
    """
    np.random.seed(seed)  # noqa: NPY002 - Ray's ASHA draws its brackets from there
    searcher = policy.searcher(curves, seed)
    scheduler = policy.scheduler(curves) if policy.scheduler else None
    queue: list[tuple[float, int]] = []
    trials: list[Replayed] = []
    times: list[float] = []
    regrets: list[float] = []
    leaders: list[Replayed] = []
    chance = np.random.default_rng(seed)

    def begin(now: float) -> None:
        trial_id = f"{len(trials):06d}"
        config = searcher.suggest(trial_id)
        assert isinstance(config, dict)
        curve, truth = curves.draw(config, chance)
        trial = Replayed(trial_id, {**config, "number": len(trials)}, curve, truth, curves.report_seconds(config))
        trials.append(trial)
        if scheduler:
            scheduler.on_trial_add(None, trial)
        heapq.heappush(queue, (now + trial.report_seconds, len(trials) - 1))

    for _ in range(workers):
        begin(0.0)
    while queue:
        now, index = heapq.heappop(queue)
        if now > seconds:
            break
        trial = trials[index]
        loss = float(trial.curve[trial.reports])
        trial.reports += 1
        diverged = loss > WORST / 2
        trial.lowest = min(trial.lowest, loss)
        leading = sorted({*leaders, trial}, key=lambda one: one.lowest)[:LEADERS]
        if leading != leaders:
            leaders = leading
            times.append(now)
            regrets.append(min(leader.truth for leader in leaders) - curves.best)
        result = result_of(trial, curves, loss, diverged)
        done = diverged or trial.reports == curves.num_reports
        if scheduler and not done:
            done = scheduler.on_trial_result(None, trial, result) == "STOP"
        if done:
            if scheduler:
                scheduler.on_trial_complete(None, trial, result)
            searcher.on_trial_complete(trial.trial_id, result)
            begin(now)
        else:
            searcher.on_trial_result(trial.trial_id, result)
            heapq.heappush(queue, (now + trial.report_seconds, index))
    return times, regrets


def result_of(trial: Replayed, curves: Curves, loss: float, diverged: bool) -> dict[str, Any]:
    """Return the report of a trial as its process would send it."""
    return {
        "step": trial.reports * curves.report_every,
        "training_iteration": trial.reports,
        "max_steps": curves.num_reports * curves.report_every,
        "val_loss": loss,
        METRIC: trial.lowest,
        "failure": "diverged" if diverged else "",
        "details": "",
        "seconds": 0.0,
        "best_val_accuracy": 0.0,
        "peak_memory_bytes": 0,
        "reviews_per_second": 0.0,
        "train_loss": 0.0,
        "gpu_ids": "",
        "began": 0.0,
        "note": "",
    }
