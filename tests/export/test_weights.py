from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.export.made_up import SETTINGS
from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import BundleError
from tune_sentiment.export.weights import expected_shapes, prepared, read_weights, rebuild, write_weights
from tune_sentiment.training.model import build_model

PLACE = Path("best")
SMALL: dict[str, Any] = {"embedding_dim": 5, "hidden_dim": 3}
ARCHITECTURES: list[dict[str, Any]] = [
    {"n_layers": 1},
    {"n_layers": 3},
    {"n_layers": 1, "bidirectional": True, "pooling": "max"},
    {"n_layers": 2, "bidirectional": True, "pooling": "mean"},
    {"n_layers": 2, "carry_hidden": True},
]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_expected_shapes_are_those_of_the_model(architecture: dict[str, Any]) -> None:
    settings = TrainSettings(**SMALL, **architecture)
    state = build_model(settings, vocab_size=11).state_dict()
    assert expected_shapes(settings, 11) == {name: tuple(weight.shape) for name, weight in state.items()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_model_rebuilt_from_its_file_answers_to_the_last_bit_as_before(
    tmp_path: Path, architecture: dict[str, Any]
) -> None:
    settings = TrainSettings(**SMALL, **architecture)
    model = build_model(settings, vocab_size=11).eval()
    write_weights(tmp_path / "w", prepared(model.state_dict(), settings, 11, PLACE))
    rebuilt = rebuild(read_weights(tmp_path / "w", settings, 11), settings, torch.device("cpu"))
    token_ids = torch.from_numpy(np.random.default_rng(0).integers(1, 11, (6, 9)))
    with torch.no_grad():
        assert torch.equal(rebuilt(token_ids), model(token_ids))
    assert not rebuilt.training
    assert rebuilt.embedding.num_embeddings == 11


def test_rebuilding_a_model_leaves_the_random_numbers_of_a_run_alone(weights: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    rebuild(weights, SETTINGS, torch.device("cpu"))
    assert torch.equal(torch.rand(2), expected)


def test_weights_of_other_float_types_are_written_as_float32(tmp_path: Path) -> None:
    settings = TrainSettings(**SMALL, n_layers=1)
    state = build_model(settings, vocab_size=11).state_dict()
    halves = {name: weight.bfloat16() for name, weight in state.items()}
    write_weights(tmp_path / "w", prepared(halves, settings, 11, PLACE))
    for name, weight in read_weights(tmp_path / "w", settings, 11).items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, halves[name].float())


def test_weights_that_share_memory_or_lie_crosswise_in_it_are_written(tmp_path: Path) -> None:
    settings = TrainSettings(embedding_dim=3, hidden_dim=3, n_layers=1)
    state = build_model(settings, vocab_size=11).state_dict()
    state["lstm.weight_hh_l0"] = state["lstm.weight_ih_l0"]
    state["embedding.weight"] = torch.rand(3, 11).T
    write_weights(tmp_path / "w", prepared(state, settings, 11, PLACE))
    read = read_weights(tmp_path / "w", settings, 11)
    assert all(torch.equal(read[name], weight) for name, weight in state.items())


def test_weights_read_do_not_change_with_the_file(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    vocab_size = len(weights["embedding.weight"])
    path = tmp_path / "w"
    write_weights(path, prepared(weights, SETTINGS, vocab_size, PLACE))
    read = read_weights(path, SETTINGS, vocab_size)
    with path.open("r+b") as file:
        file.write(b"\0" * path.stat().st_size)
    assert torch.equal(read["linear.weight"], weights["linear.weight"])


def test_all_that_does_not_fit_the_settings_is_named(weights: dict[str, torch.Tensor]) -> None:
    vocab_size = len(weights["embedding.weight"])
    others = {name: weight for name, weight in weights.items() if name != "linear.bias"}
    others |= {"embedding.weight": torch.zeros(2, 2), "extra\n": torch.zeros(1)}
    with pytest.raises(BundleError) as refusal:
        prepared(others, SETTINGS, vocab_size, PLACE)
    assert str(refusal.value) == (
        "a bundle's weights must match its settings, in best linear.bias is missing; extra is unknown; "
        "embedding.weight is [2, 2] instead of [18, 6]: export it again."
    )


def test_a_long_list_of_misfits_is_cut(weights: dict[str, torch.Tensor]) -> None:
    with pytest.raises(BundleError, match=r"is missing; and 4 more: export it again\.$"):
        prepared({}, SETTINGS, len(weights["embedding.weight"]), PLACE)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_exported(weights: dict[str, torch.Tensor], value: float) -> None:
    broken = {name: weight.clone() for name, weight in weights.items()}
    broken["linear.bias"][0] = value
    with pytest.raises(BundleError, match=r"finite, got NaN or infinity in linear\.bias of best: export another"):
        prepared(broken, SETTINGS, len(weights["embedding.weight"]), PLACE)
