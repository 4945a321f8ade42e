"""Optuna alone: two processes on one journal with successive halving; as `random`, random search without stopping.

https://optuna.readthedocs.io/en/stable/tutorial/10_key_features/004_distributed.html
"""

import subprocess
import sys

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

from benchmarks.peers.job import JOB, measured_losses
from benchmarks.peers.space import setting_of


def objective(trial: optuna.Trial) -> float:
    """Train one setting; return its last validation loss."""
    setting = setting_of(trial, JOB["space"])
    last = float("nan")
    for step, val_loss, _ in measured_losses(str(trial.number), setting):
        last = val_loss
        trial.report(val_loss, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return last


def work(peer: str, seed: int) -> None:
    """Do trials until the study holds enough of them."""
    pruner = optuna.pruners.SuccessiveHalvingPruner(
        min_resource=JOB["grace_period"], reduction_factor=JOB["reduction_factor"]
    )
    study = optuna.load_study(
        study_name="peer",
        storage=storage(),
        sampler=optuna.samplers.RandomSampler(seed=seed) if peer == "random" else optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.NopPruner() if peer == "random" else pruner,
    )
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
    study.optimize(objective, callbacks=[MaxTrialsCallback(JOB["trials"], states=ended)])


def storage() -> JournalStorage:
    """Return the journal that the processes share."""
    return JournalStorage(JournalFileBackend(f"{JOB['folder']}/journal.log"))


def main(peer: str) -> None:
    """Make the study, and start the workers."""
    study = optuna.create_study(study_name="peer", storage=storage(), direction="minimize")
    for setting in JOB["settings"]:
        study.enqueue_trial(setting)
    command = [sys.executable, "-m", "benchmarks.peers.plain_optuna", peer]
    workers = [subprocess.Popen([*command, str(JOB["seed"] + index)]) for index in range(JOB["workers"])]
    codes = [worker.wait() for worker in workers]
    if any(codes):
        raise SystemExit("a worker failed")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        work(sys.argv[1], int(sys.argv[2]))
    else:
        main(sys.argv[1])
