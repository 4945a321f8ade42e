"""What is used of Ray Tune, imported without what Ray 2.60's only names in type hints: pandas and Ray Data.

The two take 57 MB and a third of a second in every process of a search, and in none of them are they used.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a package in what is imported meanwhile: its names are empty classes then, later its own."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__spec__ = ModuleSpec(name, None, is_package=True)

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is not self:
            return getattr(import_module(self.__name__), name)
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def only_named(*packages: str) -> Iterator[None]:
    """Have what is imported inside this block get stand-ins for `packages`; one that is imported already stays."""
    stand_ins = {package: _Later(package) for package in packages if package not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for package in stand_ins:
            sys.modules.pop(package, None)


with only_named("pandas", "ray.data"):
    from ray import tune
    from ray.tune import ResultGrid, Stopper
    from ray.tune.execution import experiment_state
    from ray.tune.execution.tune_controller import TuneController
    from ray.tune.experiment import Trial
    from ray.tune.result import DONE, SHOULD_CHECKPOINT
    from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

__all__ = [
    "DONE",
    "SHOULD_CHECKPOINT",
    "AsyncHyperBandScheduler",
    "FIFOScheduler",
    "ResultGrid",
    "Stopper",
    "Trial",
    "TrialScheduler",
    "TuneController",
    "experiment_state",
    "only_named",
    "tune",
]
