"""Measure before deciding: seconds per step on this machine, and the memory that the largest setting takes of a GPU."""

import math
from typing import Any

import numpy as np
import torch
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split
from tune_sentiment.search.space import Space
from tune_sentiment.training.batches import steps_per_epoch
from tune_sentiment.training.loop import TrainingData, start, train

PROBE_STEPS = 4
ASHA_SHARE = 0.45
"""Share of the steps of full runs that a search under ASHA does, as seen on rt-polarity: an estimate's estimate."""


def typical(space: Space) -> TrainSettings:
    """Return the setting in the middle of the space, as a stand-in for what an average trial costs."""
    course, _ = space.course_point()
    return space.settings({name: _middle(kind, course[name]) for name, kind in space.distributions.items()})


def estimate_seconds(space: Space, data: TrainingData, *, trials: int, confirm_runs: int, slots: int) -> float:
    """Return a rough time in seconds for a search, from timing a few steps of a typical setting on one thread."""
    settings = typical(space)
    steps = settings.epochs * steps_per_epoch(len(data.train), settings.batch_size)
    full_run = steps * _seconds_per_step(settings, data)
    return (trials * ASHA_SHARE + confirm_runs) * full_run / slots


def probe_gpu(largest: TrainSettings, data: TrainingData) -> tuple[int, int] | None:
    """Run the largest setting for a few steps on a GPU of the cluster, in a process of its own.

    Returns: the bytes that torch reserved for it at its peak and the GPU's memory in bytes; None if it could not run
    there, for want of memory or of a torch with CUDA.
    """
    import ray

    probe = ray.remote(num_cpus=1, num_gpus=1, max_retries=0)(_gpu_bytes)
    try:
        measured: tuple[int, int] = ray.get(probe.remote(largest, data))
    except ray.exceptions.RayError:
        return None
    return measured


def _gpu_bytes(largest: TrainSettings, data: TrainingData) -> tuple[int, int]:
    torch.cuda.reset_peak_memory_stats()
    _run(largest, data, "cuda")
    return torch.cuda.max_memory_reserved(), torch.cuda.get_device_properties(0).total_memory


def _seconds_per_step(settings: TrainSettings, data: TrainingData) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _run(settings, data, "cpu")  # the first steps of a process also prepare its kernels
        return _run(settings, data, "cpu") / PROBE_STEPS
    finally:
        torch.set_num_threads(threads)


def _run(settings: TrainSettings, data: TrainingData, device: str) -> float:
    """Train PROBE_STEPS steps, validate on as many reviews as a full run validates per step, and return the seconds."""
    reviews = min(PROBE_STEPS * settings.batch_size, len(data.train))
    per_step = max(1, len(data.validation) // settings.report_every)
    sample = TrainingData(
        _sample(data.train, reviews), _sample(data.validation, PROBE_STEPS * per_step), data.vocab_size
    )
    short = settings.model_copy(update={"epochs": 1, "report_every": PROBE_STEPS})
    generators = torch.get_rng_state()
    (report,) = train(start(short, data.vocab_size, seed=0, device=device), sample)
    torch.set_rng_state(generators)
    return report.seconds


def _sample(split: Split, count: int) -> Split:
    chosen = np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64)
    rows = [split.token_ids[split.offsets[index] : split.offsets[index + 1]] for index in chosen]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Split(np.concatenate(rows), offsets, split.labels[chosen])


def _middle(distribution: BaseDistribution, otherwise: Any) -> Any:
    if not isinstance(distribution, IntDistribution | FloatDistribution):
        return otherwise
    if distribution.log:
        middle = math.sqrt(distribution.low * distribution.high)
    else:
        middle = (distribution.low + distribution.high) / 2
    return round(middle) if isinstance(distribution, IntDistribution) else middle
