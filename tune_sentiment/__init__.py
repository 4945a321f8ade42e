"""Find the best sentiment LSTM for your reviews in the time you have.

>>> import tune_sentiment
>>> found = tune_sentiment.search("demo", trials=24)            # doctest: +SKIP
>>> found.best.test_accuracy                                    # doctest: +SKIP
>>> found.predictor().predict(["What a lovely film."])          # doctest: +SKIP
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tune_sentiment import export as _export_room
from tune_sentiment import search as _search_room
from tune_sentiment.errors import TuneSentimentError

if TYPE_CHECKING:
    from tune_sentiment.api import compare, export, load, reopen, search, train
    from tune_sentiment.export.predict import Predictor

__version__ = "0.1.0"
__all__ = ["Predictor", "TuneSentimentError", "compare", "export", "load", "reopen", "search", "train"]


class _RoomAndFunction(ModuleType):
    """A package of ours that can also be called: `search` and `export` name a room and a function of the API."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from tune_sentiment import api

        return getattr(api, self.__name__.rpartition(".")[2])(*args, **options)


for _room in (_search_room, _export_room):
    sys.modules[_room.__name__].__class__ = _RoomAndFunction


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: `--help` must not wait for torch."""
    if name in ("compare", "load", "reopen", "train"):
        from tune_sentiment import api

        return getattr(api, name)
    if name == "Predictor":
        from tune_sentiment.export.predict import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
