"""Plan the slots of a search from the CPUs, GPUs and memory that are really there."""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import psutil

from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import ResourceError
from tune_sentiment.search.limits import cpu_quota, memory_left
from tune_sentiment.search.records import Plan

FLOAT_BYTES = 4
PROCESS_BYTES = 400 * 2**20
"""A trial's process before it holds a model: Python, torch and Ray, measured at 330 to 380 MiB."""
GPU_CONTEXT_BYTES = 600 * 2**20
"""What CUDA and cuDNN take of a GPU for each process."""
MEMORY_SHARE = 0.85
"""Share of the memory that trials may plan with; the rest is the driver's, the data's and Ray's."""
GPU_MEMORY_MARGIN = 1.15
GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
"""Linux has one of these where torch can find a GPU: NVIDIA's, NVIDIA's on Jetson, in Windows' Linux, AMD's."""


@dataclass(frozen=True)
class Machine:
    """What a search may use: one machine or a whole cluster."""

    cpus: float
    gpus: float
    memory_bytes: int


def this_machine() -> Machine:
    """Return the CPUs, GPUs and memory that this process may use, container limits counted."""
    cpus: float = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpus = min(cpus, max(1.0, cpu_quota()))
    memory = int(min(psutil.virtual_memory().available, memory_left()))
    return Machine(math.floor(cpus), _count_gpus(), memory)


def cluster_machine(resources: Mapping[str, float]) -> Machine:
    """Return what Ray's `cluster_resources()` say that a cluster has."""
    return Machine(resources.get("CPU", 0.0), resources.get("GPU", 0.0), int(resources.get("memory", 0.0)))


def parameters(settings: TrainSettings, vocab_size: int) -> int:
    """Return the number of weights of the model."""
    return (
        vocab_size * settings.embedding_dim
        + lstm_parameters(settings)
        + settings.hidden_dim * _directions(settings)
        + 1
    )


def trial_bytes(settings: TrainSettings, vocab_size: int) -> int:
    """Estimate the peak memory in bytes of a trial's process: weights, Adam's moments, gradients and activations."""
    gates = 4 * settings.hidden_dim * _directions(settings)
    layer_inputs = _layer_inputs(settings)
    lstm = lstm_parameters(settings)
    vectors = vocab_size * settings.embedding_dim
    # Per word and layer the backward pass needs the input, the gates and the state; validation needs no more.
    per_word = settings.embedding_dim + sum(width + 2 * gates for width in layer_inputs)
    activations = settings.batch_size * settings.seq_length * per_word
    # Weights and Adam's two moments; the gradient of the word vectors is that of the batch's words only.
    return PROCESS_BYTES + FLOAT_BYTES * (3 * vectors + 4 * lstm + activations)


def _directions(settings: TrainSettings) -> int:
    return 2 if settings.bidirectional else 1


def _layer_inputs(settings: TrainSettings) -> list[int]:
    """Return the width of what each LSTM layer reads."""
    return [settings.embedding_dim] + [settings.hidden_dim * _directions(settings)] * (settings.n_layers - 1)


def lstm_parameters(settings: TrainSettings) -> int:
    """Return the number of weights of the LSTM, each of which every word is multiplied with."""
    gates = 4 * settings.hidden_dim * _directions(settings)
    return sum(gates * (width + settings.hidden_dim + 2) for width in _layer_inputs(settings))


def plan_search(
    machine: Machine,
    *,
    largest: TrainSettings,
    vocab_size: int,
    trials: int,
    max_steps: int,
    confirm_runs: int,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | Literal["auto"] = "auto",
    max_concurrent: int | None = None,
    gpu_bytes_per_trial: int | None = None,
    gpu_memory_bytes: int | None = None,
    estimated_seconds: float = 0.0,
    notes: tuple[str, ...] = (),
) -> Plan:
    """Decide how many trials run side by side, and on what.

    `gpu_bytes_per_trial` and `gpu_memory_bytes` are what the probe of the largest setting measured on a GPU, if it ran.

    Raises:
        ResourceError: if not even one trial of the largest setting can run.
    """
    said = list(notes)
    cpus = 1.0 if cpus_per_trial is None else cpus_per_trial
    if cpus <= 0 or cpus > machine.cpus:
        raise ResourceError(
            f"a trial needs CPUs that are there: --cpus-per-trial {cpus:g} of {machine.cpus:g}: "
            f"give more than 0 and at most {machine.cpus:g}."
        )
    gpus = _gpus_per_trial(machine, gpus_per_trial, cpus, gpu_bytes_per_trial, gpu_memory_bytes, said)
    slots = math.floor(machine.cpus / cpus + 1e-9)
    if gpus > 0:
        slots = min(slots, _slots_on_gpus(machine.gpus, gpus))
    needed = trial_bytes(largest, vocab_size)
    by_memory = int(machine.memory_bytes * MEMORY_SHARE) // needed
    if by_memory < 1:
        raise ResourceError(
            f"the largest setting of the space must fit in memory: it needs about {needed / 2**30:.1f} GiB of "
            f"{machine.memory_bytes / 2**30:.1f} GiB (embedding_dim={largest.embedding_dim}, "
            f"hidden_dim={largest.hidden_dim}, n_layers={largest.n_layers}, {vocab_size:,} words): "
            "lower the space's upper ends."
        )
    if by_memory < slots:
        said.append(f"Memory, not CPUs, sets the {by_memory} slots: the largest trial needs {needed / 2**30:.1f} GiB.")
        slots = by_memory
    if max_concurrent is not None:
        slots = min(slots, max_concurrent)
    return Plan(
        device="cuda" if gpus > 0 else "cpu",
        cpus=machine.cpus,
        gpus=machine.gpus,
        memory_bytes=machine.memory_bytes,
        cpus_per_trial=cpus,
        gpus_per_trial=gpus,
        slots=slots,
        trials=trials,
        max_steps=max_steps,
        confirm_runs=confirm_runs,
        trial_bytes=needed,
        estimated_seconds=estimated_seconds,
        notes=tuple(said),
    )


def _gpus_per_trial(
    machine: Machine,
    asked: float | Literal["auto"],
    cpus_per_trial: float,
    bytes_per_trial: int | None,
    memory_bytes: int | None,
    notes: list[str],
) -> float:
    if asked != "auto":
        if asked < 0 or asked > machine.gpus:
            raise ResourceError(
                f"a trial needs GPUs that are there: --gpus-per-trial {asked:g} of {machine.gpus:g}: "
                + (
                    f"give 0 to {machine.gpus:g}, or auto."
                    if machine.gpus
                    else "give 0 or auto; torch sees no GPU here."
                )
            )
        if asked > 1 and asked != int(asked):
            raise ResourceError(
                f"more than one GPU comes whole: --gpus-per-trial {asked:g}: give a whole number or at most 1."
            )
        return asked
    if machine.gpus < 1:
        return 0.0
    if bytes_per_trial is None or memory_bytes is None:
        notes.append("The GPU was not probed, so each trial has one to itself.")
        return 1.0
    by_memory = memory_bytes / (bytes_per_trial * GPU_MEMORY_MARGIN + GPU_CONTEXT_BYTES)
    by_cpus = machine.cpus / cpus_per_trial / machine.gpus
    share = max(1, math.floor(min(by_memory, by_cpus)))
    notes.append(
        f"{share} trials share a GPU: the largest setting takes {bytes_per_trial / 2**30:.1f} GiB of its "
        f"{memory_bytes / 2**30:.0f}."
    )
    return math.floor(10_000 / share) / 10_000  # rounded down, so that `share` of them really fit


def _slots_on_gpus(gpus: float, per_trial: float) -> int:
    """Return the trials that fit, none of them across two GPUs unless it asked for several."""
    if per_trial >= 1:
        return math.floor(gpus / per_trial + 1e-9)
    return math.floor(gpus) * math.floor(1 / per_trial + 1e-9)


def _count_gpus() -> float:
    if sys.platform == "linux" and not any(map(os.path.exists, GPU_DEVICES)):
        return 0.0  # torch takes a second to say the same
    import torch

    return float(torch.cuda.device_count())
