"""Time one training step against the course's loop, on one thread: python -m benchmarks.step [--data SOURCE]."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import numpy as np
import torch

from benchmarks.recording import add_option, recorded
from tests.course import CourseRNN, course_loop, loader
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split, assemble, left_pad
from tune_sentiment.data.encoding import encode, number_words
from tune_sentiment.data.formats import open_source
from tune_sentiment.training import optimizer
from tune_sentiment.training.batches import epoch_batches, padded
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.loop import TrainingState, start
from tune_sentiment.training.precision import has_bfloat16, trains_in_bfloat16
from tune_sentiment.training.processor import denormals_flushed, set_up_for_training

SETTINGS = {
    "course": TrainSettings(),
    "small": TrainSettings(embedding_dim=100, hidden_dim=128, n_layers=1),
}
VOCAB_SIZE = 112_000
NUM_REVIEWS = 2_000
WAYS = {
    "course's loop": "course",
    "course's, denormals flushed": "course-flushed",
    "ours, float32": "float32",
    "ours, bfloat16": "bfloat16",
}


def synthetic(seed: int = 0) -> tuple[Split, int]:
    """Return reviews as long as IMDB's (log-normal, median 174 words), their words by Zipf's law, and the words."""
    generator = np.random.default_rng(seed)
    lengths = np.clip(generator.lognormal(np.log(174), 0.66, NUM_REVIEWS), 10, 2000).astype(np.int64)
    ranks = np.exp(generator.uniform(0, np.log(VOCAB_SIZE - 2), lengths.sum()))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    labels = generator.integers(0, 2, NUM_REVIEWS).astype(np.int8)
    return Split(ranks.astype(np.int32).clip(1), offsets, labels), VOCAB_SIZE


def reviews(source: str | None) -> tuple[Split, int]:
    """Return the reviews of `source` numbered as the course does, with all their words; or synthetic ones."""
    if source is None:
        return synthetic()
    encoded = encode(open_source(source))
    vocabulary, final_ids = number_words(encoded, np.full(len(encoded.labels), True))
    order = np.random.default_rng(0).permutation(len(encoded.labels))  # sources come sorted by label
    return assemble(encoded, [order], final_ids)[0], vocabulary.size


@contextmanager
def optionally(flushed: bool) -> Iterator[None]:
    """Flush denormals inside this block, or not."""
    if flushed:
        with denormals_flushed():
            yield
    else:
        yield


def course_steps(split: Split, vocab_size: int, settings: TrainSettings, flushed: bool) -> Iterator[float]:
    """Yield the seconds of each step of the course's loop, endlessly."""
    torch.manual_seed(0)
    net = CourseRNN(vocab_size, 1, settings.embedding_dim, settings.hidden_dim, settings.n_layers)
    chosen = np.arange(min(len(split), NUM_REVIEWS))
    features = left_pad(split, chosen, settings.seq_length, settings.seq_length)
    batches = loader(features, split.labels[chosen], settings.batch_size, shuffle=True)
    steps = course_loop(net, batches, None, epochs=10**6, batch_size=settings.batch_size)
    while True:
        with optionally(flushed):
            began = time.process_time()
            next(steps)
            seconds = time.process_time() - began
        yield seconds


def our_steps(split: Split, vocab_size: int, settings: TrainSettings, parts: dict[str, list[float]]) -> Iterator[float]:
    """Yield the seconds of each step of ours, endlessly, and add those of its parts to `parts`.

    The same calls as in `training/loop.py`, a clock between them; as they are after the first STEPS_AT_ONCE steps. The
    word vectors catch up after each of them, as they do at each report, and a report's share of that is counted.
    """
    optimizer.STEPS_AT_ONCE = 0
    state = start(settings, vocab_size, seed=0)
    criterion = torch.nn.BCELoss()
    epoch = 0
    while True:
        for indices in epoch_batches(split, settings, 0, epoch):
            with denormals_flushed():
                seconds = timed_step(state, split, indices, criterion, parts)
            yield seconds
        epoch += 1


def timed_step(
    state: TrainingState,
    split: Split,
    indices: np.ndarray,
    criterion: torch.nn.BCELoss,
    parts: dict[str, list[float]],
) -> float:
    """Train one step and return its seconds."""
    times = [time.process_time()]
    token_ids = padded(split, indices, state.settings)
    labels = torch.from_numpy(split.labels[indices].astype(np.float32))
    state.optimizer.zero_grad()
    state.optimizer.read(token_ids)
    times.append(time.process_time())
    probabilities = state.model(token_ids)
    assert bool(torch.isfinite(probabilities).all())
    loss = criterion(probabilities, labels)
    times.append(time.process_time())
    loss.backward()
    times.append(time.process_time())
    state.optimizer.step()
    times.append(time.process_time())
    state.optimizer.catch_up()
    times[-1] += (time.process_time() - times[-1]) / state.settings.report_every
    for name, seconds in zip(("batch", "forward", "backward", "clip, Adam"), np.diff(times), strict=True):
        parts.setdefault(name, []).append(float(seconds))
    parts.setdefault("words", []).append(token_ids.numel())
    return times[-1] - times[0]


def flops_per_word(settings: TrainSettings) -> int:
    """Return the floating-point operations of the LSTM's matrix products, forward and backward, for one word."""
    widths = [settings.embedding_dim] + [settings.hidden_dim] * (settings.n_layers - 1)
    return sum(3 * 2 * 4 * settings.hidden_dim * (width + settings.hidden_dim) for width in widths)


def gemms(size: int = 2048) -> dict[str, Callable[[], object]]:
    """Return matrix products of 2 * size**3 operations: MKL's and oneDNN's in float32, torch's in bfloat16."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    # MKL takes the slower of its ways on processors that are not Intel's; the LSTM multiplies with oneDNN.
    blocked_left, blocked_right = left.to_mkldnn(), right.to_mkldnn()
    narrow_left, narrow_right = left.bfloat16(), right.bfloat16()
    return {
        "MKL": lambda: torch.mm(left, right),
        "oneDNN": lambda: torch.nn.functional.linear(blocked_left, blocked_right),
        "bfloat16": lambda: torch.mm(narrow_left, narrow_right),
    }


def rate(product: Callable[[], object], size: int = 2048) -> float:
    """Return the operations per second of one product."""
    began = time.process_time()
    product()
    return 2 * size**3 / (time.process_time() - began)


def peak_memory(way: str, name: str, source: str | None) -> int:
    """Return the peak memory in bytes of some steps in a process of their own (VmHWM)."""
    command = [sys.executable, "-m", "benchmarks.step", "--memory", way, "--setting", name]
    done = subprocess.run([*command, *(["--data", source] if source else [])], capture_output=True, check=True)
    return int(done.stdout)


def print_peak(way: str, name: str, source: str | None) -> None:
    """Run some steps and print this process's peak memory in bytes."""
    if not way.startswith("course"):
        set_up_for_training()
    split, vocab_size = reviews(source)
    steps = steps_of(way, split, vocab_size, SETTINGS[name], {})
    # The course's batches are all alike; ours differ in length, and so in what they leave of the heap.
    for _ in range(2 if way.startswith("course") else 20):
        next(steps)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024)


def steps_of(
    way: str, split: Split, vocab_size: int, settings: TrainSettings, parts: dict[str, list[float]]
) -> Iterator[float]:
    """Return the endless steps of one way of training."""
    if way.startswith("course"):
        return course_steps(split, vocab_size, settings, flushed=way == "course-flushed")
    return our_steps(split, vocab_size, settings.model_copy(update={"precision": way}), parts)


def validation_seconds(split: Split, vocab_size: int, settings: TrainSettings) -> tuple[float, float]:
    """Return the seconds that the course and we take to validate 500 reviews."""
    chosen = np.arange(500)
    features = left_pad(split, chosen, settings.seq_length, settings.seq_length)
    batches = loader(features, split.labels[chosen], settings.batch_size, shuffle=False)
    net = CourseRNN(vocab_size, 1, settings.embedding_dim, settings.hidden_dim, settings.n_layers).eval()
    ends = split.offsets[len(chosen)]
    some = Split(split.token_ids[:ends], split.offsets[: len(chosen) + 1], split.labels[chosen])
    began = time.process_time()
    hidden = net.init_hidden(settings.batch_size)
    for inputs, _ in batches:  # with gradients, as in the course
        _, hidden = net(inputs, tuple(each.data for each in hidden))
    middle = time.process_time()
    evaluate(start(settings.model_copy(update={"precision": "float32"}), vocab_size, 0).model, some, settings)
    return middle - began, time.process_time() - middle


def compare(name: str, source: str | None, rounds: int, steps_per_round: int) -> None:
    """Print the table of one setting: A/B/A/B rounds in this process, medians over the rounds."""
    settings = SETTINGS[name]
    split, vocab_size = reviews(source)
    ways = [way for way in WAYS.values() if way != "bfloat16" or (has_bfloat16("cpu") and trains_in_bfloat16("cpu"))]
    parts: dict[str, dict[str, list[float]]] = {way: {} for way in ways}
    memory = {way: peak_memory(way, name, source) for way in ways}
    # All in one process, and so all with huge pages, which the course's loop by itself has not.
    set_up_for_training()
    running = {way: steps_of(way, split, vocab_size, settings, parts[way]) for way in ways}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    products = gemms()
    rates: dict[str, list[float]] = {name: [] for name in products}
    for turn in range(rounds + 1):
        for product in products:
            rates[product].append(rate(products[product]))
        for way, steps in running.items():
            taken = [next(steps) for _ in range(steps_per_round)]
            if turn:  # the first round warms up
                seconds[way].append(float(np.mean(taken)))
    reached = {product: float(np.median(rates[product][1:])) for product in products}
    best = max(reached["MKL"], reached["oneDNN"])
    shown = ", ".join(f"{product} {one / 1e9:.0f}" for product, one in reached.items())
    print(
        f"\n{name}: embedding {settings.embedding_dim}, hidden {settings.hidden_dim}, {settings.n_layers} layers, ",
        end="",
    )
    print(f"{vocab_size:,} words; matrix products reach, in GFLOP/s, {shown}; medians of {rounds} rounds")
    print(
        "| | ms/step | faster than the course's | floor, ms | share of the GEMM rate | forward / backward / Adam | "
        "peak memory |"
    )
    print("|---|---|---|---|---|---|---|")
    course = np.array(seconds["course"])
    for title, way in WAYS.items():
        if way in ways:
            step = float(np.median(seconds[way]))
            ratio = float(np.median(course / np.array(seconds[way])))
            words = float(settings.batch_size * settings.seq_length)
            shares = ""
            if parts[way]:
                words = float(np.mean(parts[way]["words"][steps_per_round:]))
                total = sum(float(np.mean(parts[way][part])) for part in ("batch", "forward", "backward", "clip, Adam"))
                shares = " / ".join(
                    f"{np.mean(parts[way][part]) / total:.0%}" for part in ("forward", "backward", "clip, Adam")
                )
            floor = flops_per_word(settings) * words / (reached["bfloat16"] if way == "bfloat16" else best)
            print(
                f"| {title} | {step * 1e3:.0f} | {ratio:.2f} | {floor * 1e3:.0f} | {floor / step:.0%} | {shares} | "
                f"{memory[way] / 1e6:.0f} MB |"
            )
    theirs, ours = validation_seconds(split, vocab_size, settings)
    print(f"Validation of 500 reviews: the course {theirs * 1e3:.0f} ms, ours {ours * 1e3:.0f} ms.")


def main() -> None:
    """Compare at both settings, or measure the peak of one way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="a source of reviews; default: synthetic ones as long as IMDB's")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps per round")
    parser.add_argument("--setting", choices=SETTINGS, help="one of the two only")
    parser.add_argument("--memory", choices=list(WAYS.values()), help="print the peak memory of one way")
    add_option(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        print_peak(options.memory, options.setting, options.data)
        return
    with recorded("step", options):
        for name in [options.setting] if options.setting else SETTINGS:
            compare(name, options.data, options.rounds, options.steps)


if __name__ == "__main__":
    main()
