"""Ray Tune with OptunaSearch, ASHA and a function that reports, with a checkpoint at each report, as its guide has it.

https://docs.ray.io/en/latest/tune/examples/tune-pytorch-cifar.html
"""

import os
import tempfile
import uuid
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.peers.job import JOB, measured_losses


def train_reviews(config: dict[str, Any]) -> None:
    """Train one setting and report it."""
    for step, val_loss, model in measured_losses(uuid.uuid4().hex, config):
        with tempfile.TemporaryDirectory() as folder:
            torch.save(model.state_dict(), os.path.join(folder, "checkpoint.pt"))
            checkpoint = tune.Checkpoint.from_directory(folder)
            tune.report({"val_loss": val_loss, "step": step}, checkpoint=checkpoint)


def main() -> None:
    """Search."""
    kinds = {"int": tune.randint, "log_int": tune.lograndint, "log_float": tune.loguniform}
    space = {
        name: kinds[kind](low, high if kind == "log_float" else high + 1)
        for name, (kind, low, high) in JOB["space"].items()
    }
    ray.init(address="local", num_cpus=JOB["workers"])
    tuner = tune.Tuner(
        tune.with_resources(train_reviews, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="val_loss",
            mode="min",
            search_alg=OptunaSearch(points_to_evaluate=JOB["settings"], seed=JOB["seed"]),
            scheduler=ASHAScheduler(
                time_attr="step",
                max_t=JOB["max_steps"],
                grace_period=JOB["grace_period"],
                reduction_factor=JOB["reduction_factor"],
            ),
            num_samples=JOB["trials"],
            max_concurrent_trials=JOB["workers"],
        ),
        run_config=tune.RunConfig(storage_path=JOB["folder"], name="ray_tune"),
    )
    tuner.fit()


if __name__ == "__main__":
    main()
