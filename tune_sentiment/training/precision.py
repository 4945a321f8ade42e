"""Decide in which precision a run multiplies its matrices: once, at its start, and alike on every like machine."""

from functools import cache
from typing import Literal

import torch
from torch import nn

from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import SettingsError

GAINING_HIDDEN_DIM = 64
"""From here on bfloat16 is 1.3 to 2.4 times as fast (see benchmarks/RESULTS.md); below, it gains little or nothing."""


def resolved(settings: TrainSettings, device: str) -> TrainSettings:
    """Return `settings` with a precision that is float32 or bfloat16.

    `auto` becomes bfloat16 on a processor that has it, if the LSTM is large enough to gain from it. The rule knows
    sizes only, never times, so that the same seed gives the same losses again.

    Raises:
        SettingsError: if bfloat16 is asked for and this torch cannot train an LSTM in it on `device`.
    """
    kind = torch.device(device).type
    chosen: Literal["float32", "bfloat16"]
    if settings.precision == "bfloat16":
        if not trains_in_bfloat16(kind):
            raise SettingsError(
                f"`precision` bfloat16 must work on the device: it does not on this {kind} with torch "
                f"{torch.__version__}: use auto or float32."
            )
        chosen = "bfloat16"
    elif settings.precision == "auto" and gains(settings, kind) and has_bfloat16(kind) and trains_in_bfloat16(kind):
        chosen = "bfloat16"
    else:
        chosen = "float32"
    return settings.model_copy(update={"precision": chosen})


def gains(settings: TrainSettings, device_type: str) -> bool:
    """Return whether an LSTM of this size is faster in bfloat16, as `benchmarks/step.py` and `gpu.py` measured.

    On a GPU none was: its steps wait for one word after the other, not for the matrix products.
    """
    return device_type == "cpu" and settings.hidden_dim >= GAINING_HIDDEN_DIM


def has_bfloat16(device_type: str) -> bool:
    """Return whether the hardware multiplies in bfloat16, where torch might only imitate it, and slowly."""
    if device_type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, check)()) for check in checks if hasattr(torch.cpu, check))


@cache
def trains_in_bfloat16(device_type: str) -> bool:
    """Return whether a small LSTM can be trained in bfloat16 on this device, by trying it once per process."""
    device = torch.device(device_type)
    try:
        with torch.random.fork_rng(devices=[] if device_type == "cpu" else None):
            lstm = nn.LSTM(8, 8).to(device)
            with torch.autocast(device_type, torch.bfloat16):
                output, _ = lstm(torch.ones(3, 2, 8, device=device))
            output.float().sum().backward()
            grad = lstm.weight_hh_l0.grad
            return isinstance(grad, torch.Tensor) and bool(torch.isfinite(grad).all())
    except RuntimeError:  # "could not create a primitive descriptor", from processors without it
        return False
