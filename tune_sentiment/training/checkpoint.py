"""Save a training state so that it continues to the last bit, and a model's best weights, whole or not at all."""

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tune_sentiment.config import TrainSettings, validated
from tune_sentiment.errors import StudyError
from tune_sentiment.training.loop import TrainingState, start

FORMAT_VERSION = 2
STATE_FILE = "state.pt"
BEST_FILE = "best.pt"

ROOM_OF_A_FULL_DISK = 64 * 2**20
"""Bytes free under which a write that failed is put down to a full disk: the parts written may be gone again."""


def save_state(state: TrainingState, path: Path) -> None:
    """Write `state` to `path`: weights, optimizer, position, random states, settings, format version.

    The file holds tensors and plain values only, so that it loads with `weights_only=True`. A file that stood there
    is replaced in one step.
    """
    steps = {
        "format_version": FORMAT_VERSION,
        "settings": state.settings.model_dump(),
        "seed": state.seed,
        "vocab_size": state.vocab_size,
        # Epoch and position in the epoch follow from the step, and so does the order of the reviews, with the seed.
        "step": state.step,
        "best_val_loss": state.best_val_loss,
        "best_step": state.best_step,
        "best_val_accuracy": state.best_val_accuracy,
        "seconds": state.seconds,
        "hidden": state.hidden,
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "cpu_generator": torch.get_rng_state(),
        "cuda_generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    _write_whole(path, lambda beside: torch.save(steps, beside))


def load_state(path: Path, device: str = "cpu") -> TrainingState:
    """Return the state saved at `path`, torch's global generators set to where they stood.

    Raises:
        StudyError: if the file is missing, damaged, or of another format version.
    """
    content = _read_state(path)
    settings = validated(content["settings"], str(path))
    state = start(settings, content["vocab_size"], content["seed"], device)
    state.model.load_state_dict(content["model"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.step = content["step"]
    state.best_val_loss, state.best_step = content["best_val_loss"], content["best_step"]
    state.best_val_accuracy = content["best_val_accuracy"]
    state.seconds = content["seconds"]
    if content["hidden"] is not None:
        hidden, cell = content["hidden"]
        state.hidden = (hidden.to(device), cell.to(device))
    torch.set_rng_state(content["cpu_generator"])
    if device != "cpu" and content["cuda_generators"]:
        torch.cuda.set_rng_state_all(content["cuda_generators"][: torch.cuda.device_count()])
    return state


def save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write `weights` to `path`, replacing what stood there in one step.

    In torch's format, which is written tensor by tensor: safetensors would first copy all of them.
    """
    _write_whole(path, lambda beside: torch.save(weights, beside))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights saved at `path`, on the CPU.

    Raises:
        StudyError: if the file is missing or damaged.
    """
    weights = _load(path, "export another trial with `--trial`")
    if not all(isinstance(weight, Tensor) for weight in weights.values()):
        raise StudyError(
            f"a checkpoint must hold weights: {path} holds something else: export another trial with `--trial`."
        )
    return weights


def settings_of(path: Path) -> TrainSettings:
    """Return the settings that the state at `path` was trained with."""
    return validated(_read_state(path)["settings"], str(path))


def _read_state(path: Path) -> dict[str, Any]:
    content = _load(path, "start that trial again")
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise StudyError(
            f"a checkpoint must be of format {FORMAT_VERSION}: {path} is of {version}: use the version that wrote it."
        )
    return content


def _load(path: Path, remedy: str) -> dict[str, Any]:
    """Return the dict of tensors and plain values that torch saved at `path`; nothing else is unpickled."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError) as problem:
        reason = next(iter(str(problem).splitlines()), type(problem).__name__)
        raise StudyError(f"a checkpoint must be whole: {path} is not ({reason}): {remedy}.") from None
    if not isinstance(content, dict):
        raise StudyError(f"a checkpoint must be whole: {path} holds no checkpoint: {remedy}.")
    return content


def _write_whole(path: Path, write: Callable[[Path], None]) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            write(beside)
        except RuntimeError as problem:  # torch's writer has no other exception, and no errno
            if "inline_container" not in str(problem) and "PytorchStreamWriter" not in str(problem):
                raise
            room = shutil.disk_usage(path.parent).free
            code = errno.ENOSPC if room < ROOM_OF_A_FULL_DISK else errno.EIO
            raise OSError(code, os.strerror(code), str(path)) from problem
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy of it on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
