"""Turn what a search knows into plain JSON values that hold no secret and no NaN."""

import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date
from pathlib import PurePath
from typing import Any

import numpy as np

from tune_sentiment.masking import masked


def plain(value: Any) -> Any:
    """Return `value` as JSON knows it: dict, list, str, int, float, bool or None.

    Dataclasses become dicts, arrays and tuples lists, a number that is not finite None. In every text, the user and
    password of a URL and the secrets of its query become `***`: a bundle is made to be handed on.

    Raises:
        TypeError: if `value` holds something else.
    """
    match value:
        case None | bool() | int():
            return value
        case str():
            return masked(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case np.generic() | np.ndarray():
            return plain(value.tolist())
        case Mapping():
            return {masked(str(key)): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case PurePath() | date():
            return masked(str(value))
        case _ if is_dataclass(value) and not isinstance(value, type):
            return plain(asdict(value))
    raise TypeError(f"a bundle holds plain values, got {type(value).__name__}")


def one_line(text: str, limit: int = 300) -> str:
    """Return `text` as one printable line of at most `limit` characters, safe to show in a terminal."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 2 * limit]).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
