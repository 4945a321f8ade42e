"""Where output goes and how it looks: consoles, JSON, tables of facts."""

import json
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 100
"""Columns of a table that goes to a file or a pipe."""


def stdout() -> Console:
    """Return the console for results."""
    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def stderr() -> Console:
    """Return the console for progress and logs."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else PIPE_WIDTH, highlight=False)


def print_json(content: Any) -> None:
    """Print one JSON object on stdout, numbers that are not finite as null."""
    sys.stdout.write(json.dumps(_finite(content), ensure_ascii=False, default=str) + "\n")


def facts_table() -> Table:
    """Return an empty table of names and values."""
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    return facts


def readable(value: Any) -> str:
    """Return a value as a person reads it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {readable(one)}" for key, one in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and content - content != 0.0:
        return None
    return content
