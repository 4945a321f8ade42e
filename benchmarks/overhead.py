"""Measure what the search costs beside the training: python -m benchmarks.overhead seconds|growth|reports|slots.

seconds  trials of one second on two slots, through all of Ray: observed / minimum
growth   trials that end at once: what the n-th costs, and the driver's memory (--ray: through all of Ray)
reports  how many reports a second the driver takes, through all of Ray
slots    the same without Ray and on a virtual clock, for as many slots as one likes: what breaks first
"""

import argparse
import cProfile
import math
import os
import pstats
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from benchmarks.recording import add_option, recorded
from benchmarks.sleeping import Bench, Bookkeeping, bench, sleeping
from tune_sentiment.data.dataset import Split
from tune_sentiment.search import run
from tune_sentiment.search.budget import Interruption
from tune_sentiment.search.cluster import cluster
from tune_sentiment.search.records import Plan
from tune_sentiment.search.run import Phase, run_phase, shared
from tune_sentiment.search.sampler import tpe
from tune_sentiment.search.scheduler import asha
from tune_sentiment.search.study import SEARCH_STUDY, open_study
from tune_sentiment.training.loop import TrainingData


def with_ray(one: Bench, trials: int, seconds: float, steps: int) -> float:
    """Run a phase of the product with sleeping trials, and return its seconds, start and end of Ray not counted."""
    empty = Split(np.zeros(0, np.int32), np.zeros(1, np.int64), np.zeros(0, np.int8))
    plan = Plan(
        device="cpu",
        cpus=one.slots,
        gpus=0,
        memory_bytes=0,
        cpus_per_trial=1,
        gpus_per_trial=0,
        slots=one.slots,
        trials=trials,
        max_steps=steps,
        confirm_runs=0,
        trial_bytes=0,
        estimated_seconds=0.0,
    )
    observers = one.observers()
    run.ReviewTrainable = sleeping(seconds, steps)  # type: ignore[misc]
    with cluster(address=None, cpus=one.slots, gpus=0, dashboard=False):
        phase = Phase(
            folder=one.folder,
            studies=one.studies,
            space=one.space,
            data=shared(TrainingData(empty, empty, 2)),
            plan=plan,
            seed=0,
            observers=observers,
            interruption=Interruption(),
            command_started=time.monotonic(),
            time_budget=None,
            trial_timeout=None,
        )
        began = time.perf_counter()
        run_phase(
            phase,
            name="search",
            study_name=SEARCH_STUDY,
            sampler=tpe(one.space, 0),
            scheduler=asha(steps, 1),
            wanted=trials,
            deadline=lambda _: math.inf,
        )
        for observer in observers:
            observer.close()
        return time.perf_counter() - began


def without_ray(one: Bench, trials: int, steps: int) -> None:
    """Do the bookkeeping of `trials` trials, one after the other."""
    books = Bookkeeping(one, trials, steps)
    for _ in range(trials):
        trial = books.begin()
        while books.report(trial):
            pass
    books.close()


def on_slots(one: Bench, steps: int, seconds: float) -> tuple[int, float, float, float]:
    """Report from `one.slots` trials at once, in turn, as fast as it goes; a trial that ends makes room for the next.

    Returns the reports, their seconds, those of the processor, and the seconds that beginning a trial took.
    """
    books = Bookkeeping(one, 10**9, steps)
    began = time.perf_counter()
    running = [books.begin() for _ in range(one.slots)]
    beginning = (time.perf_counter() - began) / one.slots
    began, cpu, reports = time.perf_counter(), time.thread_time(), 0
    while time.perf_counter() - began < seconds:
        slot = reports % one.slots
        reports += 1
        if not books.report(running[slot]):
            running[slot] = books.begin()
    took, cpu = time.perf_counter() - began, time.thread_time() - cpu
    books.close()
    return reports, took, cpu, beginning


def peak_memory() -> int:
    """Return this process's peak memory in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("seconds", "growth", "reports", "slots"))
    parser.add_argument("--trials", type=int, help="default: 200; growth: 10,000")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=30.0, help="of measuring, for `slots`")
    parser.add_argument("--ray", action="store_true", help="`growth` through all of Ray")
    parser.add_argument("--profile", action="store_true", help="print what took the driver's time")
    add_option(parser)
    options = parser.parse_args()
    with recorded("overhead", options):
        with bench(options.slots) as one, profiled(options.profile):
            MEASURES[options.what](one, options)
        print(f"peak memory of the driver: {peak_memory() / 1e6:,.0f} MB")


@contextmanager
def profiled(wanted: bool) -> Iterator[None]:
    """Print the functions that took the most time in the block, if `wanted`."""
    if not wanted:
        yield
        return
    profile = cProfile.Profile()
    profile.enable()
    yield
    profile.disable()
    for order in ("cumulative", "tottime"):
        pstats.Stats(profile).sort_stats(order).print_stats(45)


def seconds(one: Bench, options: argparse.Namespace) -> None:
    """Trials of one second."""
    trials = options.trials or 200
    with_ray(one, trials, seconds=1.0, steps=1)
    # From the end of the first trials on, which wait for the processes: the start of Ray is measured elsewhere.
    took = one.clock.ended[-1] - one.clock.ended[one.slots - 1]
    trials -= one.slots
    minimum = trials / one.slots
    print(f"{trials} one-second trials on {one.slots} slots: {took:.1f} s / {minimum:.0f} s = {took / minimum:.3f}")


def growth(one: Bench, options: argparse.Namespace) -> None:
    """Trials that end at once."""
    trials = options.trials or 10_000
    began = time.perf_counter()
    if options.ray:
        with_ray(one, trials, seconds=0.0, steps=1)
    else:
        without_ray(one, trials, steps=1)
    print(f"{trials:,} trials that end at once: {time.perf_counter() - began:.1f} s")
    for number in (100, 300, 1_000, 3_000, 10_000):
        if number <= trials:
            (cost, cpu), (first, first_cpu) = one.clock.cost(number), one.clock.cost(100)
            print(
                f"the {number:,}th trial: {cost * 1e3:.1f} ms, {cost / first:.2f} times the 100th; "
                f"processor {cpu * 1e3:.1f} ms, {cpu / first_cpu:.2f} times"
            )
    print(f"study.log: {one.folder.study_file.stat().st_size / 1e6:.1f} MB")


def reports(one: Bench, options: argparse.Namespace) -> None:
    """Reports as fast as they come, through Ray."""
    trials = options.trials or 200
    steps = 50
    with_ray(one, trials, seconds=0.0, steps=steps)
    took = one.clock.ended[-1] - one.clock.ended[one.slots - 1]
    study = open_study(one.studies, SEARCH_STUDY)
    count = sum(len(trial.intermediate_values) for trial in study.get_trials(deepcopy=False)[one.slots :])
    print(f"{count:,} reports of {trials} trials in {took:.1f} s: {count / took:.0f} reports/s on {one.slots} slots")


def slots(one: Bench, options: argparse.Namespace) -> None:
    """Reports as fast as the driver takes them, without Ray."""
    count, took, cpu, beginning = on_slots(one, steps=50, seconds=options.seconds)
    print(
        f"{one.slots:,} slots: {count / took:.0f} reports/s, {count / cpu:.0f} for each second of the processor; "
        f"{beginning * 1e3:.1f} ms to begin a trial"
    )


MEASURES: dict[str, Callable[[Bench, argparse.Namespace], None]] = {
    "seconds": seconds,
    "growth": growth,
    "reports": reports,
    "slots": slots,
}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
