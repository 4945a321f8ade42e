"""Measure how much of the demo corpus can be read without the order of its words: python benchmarks/demo_corpus.py."""

import argparse
import time
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Dataset, Split, load_dataset
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.loop import TrainingData, start, train

STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""C, the inverse of the L2 penalty of scikit-learn's logistic regression; the best on the validation split is taken."""

COURSE = TrainSettings(seq_length=60, report_every=24)
TUNED = COURSE.model_copy(update={"embedding_dim": 100, "hidden_dim": 128, "n_layers": 1, "lr": 0.005})


def bag_of_words(dataset: Dataset, longest: int) -> tuple[float, float]:
    """Return the validation and test accuracy of a logistic regression on runs of up to `longest` words."""
    counter = CountVectorizer(analyzer=lambda review: runs_of_words(review, longest))
    train_counts = counter.fit_transform(reviews_of(dataset.train))
    counts = {name: counter.transform(reviews_of(split)) for name, split in dataset.splits.items() if name != "train"}
    scores = []
    for strength in STRENGTHS:
        classifier = LogisticRegression(C=strength, max_iter=1000).fit(train_counts, dataset.train.labels)
        scores.append(tuple(classifier.score(counts[name], dataset.splits[name].labels) for name in counts))
    return max(scores)


def reviews_of(split: Split) -> list[NDArray[np.int32]]:
    """Return the word ids of each review."""
    return [split.token_ids[begin:end] for begin, end in pairwise(split.offsets)]


def runs_of_words(review: NDArray[np.int32], longest: int) -> list[tuple[int, ...]]:
    """Return all runs of 1 to `longest` words of a review."""
    words = review.tolist()
    return [
        run for size in range(1, longest + 1) for run in zip(*(words[shift:] for shift in range(size)), strict=False)
    ]


def lstm(dataset: Dataset, settings: TrainSettings, seed: int) -> tuple[float, float, int]:
    """Train and return the best validation loss, the test accuracy of the last step, and the steps."""
    state = start(settings, dataset.vocabulary.size, seed)
    for progress in train(state, TrainingData(dataset.train, dataset.validation, dataset.vocabulary.size)):
        best = progress.best_val_loss
    return best, evaluate(state.model, dataset.test, settings).accuracy, state.step


def main() -> None:
    """Print one line per way of reading."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="trainings per setting (the course's takes a minute each)")
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    dataset = load_dataset("demo")
    print(f"{dataset.name}: {len(dataset.train)} + {len(dataset.validation)} + {len(dataset.test)} reviews")
    for longest, name in ((1, "words"), (2, "words and pairs of words")):
        validation, test = bag_of_words(dataset, longest)
        print(f"bag of {name}: validation accuracy {validation:.3f}, test accuracy {test:.3f}")
    for name, settings in (("a tuned setting", TUNED), ("the course's setting", COURSE)):
        began = time.perf_counter()
        losses, accuracies, steps = zip(*(lstm(dataset, settings, seed) for seed in seeds), strict=True)
        print(
            f"LSTM, {name}: validation loss {np.mean(losses):.3f}, test accuracy {np.mean(accuracies):.3f} "
            f"({steps[0]} steps, {len(seeds)} seeds, {time.perf_counter() - began:.0f} s)"
        )


if __name__ == "__main__":
    main()
