"""One function for every command: the Python API of the package."""

from tune_sentiment.api.bundles import compare, describe, evaluate, load, serve
from tune_sentiment.api.searches import (
    dashboard,
    export,
    list_searches,
    plan_search,
    reopen,
    report,
    retrain,
    search,
    train,
)

__all__ = [
    "compare",
    "dashboard",
    "describe",
    "evaluate",
    "export",
    "list_searches",
    "load",
    "plan_search",
    "reopen",
    "report",
    "retrain",
    "search",
    "serve",
    "train",
]
