"""Compute what the report's plots show, as plain values, thinned to what a screen can show."""

import bisect
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from tune_sentiment.results import facts
from tune_sentiment.search.records import Fate, Outcome, TrialRecord

IDLE_GAP = 300.0
"""Seconds without any trial after which a search counts as interrupted, and the gap is cut out of the time axis."""

Role = Literal["winner", "best", "course", "other"]
"""best: leads so far, while no winner is decided."""
Item = TypeVar("Item")


@dataclass(frozen=True)
class ConfirmedPoints:
    """One confirmed setting: a point per seed, their mean and their spread."""

    trial: int
    role: Role
    seeds: tuple[int, ...]
    losses: tuple[float, ...]
    mean: float
    spread: float | None
    search_val_loss: float | None


@dataclass(frozen=True)
class TrialPoint:
    """One trial at the moment it ended (or, still running, at the last moment known)."""

    seconds: float
    number: int
    fate: Fate
    loss: float | None
    record: TrialRecord


@dataclass(frozen=True)
class Progress:
    """How the best validation loss fell."""

    points: tuple[TrialPoint, ...]
    """By rising time, thinned."""
    best: tuple[tuple[float, float], ...]
    """(seconds, lowest validation loss so far), a point per improvement and one at the end."""
    trials: int
    """Trials that `points` were thinned from."""


@dataclass(frozen=True)
class Curve:
    """One trial's validation losses by step, thinned."""

    number: int
    role: Role
    fate: Fate
    steps: tuple[int, ...]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Slots:
    """Slots busy over time: a staircase, or means over equal spans where there are too many stairs."""

    seconds: tuple[float, ...]
    busy: tuple[float, ...]
    confirming_from: float | None
    """Second at which the first confirmation run started."""
    averaged: bool


def thinned(items: Sequence[Item], keep: int) -> list[Item]:
    """Return at most `keep` of `items`, evenly spaced, the first and the last among them."""
    if len(items) <= keep:
        return list(items)
    if keep < 2:
        return list(items[:keep])
    return [items[round(place * (len(items) - 1) / (keep - 1))] for place in range(keep)]


def roles(outcome: Outcome) -> dict[int, Role]:
    """Return the role of the trials that have one beside "other", by number; to win or lead comes before the course."""
    found: dict[int, Role] = {facts.COURSE_TRIAL: "course"}
    winner, best = facts.decided(outcome), facts.best_record(outcome.records)
    if winner is not None:
        found[winner.trial] = "winner"
    elif best is not None:
        found[best.number] = "best"
    return found


def confirmed_points(outcome: Outcome) -> list[ConfirmedPoints]:
    """Return the confirmed settings, the lowest mean first."""
    role = roles(outcome)
    return [
        ConfirmedPoints(
            trial=setting.trial,
            role="course" if setting.is_course else role.get(setting.trial, "other"),
            seeds=setting.seeds,
            losses=setting.val_losses,
            mean=statistics.fmean(setting.val_losses),
            spread=facts.spread(setting.val_losses),
            search_val_loss=setting.search_val_loss,
        )
        for setting in facts.confirmed_so_far(outcome)
        if setting.val_losses
    ]


def busy_span(record: TrialRecord, now: float) -> tuple[float, float] | None:
    """Return (from, to) in UNIX time: the record's `seconds` of work, ending when it ended.

    Not from `started`, because a trial that was taken up again after an interruption started long before.
    """
    end = record.ended if record.ended is not None else (now if record.fate == "running" else None)
    if end is None and record.started is not None and record.fate != "waiting":
        end = record.started + record.seconds
    if end is None:
        return None
    begin = end - max(record.seconds, 0.0)
    return (begin if record.started is None else min(max(begin, record.started), end), end)


def working_clock(spans: Iterable[tuple[float, float]]) -> Callable[[float], float]:
    """Return a function from UNIX time to seconds since the first span, the gaps of over IDLE_GAP cut out."""
    begins: list[float] = []
    ends: list[float] = []
    for begin, end in sorted(spans):
        if ends and begin - ends[-1] <= IDLE_GAP:
            ends[-1] = max(ends[-1], end)
        else:
            begins.append(begin)
            ends.append(end)
    offsets = [0.0]
    for begin, end in zip(begins, ends, strict=True):
        offsets.append(offsets[-1] + end - begin)

    def seconds(moment: float) -> float:
        stretch = bisect.bisect_right(begins, moment) - 1
        if stretch < 0:
            return 0.0
        return offsets[stretch] + min(moment, ends[stretch]) - begins[stretch]

    return seconds


def clock_of(outcome: Outcome, now: float) -> Callable[[float], float]:
    """Return the working clock of all the outcome's runs; `now`: UNIX time at which the running ones are looked at."""
    spans = (busy_span(record, now) for record in (*outcome.records, *outcome.confirmations))
    return working_clock(span for span in spans if span is not None)


def progress(outcome: Outcome, now: float, keep: int = 1500) -> Progress:
    """Return each trial of the search as a point in time, and the best validation loss so far.

    keep: most points; those that improved the best are always kept, the others evenly.
    """
    clock = clock_of(outcome, now)
    points = []
    for record in outcome.records:
        span = busy_span(record, now)
        if span is not None:
            loss = record.best_val_loss
            loss = loss if loss is not None and math.isfinite(loss) else None
            points.append(TrialPoint(clock(span[1]), record.number, record.fate, loss, record))
    points.sort(key=lambda point: (point.seconds, point.number))
    best: list[tuple[float, float]] = []
    improving, others = [], []
    for point in points:
        value = facts.usable_loss(point.record)
        if value is not None and (not best or value < best[-1][1]):
            best.append((point.seconds, value))
            improving.append(point)
        else:
            others.append(point)
    if best:
        best.append((points[-1].seconds, best[-1][1]))
    kept = improving + thinned(others, max(keep - len(improving), 0))
    kept.sort(key=lambda point: (point.seconds, point.number))
    return Progress(points=tuple(kept), best=tuple(best), trials=len(points))


def curves(outcome: Outcome, keep: int = 60, points: int = 200) -> list[Curve]:
    """Return the learning curves to draw: winner, course, running and best trials, the others evenly down the ranks.

    keep: most curves; points: most points of a curve. The winner and the course come last, to lie on top.
    """
    role = roles(outcome)
    measured = [record for _, record in facts.ranked(outcome.records) if _finite_curve(record)]
    first = [record for record in measured if record.number in role]
    first += [record for record in measured if record.fate == "running" and record not in first][: keep // 4]
    numbers = {record.number for record in first}
    rest = [record for record in measured if record.number not in numbers]
    best, tail = rest[: keep // 3], rest[keep // 3 :]
    chosen = [*first, *best, *thinned(tail, max(keep - len(first) - len(best), 0))]
    drawn = []
    for record in chosen:
        line = thinned(_finite_curve(record), points)
        steps, losses = tuple(step for step, _ in line), tuple(loss for _, loss in line)
        drawn.append(Curve(record.number, role.get(record.number, "other"), record.fate, steps, losses))
    return sorted(drawn, key=lambda curve: (("other", "course", "best", "winner").index(curve.role), curve.number))


def count_curves(outcome: Outcome) -> int:
    """Return how many trials have a curve to draw."""
    return sum(1 for record in outcome.records if _finite_curve(record))


def slots_busy(outcome: Outcome, now: float, keep: int = 800) -> Slots:
    """Return how many trials were in training or validation at each moment, search and confirmation together.

    keep: most stairs; beyond, the mean over `keep` equal spans of time.
    """
    clock = clock_of(outcome, now)
    spans = [busy_span(record, now) for record in (*outcome.records, *outcome.confirmations)]
    changes: dict[float, int] = {}
    for span in spans:
        if span is not None and span[1] > span[0]:
            changes[clock(span[0])] = changes.get(clock(span[0]), 0) + 1
            changes[clock(span[1])] = changes.get(clock(span[1]), 0) - 1
    seconds, busy, level = [], [], 0
    for moment in sorted(changes):
        level += changes[moment]
        seconds.append(moment)
        busy.append(float(level))
    confirming = [span for record in outcome.confirmations if (span := busy_span(record, now)) is not None]
    confirming_from = clock(min(confirming)[0]) if confirming else None
    if len(seconds) <= keep:
        return Slots(tuple(seconds), tuple(busy), confirming_from, averaged=False)
    return Slots(*_means(seconds, busy, keep), confirming_from, averaged=True)


def loss_range(losses: Iterable[float]) -> tuple[float, float] | None:
    """Return (low, high) of an axis on which the good losses can be told apart, though a few be very bad."""
    values = sorted(value for value in losses if math.isfinite(value))
    if not values:
        return None
    low, high = values[0], values[-1]
    typical = values[(len(values) - 1) * 3 // 4]
    high = min(high, typical + 1.5 * (typical - low) + 0.01)
    margin = 0.06 * max(high - low, 0.01)
    return (low - margin, high + margin)


def _finite_curve(record: TrialRecord) -> list[tuple[int, float]]:
    return [(step, loss) for step, loss in record.curve if math.isfinite(loss)]


def _means(seconds: list[float], busy: list[float], spans: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    area = np.concatenate([[0.0], np.cumsum(np.diff(seconds) * busy[:-1])])
    edges = np.linspace(seconds[0], seconds[-1], spans + 1)
    means = np.diff(np.interp(edges, seconds, area)) / np.diff(edges)
    return tuple(edges[:-1].tolist()), tuple(means.tolist())
