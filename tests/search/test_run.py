"""The end of a phase: what Ray cannot read then of its own."""

import pickle
from types import SimpleNamespace
from typing import Any

import pytest

from tune_sentiment.search.run import fit


@pytest.mark.parametrize("left", [0, 20])
def test_an_error_that_a_full_disk_cut_off_is_that_of_the_disk_and_any_other_is_one(left: int) -> None:
    written = pickle.dumps(OSError("No space left on device"))[:left]
    tuner: Any = SimpleNamespace(fit=lambda: pickle.loads(written))  # as Ray does with each trial's last error
    fit(tuner, lambda: "No space left on device")
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        fit(tuner, lambda: "")
