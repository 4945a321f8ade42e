"""Replay searches over recorded learning curves: python -m benchmarks.sampler [--table rt] [--workers 2 16 100].

Each search has as much virtual time as its workers need for a number of full runs. Regret is how much lower the
best setting's expected validation loss is than that of the best of three settings: those that lead so far, which the
confirmation would run again.
"""

import argparse
import json
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.recording import add_option, recorded
from benchmarks.replay import Curves, Policy, load, own, replay, use_fast_normal
from tune_sentiment.search.distinct import DistinctTPE
from tune_sentiment.search.sampler import METRIC, STARTUP_TRIALS, tpe
from tune_sentiment.search.scheduler import TIME, asha

FULL_RUNS = {2: 40, 16: 64, 100: 120}
"""By the number of workers: full runs that the time of a search is enough for."""
COLOURS = ("#8c8c8c", "#c98a00", "#c2185b", "#1565c0", "#2e7d32")
BLOCK = 20
GRID = 200
"""Times at which regrets are compared."""


def ours(curves: Curves) -> Any:
    """Return the product's ASHA."""
    return asha(curves.num_reports * curves.report_every, curves.report_every)


def stopping(**options: Any) -> Callable[[Curves], Any]:
    """Return Ray's ASHA with other numbers: `parts` of a full run that every trial may do, `reduction_factor`, ...

    ladder: rungs as (part of a full run, share of the trials there that go on), in place of ASHA's own.
    """

    def scheduler(curves: Curves) -> Any:
        chosen = {"parts": 9, "reduction_factor": 3, "metric": METRIC, "brackets": 1, **options}
        parts, ladder, patience, share = (chosen.pop(name, None) for name in ("parts", "ladder", "patience", "share"))
        made = AsyncHyperBandScheduler(
            time_attr=TIME,
            mode="min",
            max_t=curves.num_reports * curves.report_every + 1,
            grace_period=-(-curves.num_reports // parts) * curves.report_every,
            **chosen,
        )
        for bracket in made._brackets:
            if ladder is None:
                kept = 1 / bracket.rf if share is None else share
                bracket._rungs = [(*rung, kept) for rung in bracket._rungs]
            else:
                bracket._rungs = [
                    (math.ceil(part * curves.num_reports) * curves.report_every, {}, kept)
                    for part, kept in reversed(ladder)
                ]
            bracket.on_result = partial(decide, bracket._rungs, patience or 1)
        return made

    return scheduler


def decide(
    rungs: Sequence[tuple[int, dict[str, float], float]], patience: int, trial: Any, step: int, gain: float
) -> str:
    """Return whether a trial goes on after a step: ASHA's rule, but that the first `patience` at each rung do."""
    for milestone, gains, kept in rungs:
        if step >= milestone and trial.trial_id not in gains:
            others = list(gains.values())
            gains[trial.trial_id] = gain
            stops = len(others) >= patience and gain < np.percentile(others, (1 - kept) * 100)
            return "STOP" if stops else "CONTINUE"
    return "CONTINUE"


def stock(curves: Curves, seed: int) -> Any:
    """Return Ray Tune's own OptunaSearch, with the TPE that it makes by itself."""
    return OptunaSearch(space=curves.space.distributions, metric="val_loss", mode="min", seed=seed)


def our_tpe(**changed: Any) -> Callable[..., optuna.samplers.BaseSampler]:
    """Return the maker of the product's TPE with other options."""

    def make(space: Any, seed: int) -> optuna.samplers.BaseSampler:
        options = {"multivariate": True, "constant_liar": True, "n_startup_trials": STARTUP_TRIALS, **changed}
        return DistinctTPE(space.distributions, seed=seed, **options)

    return make


def random_sampler(_: Any, seed: int) -> optuna.samplers.BaseSampler:
    """Return the random sampler."""
    return optuna.samplers.RandomSampler(seed=seed)


MAIN = [
    Policy("random", own(random_sampler), None),
    Policy("random + ASHA", own(random_sampler), stopping()),
    Policy("stock OptunaSearch + ASHA", stock, stopping(metric="val_loss")),
    Policy("ours", own(tpe), ours),
    Policy("TPE without stopping", own(tpe), None),
]
STOPPING: dict[str, dict[str, Any]] = {
    "grace 1/18": {"parts": 18},
    "grace 1/9": {},
    "grace 1/6": {"parts": 6},
    "grace 1/4": {"parts": 4},
    "grace 1/3": {"parts": 3},
    "grace 1/2": {"parts": 2},
    "factor 2, grace 1/9": {"reduction_factor": 2},
    "factor 2, grace 1/4": {"parts": 4, "reduction_factor": 2},
    "factor 2, grace 1/2": {"parts": 2, "reduction_factor": 2},
    "factor 4, grace 1/18": {"parts": 18, "reduction_factor": 4},
    "factor 4, grace 1/9": {"reduction_factor": 4},
    "factor 4, grace 1/4": {"parts": 4, "reduction_factor": 4},
    "factor 6, grace 1/9": {"reduction_factor": 6},
    "factor 6, grace 1/6": {"parts": 6, "reduction_factor": 6},
    "2 brackets": {"brackets": 2},
    "3 brackets": {"brackets": 3},
    "keeps half": {"share": 0.5},
    "keeps 1 in 5": {"share": 0.2},
    "keeps 1 in 5, grace 1/3": {"parts": 3, "share": 0.2},
    "keeps 1 in 10, grace 1/3": {"parts": 3, "share": 0.1},
    "keeps half, grace 1/3": {"parts": 3, "share": 0.5},
    "keeps 1 in 5, grace 1/2": {"parts": 2, "share": 0.2},
    "keeps 1 in 10, grace 1/2": {"parts": 2, "share": 0.1},
    "2/3 at 1/9, 1/5 at 1/2": {"ladder": [(1 / 9, 2 / 3), (1 / 2, 1 / 5)]},
    "1/2 at 1/9, 1/5 at 1/2": {"ladder": [(1 / 9, 1 / 2), (1 / 2, 1 / 5)]},
    "1/2 at 1/4, 1/5 at 1/2": {"ladder": [(1 / 4, 1 / 2), (1 / 2, 1 / 5)]},
    "2/3 at 1/4, 1/5 at 1/2": {"ladder": [(1 / 4, 2 / 3), (1 / 2, 1 / 5)]},
    "2/3 at 1/9, 1/2 at 1/4, 1/3 at 1/2": {"ladder": [(1 / 9, 2 / 3), (1 / 4, 1 / 2), (1 / 2, 1 / 3)]},
    "2/3 at 1/9, 2/3 at 1/4, 1/4 at 1/2": {"ladder": [(1 / 9, 2 / 3), (1 / 4, 2 / 3), (1 / 2, 1 / 4)]},
    "2/3 at 1/9, 1/2 at 1/3, 1/4 at 1/2, 1/3 at 3/4": {
        "ladder": [(1 / 9, 2 / 3), (1 / 3, 1 / 2), (1 / 2, 1 / 4), (3 / 4, 1 / 3)]
    },
    "3/4 at 1/9, 1/10 at 1/2": {"ladder": [(1 / 9, 3 / 4), (1 / 2, 1 / 10)]},
    "1/4 at 1/2, 1/3 at 3/4": {"ladder": [(1 / 2, 1 / 4), (3 / 4, 1 / 3)]},
    "2/3 at 1/4, 1/4 at 1/2, 1/3 at 3/4": {"ladder": [(1 / 4, 2 / 3), (1 / 2, 1 / 4), (3 / 4, 1 / 3)]},
    "1/5 at 2/3": {"ladder": [(2 / 3, 1 / 5)]},
    "first 5 of a rung go on": {"patience": 5},
    "first 10 of a rung go on": {"patience": 10},
    "by the last loss": {"metric": "val_loss"},
}
"""Ways to stop trials that were tried beside the product's."""
CHOOSING: dict[str, dict[str, Any]] = {
    "startup 5": {"n_startup_trials": 5},
    "startup 10": {"n_startup_trials": 10},
    "startup 40": {"n_startup_trials": 40},
    "not multivariate": {"multivariate": False},
    "no constant liar": {"constant_liar": False},
    "100 candidates": {"n_ei_candidates": 100},
}
"""Options of TPE that were tried beside the product's."""
OTHERS = [
    Policy("random + our stopping", own(random_sampler), ours),
    *(Policy(f"random, {name}", own(random_sampler), stopping(**options)) for name, options in STOPPING.items()),
    *(Policy(f"ours, {name}", own(tpe), stopping(**options)) for name, options in STOPPING.items()),
    *(Policy(f"ours, {name}", own(our_tpe(**options)), ours) for name, options in CHOOSING.items()),
    Policy("QMC + ASHA", own(lambda _, seed: optuna.samplers.QMCSampler(seed=seed)), ours),
]
SLOW = [Policy("GP + ASHA", own(lambda _, seed: optuna.samplers.GPSampler(seed=seed)), ours)]
POLICIES = {policy.name: policy for policy in (*MAIN, *OTHERS, *SLOW)}


def regrets(curves: Curves, policy: Policy, workers: int, seeds: Iterable[int]) -> list[list[float]]:
    """Return the regrets of a search for each seed, at the times of the grid."""
    seconds = curves.full_seconds() * FULL_RUNS[workers] / workers
    grid = np.linspace(0, seconds, GRID + 1)[1:]
    rows = []
    for seed in seeds:
        times, values = replay(curves, policy, workers, seconds, seed)
        before = np.searchsorted(times, grid, side="right") - 1
        rows.append(np.where(before >= 0, np.array(values)[before], np.nan).round(6).tolist())
    return rows


def measured(options: argparse.Namespace, names: list[str]) -> dict[int, dict[str, NDArray[np.float64]]]:
    """Return the regrets by number of workers and policy; those in the file `kept` are taken from there.

    In blocks of BLOCK seeds, all policies by turns: what has been replayed when this is stopped is in the file.
    """
    curves = load(options.table, smooth=not options.nearest)
    known: dict[str, Any] = json.loads(options.kept.read_text()) if options.kept and options.kept.exists() else {}
    found: dict[int, dict[str, Any]] = {count: {name: [] for name in names} for count in options.workers}
    for first in range(0, options.repeats, BLOCK):
        for count, name in product(options.workers, names):
            key = f"{options.table} {curves.smooth} {len(curves.points)} {count} {FULL_RUNS[count]} {name} {first}"
            if key not in known:
                known[key] = regrets(curves, POLICIES[name], count, range(first, min(first + BLOCK, options.repeats)))
                if options.kept:
                    options.kept.write_text(json.dumps(known))
            found[count][name] += known[key]
    return {count: {name: np.array(rows) for name, rows in one.items()} for count, one in found.items()}


def table_of(workers: int, found: dict[str, NDArray[np.float64]]) -> Iterator[str]:
    """Yield the lines of the table for one number of workers."""
    reference = found.get("random")
    target = float(np.median(reference[:, -1])) if reference is not None else np.nan
    yield f"\n{workers} workers"
    yield "| | at 1/8 | 1/4 | half | the end | quartiles there | mean there | random's end reached at |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, values in found.items():
        middle = np.nanmedian(values, axis=0)
        low, high = np.nanpercentile(values[:, -1], [25, 75])
        reached = np.flatnonzero(middle <= target)
        when = f"{(reached[0] + 1) / GRID:.0%}" if len(reached) else "never"
        at = " | ".join(f"{middle[int(GRID * share) - 1]:.4f}" for share in (1 / 8, 1 / 4, 1 / 2, 1))
        ends = values[:, -1]
        mean = f"{ends.mean():.4f} +- {ends.std() / np.sqrt(len(ends)):.4f}"
        yield f"| {name} | {at} | {low:.4f} to {high:.4f} | {mean} | {when} |"


def draw(curves: Curves, found: dict[int, dict[str, NDArray[np.float64]]], path: Path, title: str) -> None:
    """Draw the median regret of the first policies against the time, a band from the first to the third quartile."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(found), figsize=(max(8.0, 5.2 * len(found)), 5.0), squeeze=False, layout="constrained"
    )
    for axis, (workers, by_name) in zip(axes[0], found.items(), strict=True):
        seconds = curves.full_seconds() * FULL_RUNS[workers] / workers
        grid = np.linspace(0, seconds, GRID + 1)[1:]
        for (name, values), colour in zip(by_name.items(), COLOURS, strict=False):
            low, middle, high = np.nanpercentile(values, [25, 50, 75], axis=0)
            width = 2.5 if name == "ours" else 1.5
            axis.plot(grid, middle, label=name, color=colour, linewidth=width, zorder=3 if name == "ours" else 2)
            axis.fill_between(grid, low, high, color=colour, alpha=0.12, linewidth=0)
        ends = [np.nanpercentile(values[:, int(GRID * 0.08)], 75) for values in by_name.values()]
        axis.set(
            title=f"{workers} workers", xlabel="seconds of the virtual clock", xlim=(0, seconds), ylim=(0, max(ends))
        )
        axis.grid(alpha=0.25)
    axes[0][0].set_ylabel("regret (validation loss)")
    axes[0][-1].legend(frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="rt")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 16, 100])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument(
        "--policies",
        nargs="+",
        choices=POLICIES,
        default=[policy.name for policy in MAIN],
        metavar="NAME",
        help=f"one of {', '.join(policy.name for policy in MAIN)}, or of the others in this file",
    )
    parser.add_argument("--like", default="", help="also the other policies whose names begin so, `ours,` or `random,`")
    parser.add_argument("--kept", type=Path, help="JSON file of regrets already replayed, added to")
    parser.add_argument("--nearest", action="store_true", help="a setting has the curve of the nearest recorded one")
    parser.add_argument("--plot", type=Path, help="PNG to draw")
    add_option(parser)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", module="optuna")
    use_fast_normal()
    others = [policy.name for policy in (*OTHERS, *SLOW) if options.like and policy.name.startswith(options.like)]
    names = [*options.policies, *others]
    with recorded("sampler", options):
        found = measured(options, names)
        for count, by_name in found.items():
            print("\n".join(table_of(count, by_name)), flush=True)
    if options.plot:
        repeats = f"median and quartiles of {options.repeats} searches over recorded curves ({options.table})"
        draw(load(options.table, smooth=not options.nearest), found, options.plot, repeats)


if __name__ == "__main__":
    main()
