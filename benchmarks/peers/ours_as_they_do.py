"""The real command, stopping as Optuna's ASHA does and trying what the peers are given: what is left is its speed."""

import json
import os
from typing import Any

import optuna

from tune_sentiment.__main__ import main
from tune_sentiment.search import rungs
from tune_sentiment.search.ray_tune import TrialScheduler
from tune_sentiment.search.scheduler import Ladder

JOB = json.loads(os.environ["PEER_JOB"])


def set_rungs() -> None:
    """Compare trials where the peers do, and let as many go on."""
    steps, factor = [JOB["grace_period"]], JOB["reduction_factor"]
    while steps[-1] * factor < JOB["max_steps"]:
        steps.append(steps[-1] * factor)
    rungs.LADDER = tuple((step / JOB["steps_of_ours"], 1 / factor) for step in steps)


def stop_as_optuna_does() -> None:
    """Let a trial go on from a rung if it is in the best third of all there with it, or the best of fewer than three.

    Ray's ASHA, and ours, takes the third of the others, interpolated, by which more of the first trials go on.
    """

    def on_result(ladder: Ladder, trial: Any, step: int, gain: float) -> str:
        for rung, recorded in ladder._rungs:
            if step >= rung.step and trial.trial_id not in recorded:
                recorded[trial.trial_id] = gain
                gains = sorted(recorded.values(), reverse=True)
                goes_on = gain >= gains[max(0, len(gains) // JOB["reduction_factor"] - 1)]
                return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP
        return TrialScheduler.CONTINUE

    Ladder.on_result = on_result


def begin_with_theirs() -> None:
    """Put what the peers are given into the study where the search puts the course's setting."""
    enqueue = optuna.Study.enqueue_trial

    def enqueue_all(study: optuna.Study, _course: dict[str, Any]) -> None:
        for setting in JOB["settings"]:
            enqueue(study, setting)

    optuna.Study.enqueue_trial = enqueue_all


if __name__ == "__main__":
    set_rungs()
    stop_as_optuna_does()
    begin_with_theirs()
    main()
