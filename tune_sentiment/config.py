"""The settings of one training run, validated once at the edge and frozen afterwards."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tune_sentiment.errors import SettingsError


class TrainSettings(BaseModel):
    """The hyperparameters of one training run; the defaults are the course's published setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding_dim: Annotated[int, Field(ge=1, le=8192)] = 400
    """Length of a word's vector."""
    hidden_dim: Annotated[int, Field(ge=1, le=8192)] = 256
    """Length of the LSTM's state, per direction."""
    n_layers: Annotated[int, Field(ge=1, le=16)] = 2
    """LSTM layers, one on top of the other."""
    lr: Annotated[float, Field(gt=0, le=10)] = 0.001
    """Adam's learning rate."""
    clip: Annotated[float, Field(gt=0)] = 5.0
    """The norm to which longer gradients are shortened."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 4
    """Passes over the training split."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 50
    """Reviews per step."""
    seq_length: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Words of a review that the model reads, counted from its start."""
    report_every: Annotated[int, Field(ge=1)] = 100
    """Steps between two measurements of the validation loss."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout between LSTM layers (one layer has none)."""
    output_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout between the readout and the last linear layer."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Adam's L2 penalty."""
    pooling: Literal["last", "mean", "max"] = "last"
    """What is read out of the LSTM: its last step, or the mean or maximum over the words."""
    bidirectional: bool = False
    """Whether a second LSTM reads each review from its end."""
    carry_hidden: bool = False
    """The course's own loop: the hidden state flows into the next batch, padding is read as a word."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the LSTM's matrix products in training; auto: bfloat16 on a processor that has it and gains from it."""


def validated(settings: Mapping[str, Any], where: str) -> TrainSettings:
    """Return `settings` as TrainSettings.

    Raises:
        SettingsError: naming every problem of `settings` at once and `where` they stand.
    """
    try:
        return TrainSettings(**settings)
    except ValidationError as problems:
        lines = [describe_problem(problem) for problem in problems.errors()]
        raise SettingsError(f"wrong settings: {'; '.join(lines)} in {where}: correct them.") from None


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Return one pydantic problem as `name`: rule, got value."""
    name = ".".join(str(part) for part in problem["loc"])
    value = problem["input"]
    rule = problem["msg"][0].lower() + problem["msg"][1:]
    if isinstance(value, str) and _reads_as_number(value):
        rule += " (YAML reads 1e-4 as text: write 1.0e-4)"
    return f"`{name}`: {rule}, got {value!r}"


def seconds_of(duration: str | float) -> float:
    """Return a duration such as "90s", "10m", "2h" or a number of seconds, in seconds.

    Raises:
        SettingsError: if it is not a positive duration.
    """
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    text = str(duration).strip().lower()
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 1.0)
    try:
        seconds = float(number) * unit
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(
            f"a duration must be a positive number of s, m, h or d: {duration!r}: write 90s, 10m or 2h."
        )
    return seconds


def bytes_of(size: str | int) -> int:
    """Return a size such as "500MB", "20GB", "1TB" or a number of bytes, in bytes.

    Raises:
        SettingsError: if it is not a positive size.
    """
    units = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
    text = str(size).strip().lower()
    number, unit = (text[:-2], units[text[-2:]]) if text[-2:] in units else (text, 1)
    try:
        count = float(number) * unit
    except ValueError:
        count = -1.0
    if not 1 <= count < 1e18:
        raise SettingsError(f"a size must be a positive number of KB, MB, GB or TB: {size!r}: write 500MB or 20GB.")
    return int(count)


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
