"""Exported models and sources of reviews: one function for each command."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, get_args

from tune_sentiment.errors import SettingsError

if TYPE_CHECKING:
    from tune_sentiment.data.describe import Description
    from tune_sentiment.data.formats import SourceOptions
    from tune_sentiment.data.reencode import SplitName
    from tune_sentiment.export.compare import Comparison
    from tune_sentiment.export.predict import Predictor
    from tune_sentiment.export.scoring import Scores


def evaluate(
    bundle: str, data: str, *, split: "SplitName | None" = None, **options: "Unpack[SourceOptions]"
) -> "tuple[Scores, SplitName]":
    """Score a bundle on the reviews of a source, encoded with the bundle's own vocabulary; return what was scored, too.

    Without `split`, that is all of the source, but only the test split of the data that the bundle was trained on.
    options: how the source is read: `text_column`, `label_column`, `data_url`.

    Raises:
        BundleError, DataError: if one of them cannot be read.
        SettingsError: if `split` is none.
    """
    from tune_sentiment.data.reencode import encode_with

    _refuse_other_splits(split)
    predictor = load(bundle)
    vocabulary = predictor.bundle.vocabulary
    chosen = _split_to_score([predictor], data, split, options)
    return predictor.evaluate_split(encode_with(data, vocabulary, chosen, **options), vocabulary), chosen


def compare(
    bundles: Sequence[str], data: str, *, split: "SplitName | None" = None, **options: "Unpack[SourceOptions]"
) -> "tuple[Comparison, SplitName]":
    """Say which bundles are better on the reviews of a source by more than luck; return what was scored, too.

    Without `split`, that is all of the source, but only the test split of data that one of them was trained on.
    options: how the source is read: `text_column`, `label_column`, `data_url`.

    Raises:
        BundleError, DataError: if one of them cannot be read.
        SettingsError: if `split` is none, or `bundles` are not two or more different ones.
    """
    from tune_sentiment.data.reencode import encode_with
    from tune_sentiment.export.compare import compare_probabilities

    if len(bundles) < 2 or len({Path(bundle).resolve() for bundle in bundles}) < len(bundles):
        raise SettingsError(
            f"a comparison needs two or more different bundles: got {', '.join(bundles) or 'none'}: name another."
        )
    _refuse_other_splits(split)
    predictors = {bundle: load(bundle) for bundle in bundles}
    chosen = _split_to_score(predictors.values(), data, split, options)
    probabilities = {}
    for name, predictor in predictors.items():
        vocabulary = predictor.bundle.vocabulary
        reviews = encode_with(data, vocabulary, chosen, **options)  # the same reviews for each, in the same order
        probabilities[name] = predictor.split_probabilities(reviews, vocabulary)
    return compare_probabilities(probabilities, reviews.labels), chosen


def load(path: str | Path) -> "Predictor":
    """Return the model of a bundle, ready to predict."""
    from tune_sentiment.export.predict import Predictor

    return Predictor.load(path)


def describe(source: str, **options: Any) -> "Description":
    """Return counts, lengths, vocabulary, splits and problems of a source."""
    from tune_sentiment.data.describe import describe as describe_source

    return describe_source(source, **options)


def serve(
    bundle: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    replicas: int = 1,
    token: bool = True,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a bundle over HTTP until Ctrl-C or SIGTERM; `on_ready` gets the address once it answers.

    port: 0 takes a free one. replicas: processes that answer, each on a CPU of its own.
    token: whether the Ray cluster behind it asks for Ray's token; only ever off on 127.0.0.1.

    Raises:
        BundleError, SettingsError, ResourceError: if it cannot be served there.
    """
    from tune_sentiment.export.serve import run

    run(Path(bundle), host=host, port=port, replicas=replicas, token=token, on_ready=on_ready)


def _split_to_score(
    predictors: "Iterable[Predictor]", data: str, split: "SplitName | None", options: "SourceOptions"
) -> "SplitName":
    """Return `split`, or without one "test" if one of the models was trained on this data, else "all"."""
    from tune_sentiment.data.dataset import load_dataset

    if split is not None:
        return split
    about = [predictor.bundle.provenance.get("data") for predictor in predictors]
    trained_on = {one.get("fingerprint") for one in about if isinstance(one, Mapping)}
    return "test" if load_dataset(data, **options).fingerprint in trained_on else "all"


def _refuse_other_splits(split: str | None) -> None:
    from tune_sentiment.data.reencode import SplitName

    if split not in (None, *get_args(SplitName)):
        raise SettingsError(f"a split is one of {', '.join(get_args(SplitName))}: got {split!r}: choose one.")
