"""Group the failed trials by reason and find what their settings had in common."""

from collections.abc import Sequence
from dataclasses import dataclass

from tune_sentiment.results import facts, wording
from tune_sentiment.search.records import TrialRecord

CHANCE = 0.05
"""As unlikely as that must be, for as many trials drawn at random, what failed trials share is worth telling."""


@dataclass(frozen=True)
class FailureGroup:
    """The trials that failed for one reason."""

    reason: str
    records: tuple[TrialRecord, ...]
    """By number."""
    in_common: tuple[str, ...]
    """Values and ranges that they share more than chance would have it: "lr 4.2e-03 to 9.8e-03"."""


def failure_groups(records: Sequence[TrialRecord]) -> list[FailureGroup]:
    """Return the failed trials by reason, the most frequent reason first."""
    groups = []
    for reason in facts.reason_counts(records, "failed"):
        failed = [record for record in records if record.fate == "failed" and facts.reason_of(record) == reason]
        failed.sort(key=lambda record: record.number)
        groups.append(FailureGroup(reason, tuple(failed), in_common(failed, records)))
    return groups


def in_common(failed: Sequence[TrialRecord], everyone: Sequence[TrialRecord]) -> tuple[str, ...]:
    """Return the hyperparameters' values, or narrow ranges of them, that `failed` share and `everyone` does not."""
    shared = []
    for name in failed[0].setting if len(failed) > 1 else ():
        values = [record.setting.get(name) for record in failed]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) == len(values):
            low, high = min(numbers), max(numbers)
            words = f"{name} {wording.figure(low, name)} to {wording.figure(high, name)}"
            share = sum(_within(record.setting.get(name), low, high) for record in everyone) / len(everyone)
            # The chance that so many values, evenly spread, span no more than `share` of the whole.
            chance = len(failed) * share ** (len(failed) - 1) - (len(failed) - 1) * share ** len(failed)
        elif all(value == values[0] for value in values):
            words = f"{name} {wording.figure(values[0], name)}"
            share = sum(record.setting.get(name) == values[0] for record in everyone) / len(everyone)
            chance = share ** (len(failed) - 1)
        else:
            continue
        if chance < CHANCE:
            shared.append(words)
    return tuple(shared)


def _within(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and low <= value <= high
