"""Record full learning curves of random settings, for `benchmarks/sampler.py` to search over.

python -m benchmarks.curves rt --data rt-polarity.pos --settings 240     # goes on where it was stopped
python -m benchmarks.curves rt --pack                                    # into benchmarks/curves.parquet
python -m benchmarks.curves imdb --data imdb --device cuda --share 0 16  # the first of 16 processes on one GPU
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import numpy as np
import optuna
import pyarrow
import pyarrow.parquet as parquet
import torch
from optuna.distributions import BaseDistribution, IntDistribution

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split, load_dataset
from tune_sentiment.errors import DivergedError
from tune_sentiment.search.space import Space, load_space
from tune_sentiment.search.study import seed_of_trial
from tune_sentiment.training.loop import TrainingData, start, train
from tune_sentiment.training.processor import set_up_for_training

CURVES = Path(__file__).parent / "curves.parquet"

SMALL = {"embedding_dim": IntDistribution(50, 200), "hidden_dim": IntDistribution(32, 128, log=True)}
"""Narrower at the upper end than the shipped spaces, so that hundreds of full runs take an hour and not a day."""


@dataclass(frozen=True)
class Table:
    """What is recorded: a shipped space with some of it changed, on a part of a source."""

    space: str
    ranges: dict[str, BaseDistribution]
    fixed: dict[str, Any]
    words: int
    """Only the most frequent so many are told apart: all vectors are updated at each step."""
    every: int = 1
    """Of the reviews, one in so many is used."""

    @property
    def searched(self) -> Space:
        """The space."""
        space = load_space(self.space).override(**self.fixed)
        return Space(space.name, {**space.distributions, **self.ranges}, space.fixed)


TABLES = {
    "rt": Table(
        "course",
        SMALL,
        {"seq_length": 40, "report_every": 19},
        words=5_000,
        every=2,
    ),
    "demo": Table("demo", {}, {"report_every": 24}, words=100_000),
    "imdb": Table("course", {}, {"report_every": 40}, words=200_000, every=2),
}


def part_of(split: Split, every: int, words: int) -> Split:
    """Return one in `every` reviews, with `words` the id of all rarer words: ids follow the words' counts."""
    chosen = range(0, len(split), every)
    ids = [split.token_ids[split.offsets[index] : split.offsets[index + 1]].clip(max=words) for index in chosen]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in ids])])
    return Split(np.concatenate(ids), offsets, split.labels[::every])


def setting(space: Space, number: int) -> dict[str, Any]:
    """Return the random setting of that number: the same in any process, in any order."""
    sampler = optuna.samplers.RandomSampler(seed=number)
    return dict(optuna.create_study(sampler=sampler).ask(space.distributions).params)


def curve(settings: TrainSettings, data: TrainingData, seed: int, device: str) -> Iterator[tuple[int, float, float]]:
    """Yield step, validation loss and seconds at each report; a run that diverges ends early.

    The seconds are this thread's on the processor, and the clock's on a GPU.
    """
    clock = time.process_time if device == "cpu" else time.perf_counter
    state = start(settings, data.vocab_size, seed, device)
    began = clock()
    try:
        for progress in train(state, data):
            yield progress.step, progress.val_loss, clock() - began
    except DivergedError:
        return


def record(table: Table, source: str, into: Path, numbers: range, seconds: float, device: str) -> None:
    """Append the curves of `numbers` that `into` lacks, a line each, until it has them all or the time is over."""
    deadline = time.monotonic() + seconds
    dataset = load_dataset(source)
    train_split, validation = (
        part_of(split, table.every, table.words) for split in (dataset.train, dataset.validation)
    )
    data = TrainingData(train_split, validation, min(table.words, dataset.vocabulary.size - 1) + 1)
    space = table.searched
    into.touch()
    done = {json.loads(line)["number"] for line in into.read_text().splitlines()}
    for number in numbers:
        if number in done:
            continue
        if time.monotonic() > deadline:
            break
        params = setting(space, number)
        points = list(curve(space.settings(params), data, seed_of_trial(0, number), device))
        line = {"number": number, "params": params, "points": points}
        with into.open("a") as file:
            file.write(json.dumps(line) + "\n")
    print(f"{len(into.read_text().splitlines())} of {len(numbers)} curves are in {into}")


def pack(name: str, recorded: list[Path]) -> None:
    """Write one row for each curve of the table `name` to CURVES, those of other tables kept."""
    rows = [row for row in read() if row["table"] != name] if CURVES.exists() else []
    for path in recorded:
        for line in path.read_text().splitlines():
            one = json.loads(line)
            steps, losses, seconds = zip(*one["points"], strict=True) if one["points"] else ((), (), ())
            rows.append(
                {
                    "table": name,
                    "number": one["number"],
                    "setting": json.dumps(one["params"]),
                    "step": list(steps),
                    "val_loss": list(losses),
                    "seconds": list(seconds),
                }
            )
    rows.sort(key=lambda row: (row["table"], row["number"]))
    schema = pyarrow.schema(
        [
            ("table", pyarrow.string()),
            ("number", pyarrow.int32()),
            ("setting", pyarrow.string()),
            ("step", pyarrow.list_(pyarrow.int32())),
            ("val_loss", pyarrow.list_(pyarrow.float32())),
            ("seconds", pyarrow.list_(pyarrow.float32())),
        ]
    )
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema), CURVES, compression="zstd")
    print(f"{CURVES} has {len(rows)} curves, {CURVES.stat().st_size / 1e3:.0f} KB")


def read() -> list[dict[str, Any]]:
    """Return the recorded curves, a dict each."""
    rows: list[dict[str, Any]] = parquet.read_table(CURVES).to_pylist()
    return rows


def main() -> None:
    """Record or pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--data", default="demo", help="a source of reviews")
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no curve after so many")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--share", type=int, nargs=2, default=[0, 1], help="K N: every Nth setting, from K on")
    parser.add_argument("--into", type=Path, help="file of the curves so far; default: TABLE.jsonl or TABLE.K.jsonl")
    parser.add_argument("--pack", action="store_true", help="put them into curves.parquet")
    options = parser.parse_args()
    first, shares = options.share
    into = options.into or Path(f"{options.table}.{first}.jsonl" if shares > 1 else f"{options.table}.jsonl")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if options.pack:
        pack(options.table, [into] if options.into else sorted(Path().glob(f"{options.table}*.jsonl")))
        return
    torch.set_num_threads(1)
    set_up_for_training()
    numbers = range(first, options.settings, shares)
    record(TABLES[options.table], options.data, into, numbers, options.seconds, options.device)


if __name__ == "__main__":
    main()
