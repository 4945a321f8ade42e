"""ASHA, the scheduler that stops the weaker trials at each rung, with the rungs as the study remembers them."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import numpy as np

from tune_sentiment.search.ray_tune import AsyncHyperBandScheduler, Trial, TrialScheduler
from tune_sentiment.search.records import TrialRecord
from tune_sentiment.search.rungs import Rung, ladder
from tune_sentiment.search.sampler import METRIC

TIME = "step"
NO_CONTROLLER: Any = None
"""ASHA asks nothing of the controller that Ray hands it."""


class Ladder:
    """Rungs that each keep a share of their own, in place of the bracket of Ray's ASHA, where all keep the same."""

    def __init__(self, rungs: Sequence[Rung]) -> None:
        """Take the rungs, rising."""
        self._rungs: list[tuple[Rung, dict[str, float]]] = [(rung, {}) for rung in reversed(rungs)]

    def on_result(self, trial: Any, step: int, gain: float) -> str:
        """Return whether a trial goes on: at the highest rung that it is new to, unless too many there did better."""
        for rung, recorded in self._rungs:
            if step >= rung.step and trial.trial_id not in recorded:
                others = list(recorded.values())
                recorded[trial.trial_id] = gain
                stops = bool(others) and gain < np.percentile(others, 100 * (1 - rung.kept))
                return TrialScheduler.STOP if stops else TrialScheduler.CONTINUE
        return TrialScheduler.CONTINUE

    def debug_str(self) -> str:
        """Return the rungs, for Ray's own output."""
        return " | ".join(
            f"{rung.step}: {len(recorded)} trials, {rung.kept:.0%} kept" for rung, recorded in self._rungs
        )


class StudyASHA(AsyncHyperBandScheduler):
    """Ray's ASHA, which forgets its rungs when a search is resumed, told again what the study holds."""

    def __init__(self, earlier: Sequence[TrialRecord], rungs: Sequence[Rung], **options: Any) -> None:
        """Fill `rungs` with the reports of `earlier` trials; `options` are Ray's."""
        super().__init__(**options)
        self._brackets = [Ladder(rungs)]  # type: ignore[list-item]  # it is asked for no more than this
        self._cut_off = {record.number: record for record in earlier if record.fate == "running"}
        for record in earlier:
            if record.fate != "running":
                self._hear(SimpleNamespace(trial_id=f"earlier {record.number}"), record)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Take in a trial; one that continues already stands on the rungs that it has passed."""
        super().on_trial_add(tune_controller, trial)
        record = self._cut_off.pop(trial.config["number"], None)
        if record is not None:
            self._report(trial, record)

    def _hear(self, trial: Any, record: TrialRecord) -> None:
        super().on_trial_add(NO_CONTROLLER, trial)
        self._report(trial, record)
        self.on_trial_remove(NO_CONTROLLER, trial)

    def _report(self, trial: Any, record: TrialRecord) -> None:
        for result in _reports(record):
            self.on_trial_result(NO_CONTROLLER, trial, result)  # what it answers was decided then


def asha(max_steps: int, report_every: int, earlier: Sequence[TrialRecord] = ()) -> AsyncHyperBandScheduler:
    """Return asynchronous successive halving on `step` (Li et al. 2020, Algorithm 2, the stopping variant).

    `earlier` are the trials that the study already holds: new ones are compared with them, too.
    """
    return StudyASHA(
        earlier,
        ladder(max_steps, report_every),
        time_attr=TIME,
        metric=METRIC,
        mode="min",
        # Trials end by themselves after their own last step, which depends on their batch size.
        max_t=max_steps + 1,
        stop_last_trials=False,
    )


def _reports(record: TrialRecord) -> Iterator[dict[str, float]]:
    """Yield what the trial reported: at each step the lowest validation loss so far."""
    best = accumulate((loss for _, loss in record.curve), min)
    for (step, _), lowest in zip(record.curve, best, strict=True):
        yield {TIME: step, METRIC: lowest}
