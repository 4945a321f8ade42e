"""Word figures, durations and settings with the digits that a reader can use."""

import math
from collections.abc import Mapping
from typing import Any

NOTHING = "-"
"""What stands where there is no value."""

_ALWAYS_WITH_EXPONENT = frozenset({"lr", "weight_decay"})


def figure(value: Any, name: str = "") -> str:
    """Return a hyperparameter's `value` in at most three digits; `name` decides between 1.3e-03 and 0.0013."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, float):
        return str(value)
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    if name in _ALWAYS_WITH_EXPONENT or not 0.01 <= abs(value) < 10_000:
        return f"{value:.1e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def loss(value: float | None) -> str:
    """Return a loss with four decimals, which is finer than any two seeds agree."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.3g}"


def percent(share: float | None, decimals: int = 1) -> str:
    """Return `share` (0 to 1) as percent: 0.789 -> "78.9 %"."""
    if share is None or not math.isfinite(share):
        return NOTHING
    return f"{100 * share:.{decimals}f} %"


def duration(seconds: float | None) -> str:
    """Return `seconds` as "41 s", "1 min 20 s" or "2 h 05 min"."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min"


def memory(size: float) -> str:
    """Return `size` (bytes) in MB or GB of 10^9 bytes."""
    return f"{size / 1e6:,.0f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def count(number: int, noun: str) -> str:
    """Return "1 trial", "2 trials", "10,000 trials"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def setting_text(setting: Mapping[str, Any]) -> str:
    """Return a setting on one line: "embedding_dim=300 lr=1.3e-03"."""
    return " ".join(f"{name}={figure(value, name)}" for name, value in setting.items())


def tally(counts: Mapping[str, int]) -> str:
    """Return counts on one line, the words first: "asha 17, time budget 2"."""
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())
