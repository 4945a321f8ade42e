"""A setting drawn by Optuna from the space that every peer is told."""

from collections.abc import Mapping

import optuna


def setting_of(trial: optuna.Trial, space: Mapping[str, tuple[str, float, float]]) -> dict[str, float]:
    """Return the trial's setting in `space`: for each name the kind (int, log_int or log_float), lowest and highest."""
    return {
        name: trial.suggest_float(name, low, high, log=True)
        if kind == "log_float"
        else trial.suggest_int(name, low, high, log=kind == "log_int")
        for name, (kind, low, high) in space.items()
    }
