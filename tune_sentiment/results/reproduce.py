"""Word how a search can be repeated, from whatever its search.json holds."""

import json
import math
import shlex
from collections.abc import Mapping
from typing import Any

TITLES = {"data": "Data", "dataset": "Dataset", "seeds": "Seeds", "versions": "Versions", "space": "Search space"}

ELSEWHERE = frozenset({"command", "notes"})
"""Keys of search.json that the page shows in places of their own."""


def command_line(request: Mapping[str, Any]) -> str:
    """Return the command as it can be pasted into a shell, "" if none was recorded."""
    command = request.get("command")
    if isinstance(command, str):
        return command
    if isinstance(command, list | tuple):
        return shlex.join(str(word) for word in command)
    return ""


def request_sections(request: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (title, [(name, value)]) for all that was asked: data, seeds, versions, space, then the rest.

    A mapping has a section of its own; plain values share the last one. Values deeper down are shown as JSON.
    """
    shown = {key: value for key, value in request.items() if key not in ELSEWHERE}
    known = [key for key in TITLES if key in shown]
    order = known + [key for key in shown if key not in TITLES]
    sections = [
        (
            TITLES.get(key, key.replace("_", " ").capitalize()),
            [(str(name), _text(part)) for name, part in shown[key].items()],
        )
        for key in order
        if isinstance(shown[key], Mapping) and shown[key]
    ]
    rest = [(key, _text(shown[key])) for key in order if not isinstance(shown[key], Mapping)]
    return [*sections, ("Further settings", rest)] if rest else sections


def script_json(value: Any) -> str:
    """Return `value` as JSON that can stand inside a <script> element: no "<" ends it early, NaN is null."""
    text = json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) and value and not any(map(_is_nested, value.values())):
        return ", ".join(f"{name}: {_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple) and not any(map(_is_nested, value)):
        return ", ".join(_text(part) for part in value)
    return json.dumps(value, default=str, ensure_ascii=False) if _is_nested(value) else str(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)
