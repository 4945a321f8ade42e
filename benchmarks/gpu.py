"""Time trainings on one GPU: the course's loop, ours, and many of ours that share it.

python -m benchmarks.gpu --data SOURCE [--sharing 1 2 4 8 16]
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import numpy as np
import torch

from benchmarks.curves import part_of
from benchmarks.step import SETTINGS
from tests.course import CourseRNN, course_loop, loader
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import left_pad, load_dataset
from tune_sentiment.training.loop import TrainingData, start, train
from tune_sentiment.training.processor import set_up_for_training

NUM_REVIEWS = 4_000
VALIDATION = 500
"""As many for 20 steps as the course's 2,500 for its 100."""
REPORT_EVERY = 20
WARM_UP = 40
"""Steps until every length of batch has been met and the allocator has what it needs."""


@dataclass(frozen=True)
class OnGPU:
    """The course's batches, moved to the GPU one by one as its notebook does."""

    batches: torch.utils.data.DataLoader[tuple[torch.Tensor, ...]]

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield (features, labels) on the GPU."""
        for inputs, labels in self.batches:
            yield inputs.cuda(), labels.cuda()


def load(source: str) -> TrainingData:
    """Return some of the reviews of `source`, with all its words."""
    dataset = load_dataset(source)
    size = dataset.vocabulary.size
    train_split, validation = (
        part_of(split, max(1, len(split) // count), words=size)
        for split, count in ((dataset.train, NUM_REVIEWS), (dataset.validation, VALIDATION))
    )
    return TrainingData(train_split, validation, size)


def course_seconds(data: TrainingData, settings: TrainSettings, steps: int) -> float:
    """Return the seconds of a step of the course's loop on the GPU, without validation."""
    torch.manual_seed(0)
    net = CourseRNN(data.vocab_size, 1, settings.embedding_dim, settings.hidden_dim, settings.n_layers).cuda()
    features = left_pad(data.train, np.arange(len(data.train)), settings.seq_length, settings.seq_length)
    batches = OnGPU(loader(features, data.train.labels, settings.batch_size, shuffle=True))
    loop = course_loop(net, batches, None, epochs=10**6, batch_size=settings.batch_size)  # type: ignore[arg-type]
    return timed(loop, steps)


def our_seconds(data: TrainingData, settings: TrainSettings, steps: int) -> float:
    """Return the seconds of a step of ours on the GPU, without validation, as its reports state them."""
    short = settings.model_copy(update={"epochs": 10**6, "report_every": REPORT_EVERY})
    reports = train(start(short, data.vocab_size, seed=0, device="cuda"), data)
    rates = [next(reports).reviews_per_second for _ in range((WARM_UP + steps) // REPORT_EVERY)]
    return float(np.median([settings.batch_size / rate for rate in rates[WARM_UP // REPORT_EVERY :]]))


def timed(steps: Iterator[object], count: int) -> float:
    """Return the mean seconds of a step after the warm-up."""
    for _ in range(WARM_UP):
        next(steps)
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(count):
        next(steps)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / count


def compare(data: TrainingData, rounds: int, steps: int) -> None:
    """Print the table of one run at a time: medians over the rounds, which alternate."""
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {data.vocab_size:,} words; ms/step")
    print("| | the course's loop | ours, float32 | ours, bfloat16 |")
    print("|---|---|---|---|")
    for name, settings in SETTINGS.items():
        found: dict[str, list[float]] = {"course": [], "float32": [], "bfloat16": []}
        for _ in range(rounds):
            found["course"].append(course_seconds(data, settings, steps))
            for precision in ("float32", "bfloat16"):
                chosen = settings.model_copy(update={"precision": precision})
                found[precision].append(our_seconds(data, chosen, steps))
        print(f"| {name} | " + " | ".join(f"{np.median(one) * 1e3:.2f}" for one in found.values()) + " |", flush=True)


def share(source: str, counts: list[int], seconds: float) -> None:
    """Print how many steps a second 1, 2, ... processes do together, validation counted in.

    All are started at once, and in each window of time only as many of them train.
    """
    print("\n| trials side by side | " + " | ".join(f"{name}, steps/s" for name in SETTINGS) + " |")
    print("|---|" + "---|" * len(SETTINGS))
    begin = time.time() + 45.0
    command = [sys.executable, "-m", "benchmarks.gpu", "--data", source, "--seconds", str(seconds)]
    command += ["--begin", str(begin), "--sharing", *map(str, counts)]
    processes = [
        subprocess.Popen([*command, "--member", str(member)], stdout=subprocess.PIPE) for member in range(max(counts))
    ]
    windows: dict[str, float] = {}
    for process in processes:
        output, _ = process.communicate()
        for key, steps in json.loads(output or b"{}").items():
            windows[key] = windows.get(key, 0.0) + steps
    for count in counts:
        rates = [windows.get(f"{name} {count}", 0.0) for name in SETTINGS]
        print(f"| {count} | " + " | ".join(f"{rate:.0f}" for rate in rates) + " |", flush=True)


def take_part(source: str, counts: list[int], seconds: float, begin: float, member: int) -> None:
    """Train in the windows that this member has a part in, and print the steps per second of each as JSON."""
    data = load(source)
    done: dict[str, float] = {}
    window_begin = begin
    for name, settings in SETTINGS.items():
        short = settings.model_copy(update={"epochs": 10**6, "report_every": REPORT_EVERY})
        reports = train(start(short, data.vocab_size, seed=member, device="cuda"), data)
        next(reports)  # whatever a first step compiles, before the first window
        for count in counts:
            if member < count:
                time.sleep(max(0.0, window_begin - time.time()))
                began, steps = time.time(), 0
                while time.time() < window_begin + seconds:
                    next(reports)
                    steps += REPORT_EVERY
                done[f"{name} {count}"] = steps / (time.time() - began)
            window_begin += seconds + 1.0
        window_begin += 10.0  # the next setting begins
    print(json.dumps(done))


def main() -> None:
    """Compare one by one, then share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo", help="a source of reviews")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100, help="steps of a round")
    parser.add_argument("--sharing", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=5.0, help="of one window of sharing")
    parser.add_argument("--begin", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--member", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_up_for_training()
    if options.member is not None:
        take_part(options.data, options.sharing, options.seconds, options.begin, options.member)
        return
    compare(load(options.data), options.rounds, options.steps)
    if options.sharing:
        share(options.data, options.sharing, options.seconds)


if __name__ == "__main__":
    main()
