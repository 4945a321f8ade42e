import errno
import json
import math
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tests.export.made_up import SETTINGS, encoded, made_up_reviews
from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split
from tune_sentiment.data.vocabulary import Vocabulary, tokenize
from tune_sentiment.errors import BundleError
from tune_sentiment.export.bundle import FILES, read_bundle, write_bundle
from tune_sentiment.export.fresh_process import FreshProcess
from tune_sentiment.export.winner import GPU_TOLERANCE, TOLERANCE, check_in_fresh_process
from tune_sentiment.training.evaluation import evaluate
from tune_sentiment.training.model import build_model

Weights = dict[str, torch.Tensor]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("abc é\n|`"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz"), inner, max_size=3),
    max_leaves=8,
)
architectures = st.builds(
    TrainSettings,
    embedding_dim=st.integers(1, 6),
    hidden_dim=st.integers(1, 6),
    n_layers=st.integers(1, 3),
    lr=st.floats(1e-8, 10),
    clip=st.floats(1e-3, allow_infinity=True, allow_nan=False),
    seq_length=st.integers(1, 500),
    dropout=st.floats(0, 0.9),
    pooling=st.sampled_from(["last", "mean", "max"]),
    bidirectional=st.booleans(),
    carry_hidden=st.booleans(),
)


@effort(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    settings=architectures,
    words=st.lists(st.text(min_size=1).map(tokenize), max_size=8),
    metrics=st.dictionaries(st.text("xyz", min_size=1), json_values, max_size=3),
    provenance=st.dictionaries(st.sampled_from(["data", "search", "winner", "x"]), json_values),
)
def test_what_is_read_is_what_was_written(
    tmp_path: Path, settings: TrainSettings, words: list[list[str]], metrics: Any, provenance: Any
) -> None:
    vocabulary = Vocabulary(tuple(dict.fromkeys(word for found in words for word in found)))
    state = build_model(settings, vocabulary.size).state_dict()
    folder = tmp_path / "best"
    write_bundle(
        folder, weights=state, settings=settings, vocabulary=vocabulary, metrics=metrics, provenance=provenance
    )
    bundle = read_bundle(folder)
    assert (bundle.settings, bundle.vocabulary.words) == (settings, vocabulary.words)
    assert (bundle.metrics, bundle.provenance) == (metrics, provenance)
    assert list(bundle.weights) == sorted(state)
    assert all(torch.equal(bundle.weights[name], weight) for name, weight in state.items())


def test_a_bundle_holds_its_five_files_and_nothing_else(bundle: Path) -> None:
    assert sorted(os.listdir(bundle)) == sorted(FILES)
    assert sorted(FILES) == ["README.md", "config.json", "metrics.json", "model.safetensors", "vocabulary.txt"]
    assert os.listdir(bundle.parent) == ["best"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_every_file_has_the_rights_that_the_umask_asks_for(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        folder = rewrite(tmp_path / "best", weights, vocabulary)
    finally:
        os.umask(before)
    assert {name: stat.S_IMODE((folder / name).stat().st_mode) for name in FILES} == dict.fromkeys(FILES, mode)


def test_its_config_says_all_that_another_program_needs(bundle: Path, vocabulary: Vocabulary) -> None:
    config = json.loads((bundle / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["architecture"] == {"name": "SentimentRNN", "vocab_size": vocabulary.size}
    assert config["settings"] == SETTINGS.model_dump()
    assert config["labels"] == ["negative", "positive"]
    assert config["text"]["padding"] == "left"
    assert (bundle / "vocabulary.txt").read_text().split() == list(vocabulary.words)
    assert json.loads((bundle / "metrics.json").read_text())["validation"]["loss"] == 0.25


def measured(weights: Weights, vocabulary: Vocabulary) -> tuple[Split, float]:
    """A validation split, and the loss that a model has on it in this process."""
    validation = encoded(made_up_reviews(100, seed=7), vocabulary)
    model = build_model(SETTINGS, vocabulary.size)
    model.load_state_dict(weights)
    return validation, evaluate(model, validation, SETTINGS).loss


def test_in_a_fresh_process_the_validation_loss_is_the_recorded_one(
    bundle: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    validation, recorded = measured(weights, vocabulary)
    arrays = bundle.parent / "validation.npz"
    np.savez(arrays, ids=validation.token_ids, offsets=validation.offsets, labels=validation.labels)
    code = """
import sys
from pathlib import Path
import numpy as np
from tune_sentiment.data.dataset import Split
from tune_sentiment.export.bundle import read_bundle
from tune_sentiment.training.evaluation import evaluate
bundle, arrays = read_bundle(Path(sys.argv[1])), np.load(sys.argv[2])
split = Split(arrays["ids"], arrays["offsets"], arrays["labels"])
print(repr(evaluate(bundle.build_model(), split, bundle.settings).loss))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code, str(bundle), str(arrays)], capture_output=True, text=True, check=True
    )
    assert float(answer.stdout) == pytest.approx(recorded, abs=1e-6)
    assert recorded < 0.4


def test_a_loss_that_a_gpu_recorded_may_be_off_by_what_its_order_of_adding_makes_and_no_more(
    bundle: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    validation, recorded = measured(weights, vocabulary)

    def check(expected: float, tolerance: float) -> None:
        with FreshProcess() as process:
            check_in_fresh_process(bundle, validation, expected, tolerance, process)

    check(recorded, TOLERANCE)
    check(recorded + 1e-5, GPU_TOLERANCE)
    for off, tolerance in ((1e-5, TOLERANCE), (1e-3, GPU_TOLERANCE)):
        with pytest.raises(BundleError, match="must give the recorded validation loss"):
            check(recorded + off, tolerance)


def test_a_fresh_process_says_what_is_wrong_with_a_bundle(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    validation, _ = measured(weights, vocabulary)
    with FreshProcess() as process, pytest.raises(BundleError, match=r"must load in a fresh process: .*no bundle"):
        process.validation_loss(tmp_path / "no bundle", validation)


def test_a_fresh_process_that_is_not_needed_ends_with_who_started_it(tmp_path: Path) -> None:
    code = """
import os, sys
from tune_sentiment.export.fresh_process import FreshProcess
process = FreshProcess()
process.start()
print(process._process.pid, flush=True)
os._exit(1)  # as when it is killed
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid = int(answer.stdout)
    ended = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < ended
        time.sleep(0.1)


def rewrite(folder: Path, weights: Weights, vocabulary: Vocabulary, **changes: Any) -> Path:
    asked: dict[str, Any] = {"settings": SETTINGS, "metrics": {"new": 1}, "provenance": {}} | changes
    return write_bundle(folder, weights=weights, vocabulary=vocabulary, **asked)


def test_a_bundle_is_replaced_by_a_new_one(bundle: Path, weights: Weights, vocabulary: Vocabulary) -> None:
    assert rewrite(bundle, weights, vocabulary) == bundle
    assert read_bundle(bundle).metrics == {"new": 1}
    assert os.listdir(bundle.parent) == ["best"]


def test_an_empty_folder_becomes_a_bundle(tmp_path: Path, weights: Weights, vocabulary: Vocabulary) -> None:
    (tmp_path / "empty").mkdir()
    assert read_bundle(rewrite(tmp_path / "empty", weights, vocabulary)).metrics == {"new": 1}


def test_a_folder_with_anything_else_in_it_is_left_alone(
    bundle: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"^only a bundle may be replaced, .*best also holds notes\.txt: choose"):
        rewrite(bundle, weights, vocabulary)
    assert (bundle / "notes.txt").read_text() == "mine"
    assert "new" not in read_bundle(bundle).metrics


@pytest.mark.parametrize("config", ['{"format": "another"}', "not JSON"])
def test_a_folder_of_another_program_with_the_same_names_is_left_alone(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary, config: str
) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(BundleError, match=r"^only a bundle may be replaced, .* is none: choose another folder"):
        rewrite(tmp_path, weights, vocabulary)
    assert (tmp_path / "config.json").read_text() == config


def test_a_file_is_no_place_for_a_bundle(tmp_path: Path, weights: Weights, vocabulary: Vocabulary) -> None:
    (tmp_path / "best").write_text("mine")
    with pytest.raises(BundleError, match=r"^a bundle is a folder, got the file .*best: choose another name\.$"):
        rewrite(tmp_path / "best", weights, vocabulary)
    with pytest.raises(BundleError, match=r"must be writable, got .*inside \(File exists\): choose another"):
        rewrite(tmp_path / "best" / "inside", weights, vocabulary)


def test_a_full_disk_leaves_the_old_bundle_and_nothing_else(
    bundle: Path, weights: Weights, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match=r"got .*best \(No space left on device\): choose another folder or free"):
        rewrite(bundle, weights, vocabulary)
    assert os.listdir(bundle.parent) == ["best"]
    assert "new" not in read_bundle(bundle).metrics


def test_a_model_that_may_not_be_exported_leaves_the_old_bundle(
    bundle: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    broken = weights | {"linear.bias": torch.tensor([math.nan])}
    with pytest.raises(BundleError, match=r"in linear\.bias of .*best: export another trial"):
        rewrite(bundle, broken, vocabulary)
    with pytest.raises(BundleError, match=r"must match its settings, in .*best .*embedding\.weight is \[18, 6\]"):
        rewrite(bundle, weights, Vocabulary(("one", "two")))
    assert os.listdir(bundle.parent) == ["best"]
    assert "new" not in read_bundle(bundle).metrics


def test_no_password_reaches_any_file_of_a_bundle(tmp_path: Path, weights: Weights, vocabulary: Vocabulary) -> None:
    source = "https://ana:hunter2@example.org/reviews.csv?token=hunter2"
    rewrite(
        tmp_path / "best",
        weights,
        vocabulary,
        metrics={"from": source},
        provenance={"data": {"source": source, "name": source}, "search": {"command": f"search --data {source}"}},
    )
    for name in FILES:
        assert b"hunter2" not in (tmp_path / "best" / name).read_bytes()
    assert b"example.org" in (tmp_path / "best" / "README.md").read_bytes()


def test_numbers_that_are_not_finite_are_null_in_the_metrics(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    rewrite(tmp_path / "best", weights, vocabulary, metrics={"a": math.nan, "b": [np.float32("inf"), 1.0]})
    assert read_bundle(tmp_path / "best").metrics == {"a": None, "b": [None, 1.0]}


def test_a_model_trained_without_clipping_comes_back_though_json_has_no_infinity(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary
) -> None:
    endless = SETTINGS.model_copy(update={"clip": math.inf})
    rewrite(tmp_path / "best", weights, vocabulary, settings=endless)
    assert read_bundle(tmp_path / "best").settings == endless


def test_more_text_than_can_be_read_back_is_not_written(
    tmp_path: Path, weights: Weights, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_sentiment.export.bundle.MAX_JSON_BYTES", 2000)
    with pytest.raises(BundleError, match=r"^metrics\.json may take at most 2,000 bytes, got 3,"):
        rewrite(tmp_path / "best", weights, vocabulary, metrics={"x": "y" * 3000})
    monkeypatch.setattr("tune_sentiment.export.bundle.MAX_WORDS", 10)
    with pytest.raises(BundleError, match=r"at most 10 words in .* bytes, that of .*best has 18 in"):
        rewrite(tmp_path / "best", weights, vocabulary)
    assert os.listdir(tmp_path) == []
