"""Run the loop once by itself, without Ray, and export its best weights if asked to."""

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Dataset
from tune_sentiment.export.bundle import write_bundle
from tune_sentiment.export.scoring import score
from tune_sentiment.training.checkpoint import BEST_FILE, load_weights, save_weights
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.loop import Progress, TrainingData, start, train


def train_alone(
    dataset: Dataset, settings: TrainSettings, *, seed: int, threads: int | None, out: Path | None
) -> Iterator[Progress]:
    """Train on the GPU if there is one, else on the CPU with `threads` threads (None: all); yield the reports.

    After the last report the weights of the lowest validation loss become a bundle in `out`, with their scores on the
    validation and the test split.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    state = start(settings, dataset.vocabulary.size, seed, "cuda" if torch.cuda.is_available() else "cpu")
    data = TrainingData(dataset.train, dataset.validation, dataset.vocabulary.size)
    with tempfile.TemporaryDirectory() as folder:
        best_file = Path(folder) / BEST_FILE
        for progress in train(state, data):
            if out is not None and progress.best_step == progress.step:
                save_weights(state.model.state_dict(), best_file)
            yield progress
        if out is None:
            return
        state.model.load_state_dict(load_weights(best_file))
    splits = {"validation": dataset.validation, "test": dataset.test}
    write_bundle(
        out,
        weights=state.model.state_dict(),
        settings=settings,
        vocabulary=dataset.vocabulary,
        metrics={
            name: asdict(score(evaluate(state.model, split, settings).probabilities, split.labels))
            for name, split in splits.items()
        },
        provenance={
            "data": {"name": dataset.name, "generated": dataset.generated, "fingerprint": dataset.fingerprint},
            "run": {"seed": seed, "best_step": state.best_step},
        },
    )
