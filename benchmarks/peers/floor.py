"""How much faster a search can get by its steps alone: python -m benchmarks.peers.floor --data SOURCE.

Processor seconds, so that other work on the machine disturbs little: of 100 steps and one validation, by the course's
loop and by ours, on one thread. A search whose slots are always busy gains this much and no more.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import numpy as np
import torch

from benchmarks.search import padded
from tests.course import CourseRNN, course_loop, loader
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Dataset, load_dataset
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.loop import TrainingData, start, train
from tune_sentiment.training.processor import set_up_for_training

SIZES = ((400, 256, 2), (275, 128, 2), (150, 100, 1), (100, 40, 3))
"""embedding_dim, hidden_dim, n_layers: the course's, the middle of the space, and two that win searches."""
SEQ_LENGTH = 40
STEPS = 40
REPORT_EVERY = 100


def course_seconds(dataset: Dataset, size: tuple[int, int, int]) -> float:
    """Return the processor seconds of 100 steps and a validation by the course's loop."""
    embedding_dim, hidden_dim, n_layers = size
    torch.manual_seed(0)
    steps = course_loop(
        CourseRNN(dataset.vocabulary.size, 1, embedding_dim, hidden_dim, n_layers),
        loader(padded(dataset.train, SEQ_LENGTH), dataset.train.labels.astype(np.int64), 50, shuffle=True),
        loader(padded(dataset.validation, SEQ_LENGTH), dataset.validation.labels.astype(np.int64), 50, shuffle=False),
        print_every=STEPS,
    )
    for _ in range(3):  # the first prepare their kernels
        next(steps)
    step = seconds(lambda: [next(steps) for _ in range(STEPS - 4)]) / (STEPS - 4)
    return REPORT_EVERY * step + seconds(lambda: next(steps)) - step  # the last one validates, too


def our_seconds(dataset: Dataset, size: tuple[int, int, int], precision: str) -> float:
    """Return the same of ours."""
    names = ("embedding_dim", "hidden_dim", "n_layers")
    settings = TrainSettings(
        **dict(zip(names, size, strict=True)), seq_length=SEQ_LENGTH, report_every=STEPS, precision=precision
    )
    state = start(settings, dataset.vocabulary.size, seed=0)
    reports = train(state, TrainingData(dataset.train, dataset.validation, dataset.vocabulary.size))
    next(reports)
    both = seconds(lambda: next(reports))
    validation = seconds(lambda: evaluate(state.model, dataset.validation, settings))
    return REPORT_EVERY * (both - validation) / STEPS + validation


def seconds(work: Callable[[], object]) -> float:
    """Return the processor seconds of `work`."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="rt-polarity.pos")
    dataset = load_dataset(parser.parse_args().data)
    torch.set_num_threads(1)
    set_up_for_training()
    print("| embedding_dim, hidden_dim, n_layers | the course's loop s | ours, float32 s | ours, bfloat16 s |")
    print("|---|---|---|---|")
    for size in SIZES:
        course = course_seconds(dataset, size)
        ours = [our_seconds(dataset, size, precision) for precision in ("float32", "bfloat16")]
        cells = [f"{one:.2f} ({course / one:.2f} times)" for one in ours]
        print(f"| {', '.join(map(str, size))} | {course:.2f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
