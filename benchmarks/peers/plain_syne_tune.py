"""Syne Tune: its local backend, which runs each trial as a process, with its ASHA. Needs the extra `[bench]`.

https://syne-tune.readthedocs.io/en/stable/getting_started.html
"""

import sys
from pathlib import Path

from benchmarks.peers.job import JOB


def main() -> None:
    """Search."""
    from syne_tune import StoppingCriterion, Tuner
    from syne_tune.backend import LocalBackend
    from syne_tune.config_space import lograndint, loguniform, randint
    from syne_tune.optimizer.baselines import ASHA

    kinds = {"int": randint, "log_int": lograndint, "log_float": loguniform}
    space = {name: kinds[kind](low, high) for name, (kind, low, high) in JOB["space"].items()}
    tuner = Tuner(
        trial_backend=LocalBackend(entry_point=str(Path(__file__).with_name("syne_tune_trial.py"))),
        scheduler=ASHA(
            {**space, "max_steps": JOB["max_steps"]},
            metric="val_loss",
            time_attr="step",
            max_t=JOB["max_steps"],
            grace_period=JOB["grace_period"],
            reduction_factor=JOB["reduction_factor"],
            do_minimize=True,
            random_seed=JOB["seed"],
            points_to_evaluate=JOB["settings"],
        ),
        stop_criterion=StoppingCriterion(max_num_trials_finished=JOB["trials"] - 1),  # it stops at one more
        n_workers=JOB["workers"],
        sleep_time=0.5,
        print_update_interval=60,
        save_tuner=False,
    )
    tuner.run()


if __name__ == "__main__":
    sys.exit(main())
