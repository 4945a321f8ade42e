"""Precision: decided once by sizes and hardware, measured in float32, repeatable to the last bit."""

from pathlib import Path

import pytest
import torch

from tests.training.conftest import NEEDS_BFLOAT16, VOCAB_SIZE
from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import SettingsError
from tune_sentiment.training import precision as module
from tune_sentiment.training.checkpoint import load_state, save_state
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.loop import TrainingData, start, train
from tune_sentiment.training.model import SentimentRNN, build_model
from tune_sentiment.training.precision import resolved, trains_in_bfloat16

LARGE = TrainSettings(hidden_dim=256)
SMALL = TrainSettings(
    embedding_dim=13, hidden_dim=11, epochs=2, batch_size=10, seq_length=16, report_every=10, precision="bfloat16"
)


@pytest.fixture
def has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_bfloat16", lambda _: True)
    monkeypatch.setattr(module, "trains_in_bfloat16", lambda _: True)


def test_auto_takes_bfloat16_for_large_models_only(has_bfloat16: None) -> None:
    chosen = {
        hidden_dim: resolved(TrainSettings(hidden_dim=hidden_dim), "cpu").precision for hidden_dim in (32, 63, 64, 256)
    }
    assert chosen == {32: "float32", 63: "float32", 64: "bfloat16", 256: "bfloat16"}
    assert resolved(LARGE, "cuda").precision == "float32"  # slower there in bfloat16


@pytest.mark.parametrize("missing", ["has_bfloat16", "trains_in_bfloat16"])
def test_auto_is_float32_where_the_hardware_lacks_bfloat16_or_torch_fails_in_it(
    has_bfloat16: None, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(module, missing, lambda _: False)
    assert resolved(LARGE, "cpu").precision == "float32"


def test_what_is_asked_for_is_kept(has_bfloat16: None) -> None:
    assert resolved(LARGE.model_copy(update={"precision": "float32"}), "cpu").precision == "float32"
    assert resolved(SMALL, "cpu").precision == "bfloat16"


def test_bfloat16_that_does_not_work_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "trains_in_bfloat16", lambda _: False)
    with pytest.raises(SettingsError, match=r"`precision` bfloat16 must work on the device: .*: use auto or float32"):
        start(SMALL, VOCAB_SIZE, seed=0)


def test_an_lstm_that_torch_cannot_run_is_found_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    trains_in_bfloat16.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.LSTM, "forward", fails)
        assert not trains_in_bfloat16("cpu")
    trains_in_bfloat16.cache_clear()


def test_the_try_draws_nothing_from_the_runs_generator() -> None:
    trains_in_bfloat16.cache_clear()
    before = torch.get_rng_state()
    trains_in_bfloat16("cpu")
    assert torch.equal(torch.get_rng_state(), before)


@NEEDS_BFLOAT16
def test_bfloat16_repeats_bit_for_bit_and_is_not_float32(data: TrainingData) -> None:
    def losses(settings: TrainSettings) -> list[float]:
        return [progress.val_loss for progress in train(start(settings, VOCAB_SIZE, seed=3), data)]

    exact = losses(SMALL.model_copy(update={"precision": "float32"}))
    assert losses(SMALL) == losses(SMALL) != exact
    assert losses(SMALL) == pytest.approx(exact, abs=0.02)


@NEEDS_BFLOAT16
def test_weights_and_moments_stay_float32(data: TrainingData) -> None:
    state = start(SMALL, VOCAB_SIZE, seed=3)
    next(train(state, data))
    assert {weight.dtype for weight in state.model.state_dict().values()} == {torch.float32}
    assert state.optimizer.state_dict()["exp_avg"].dtype == torch.float32


@NEEDS_BFLOAT16
def test_the_reported_loss_is_that_of_the_same_weights_in_float32(data: TrainingData) -> None:
    state = start(SMALL, VOCAB_SIZE, seed=3)
    *_, last = train(state, data)
    exact = build_model(SMALL.model_copy(update={"precision": "float32"}), VOCAB_SIZE)
    exact.load_state_dict(state.model.state_dict())
    measured = evaluate(exact, data.validation, SMALL)
    assert (measured.probabilities == evaluate(state.model, data.validation, SMALL).probabilities).all()
    assert measured.loss == pytest.approx(last.val_loss, abs=1e-9)


@NEEDS_BFLOAT16
def test_a_resumed_run_keeps_the_precision_that_auto_became(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_bfloat16", lambda _: True)
    settings = TrainSettings(embedding_dim=8, hidden_dim=64)
    save_state(start(settings, VOCAB_SIZE, seed=0), tmp_path / "state.pt")
    monkeypatch.setattr(module, "has_bfloat16", lambda _: False)
    resumed = load_state(tmp_path / "state.pt")
    assert resumed.settings.precision == resumed.model.precision == "bfloat16"


@NEEDS_BFLOAT16
@pytest.mark.parametrize("bidirectional", [False, True])
def test_bfloat16_gradients_are_those_of_float32_up_to_its_rounding_also_for_odd_sizes(bidirectional: bool) -> None:
    def gradients(precision: str) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        settings = SMALL.model_copy(
            update={"precision": precision, "dropout": 0.0, "output_dropout": 0.0, "bidirectional": bidirectional}
        )
        model: SentimentRNN = build_model(settings, VOCAB_SIZE).train()
        model(torch.randint(1, VOCAB_SIZE, (4, 9), generator=torch.Generator().manual_seed(1))).sum().backward()
        return {name: weight.grad.to_dense() for name, weight in model.named_parameters()}

    exact, rounded = gradients("float32"), gradients("bfloat16")
    for name, grad in exact.items():
        assert (rounded[name] - grad).norm() < 0.02 * grad.norm(), name
