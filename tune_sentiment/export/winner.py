"""Turn a search's winner into a bundle: score it on the test set, export it, check what was exported."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import torch

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Dataset, Split
from tune_sentiment.errors import BundleError, StudyError
from tune_sentiment.export.bundle import write_bundle
from tune_sentiment.export.fresh_process import FreshProcess
from tune_sentiment.export.scoring import Scores, score
from tune_sentiment.export.weights import expected_shapes, rebuild
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.outcome import TEST_SCORES, score_key
from tune_sentiment.search.records import ConfirmedSetting, Outcome, TrialRecord
from tune_sentiment.search.study import checkpoint_of
from tune_sentiment.training.checkpoint import BEST_FILE, load_weights
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.model import SentimentRNN

TOLERANCE = 1e-6
"""How far the validation loss of a reloaded bundle may be from the recorded one (float32, CPU)."""
GPU_TOLERANCE = 1e-4
"""The same for one that a GPU recorded, which adds up in another order: 5e-6 apart on an H200, in TF32."""


def load_model(folder: Path, settings: TrainSettings, vocab_size: int) -> SentimentRNN:
    """Return the model with the best weights of the checkpoint in `folder`.

    Raises:
        StudyError: if they are missing, damaged, or not of this model.
    """
    weights = load_weights(folder / BEST_FILE)
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    if shapes != expected_shapes(settings, vocab_size):
        raise StudyError(
            f"a checkpoint must fit its trial: {folder} does not (its weights are those of another model): "
            "export another trial with `--trial`."
        )
    return rebuild(weights, settings, torch.device("cpu"))


def score_on_test(
    *,
    study: optuna.Study,
    runs_study: optuna.Study,
    runs: Iterable[TrialRecord],
    settings: Mapping[str, TrainSettings],
    dataset: Dataset,
    folder: SearchFolder,
) -> None:
    """Score those of `runs` on the test set that never were, and keep the scores in the search's study.

    settings: of each run, by its `score_key`. runs_study: the study that the runs belong to.
    """
    scores = dict(study.user_attrs.get(TEST_SCORES, {}))
    for run in runs:
        key = score_key(run)
        if key not in scores:
            checkpoint = checkpoint_of(runs_study, run.number, folder)
            scores[key] = asdict(_scores(checkpoint, settings[key], dataset))
            # After each one: what was scored once is never scored again.
            study.set_user_attr(TEST_SCORES, scores)


def _scores(checkpoint: Path, settings: TrainSettings, dataset: Dataset) -> Scores:
    model = load_model(checkpoint, settings, dataset.vocabulary.size)
    return score(evaluate(model, dataset.test, settings).probabilities, dataset.test.labels)


def export_run(
    out: Path,
    *,
    run: TrialRecord,
    checkpoint: Path,
    settings: TrainSettings,
    dataset: Dataset,
    outcome: Outcome,
    test: Mapping[str, Any] | None,
    process: FreshProcess,
    onnx: bool = False,
) -> Path:
    """Write the bundle of one run to `out`, check it in a fresh process, and return `out`.

    test: the run's scores on the test set, where it was scored. process: what checks the bundle. onnx: whether to write
    model.onnx too.

    Raises:
        BundleError: if the reloaded bundle does not give the recorded validation loss, or model.onnx the same answers.
    """
    model = load_model(checkpoint, settings, dataset.vocabulary.size)
    measured = evaluate(model, dataset.validation, settings)
    validation: Scores = score(measured.probabilities, dataset.validation.labels)
    metrics = {
        "validation": {**asdict(validation), "loss": measured.loss, "recorded_loss": run.best_val_loss},
        "test": test,
    }
    write_bundle(
        out,
        weights=model.state_dict(),
        settings=settings,
        vocabulary=dataset.vocabulary,
        metrics=metrics,
        provenance=_provenance(run, dataset, outcome),
        onnx_reviews=dataset.train if onnx else None,
    )
    assert run.best_val_loss is not None
    tolerance = GPU_TOLERANCE if run.on_gpu else TOLERANCE
    check_in_fresh_process(out, dataset.validation, run.best_val_loss, tolerance, process)
    return out


def check_in_fresh_process(
    bundle: Path, validation: Split, expected_loss: float, tolerance: float, process: FreshProcess
) -> None:
    """Load `bundle` in a new Python process and compare its validation loss with the recorded one.

    Raises:
        BundleError: if they differ by more than `tolerance`, or the process fails.
    """
    loss = process.validation_loss(bundle, validation)
    if abs(loss - expected_loss) > tolerance:
        raise BundleError(
            f"a reloaded bundle must give the recorded validation loss {expected_loss:.7f}: {bundle} gives {loss:.7f}: "
            "please report this."
        )


def _provenance(run: TrialRecord, dataset: Dataset, outcome: Outcome) -> dict[str, Any]:
    request = outcome.request
    course = next((setting for setting in outcome.confirmed if setting.is_course), None)
    return {
        "data": request["data"],
        "search": {
            "name": outcome.name,
            "trials": len(outcome.records),
            "seconds": outcome.seconds,
            "space": request["space"],
            "seed": request["seeds"]["search"],
            "command": request["command"],
        },
        "run": {"trial": run.number, "source_trial": run.source_trial, "seed": run.seed, "best_step": run.best_step},
        "winner": _as_plain(outcome.winner),
        "course": _as_plain(course),
        "vocabulary": {"words": len(dataset.vocabulary.words)},
        "versions": request["versions"],
        "created": request["created"],
    }


def _as_plain(setting: ConfirmedSetting | None) -> dict[str, Any] | None:
    return None if setting is None else asdict(setting)
