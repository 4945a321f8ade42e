"""Serve a bundle over HTTP with Ray Serve: requests that come together are answered together."""

import asyncio
import ipaddress
import logging
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tune_sentiment.errors import ResourceError, SettingsError
from tune_sentiment.export.bundle import read_bundle
from tune_sentiment.export.predict import Prediction, Predictor

MAX_BATCH_TEXTS = 4096
"""Texts of waiting requests that are answered together: what `Predictor` sorts by length at once."""

NAME = "sentiment"

MAX_WAITING_REQUESTS = 1000
"""Per replica; beyond that a client is told at once (503) to come back, rather than kept waiting."""


def run(
    bundle: Path, *, host: str, port: int, replicas: int, token: bool = True, on_ready: Callable[[str], None]
) -> None:
    """Serve `bundle` until Ctrl-C or SIGTERM; `on_ready` gets the address once it answers.

    port: 0 takes a free one. replicas: processes that answer, each on a CPU of its own.
    token: whether the Ray cluster behind it asks for Ray's token.

    Raises:
        BundleError: if there is no usable bundle.
        SettingsError: if the extra `[serve]` is not installed, or host, port or replicas are wrong.
        ResourceError: if the port is taken, or Ray does not start.
    """
    _refuse_missing_extra()
    if replicas < 1:
        raise SettingsError(f"--replicas must be >= 1: got {replicas}: give a positive number.")
    # Ray turns it on itself for a cluster of its own, and says so in this variable.
    _refuse_open_host(host, os.environ.get("RAY_AUTH_MODE", "token") if token else "disabled")
    read_bundle(bundle)
    port = _free_port(host, port)
    from ray import serve

    from tune_sentiment.search.budget import Interruption
    from tune_sentiment.search.cluster import cluster

    interruption = Interruption()
    private = cluster(address=None, cpus=replicas, gpus=0, dashboard=False, token=token, trials=False)
    with interruption.watched(), private:
        _refuse_open_host(host, os.environ.get("RAY_AUTH_MODE", "disabled"))
        interruption.take_signals()  # again: Ray has put its own handlers in
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        quiet = {"log_level": "ERROR", "enable_access_log": False}
        serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port}, logging_config=quiet)
        try:
            serve.run(application(bundle.resolve(), replicas), name=NAME, logging_config=quiet)
            on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
            while not interruption.requested:
                time.sleep(0.1)
        finally:
            # Lets requests in flight end. Not `shutdown`, of which Ray 2.60 reports an error on stdout, as of a crash.
            serve.delete(NAME)


def application(bundle: Path, replicas: int) -> Any:
    """Return the Ray Serve application that answers with the model in `bundle`."""
    from fastapi import Request, Response
    from ray import serve

    from tune_sentiment.export import web

    app = web.web_app()

    @serve.deployment(
        name=NAME,
        num_replicas=replicas,
        max_ongoing_requests=MAX_WAITING_REQUESTS,
        max_queued_requests=MAX_WAITING_REQUESTS,
        ray_actor_options={"num_cpus": 1},
    )
    @serve.ingress(app)
    class Sentiment:
        def __init__(self) -> None:
            _keep_replica_private()
            self.predictor = Predictor.load(bundle)
            # Batches come one after the other, but asyncio's own threads would take them in turn, and glibc
            # keeps for each thread what its batches freed (see benchmarks/RESULTS.md).
            self.model_thread = ThreadPoolExecutor(max_workers=1)

        @serve.batch(
            max_batch_size=MAX_BATCH_TEXTS,
            # While one batch is answered the next one gathers by itself; waiting longer only costs time.
            batch_wait_timeout_s=0.0,
            batch_size_fn=lambda requests: sum(map(len, requests)),
        )
        async def together(self, requests: list[list[str]]) -> list[list[Prediction]]:
            texts = [text for request in requests for text in request]
            answering = asyncio.get_running_loop().run_in_executor(self.model_thread, self.predictor.predict, texts)
            found = iter(await answering)
            return [[next(found) for _ in request] for request in requests]

        @app.post("/predict", response_model=web.Answers, responses=web.REFUSALS, openapi_extra=web.QUESTION_SCHEMA)
        async def predict(self, request: Request) -> Response:
            """Say of each text whether it is positive or negative."""
            return web.answers(await self.together(await web.question_in(request)))

        @app.get("/healthz")
        async def healthz(self) -> web.Health:
            """Say that a model is loaded and answers."""
            return web.Health()

    return Sentiment.bind()  # type: ignore[attr-defined]


def _keep_replica_private() -> None:
    """Put the port that a replica opens for other deployments on loopback; Ray Serve 2.60 has it on all interfaces.

    To be called in the replica while its model is made: Ray opens the port after that.
    """
    from ray.serve._private import replica as its_module

    replica: Any = its_module
    open_port = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, address: open_port(server, "127.0.0.1:0")


def _refuse_missing_extra() -> None:
    try:
        import fastapi  # noqa: F401
        import ray.serve  # noqa: F401
    except ImportError:
        raise SettingsError(
            "a server needs Ray Serve and FastAPI: they are not installed: "
            "install them with `pip install 'tune-sentiment[serve]'`."
        ) from None


def _refuse_open_host(host: str, mode: str) -> None:
    # Ray's own ports run code for whoever reaches them; a machine that others reach must ask them for a token.
    if not _is_loopback(host) and mode.lower() != "token":
        raise SettingsError(
            f"a host other than 127.0.0.1 needs Ray's token authentication (CVE-2023-48022): {host} with "
            f"RAY_AUTH_MODE={mode}: unset RAY_AUTH_MODE, and leave --no-token out."
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _free_port(host: str, port: int) -> int:
    """Return `port`, or a free one for 0."""
    if not 0 <= port < 2**16:
        raise SettingsError(f"--port must be 0 to 65535: got {port}: 0 takes a free one.")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except (OSError, UnicodeError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
        raise ResourceError(
            f"a server needs an address of this machine and a free port: {host}:{port} is not ({reason}): "
            "choose with --host and --port."
        ) from None
