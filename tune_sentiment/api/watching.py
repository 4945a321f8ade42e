"""Who watches a search that is asked for from Python: its progress, and an MLflow server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tune_sentiment.errors import InterruptedSearch

if TYPE_CHECKING:
    from tune_sentiment.preparation import Preparation
    from tune_sentiment.results.mlflow_log import MlflowLog
    from tune_sentiment.results.mlflow_server import MlflowServer
    from tune_sentiment.search.records import Observer


def mlflow_server(address: str) -> "MlflowServer":
    """Connect before anything else is done: what is wrong with the address is said at once."""
    from tune_sentiment.results.mlflow_server import MlflowServer

    return MlflowServer(address)


@contextmanager
def mlflow_logs(server: "MlflowServer | None", preparation: "Preparation") -> "Iterator[list[MlflowLog]]":
    """Yield what logs the search to the server, if there is one; it is told if the search does not come to its end."""
    if server is None:
        yield []
        return
    from tune_sentiment.results.mlflow_log import MlflowLog
    from tune_sentiment.search.outcome import read_outcome
    from tune_sentiment.search.study import SEARCH_STUDY, open_storage, open_study

    studies = open_storage(preparation.folder, preparation.request.study_place)
    outcome = read_outcome(preparation.folder, studies, preparation.request.for_readers())
    log = MlflowLog(server, open_study(studies, SEARCH_STUDY), outcome)
    try:
        yield [log]
    except BaseException as problem:
        log.stop(failed=not isinstance(problem, InterruptedSearch | KeyboardInterrupt))
        raise


def progress_where_this_runs(wanted: bool | None) -> "list[Observer]":
    """Return what shows the progress where this runs."""
    from tune_sentiment.results.notebook import NotebookProgress, in_notebook
    from tune_sentiment.results.progress import progress_for

    if wanted is not False and in_notebook():
        return [NotebookProgress()]
    return [progress_for(sys.stderr)] if wanted else []
