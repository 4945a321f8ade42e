"""The command line: parse, one call of the API, print."""

# In the order in which the help lists their commands.
from tune_sentiment.cli import searches

# isort: split
from tune_sentiment.cli import training

# isort: split
from tune_sentiment.cli import bundles

# isort: split
from tune_sentiment.cli.app import app, main

__all__ = ["app", "bundles", "main", "searches", "training"]
