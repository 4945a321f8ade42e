"""Time reading, encoding, starting again and predicting: python -m benchmarks.data SOURCE [--only TABLE]."""

import argparse
import csv
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.recording import add_option, recorded

if TYPE_CHECKING:
    from tune_sentiment.config import TrainSettings
    from tune_sentiment.data.vocabulary import Vocabulary

SETTLING_SECONDS = 4
"""A source that was only just written is not kept in the cache."""
MILLION = 1_000_000

LOAD = """
import sys, time
began = time.perf_counter()
from tune_sentiment.data.dataset import load_dataset
imported = time.perf_counter()
dataset = load_dataset(sys.argv[1], cache_folder=sys.argv[2])
ended = time.perf_counter()
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
words = sum(len(split.token_ids) for split in dataset.splits.values())
print(imported - began, ended - imported, peak, sum(map(len, dataset.splits.values())), words)
"""
"""What a fresh process does; it prints the seconds of importing and of loading, its peak in bytes, and counts."""


def load(source: Path, cache: Path) -> list[float]:
    """Return what LOAD prints of `source`."""
    command = [sys.executable, "-c", LOAD, str(source), str(cache)]
    return [float(word) for word in subprocess.run(command, capture_output=True, check=True).stdout.split()]


def command_seconds(source: Path, home: Path) -> float:
    """Return the seconds that `python -m tune_sentiment data` takes from start to end, its cache below `home`."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "tune_sentiment", "data", str(source)],
        capture_output=True,
        check=True,
        env={**os.environ, "XDG_CACHE_HOME": str(home)},
    )
    return time.perf_counter() - began


def first_and_second(measure: Callable[[Path], float], rounds: int) -> tuple[float, float]:
    """Return the medians of `measure` with an empty cache and with the one that this filled."""
    firsts, seconds = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            firsts.append(measure(Path(folder)))
            seconds.append(measure(Path(folder)))
    return statistics.median(firsts), statistics.median(seconds)


def print_starts(source: Path, rounds: int) -> None:
    """Print the table of first and second starts."""
    peaks: list[float] = []

    def loading(cache: Path) -> float:
        _, seconds, peak, *_ = load(source, cache)
        peaks.append(peak)
        return seconds

    print(f"\n{source.name}, medians of {rounds}\n")
    print("| | first start | second start |\n|---|---|---|")
    print("| reading and encoding | {:.2f} s | {:.3f} s |".format(*first_and_second(loading, rounds)))
    print(f"| its peak memory | {max(peaks[::2]) / 1e6:.0f} MB | {max(peaks[1::2]) / 1e6:.0f} MB |")
    whole = first_and_second(lambda cache: command_seconds(source, cache), rounds)
    print("| `python -m tune_sentiment data`, the whole process | {:.2f} s | {:.2f} s |".format(*whole))


def repeated(source: Path, number: int, target: Path) -> None:
    """Write `number` reviews of `source`, each as often as the others, in random order, as CSV."""
    from tune_sentiment.data.formats import open_source

    reviews = [(review.text, review.label) for review in open_source(str(source)).reviews]
    order = [index % len(reviews) for index in range(number)]
    random.Random(0).shuffle(order)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(reviews[index] for index in order)


def print_growth(source: Path) -> None:
    """Print how time and memory grow from 25,000 to a million reviews."""
    print(f"\n{source.name}, repeated and shuffled, as CSV\n")
    print("| reviews | words | CSV | first start | per 25,000 reviews | peak memory | second start | its peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    for number in (MILLION // 40, MILLION // 4, MILLION):
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder, "reviews.csv")
            repeated(source, number, table)
            time.sleep(SETTLING_SECONDS)
            _, first, peak, reviews, words = load(table, Path(folder))
            _, second, second_peak, *_ = load(table, Path(folder))
            print(
                f"| {reviews:,.0f} | {words / 1e6:,.1f} million | {table.stat().st_size / 1e6:,.0f} MB "
                f"| {first:.1f} s | {first / reviews * 25_000:.2f} s | {peak / 1e9:.2f} GB "
                f"| {second:.2f} s | {second_peak / 1e9:.2f} GB |",
                flush=True,
            )


def print_predict(source: Path, rounds: int, count: int, alone: int) -> None:
    """Print the speed of `Predictor.predict` on `count` reviews of `source` beside the course's on `alone` of them."""
    import torch

    from tune_sentiment.config import TrainSettings
    from tune_sentiment.data.dataset import load_dataset
    from tune_sentiment.data.formats import open_source

    vocabulary = load_dataset(str(source)).vocabulary
    texts = [review.text for review in open_source(str(source)).reviews][:count]
    random.Random(0).shuffle(texts)
    print(f"\n{vocabulary.size:,} words, {torch.get_num_threads()} threads, medians of {rounds}\n")
    print("| setting | the course's `predict`, one by one | `predict` of all | times |\n|---|---|---|---|")
    for settings in (TrainSettings(), TrainSettings(embedding_dim=100, hidden_dim=128, n_layers=1)):
        print(predict_row(settings, vocabulary, texts, rounds, alone), flush=True)


def predict_row(settings: "TrainSettings", vocabulary: "Vocabulary", texts: list[str], rounds: int, alone: int) -> str:
    """Return the row of one setting."""
    import numpy as np
    import torch

    from tests.course import CourseRNN
    from tune_sentiment.data.vocabulary import tokenize
    from tune_sentiment.export.bundle import Bundle
    from tune_sentiment.export.predict import Predictor
    from tune_sentiment.training.model import build_model

    # Weights as they are drawn: a trained model takes as long.
    weights = build_model(settings, vocabulary.size).state_dict()
    predictor = Predictor(Bundle(Path(), settings, vocabulary, weights, {}, {}))
    net = CourseRNN(vocabulary.size, 1, settings.embedding_dim, settings.hidden_dim, settings.n_layers).eval()
    vocab_to_int = {word: number for number, word in enumerate(vocabulary.words, start=1)}

    def course(text: str) -> None:
        """The course's predict: with gradients, padded to seq_length, on all threads."""
        ints = [vocab_to_int.get(word, 0) for word in tokenize(text)][: settings.seq_length]
        features = np.zeros((1, settings.seq_length), dtype=int)
        features[0, settings.seq_length - len(ints) :] = ints
        output, _ = net(torch.from_numpy(features), net.init_hidden(1))
        torch.round(output.squeeze()).item()

    rates, course_rates = [], []
    for turn in range(rounds):
        some = texts[turn * alone : (turn + 1) * alone]
        began = time.perf_counter()
        for text in some:
            course(text)
        course_rates.append(len(some) / (time.perf_counter() - began))
        began = time.perf_counter()
        predictor.predict(texts)
        rates.append(len(texts) / (time.perf_counter() - began))
    theirs, ours = statistics.median(course_rates), statistics.median(rates)
    ratio = statistics.median(mine / one for mine, one in zip(rates, course_rates, strict=True))
    return (
        f"| embedding {settings.embedding_dim}, hidden {settings.hidden_dim}, {settings.n_layers} layers "
        f"| {theirs:.1f} reviews/s ({alone} a round) | {ours:.0f} reviews/s ({len(texts):,}) | {ratio:.1f} |"
    )


def main() -> None:
    """Print one table, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="a file of reviews, such as aclImdb_train.tar.gz")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reviews", type=int, default=25_000, help="how many to predict")
    parser.add_argument("--alone", type=int, default=200, help="how many the course's way predicts in a round")
    parser.add_argument("--only", choices=["starts", "growth", "predict"])
    add_option(parser)
    options = parser.parse_args()
    with recorded("data", options):
        if options.only in (None, "starts"):
            print_starts(options.source, options.rounds)
        if options.only in (None, "growth"):
            print_growth(options.source)
        if options.only in (None, "predict"):
            print_predict(options.source, options.rounds, options.reviews, options.alone)


if __name__ == "__main__":
    main()
