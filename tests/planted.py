"""Plant a pickle that does harm when it is read as one."""

import pickle
from pathlib import Path
from typing import Any

import torch

KINDS = ("0", "5", "torch", "torch of old")
"""Pickle's own protocols, and the two forms of `torch.save`."""


class Planted:
    """Unpickled, it makes the file `trace`."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.trace), "w"))


def plant(path: Path, trace: Path, kind: str) -> None:
    """Write a pickle of that kind to `path`, which makes the file `trace` if it is run."""
    if kind == "torch":
        torch.save({"weights": Planted(trace)}, path)
    elif kind == "torch of old":
        torch.save({"weights": Planted(trace)}, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(Planted(trace), protocol=int(kind)))
