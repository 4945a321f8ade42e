"""Time whole searches against what else one might pick: python -m benchmarks.search [--data SOURCE] [--peer NAME …].

Same model, space, first rung, number of trials and two cores for all; every peer as its own documentation shows it,
around the course's loop (tests/course.py), with the words encoded for it beforehand. Ours is the real command, from
text to exported bundle, without confirmation runs, which no peer has.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import optuna
import yaml

from benchmarks.peers.measuring import Measured, events_of_ours, measured, watched
from benchmarks.peers.space import setting_of
from benchmarks.recording import add_option, recorded
from tune_sentiment.data.dataset import Split, left_pad, load_dataset
from tune_sentiment.search.rungs import rungs

ROOT = Path(__file__).parents[1]
SYNE_TUNE = ROOT / "build" / "syne-tune"
"""Syne Tune's own folder: its dependencies would bring CUDA's libraries into our environment."""

PEERS = {
    "optuna": ["benchmarks.peers.plain_optuna", "optuna"],
    "ray_tune": ["benchmarks.peers.plain_ray_tune"],
    "syne_tune": ["benchmarks.peers.plain_syne_tune"],
    "random": ["benchmarks.peers.plain_optuna", "random"],
}
OURS = {
    "ours": ("tune_sentiment", "auto"),
    "ours_float32": ("tune_sentiment", "float32"),
    "ours_as_they_do": ("benchmarks.peers.ours_as_they_do", "auto"),
}
"""The command, and the precision asked for; the last one stops at the peers' rungs and tries what they are given."""
WORKERS = 2
REDUCTION_FACTOR = 3
"""Of the peers' ASHA, whose first rung is ours: a third goes on there and at each one above."""
COURSE = {"embedding_dim": 400, "hidden_dim": 256, "n_layers": 2, "lr": 0.001, "clip": 5.0}
FIXED = {"demo": {"epochs": 5, "seq_length": 60, "report_every": 240}}
USUAL_FIXED = {"epochs": 4, "seq_length": 40, "report_every": 100}


def space_of(source: str) -> tuple[dict[str, tuple[str, float, float]], dict[str, int]]:
    """Return the searched ranges and the fixed settings: those of `search_spaces/`, but 40 words of short reviews."""
    name = "demo" if source == "demo" else "course"
    searched = yaml.safe_load((ROOT / "search_spaces" / f"{name}.yaml").read_text(encoding="utf-8"))["search"]
    ranges = {
        key: (("log_" if one.get("log") else "") + one["type"], one["low"], one["high"])
        for key, one in searched.items()
    }
    return ranges, {"batch_size": 50, **FIXED.get(source, USUAL_FIXED)}


def job_of(source: str, trials: int, folder: Path) -> dict[str, Any]:
    """Encode the reviews for the peers, and return what every peer is told; `settings` is what all begin with."""
    dataset = load_dataset(source)
    space, fixed = space_of(source)
    arrays: dict[str, Any] = {"vocab_size": dataset.vocabulary.size}
    for name, split in (("train", dataset.train), ("validation", dataset.validation)):
        arrays |= {name: padded(split, fixed["seq_length"]), f"{name}_labels": split.labels.astype(np.int64)}
    np.savez(folder / "arrays.npz", **arrays)
    # The peers' loop drops the ragged last batch, as the course's does.
    max_steps = fixed["epochs"] * (len(dataset.train) // fixed["batch_size"])
    steps_of_ours = fixed["epochs"] * -(-len(dataset.train) // fixed["batch_size"])
    return {
        "arrays": str(folder / "arrays.npz"),
        "trials": trials,
        "workers": WORKERS,
        "space": space,
        "settings": [{name: fitted(value, *space[name]) for name, value in COURSE.items()}],
        "max_steps": max_steps,
        "steps_of_ours": steps_of_ours,
        "grace_period": rungs(steps_of_ours, fixed["report_every"])[0],
        "reduction_factor": REDUCTION_FACTOR,
        **fixed,
    }


def padded(split: Split, seq_length: int) -> np.ndarray:
    """Return all reviews of a split, left-padded to `seq_length`."""
    return left_pad(split, np.arange(len(split)), seq_length, seq_length)


def fitted(value: float, kind: str, low: float, high: float) -> float:
    """Return the course's value, or the nearest in the range."""
    near = min(max(value, low), high)
    return near if kind == "log_float" else int(near)


def drawn(job: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return `job` with a setting for each of its trials: the course's, then one list of random ones for all peers."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    others = [setting_of(study.ask(), job["space"]) for _ in range(job["trials"] - 1)]
    return {**job, "settings": job["settings"] + others}


def run(peer: str, source: str, job: dict[str, Any], seed: int, target: float) -> Measured:
    """Run one search to its end, and return what it cost."""
    with tempfile.TemporaryDirectory(prefix="peer-") as place:
        folder = Path(place)
        job = {**job, "seed": seed, "folder": place, "events": str(folder / "events.jsonl")}
        environment = {
            **os.environ,
            "PEER_JOB": json.dumps(job),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(SYNE_TUNE)]),
            "SYNETUNE_FOLDER": place,
        }
        if peer in OURS:
            command = our_command(peer, source, job, folder)
        else:
            command = [sys.executable, "-m", *PEERS[peer]]
        started = time.time()
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
            peak_bytes = watched(process)
        ended = time.time()
        if process.returncode != 0:
            raise SystemExit(f"{peer} failed:\n{(folder / 'log').read_text()[-3000:]}")
        if peer in OURS:
            events = events_of_ours(folder / "x")
        else:
            events = [json.loads(line) for line in Path(job["events"]).read_text(encoding="utf-8").splitlines()]
    return measured(events, started=started, ended=ended, workers=WORKERS, target=target, peak_bytes=peak_bytes)


def our_command(peer: str, source: str, job: dict[str, Any], folder: Path) -> list[str]:
    """Return the real command for the same search."""
    module, precision = OURS[peer]
    searched = {
        name: {"type": kind.removeprefix("log_"), "low": low, "high": high, "log": kind.startswith("log_")}
        for name, (kind, low, high) in job["space"].items()
    }
    fixed = {name: job[name] for name in ("epochs", "batch_size", "seq_length", "report_every")}
    space = folder / "space.yaml"
    space.write_text(yaml.safe_dump({"search": searched, "fixed": {**fixed, "precision": precision}}))
    options = {"data": source, "space": space, "trials": job["trials"], "seed": job["seed"], "confirm-seeds": 0}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", module, "search", *words, "--name", "x", "--storage", str(folder)]


def install_syne_tune() -> None:
    """Install Syne Tune into a folder of its own, unless it is there: without xgboost, which ASHA does not need."""
    if not SYNE_TUNE.is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(SYNE_TUNE)]
        subprocess.run([*pip, "syne-tune==0.16.0", "dill==0.4.1"], check=True)


def table(found: dict[str, list[Measured]], target: float) -> str:
    """Return the medians as a Markdown table."""
    columns = (
        ("wall s", "wall_seconds", "{:.0f}"),
        ("search s", "search_seconds", "{:.0f}"),
        (f"s to {target:g}", "target_seconds", "{:.0f}"),
        ("steps", "steps", "{:,.0f}"),
        ("steps/s", "steps_per_second", "{:.1f}"),
        ("slots busy", "busy_share", "{:.0%}"),
        ("first report s", "first_report_seconds", "{:.1f}"),
        ("best loss", "best_loss", "{:.4f}"),
        ("peak GB", "peak_gb", "{:.2f}"),
    )
    lines = [f"| | runs | {' | '.join(title for title, _, _ in columns)} |", "|---|" + "---|" * (len(columns) + 1)]
    for peer, runs in found.items():
        cells = []
        for _, name, form in columns:
            values = [value for one in runs if (value := getattr(one, name)) is not None]
            missed = len(runs) - len(values)
            cells.append(f"not reached in {missed}" if missed * 2 > len(runs) else form.format(median(values)))
        lines.append(f"| {peer} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the peers in turn, print the table, and append it to RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=os.environ.get("RT_POLARITY", "demo"), help="demo, or rt-polarity.pos")
    parser.add_argument("--peer", action="append", choices=[*OURS, *PEERS], help="may be repeated; default: all")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=0.60, help="a validation loss to reach")
    parser.add_argument("--same-settings", action="store_true", help="give all but `ours` one list of settings to try")
    add_option(parser)
    options = parser.parse_args()
    if options.data != "demo" and not Path(options.data).exists():
        print(f"skipped: {options.data} is not there: give rt-polarity with --data or in RT_POLARITY.")
        return
    source = options.data if options.data == "demo" else str(Path(options.data).resolve())  # ours starts elsewhere
    peers = options.peer or [*OURS, *PEERS]
    if "syne_tune" in peers:
        install_syne_tune()
    found: dict[str, list[Measured]] = {peer: [] for peer in peers}
    with recorded("search", options), tempfile.TemporaryDirectory(prefix="peers-") as place:
        job = job_of(source, options.trials, Path(place))
        for seed in range(options.first_seed, options.first_seed + options.repeats):
            told = drawn(job, seed) if options.same_settings else job
            for peer in peers:
                found[peer].append(run(peer, source, told, seed, options.target))
                print(peer, seed, found[peer][-1], file=sys.stderr, flush=True)
        print(table(found, options.target))


if __name__ == "__main__":
    main()
