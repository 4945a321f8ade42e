"""Talk to an MLflow server about one search: the one place that knows MLflow, next to the model that it keeps."""

import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from tune_sentiment.errors import SettingsError
from tune_sentiment.masking import masked

ENVIRONMENT = {
    # MLflow's own patience is for servers that are busy for minutes: 120 s for a request, up to eight times.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
EXPERIMENT = "tune_sentiment"
"""The experiment that runs go to, unless MLFLOW_EXPERIMENT_NAME names another."""

KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Has MLflow's page open the experiment with its runs, and not with those of language models."""

KEY = "tune_sentiment.trial"
"""Tag of a child run: what it is of, such as "search 7" or "confirm 3"."""
FATE = "fate"
"""Tag of a child run that ended."""
BUNDLE = "tune_sentiment.bundle"
"""Tag of the search's run: digest of the weights of the model that was logged last."""

MOST_METRICS = 1000
MOST_CHARACTERS = 500
"""What one request may hold, as MLflow limits it (texts: far below its limit)."""

MODEL_FILE = Path(__file__).with_name("mlflow_model.py")
NEEDED = ("mlflow", "torch", "numpy", "pandas", "safetensors", "pydantic")
"""What a machine that loads the model has to have; our own code goes along."""

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


class MlflowServer:
    """One search's runs on a server. Every method is a request or a few, and raises whatever MLflow raises."""

    def __init__(self, uri: str) -> None:
        """Connect, and make the experiment if there is none.

        Raises:
            SettingsError: if MLflow is not installed, or `uri` is none or does not answer.
        """
        self.shown = masked(uri)
        if "://" not in uri and not uri.startswith("databricks"):
            raise SettingsError(
                f"--mlflow needs the address of a tracking server: {self.shown!r} is none: "
                "write it like http://127.0.0.1:5000."
            )
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise SettingsError(
                "--mlflow needs MLflow: it is not installed: install it with `pip install 'tune-sentiment[mlflow]'`."
            ) from None
        self._uri = uri
        with self.refusing():
            self._client = MlflowClient(tracking_uri=uri)
            self._experiment = self._experiment_id(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Turn whatever MLflow raises inside the block into a SettingsError of one line."""
        try:
            yield
        except Exception as problem:
            raise SettingsError(
                f"--mlflow needs a tracking server that answers: {self.shown}: {reason_of(problem)}: "
                "check the address, or leave --mlflow out."
            ) from None

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name, tags=KIND))
            except Exception:
                found = self._client.get_experiment_by_name(name)  # another search was quicker
                if found is None:
                    raise
        return str(found.experiment_id)

    def has_run(self, run_id: str) -> bool:
        """Return whether the server has this run, and not in its bin."""
        from mlflow.exceptions import MlflowException

        try:
            return bool(self._client.get_run(run_id).info.lifecycle_stage == "active")
        except MlflowException as problem:
            if problem.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return False
            raise

    def start_search(self, name: str, params: Mapping[str, Any]) -> str:
        """Make the run of a search and return its id."""
        run = self._client.create_run(self._experiment, run_name=name)
        self.log(run.info.run_id, params=params)
        return str(run.info.run_id)

    def start_trial(self, parent: str, key: str, name: str, started: float | None) -> str:
        """Make the run of a trial below that of its search and return its id; `started` in UNIX time."""
        run = self._client.create_run(
            self._experiment,
            start_time=None if started is None else round(started * 1000),
            tags={"mlflow.parentRunId": parent, KEY: key},
            run_name=name,
        )
        return str(run.info.run_id)

    def trials(self, parent: str) -> dict[str, tuple[str, bool]]:
        """Return (run id, whether it ended) of each trial that the server has of a search, by its key."""
        found: dict[str, tuple[str, bool]] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`mlflow.parentRunId` = '{parent}'",
                max_results=1000,
                page_token=token,
            )
            for run in page:
                key, over = run.data.tags.get(KEY, ""), FATE in run.data.tags
                if over or key not in found:  # an answer that was lost may have left a trial begun twice
                    found[key] = (str(run.info.run_id), over)
            token = page.token
            if not token:
                return found

    def last_step(self, run_id: str, metric: str) -> int:
        """Return the last step that the server has of a metric, -1 if none."""
        return max((point.step for point in self._client.get_metric_history(run_id, metric)), default=-1)

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Sequence[tuple[str, float, float, int]] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log to a run; metrics are (name, value, UNIX time, step)."""
        from mlflow.entities import Metric, Param, RunTag

        points = [Metric(name, value, round(moment * 1000), step) for name, value, moment, step in metrics]
        while len(points) > MOST_METRICS:
            self._client.log_batch(run_id, metrics=points[:MOST_METRICS])
            points = points[MOST_METRICS:]
        self._client.log_batch(
            run_id,
            metrics=points,
            params=[Param(name, _cut(value)) for name, value in (params or {}).items()],
            tags=[RunTag(name, _cut(value)) for name, value in (tags or {}).items()],
        )

    def describe(self, run_id: str, text: str) -> None:
        """Say on the run's page what it is, as Markdown."""
        self._client.set_tag(run_id, "mlflow.note.content", text)

    def set_status(self, run_id: str, status: Status, ended: float | None = None) -> None:
        """Say where a run stands; `ended` in UNIX time."""
        if status == "RUNNING":
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status, None if ended is None else round(ended * 1000))

    def log_model(self, run_id: str, bundle: Path) -> None:
        """Log the bundle as the run's model, unless it is there already; it needs no code but its own to be loaded."""
        from mlflow import get_tracking_uri, is_tracking_uri_set, pyfunc, set_tracking_uri
        from mlflow.models import Model

        digest = hashlib.sha256((bundle / "model.safetensors").read_bytes()).hexdigest()
        if self._client.get_run(run_id).data.tags.get(BUNDLE) == digest:
            return
        before = get_tracking_uri() if is_tracking_uri_set() else None
        with quiet():
            set_tracking_uri(self._uri)  # MLflow logs models to the one that is set, and to no other
            try:
                # Made here, as MLflow would make it in whatever experiment is the current one.
                model = self._client.create_logged_model(self._experiment, name="model", source_run_id=run_id)
                Model.log(
                    artifact_path=None,
                    name="model",
                    flavor=pyfunc,
                    run_id=run_id,
                    model_id=model.model_id,
                    python_model=str(MODEL_FILE),
                    artifacts={"bundle": str(bundle)},
                    code_paths=[str(MODEL_FILE.parents[1])],
                    pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in NEEDED],
                )
            finally:
                set_tracking_uri(before)  # type: ignore[arg-type]  # MLflow's own code does so too
        self._client.set_tag(run_id, BUNDLE, digest)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow from advising on what it is given."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def reason_of(problem: BaseException) -> str:
    """Return why a request failed, in a sentence at most, without passwords."""
    first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    cause = re.search(r"Caused by \w+\(.*?: (.*?)['\"]?\)+$", first)  # what the layers below MLflow have to say
    return masked(cause[1] if cause else first.split(". ")[0])[:MOST_CHARACTERS].rstrip(".: ")


def _cut(value: Any) -> str:
    return masked(str(value))[:MOST_CHARACTERS]
