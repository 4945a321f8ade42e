"""A search space: which hyperparameters are searched over which range, and which are fixed."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tune_sentiment.config import TrainSettings, validated
from tune_sentiment.errors import SettingsError
from tune_sentiment.search.space_file import read_document, read_space

COURSE = TrainSettings()

READOUTS_BY_MEMORY = ("last", "max", "mean")
"""The readouts of the LSTM, by rising memory."""

NOT_OF_THE_COURSE = ("report_every", "precision")
"""Fixed values that are no part of the course's setting: how often and how fast, not what is trained."""

NOT_FOR_MEMORY = ("lr", "clip")
"""Hyperparameters that change no array's size: the largest setting keeps the course's, which trains safely."""


@dataclass(frozen=True)
class Space:
    """What a search may choose (`distributions`, Optuna's own) and what it may not (`fixed`)."""

    name: str
    distributions: dict[str, BaseDistribution]
    fixed: dict[str, Any]

    def settings(self, params: Mapping[str, Any]) -> TrainSettings:
        """Return the full settings of a trial: the fixed values, `params`, and the course's for what neither names.

        Raises:
            SettingsError: if `params` holds an unknown name or a value that no run can have.
        """
        return validated({**self.fixed, **params}, f"the space {self.name!r}")

    def clamp(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """Return those of `params` that are searched, each as the nearest value of its range.

        The second part says of each value that had to move what it is now, and for what. On a categorical, the nearest
        is the closest number, or the first choice where there is no number to compare.

        Raises:
            SettingsError: if `params` holds an unknown name or a value that no run can have.
        """
        given = self.settings(params)
        inside: dict[str, Any] = {}
        moved = []
        for name, distribution in self.distributions.items():
            if name in params:
                value = getattr(given, name)
                inside[name] = _nearest(value, distribution)
                if inside[name] != value:
                    moved.append(f"`{name}` {inside[name]} for {value} ({_range_text(distribution)} is searched)")
        return inside, moved

    def course_point(self) -> tuple[dict[str, Any], list[str]]:
        """Return the course's setting as a point of this space, and in words each way in which it differs."""
        params, differences = self.clamp({name: getattr(COURSE, name) for name in self.distributions})
        for name, value in self.fixed.items():
            course = getattr(COURSE, name)
            if name not in NOT_OF_THE_COURSE and value != course:
                differences.append(f"`{name}` {value} for {course} (fixed)")
        return params, differences

    def largest(self) -> TrainSettings:
        """Return the setting of this space that takes the most memory to train."""
        course, _ = self.course_point()
        return self.settings(
            {
                name: course[name] if name in NOT_FOR_MEMORY else _heaviest(distribution)
                for name, distribution in self.distributions.items()
            }
        )

    def override(self, **fixed: Any) -> "Space":
        """Return this space with `fixed` values in place of its own; what was searched of them no longer is.

        Raises:
            SettingsError: if a name is unknown, a value is one that no run can have, or nothing is left to search.
        """
        merged = {**self.fixed, **fixed}
        kept = {name: distribution for name, distribution in self.distributions.items() if name not in fixed}
        if not kept:
            given = ", ".join(f"{name}={value}" for name, value in fixed.items())
            raise SettingsError(f"a search needs something to search: {given} fixes it all: leave one of them out.")
        changed = dataclasses.replace(self, distributions=kept, fixed=merged)
        settings = changed.settings({})
        return dataclasses.replace(changed, fixed={name: getattr(settings, name) for name in merged})

    def to_dict(self) -> dict[str, Any]:
        """Return the space as JSON-ready values, in the form of its file plus `name`."""
        search = {name: _described(distribution) for name, distribution in self.distributions.items()}
        return {"name": self.name, "search": search, "fixed": dict(self.fixed)}

    def fingerprint(self) -> str:
        """Return a hexadecimal SHA-256 of what is searched and fixed; equal for files that mean the same."""
        meant = self.to_dict()
        del meant["name"]
        meant["fixed"] = {name: value for name, value in self.fixed.items() if value != getattr(COURSE, name)}
        return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()


def load_space(name_or_path: str) -> Space:
    """Return the shipped space of that name, or else the one in the YAML file of that path.

    Raises:
        SettingsError: if there is neither, or naming every problem of the file at once.
    """
    shipped = shipped_spaces()
    path = shipped.get(name_or_path, Path(name_or_path))
    if name_or_path not in shipped and not path.exists():
        known = ", ".join(shipped)
        raise SettingsError(f"a search space must exist: {name_or_path!r}: give a YAML file, or one of {known}.")
    document, doubled = read_document(path)
    return Space(path.stem, *read_space(document, str(path), doubled))


def space_from_dict(described: Mapping[str, Any], where: str) -> Space:
    """Return the space that `Space.to_dict` described, as it stands in a search's own record `where`.

    Raises:
        SettingsError: naming every problem at once.
    """
    document = {key: value for key, value in described.items() if key != "name"}
    return Space(str(described.get("name", "unnamed")), *read_space(document, where))


def widened(before: Space, after: Space, *, allowed: bool) -> Space:
    """Return the space to continue a search with: `after`, if it means the same or is wider and that is `allowed`.

    Raises:
        SettingsError: naming every way in which it is something else.
    """
    if before.fingerprint() == after.fingerprint():
        return before
    differences, wider = [], True
    old, new = before.to_dict(), after.to_dict()
    for name in sorted(old["search"].keys() | new["search"].keys()):
        was, will = before.distributions.get(name), after.distributions.get(name)
        if was != will:
            differences.append(f"`{name}` was {_range_or_none(was)}, now {_range_or_none(will)}")
            wider = wider and _is_wider(was, will)
    for name in sorted(old["fixed"].keys() | new["fixed"].keys()):
        was, will = old["fixed"].get(name, getattr(COURSE, name)), new["fixed"].get(name, getattr(COURSE, name))
        if name not in before.distributions and name not in after.distributions and was != will:
            differences.append(f"`{name}` was fixed at {was}, now at {will}")
            wider = False
    if allowed and wider:
        return after
    remedy = (
        "only the ends of ranges may move outwards: start a new search"
        if allowed or not wider
        else "leave it out, or allow it with --change-space"
    )
    raise SettingsError(f"a search is continued in the space it began with: {'; '.join(differences)}: {remedy}.")


def _is_wider(before: BaseDistribution | None, after: BaseDistribution | None) -> bool:
    if not isinstance(before, IntDistribution | FloatDistribution) or type(before) is not type(after):
        return False
    assert isinstance(after, IntDistribution | FloatDistribution)
    same_grid = (before.log, before.step) == (after.log, after.step)
    return same_grid and after.low <= before.low and after.high >= before.high


def _range_or_none(distribution: BaseDistribution | None) -> str:
    return "not searched" if distribution is None else _range_text(distribution)


def shipped_spaces() -> dict[str, Path]:
    """Return the files of the shipped spaces by name: in the wheel inside the package, in a checkout beside it."""
    package = Path(__file__).parents[1]
    for folder in (package / "search_spaces", package.parent / "search_spaces"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def _nearest(value: Any, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return _nearest_choice(value, distribution)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    bounded = min(max(value, distribution.low), distribution.high)
    if distribution.step is None or distribution.log:
        return bounded
    low, step = Decimal(str(distribution.low)), Decimal(str(distribution.step))
    snapped = low + round((Decimal(str(bounded)) - low) / step) * step
    return int(snapped) if isinstance(distribution, IntDistribution) else float(snapped)


def _nearest_choice(value: Any, distribution: CategoricalDistribution) -> Any:
    if value in distribution.choices:
        return value
    numbers = [choice for choice in distribution.choices if _is_number(choice)]
    if not _is_number(value) or not numbers:
        return distribution.choices[0]
    return min(numbers, key=lambda choice: (math.fabs(choice - value), choice))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _heaviest(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        if isinstance(distribution.choices[0], str):
            return max(distribution.choices, key=lambda choice: READOUTS_BY_MEMORY.index(str(choice)))
        return max(distribution.choices)  # type: ignore[type-var]  # numbers or truth values only
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    return distribution.high


def _range_text(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(str(choice) for choice in distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    in_steps = f" in steps of {distribution.step}" if distribution.step not in (None, 1) else ""
    return f"{distribution.low}..{distribution.high}{in_steps}"


def _described(distribution: BaseDistribution) -> dict[str, Any]:
    if isinstance(distribution, CategoricalDistribution):
        return {"type": "categorical", "choices": list(distribution.choices)}
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    kind = "int" if isinstance(distribution, IntDistribution) else "float"
    described = {"type": kind, "low": distribution.low, "high": distribution.high, "log": distribution.log}
    if distribution.step is not None and not distribution.log:
        described["step"] = distribution.step
    return described
