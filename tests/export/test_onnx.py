"""model.onnx: ONNX Runtime says what the model says, whatever the model, the batch and the padding."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.export.made_up import SETTINGS, encoded, made_up_reviews
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split
from tune_sentiment.data.vocabulary import Vocabulary
from tune_sentiment.errors import BundleError, SettingsError
from tune_sentiment.export import onnx_file, onnx_graph
from tune_sentiment.export.bundle import ONNX_FILE, write_bundle
from tune_sentiment.export.onnx_file import CHECKED_REVIEWS, TOLERANCE, largest_difference, require_onnx, write_onnx
from tune_sentiment.export.onnx_graph import onnx_model
from tune_sentiment.export.predict import Predictor
from tune_sentiment.training.model import build_model

Weights = dict[str, torch.Tensor]
VOCAB_SIZE = 30


def drawn_weights(settings: TrainSettings, scale: float = 4.0) -> Weights:
    """Weights large enough that every gate and every word is felt in the probability."""
    torch.manual_seed(1)
    return {name: scale * weight for name, weight in build_model(settings, VOCAB_SIZE).state_dict().items()}


@pytest.mark.parametrize("n_layers", [1, 3])
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("carry_hidden", [False, True])
def test_every_model_answers_in_onnx_runtime_as_it_does_in_torch(
    n_layers: int, pooling: Literal["last", "mean", "max"], bidirectional: bool, carry_hidden: bool
) -> None:
    settings = TrainSettings(
        embedding_dim=5,
        hidden_dim=4,
        seq_length=6,
        n_layers=n_layers,
        pooling=pooling,
        bidirectional=bidirectional,
        carry_hidden=carry_hidden,
    )
    weights = drawn_weights(settings)
    model = onnx_model(weights, settings)
    onnx.checker.check_model(model, full_check=True)
    built = build_model(settings, VOCAB_SIZE).eval()
    built.load_state_dict(weights)
    generator = np.random.default_rng(0)
    for batch, padding in ((1, 0), (1, 3), (2, 0), (9, 0), (9, 4)):
        lengths = generator.integers(0, 9, size=batch)  # some empty, some longer than seq_length
        reviews = [generator.integers(1, VOCAB_SIZE, size=length).tolist() for length in lengths]
        read = [review[: settings.seq_length] for review in reviews]
        width = settings.seq_length if carry_hidden else max(1, *map(len, read), 1)
        with torch.inference_mode():
            expected = built(torch.from_numpy(left_padded(read, width))).numpy()
        found = answers(model, left_padded(reviews, max(map(len, reviews)) + padding))
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("carry_hidden", [False, True])
@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (3, 0)])
def test_batches_of_nothing_are_answered_not_a_crash(shape: tuple[int, int], carry_hidden: bool) -> None:
    settings = SETTINGS.model_copy(update={"carry_hidden": carry_hidden})
    found = answers(onnx_model(drawn_weights(settings), settings), np.zeros(shape, dtype=np.int64))
    assert found.shape == (shape[0],) and np.isfinite(found).all()


def test_a_bundle_with_onnx_holds_a_checked_file_and_says_how_to_use_it(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    folder = exported(tmp_path, weights, vocabulary)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / ONNX_FILE).stat().st_mode == (folder / "config.json").stat().st_mode
    assert "## Use" in card and "`model.onnx`" in card and "the first 12 of a review" in card
    reviews = encoded(made_up_reviews(50, seed=3), vocabulary)
    assert largest_difference(folder / ONNX_FILE, weights, SETTINGS, reviews) <= TOLERANCE


def test_the_torchless_lines_of_the_card_give_the_predictors_answers(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    folder = exported(tmp_path, weights, vocabulary)
    texts = ["A GREAT film,<br />with superb actors!", "boring, awful... unheard-of"]
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    code, replaced = re.subn(r"for text in \[.*?\]\]", lambda _: f"for text in {texts!r}]", code)
    assert replaced == 1
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['torch'] = sys.modules['tune_sentiment'] = None\n{code}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    expected = [answer.probability for answer in Predictor.load(folder).predict(texts)]
    assert [float(word) for word in done.stdout.strip("[]\n").split()] == pytest.approx(expected, abs=TOLERANCE)


def test_without_onnx_the_card_does_not_speak_of_it(bundle: Path) -> None:
    assert "onnx" not in (bundle / "README.md").read_text(encoding="utf-8").lower()
    assert not (bundle / ONNX_FILE).exists()


def test_an_export_without_onnx_replaces_one_with_it(tmp_path: Path, weights: Weights, vocabulary: Vocabulary) -> None:
    exported(tmp_path, weights, vocabulary)
    assert not (exported(tmp_path, weights, vocabulary, onnx=False) / ONNX_FILE).exists()


def test_a_file_that_answers_otherwise_is_an_error_and_leaves_nothing(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graph, "_gates", lambda stacked: stacked)  # torch's order, which is not ONNX's
    with pytest.raises(BundleError, match=r"within 1e-05: model\.onnx is off by 0\.\d+"):
        exported(tmp_path, weights, vocabulary)
    assert os.listdir(tmp_path) == []
    with pytest.raises(BundleError, match="off by"):
        write_onnx(tmp_path / ONNX_FILE, weights, SETTINGS, encoded(made_up_reviews(5, seed=3), vocabulary))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("count", [5, 3000])
def test_the_check_reads_a_thousand_reviews_the_given_ones_first(count: int, vocabulary: Vocabulary) -> None:
    given_reviews = encoded(made_up_reviews(count, seed=3), vocabulary)
    checked = onnx_file._checked_reviews(given_reviews, vocabulary.size, 12)
    rows = [tuple(row) for row in np.split(checked.token_ids, checked.offsets[1:-1])]
    known = {tuple(row) for row in np.split(given_reviews.token_ids, given_reviews.offsets[1:-1])}
    assert len(rows) == len(checked) == CHECKED_REVIEWS
    assert all(row in known for row in rows[:count])
    assert {len(row) for row in rows} >= set(range(3, 13))
    batches = list(onnx_file._batches(CHECKED_REVIEWS))
    assert sorted(np.concatenate(batches)) == list(range(CHECKED_REVIEWS))
    assert {len(batch) for batch in batches} >= {1, 2, 64, 128}


def test_weights_too_large_for_the_format_are_refused_before_a_byte_is_written(
    tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 1000)
    with pytest.raises(BundleError, match="at most 1,000 bytes, these weights take"):
        write_onnx(tmp_path / ONNX_FILE, weights, SETTINGS, encoded(made_up_reviews(5, seed=3), Vocabulary(("a",))))
    assert os.listdir(tmp_path) == []


def test_without_the_extra_the_refusal_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SettingsError, match=r"onnxruntime is not installed: install it .*tune-sentiment\[onnx\]"):
        require_onnx()


def left_padded(rows: list[list[int]], width: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    token_ids = np.zeros((len(rows), width), dtype=np.int64)
    for padded, row in zip(token_ids, rows, strict=True):
        padded[width - len(row) :] = row
    return token_ids


def answers(model: onnx.ModelProto, token_ids: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(["probability"], {"token_ids": token_ids})
    return probabilities


def exported(tmp_path: Path, weights: Weights, vocabulary: Vocabulary, *, onnx: bool = True) -> Path:
    reviews: Split | None = encoded(made_up_reviews(300, seed=1), vocabulary) if onnx else None
    return write_bundle(
        tmp_path / "best",
        weights=weights,
        settings=SETTINGS,
        vocabulary=vocabulary,
        metrics={},
        provenance={},
        onnx_reviews=reviews,
    )
