"""A small model that has really learnt, as a bundle, for the tests of this room."""

from pathlib import Path

import pytest
import torch

from tests.export.made_up import BAD, GOOD, NEUTRAL, SETTINGS, encoded, made_up_reviews
from tune_sentiment.data.vocabulary import Vocabulary
from tune_sentiment.export.bundle import write_bundle
from tune_sentiment.export.predict import Predictor
from tune_sentiment.training.loop import TrainingData, start, train


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary((*NEUTRAL, *GOOD, *BAD))


@pytest.fixture(scope="session")
def weights(vocabulary: Vocabulary) -> dict[str, torch.Tensor]:
    """The weights of a model that tells GOOD from BAD."""
    split = encoded(made_up_reviews(300, seed=1), vocabulary)
    state = start(SETTINGS, vocabulary.size, seed=0)
    for _ in train(state, TrainingData(split, split, vocabulary.size)):
        pass
    return state.model.state_dict()


@pytest.fixture
def bundle(tmp_path: Path, weights: dict[str, torch.Tensor], vocabulary: Vocabulary) -> Path:
    """A fresh bundle, that a test may damage."""
    return write_bundle(
        tmp_path / "best",
        weights=weights,
        settings=SETTINGS,
        vocabulary=vocabulary,
        metrics={"validation": {"loss": 0.25, "accuracy": 0.9, "reviews": 300}},
        provenance={"data": {"name": "made-up", "generated": True}},
    )


@pytest.fixture(scope="session")
def predictor(
    tmp_path_factory: pytest.TempPathFactory, weights: dict[str, torch.Tensor], vocabulary: Vocabulary
) -> Predictor:
    folder = tmp_path_factory.mktemp("bundles") / "best"
    write_bundle(folder, weights=weights, settings=SETTINGS, vocabulary=vocabulary, metrics={}, provenance={})
    return Predictor.load(folder)
