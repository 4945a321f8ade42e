from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tune_sentiment.export.plain import one_line, plain


@dataclass
class Figure:
    name: str
    values: tuple[float, ...]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        (float("nan"), None),
        (float("-inf"), None),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.float64("nan"), None),
        (np.array([1.0, np.inf]), [1.0, None]),
        ((1, [2, (3,)]), [1, [2, [3]]]),
        ({1: Path("a/b")}, {"1": "a/b"}),
        (date(2025, 1, 31), "2025-01-31"),
        (Figure("loss", (0.1, 0.2)), {"name": "loss", "values": [0.1, 0.2]}),
        ("file-\udcff.csv", "file-?.csv"),
    ],
)
def test_every_value_of_a_search_becomes_what_json_knows(value: Any, expected: Any) -> None:
    result = plain(value)
    assert result == expected
    assert type(result) is type(expected)


def test_what_json_cannot_hold_is_a_fault_of_the_caller() -> None:
    with pytest.raises(TypeError, match="plain values, got object"):
        plain({"thing": object()})


def test_secrets_are_masked_at_any_depth_in_keys_and_in_values() -> None:
    deep = {"a": [{"redis://u:hunter2@h": ("redis://u:hunter2@h",)}], "b": Figure("ftp://u:hunter2@h/", ())}
    assert "hunter2" not in str(plain(deep))


def test_one_line_is_one_short_line_that_no_terminal_obeys() -> None:
    line = one_line("red \x1b[31m alert\nsecond\r\nline\u2028third \u202etfel" + "x" * 1000, limit=60)
    assert line.isprintable()
    assert line.startswith("red [31m alert second line third tfel")
    assert len(line) == 60
