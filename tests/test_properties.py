"""What holds for every input: spaces, bundles and readers, on inputs that hypothesis makes up.

Padding and stripping: tests/data/test_dataset.py; encoding and decoding: tests/data/test_vocabulary.py; tables:
tests/data/test_tables.py.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.small_corpora import layout, pack
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split, left_pad
from tune_sentiment.data.encoding import encode, number_words
from tune_sentiment.data.formats import open_source
from tune_sentiment.data.reviews import Review, Source
from tune_sentiment.data.vocabulary import Vocabulary
from tune_sentiment.errors import TuneSentimentError
from tune_sentiment.export.bundle import read_bundle, write_bundle
from tune_sentiment.search.space import load_space, space_from_dict
from tune_sentiment.training.model import build_model

WORDS = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8).map(str.lower)

YAML_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
YAML_VALUES = st.recursive(
    YAML_SCALARS | st.sampled_from(["search", "lr", "int", "float"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(YAML_SCALARS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the `search` part of a right space."""
    found: dict[str, Any] = {}
    if draw(st.booleans()):
        low, high = sorted((draw(st.integers(1, 600)), draw(st.integers(1, 600))))
        found["hidden_dim"] = {"type": "int", "low": low, "high": high, "log": draw(st.booleans())}
    if draw(st.booleans()) or not found:
        low, high = sorted((draw(st.floats(1e-6, 1)), draw(st.floats(1e-6, 1))))
        found["lr"] = {"type": "float", "low": low, "high": high, "log": draw(st.booleans())}
    if draw(st.booleans()):
        found["pooling"] = {"type": "categorical", "choices": draw(st.permutations(["last", "mean", "max"]))}
    return found


@settings(deadline=None)
@given(ranges(), st.integers(1, 9))
def test_a_space_survives_its_file_and_search_json(searched: dict[str, Any], epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        path.write_text(yaml.safe_dump({"search": searched, "fixed": {"epochs": epochs}}))
        space = load_space(str(path))
    again = space_from_dict(space.to_dict(), "search.json")
    assert again == space and again.fingerprint() == space.fingerprint()
    assert space.fixed == {"epochs": epochs} and set(space.distributions) == set(searched)
    for name, wanted in searched.items():
        for end in ("low", "high"):
            if end in wanted:
                assert getattr(space.distributions[name], end) == wanted[end]


@settings(deadline=None)
@given(YAML_VALUES)
def test_any_yaml_is_a_space_or_is_refused_in_a_sentence(document: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
        refused_in_a_sentence_or_read(lambda: load_space(str(path)))


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["csv", "tsv", "jsonl", "parquet", "tar.gz", "pos"]))
def test_any_bytes_are_reviews_or_are_refused_in_a_sentence(content: bytes, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"a.{kind}").write_bytes(content)
        (Path(folder) / "a.neg").write_bytes(b"bad\n")
        refused_in_a_sentence_or_read(lambda: encode(open_source(str(Path(folder) / f"a.{kind}"))))


def refused_in_a_sentence_or_read(read: Any) -> None:
    said = "."
    try:
        read()
    except TuneSentimentError as refusal:
        said = str(refusal)
    assert said.isprintable() and said.endswith(".")


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=4))
def test_any_text_survives_an_archive(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reviews = [Review(text, "pos") for text in texts]
        path = pack(Path(folder) / "a.tar.gz", layout(reviews))
        read = [review.text for review in open_source(str(path)).reviews]
    # A byte-order mark at the start of a file is one of its encoding, and no character.
    assert read == [text.removeprefix("\ufeff") for text in texts]


@settings(deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=10), min_size=1, max_size=6))
def test_numbering_padding_stripping_and_decoding_give_the_words_back(sentences: list[list[str]]) -> None:
    encoded = encode(Source("made up", "here", iter([Review(" ".join(words), "pos") for words in sentences])))
    vocabulary, final_ids = number_words(encoded, np.full(len(sentences), True))
    token_ids = final_ids[np.concatenate([chunk.token_ids for chunk in encoded.chunks])]
    offsets = np.cumsum([0, *encoded.lengths.tolist()], dtype=np.int64)
    split = Split(token_ids, offsets, np.zeros(len(sentences), dtype=np.int8))
    padded = left_pad(split, np.arange(len(sentences)), 100)
    assert [vocabulary.decode(row) for row in padded.tolist()] == sentences


@settings(deadline=None, max_examples=40)
@given(
    st.lists(WORDS, min_size=1, max_size=5, unique=True),
    st.sampled_from(["last", "mean", "max"]),
    st.booleans(),
    st.integers(1, 2),
)
def test_a_bundle_comes_back_as_it_was_written(
    words: list[str], pooling: str, bidirectional: bool, n_layers: int
) -> None:
    chosen = TrainSettings.model_validate(
        {"embedding_dim": 3, "hidden_dim": 2, "n_layers": n_layers, "pooling": pooling, "bidirectional": bidirectional}
    )
    vocabulary = Vocabulary(tuple(words))
    weights = build_model(chosen, vocabulary.size).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "best"
        write_bundle(
            place, weights=weights, settings=chosen, vocabulary=vocabulary, metrics={"word": words[0]}, provenance={}
        )
        bundle = read_bundle(place)
    assert (bundle.settings, bundle.vocabulary, bundle.metrics) == (chosen, vocabulary, {"word": words[0]})
    assert all(torch.equal(bundle.weights[name], weight) for name, weight in weights.items())
