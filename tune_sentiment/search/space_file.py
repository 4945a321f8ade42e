"""Read the document of a search space and name every problem in it at once."""

import difflib
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tune_sentiment.config import TrainSettings, describe_problem
from tune_sentiment.errors import SettingsError

MAX_BYTES = 64 * 1024
"""A space is a page of text; whatever is longer is another file, given by mistake."""

MAX_SHOWN = 20
"""Problems that are named; with more of them it is another file too."""

NOT_SEARCHED = {
    "epochs": "a trial's length is what ASHA decides",
    "report_every": "all trials are compared at the same steps",
    "precision": "it changes the speed and not what is learned",
}


class _IntRange(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["int"]
    low: int
    high: int
    log: bool = False
    step: Annotated[int, Field(gt=0)] | None = None


class _FloatRange(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None


class _Choice(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    type: Literal["categorical"]
    choices: list[Any] = Field(min_length=1)


_KINDS: dict[str, type[_IntRange | _FloatRange | _Choice]] = {
    "int": _IntRange,
    "float": _FloatRange,
    "categorical": _Choice,
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, doubled keys and endless numbers."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.problems: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    self.problems.append(f"{_shown(key.value)} stands twice (again in line {key.start_mark.line + 1})")
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > 20:
            raise yaml.constructor.ConstructorError(None, None, "the number is too long", node.start_mark)
        return super().construct_yaml_int(node)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_document(path: Path) -> tuple[Any, list[str]]:
    """Return the YAML document in `path` as plain values, with the keys that stand twice as problems.

    Raises:
        SettingsError: if the file cannot be read, is too long, or is not plain YAML.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        remedy = "give the path of a readable YAML file"
        raise SettingsError(f"a search space must be readable: {path}: {error.strerror}: {remedy}.") from None
    if len(text) > MAX_BYTES:
        raise SettingsError(f"a search space must be at most {MAX_BYTES} bytes: {path} is longer: shorten it.")
    try:
        loader = _Loader(text.decode("utf-8-sig"))
        return loader.get_single_data(), loader.problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = f"{', '.join(part for part in (error.context, error.problem) if part)}{place}"
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a byte outside UTF-8, a date that is none
        said = str(error)
    except RecursionError:
        said = "too deeply nested"
    raise SettingsError(f"a search space must be plain YAML: {path}: {' '.join(said.split())}: correct it.")


def read_space(
    document: Any, where: str, problems: Iterable[str] = ()
) -> tuple[dict[str, BaseDistribution], dict[str, Any]]:
    """Return the searched distributions and the fixed values of `document`, a map of `search` and `fixed`.

    Raises:
        SettingsError: naming every problem of `document`, those in `problems` first, and `where` it comes from.
    """
    found = list(problems)
    distributions: dict[str, BaseDistribution] = {}
    fixed: dict[str, Any] = {}
    if isinstance(document, Mapping):
        found += _unknown_names(document, ("search", "fixed"), "key")
        for name, wanted in _map_in(document, "search", found).items():
            if distribution := _distribution(name, wanted, found):
                distributions[name] = distribution
        for name, value in _map_in(document, "fixed", found).items():
            fixed[name] = value
            found += _value_problems(name, value, f"fixed.{name}")
        found += [f"`{name}` stands in both `search` and `fixed`" for name in fixed if name in distributions]
        if not document.get("search"):
            found.append("`search` must name at least one hyperparameter")
    else:
        found.append(f"it must be a map of `search` and `fixed`, got {_shown(document)}")
    if found:
        more = f"; and {len(found) - MAX_SHOWN:,} more" if len(found) > MAX_SHOWN else ""
        raise SettingsError(f"wrong search space: {'; '.join(found[:MAX_SHOWN])}{more}; in {where}: correct the file.")
    settings = TrainSettings(**fixed)
    return distributions, {name: getattr(settings, name) for name in fixed}


def _map_in(document: Mapping[Any, Any], key: str, found: list[str]) -> dict[str, Any]:
    part = document.get(key)
    if part is None:
        return {}
    if not isinstance(part, Mapping):
        found.append(f"`{key}` must be a map of hyperparameters, got {_shown(part)}")
        return {}
    known = tuple(TrainSettings.model_fields)
    found += _unknown_names(part, known, f"hyperparameter in `{key}`")
    return {name: value for name, value in part.items() if name in known}


def _unknown_names(given: Mapping[Any, Any], known: tuple[str, ...], what: str) -> list[str]:
    problems = []
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name)[:60], known, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
            problems.append(f"unknown {what}: {_shown(name)} ({hint})")
    return problems


def _distribution(name: str, wanted: Any, found: list[str]) -> BaseDistribution | None:
    """Return what `wanted` describes in Optuna's own class, or None with the reasons added to `found`."""
    before = len(found)
    if name in NOT_SEARCHED:
        found.append(f"`{name}` cannot be searched, since {NOT_SEARCHED[name]}: move it to `fixed`")
    if not isinstance(wanted, Mapping):
        found.append(f"`{name}` must be a map such as {{type: int, low: 1, high: 3}}, got {_shown(wanted)}")
        return None
    kind = wanted.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        found.append(f"`{name}.type` must be int, float or categorical, got {_shown(kind)}")
        return None
    model = _KINDS[kind]
    found += _unknown_names(wanted, tuple(model.model_fields), f"key in `{name}`")
    try:
        spec = model.model_validate({key: wanted[key] for key in wanted if key in model.model_fields})
    except ValidationError as error:
        found += [_described(problem, name) for problem in error.errors()]
        return None
    if isinstance(spec, _Choice):
        found += _choice_problems(name, spec)
        return CategoricalDistribution(spec.choices) if len(found) == before else None
    found += _range_problems(name, spec)
    if len(found) > before:
        return None
    if isinstance(spec, _IntRange):
        return IntDistribution(spec.low, spec.high, log=spec.log, step=spec.step or 1)
    return FloatDistribution(spec.low, spec.high, log=spec.log, step=spec.step)


def _choice_problems(name: str, spec: _Choice) -> list[str]:
    problems = []
    for index, choice in enumerate(spec.choices):
        problems += _value_problems(name, choice, f"{name}.choices")
        if choice in spec.choices[:index]:
            problems.append(f"`{name}.choices` holds {_shown(choice)} twice")
    return problems


def _range_problems(name: str, spec: _IntRange | _FloatRange) -> list[str]:
    problems = []
    wants = TrainSettings.model_fields[name].annotation
    if isinstance(spec, _FloatRange) and wants is int:
        problems.append(f"`{name}` is a whole number, got type: float (write type: int)")
    else:
        problems += _value_problems(name, spec.low, f"{name}.low") + _value_problems(name, spec.high, f"{name}.high")
    if spec.low > spec.high:
        problems.append(f"`{name}`: low must be at most high, got low={spec.low} and high={spec.high}")
    if spec.log and spec.low <= 0:
        problems.append(f"`{name}`: a log range must start above 0, got low={spec.low}")
    if spec.log and spec.step is not None:
        problems.append(f"`{name}`: a log range has no step, got step={spec.step} (drop one of the two)")
    elif spec.step is not None and spec.low < spec.high:
        low, high, step = (Decimal(str(number)) for number in (spec.low, spec.high, spec.step))
        if (high - low) % step:
            reached = low + (high - low) // step * step
            problems.append(f"`{name}`: steps of {step} from {low} do not reach high={high} (the last is {reached})")
    return problems


def _value_problems(name: str, value: Any, label: str) -> list[str]:
    """Return why TrainSettings would not take `value` as its field `name`, without converting anything."""
    if isinstance(value, float) and not math.isfinite(value):
        return [f"`{label}`: must be a finite number, got {value}"]
    try:
        TrainSettings.model_validate({name: value}, strict=True)
    except ValidationError as error:
        return [_described(problem | {"loc": ()}, label) for problem in error.errors()]
    return []


def _described(problem: Mapping[str, Any], label: str) -> str:
    place = ".".join([label, *(str(part) for part in problem["loc"])])
    if problem["type"] == "missing":
        return f"`{place}` is missing"
    value = problem["input"]
    short = f"{value[:60]}…" if isinstance(value, str) and len(value) > 60 else value
    if isinstance(value, Mapping | list):
        short = _shown(value)
    return describe_problem({**problem, "loc": (place,), "input": short})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
