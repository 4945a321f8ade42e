"""Say what an outcome amounts to: ranks, counts, means over seeds and how sure the winner is."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tune_sentiment.results import wording
from tune_sentiment.search.records import ConfirmedSetting, Fate, Outcome, TrialRecord

FATES: tuple[Fate, ...] = ("complete", "stopped", "failed", "running", "waiting")

COURSE_TRIAL = 0
"""The number of the trial that has the course's setting."""


def usable_loss(record: TrialRecord) -> float | None:
    """Return the record's best validation loss if it counts: finite, and of a trial that did not fail."""
    value = record.best_val_loss
    if value is None or not math.isfinite(value) or record.fate == "failed":
        return None
    return value


def ranked(records: Iterable[TrialRecord]) -> list[tuple[int | None, TrialRecord]]:
    """Return (rank from 1, record), the lowest validation loss first.

    Trials without a usable loss have rank None and follow: those that may still get one, then the failed ones.
    """

    def order(record: TrialRecord) -> tuple[int, float, int]:
        value = usable_loss(record)
        if value is not None:
            return (0, value, record.number)
        return (2 if record.fate == "failed" else 1, 0.0, record.number)

    in_order = sorted(records, key=order)
    return [(rank if usable_loss(record) is not None else None, record) for rank, record in enumerate(in_order, 1)]


def best_record(records: Iterable[TrialRecord]) -> TrialRecord | None:
    """Return the trial with the lowest usable validation loss."""
    with_loss = [(value, record.number, record) for record in records if (value := usable_loss(record)) is not None]
    return min(with_loss, key=lambda entry: entry[:2])[2] if with_loss else None


def fate_counts(records: Iterable[TrialRecord]) -> dict[str, int]:
    """Return how many trials met each fate, in the order of FATES, without the fates that none met."""
    counts = Counter(record.fate for record in records)
    return {fate: counts[fate] for fate in FATES if counts[fate]}


def reason_of(record: TrialRecord) -> str:
    """Return why a trial was stopped or failed."""
    return record.reason or "no reason recorded"


def reason_counts(records: Iterable[TrialRecord], fate: Fate) -> dict[str, int]:
    """Return how many trials of `fate` there are for each reason, the most frequent first."""
    counts = Counter(reason_of(record) for record in records if record.fate == fate)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def mean(values: Sequence[float]) -> float | None:
    """Return the mean, or None of nothing."""
    return statistics.fmean(values) if values else None


def spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation of a sample (divided by n - 1), or None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def confirmed_so_far(outcome: Outcome) -> tuple[ConfirmedSetting, ...]:
    """Return the confirmed settings, lowest mean first; while they are being confirmed, what their ended runs say."""
    confirmed = outcome.confirmed or _from_ended_runs(outcome)
    return tuple(sorted(confirmed, key=lambda setting: (mean(setting.val_losses) or math.inf, setting.trial)))


def course_setting(outcome: Outcome) -> ConfirmedSetting | None:
    """Return the course's setting as it was confirmed."""
    return next((setting for setting in confirmed_so_far(outcome) if setting.is_course), None)


def decided(outcome: Outcome) -> ConfirmedSetting | None:
    """Return the winner if the search ended and its setting was confirmed; else nothing is decided."""
    winner = outcome.winner
    if winner is None or not winner.val_losses or outcome.phase not in ("done", "interrupted"):
        return None
    return winner if winner.trial in {setting.trial for setting in confirmed_so_far(outcome)} else None


def exported_run(setting: ConfirmedSetting) -> int | None:
    """Return the index, in `setting.seeds`, of the model with the lowest validation loss: the one that is exported."""
    if not setting.val_losses:
        return None
    return min(range(len(setting.val_losses)), key=setting.val_losses.__getitem__)


def exported_accuracy(setting: ConfirmedSetting) -> float | None:
    """Return the test accuracy (0 to 1) of the setting's model that is exported, or None if it was not scored."""
    run = exported_run(setting)
    return setting.test_accuracies[run] if run is not None and run < len(setting.test_accuracies) else None


def val_loss_text(setting: ConfirmedSetting) -> str:
    """Return the mean validation loss with its spread: "0.4012 +- 0.0089 (3 seeds)"."""
    return f"{_with_spread(setting.val_losses, wording.loss)} ({wording.count(len(setting.val_losses), 'seed')})"


def tested_loss_text(setting: ConfirmedSetting) -> str:
    """Return the mean test loss with its spread, "-" if the test split was not scored."""
    return _with_spread(setting.test_losses, wording.loss)


def tested_accuracy_text(setting: ConfirmedSetting) -> str:
    """Return the mean test accuracy with its spread: "78.9 % +- 0.4 %", "-" if the test split was not scored."""
    return _with_spread(setting.test_accuracies, wording.percent)


def _with_spread(values: Sequence[float], word: Callable[[float | None], str]) -> str:
    around = spread(values)
    return word(mean(values)) if around is None else f"{word(mean(values))} +- {word(around)}"


def fates_text(records: Sequence[TrialRecord]) -> str:
    """Return the counts by fate, with reasons: "30: 9 complete, 19 stopped (asha 19), 2 failed (diverged 2)"."""
    parts = []
    for fate, number in fate_counts(records).items():
        reasons = reason_counts(records, "stopped" if fate == "stopped" else "failed")
        parts.append(f"{number:,} {fate}" + (f" ({wording.tally(reasons)})" if fate in ("stopped", "failed") else ""))
    return f"{len(records):,}: {', '.join(parts)}" if parts else "none"


def verdict(outcome: Outcome) -> str:
    """Return, in one or two sentences, what won and how sure that is."""
    winner, course = decided(outcome), course_setting(outcome)
    if winner is None:
        return _verdict_so_far(outcome)
    if winner.is_course:
        rivals = len([setting for setting in confirmed_so_far(outcome) if not setting.is_course])
        if not rivals:
            return "The course's setting is the only one that was confirmed."
        return (
            f"No setting beat the course's: it had the lowest mean of {wording.count(rivals + 1, 'confirmed setting')}."
        )
    opening = f"Trial {winner.trial} won on {wording.count(len(winner.val_losses), 'fresh seed')}"
    if course is None or not course.val_losses:
        return f"{opening}. The course's setting was not confirmed beside it."
    gain = (mean(course.val_losses) or 0.0) - (mean(winner.val_losses) or 0.0)
    opening += f", {wording.loss(gain)} below the course's setting in mean validation loss"
    if min(len(winner.val_losses), len(course.val_losses)) < 2:
        return f"{opening}. A single seed cannot tell skill from luck: confirm on more."
    if max(winner.val_losses) < min(course.val_losses):
        return f"{opening}. Its worst seed is still better than the best seed of the course's setting."
    return f"{opening}. The seeds of the two overlap, so part of the difference may be luck."


def _verdict_so_far(outcome: Outcome) -> str:
    best = best_record(outcome.records)
    if best is None:
        ended = outcome.phase in ("done", "interrupted")
        return "No trial has a validation loss." if ended else "No trial has reported a validation loss yet."
    so_far = (
        f"Trial {best.number} has the lowest validation loss so far, {wording.loss(best.best_val_loss)}, on one seed"
    )
    if outcome.phase in ("searching", "confirming"):
        return f"Nothing is decided yet. {so_far}; the best settings are trained again on fresh seeds before one wins."
    return f"Nothing was confirmed on fresh seeds. {so_far}, which may be luck."


def _from_ended_runs(outcome: Outcome) -> list[ConfirmedSetting]:
    by_number = {record.number: record for record in outcome.records}
    runs: dict[int, list[TrialRecord]] = {}
    for run in outcome.confirmations:
        if run.source_trial is not None and run.fate == "complete" and usable_loss(run) is not None:
            runs.setdefault(run.source_trial, []).append(run)
    return [
        ConfirmedSetting(
            trial=trial,
            setting=ended[0].setting,
            is_course=trial == COURSE_TRIAL,
            search_val_loss=by_number[trial].best_val_loss if trial in by_number else None,
            seeds=tuple(run.seed for run in ended),
            val_losses=tuple(run.best_val_loss for run in ended if run.best_val_loss is not None),
        )
        for trial, ended in runs.items()
    ]
