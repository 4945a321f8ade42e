"""Compare the losses of float32 and bfloat16 over seeds: python benchmarks/precision.py SOURCE [--seeds N]."""

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import numpy as np
import torch

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import load_dataset
from tune_sentiment.training.loop import TrainingData, start, train
from tune_sentiment.training.processor import set_up_for_training

SETTINGS = {
    "embedding 64, hidden 64, 1 layer, lr 0.005": TrainSettings(
        embedding_dim=64, hidden_dim=64, n_layers=1, lr=0.005, seq_length=40, epochs=2, report_every=50
    ),
    "embedding 100, hidden 128, 2 layers, lr 0.002, clip 1": TrainSettings(
        embedding_dim=100, hidden_dim=128, lr=0.002, clip=1.0, seq_length=40, epochs=2, report_every=50
    ),
}
PRECISIONS = ("float32", "bfloat16")


def curve(data: TrainingData, settings: TrainSettings, seed: int) -> list[float]:
    """Return the validation losses of one run, at each report."""
    return [progress.val_loss for progress in train(start(settings, data.vocab_size, seed), data)]


def main() -> None:
    """Print, for each setting, the best losses of both precisions and the distance of their curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_up_for_training()
    dataset = load_dataset(options.source)
    data = TrainingData(dataset.train, dataset.validation, dataset.vocabulary.size)
    print(
        "| setting | best val_loss, float32 | bfloat16 | mean difference, same seed | curves apart, same seed | "
        "curves apart, two seeds, float32 | CPU seconds |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, settings in SETTINGS.items():
        curves, seconds = {}, {}
        for precision in PRECISIONS:
            began = time.process_time()
            chosen = settings.model_copy(update={"precision": precision})
            curves[precision] = np.array([curve(data, chosen, seed) for seed in range(options.seeds)])
            seconds[precision] = time.process_time() - began
        best = {precision: curves[precision].min(axis=1) for precision in PRECISIONS}
        moved = best["bfloat16"] - best["float32"]
        apart = np.abs(curves["bfloat16"] - curves["float32"]).mean()
        seeds = np.abs(curves["float32"] - np.roll(curves["float32"], 1, axis=0)).mean()
        moved_error = moved.std(ddof=1) / len(moved) ** 0.5
        shown = [f"{best[one].mean():.4f} +- {best[one].std(ddof=1):.4f}" for one in PRECISIONS]
        print(
            f"| {name} | {shown[0]} | {shown[1]} | {moved.mean():+.4f} +- {moved_error:.4f} | "
            f"{apart:.4f} | {seeds:.4f} | {seconds['float32']:.0f} / {seconds['bfloat16']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
