"""The real command, stopping as the peers' ASHA does and trying what they are given: what is left is how fast it is."""

import json
import os
from typing import Any

import optuna

from tune_sentiment.__main__ import main
from tune_sentiment.search import rungs

JOB = json.loads(os.environ["PEER_JOB"])


def set_rungs() -> None:
    """Compare trials where the peers do, and let as many go on."""
    steps, factor = [JOB["grace_period"]], JOB["reduction_factor"]
    while steps[-1] * factor < JOB["max_steps"]:
        steps.append(steps[-1] * factor)
    rungs.LADDER = tuple((step / JOB["steps_of_ours"], 1 / factor) for step in steps)


def begin_with_theirs() -> None:
    """Put what the peers are given into the study where the search puts the course's setting."""
    enqueue = optuna.Study.enqueue_trial

    def enqueue_all(study: optuna.Study, _course: dict[str, Any]) -> None:
        for setting in JOB["settings"]:
            enqueue(study, setting)

    optuna.Study.enqueue_trial = enqueue_all


if __name__ == "__main__":
    set_rungs()
    begin_with_theirs()
    main()
