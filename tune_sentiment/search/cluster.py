"""Start or join the Ray cluster that a search runs on, and leave it."""

import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tune_sentiment.errors import ResourceError
from tune_sentiment.search.private_cluster import kept_private
from tune_sentiment.search.quick_start import raylet_first
from tune_sentiment.search.ray_dashboard import ComingDashboard, joined_dashboard, private_dashboard
from tune_sentiment.search.reaper import reaping

ENVIRONMENT = {
    # Trials must not change the working directory: relative paths of the user's would break.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Ray's own handler would end the run before the study is told why.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # A trial that hangs inside a step is killed this many seconds after it was told to stop.
    "TUNE_FORCE_TRIAL_CLEANUP_S": "3",
    "TUNE_WARN_THRESHOLD_S": "5",
    # Each report three times over, in files that nobody reads: the study has the losses, our event files the rest.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Of 100,000 tasks that Ray would remember for its dashboard, a dozen a trial: 160 MB.
    "RAY_task_events_max_num_task_in_gcs": "2000",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
PRELOADED = {
    "RAY_preload_python_modules": "tune_sentiment.search.preload",
    # With as many as CPUs are free, idle ones are ended as soon as Ray Tune has reserved the CPUs for its trials.
    "RAY_num_workers_soft_limit": "16",
}
"""Makes Ray's processes for trials import what a trial needs before the first is there, and stay until then."""
MOST_PRELOADED = 16
"""Ray starts a process for each CPU ahead of time: beyond this many, memory or GPUs may leave most of them idle."""


@dataclass(frozen=True)
class Joined:
    """The cluster that this process is part of."""

    resources: dict[str, float]
    """Ray's `cluster_resources()`."""
    dashboard: ComingDashboard
    """How to open the dashboard, once it runs."""
    folder: Path | None = None
    """A folder of this machine's that ends with a private cluster; None for somebody's."""


@contextmanager
def cluster(
    *,
    address: str | None,
    cpus: float,
    gpus: float,
    dashboard: bool,
    token: bool = True,
    trials: bool = True,
    on_launch: Callable[[], None] = lambda: None,
) -> Iterator[Joined]:
    """Run the block inside a private local cluster of `cpus` and `gpus`, or inside the one at `address`.

    token: whether a private one asks for Ray's token. trials: whether a private one is for trials, whose processes are
    then loaded ahead of them: 130 MB in each. `on_launch` is called when a private one's raylet has been started.

    Raises:
        ResourceError: if the cluster cannot be started or reached.
    """
    preloaded = PRELOADED if trials and address is None and gpus == 0 and cpus <= MOST_PRELOADED else {}
    for name, value in (ENVIRONMENT | preloaded).items():
        os.environ.setdefault(name, value)
    import ray
    from ray.exceptions import RayError

    own_token = bool(os.environ.get("RAY_AUTH_TOKEN"))
    private: AbstractContextManager[dict[str, Any]] = (
        private_surroundings(token=token) if address is None else nullcontext({})
    )
    with private as arguments, raylet_first(on_launch) as late:
        folder = Path(arguments["_temp_dir"]).parent if address is None else None
        try:
            if address is None:
                ray.init(
                    address="local",  # without it Ray joins whatever cluster runs on this machine
                    num_cpus=int(cpus),
                    num_gpus=int(gpus),
                    include_dashboard=dashboard,
                    dashboard_host="127.0.0.1",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    runtime_env=private_runtime_env(sys.executable),
                    **arguments,
                )
                coming = ComingDashboard(
                    late.address, late.begin, partial(private_dashboard, asks=token, own_token=own_token)
                )
            else:
                context = ray.init(
                    address=address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    # A private cluster's processes inherit these; those of a running one must be told.
                    runtime_env={"env_vars": {"RAY_CHDIR_TO_TRIAL_DIR": "0"}},
                )
                url = getattr(context, "dashboard_url", None) or None
                coming = ComingDashboard(lambda: url, lambda: None, joined_dashboard)
        except (ConnectionError, RuntimeError, ValueError, OSError, RayError) as problem:
            ray.shutdown()
            where = address or "a private cluster on this machine"
            reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
            raise ResourceError(
                f"a Ray cluster is needed: {where} did not answer ({reason}): check --address."
            ) from None
        logging.getLogger("ray").setLevel(logging.ERROR)
        # Theirs are tracebacks of lost processes and of storage that is gone: the study and our last line say that.
        for name in ("ray.tune", "ray.train"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            yield Joined(ray.cluster_resources(), coming, folder)
        finally:
            late.end()
            ray.shutdown()


@contextmanager
def private_surroundings(*, token: bool = True) -> Iterator[dict[str, Any]]:
    """Keep a cluster private inside the block, and leave nothing of it behind; yields arguments for `ray.init`."""
    with kept_private(token=token) as arguments, reaping(Path(arguments["_temp_dir"]).parent):
        yield arguments


def private_runtime_env(python: str) -> dict[str, str] | None:
    """Return what Ray must be told to start processes with the interpreter `python`, or None.

    Ray 2.60 hands the path of its own interpreter to a shell unquoted, and waits for ever for a process that never
    starts. Only where the path needs it, since the processes that Ray starts ahead of time cannot be used then.
    """
    quoted = shlex.quote(python)
    return None if quoted == python else {"py_executable": quoted}
