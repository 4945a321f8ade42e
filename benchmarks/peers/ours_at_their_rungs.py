"""The real command, its ASHA stopping as the peers' does: where it gains is then not by stopping otherwise."""

import json
import os

from tune_sentiment.__main__ import main
from tune_sentiment.search import rungs

JOB = json.loads(os.environ["PEER_JOB"])


def set_rungs() -> None:
    """Compare trials where the peers do, and let as many go on."""
    steps, factor = [JOB["grace_period"]], JOB["reduction_factor"]
    while steps[-1] * factor < JOB["max_steps"]:
        steps.append(steps[-1] * factor)
    rungs.LADDER = tuple((step / JOB["steps_of_ours"], 1 / factor) for step in steps)


if __name__ == "__main__":
    set_rungs()
    main()
