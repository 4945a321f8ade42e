"""Bundles from outside: whatever is wrong with one, it is refused with a sentence and nothing in it is run."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.export.made_up import SETTINGS
from tests.planted import KINDS, Planted, plant
from tune_sentiment.data.vocabulary import Vocabulary
from tune_sentiment.errors import BundleError
from tune_sentiment.export.bundle import FILES, read_bundle, write_bundle

Change = Callable[[Path], object]


def config(**changes: Any) -> Change:
    """Return a change of the top level of config.json; None removes a key."""

    def change(bundle: Path) -> None:
        content = json.loads((bundle / "config.json").read_text()) | changes
        kept = {name: value for name, value in content.items() if value is not None}
        (bundle / "config.json").write_text(json.dumps(kept))

    return change


def settings(**changes: Any) -> Change:
    return config(settings=SETTINGS.model_dump() | changes)


def file(name: str, content: str | bytes) -> Change:
    return lambda bundle: (bundle / name).write_bytes(content.encode() if isinstance(content, str) else content)


def signed(bundle: Path) -> None:
    """Make the digests fit the files again, as whoever means harm would."""
    content = json.loads((bundle / "config.json").read_text())
    names = ("model.safetensors", "vocabulary.txt")
    content["sha256"] = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in names}
    (bundle / "config.json").write_text(json.dumps(content))


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def apply(bundle: Path) -> None:
        content = load_file(bundle / "model.safetensors")
        change(content)
        save_file(content, bundle / "model.safetensors")
        signed(bundle)

    return apply


def header(**tensors: Any) -> Change:
    """Return a change that makes the weights a header alone, which may promise anything."""
    text = json.dumps(tensors).encode()
    return file("model.safetensors", len(text).to_bytes(8, "little") + text + b"\0" * 64)


def words(text: str) -> Change:
    def change(bundle: Path) -> None:
        (bundle / "vocabulary.txt").write_text(text)
        signed(bundle)

    return change


def pipe(name: str) -> Change:
    def change(bundle: Path) -> None:
        (bundle / name).unlink()
        os.mkfifo(bundle / name)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(shutil.rmtree, "^a bundle is a folder, got .*best: give the `best` folder", id="no folder"),
        *(
            pytest.param(
                lambda bundle, name=name: (bundle / name).unlink(),
                f"^a bundle must hold the file {name}, .*best does not: export it again",
                id=f"no {name}",
            )
            for name in FILES
            if name != "README.md"
        ),
        pytest.param(pipe("config.json"), "must hold the file config.json", id="config is a pipe"),
        pytest.param(pipe("model.safetensors"), "must hold the file model.safetensors", id="weights are a pipe"),
        pytest.param(file("config.json", "{"), "^config.json must be JSON, .* is not", id="config cut"),
        pytest.param(file("config.json", ""), "^config.json must be JSON", id="config empty"),
        pytest.param(file("config.json", "[]"), "must be a JSON object, .* is list", id="config a list"),
        pytest.param(file("config.json", b"\xff\xfe{}"), "^config.json must be JSON", id="config binary"),
        pytest.param(file("config.json", '{"a":' * 50_000), "^config.json must be JSON", id="config too deep"),
        pytest.param(file("config.json", f'{{"a":{"9" * 9999}}}'), "^config.json must be JSON", id="huge integer"),
        pytest.param(file("metrics.json", '{"a": NaN}'), "^metrics.json must be JSON.*NaN is no", id="metrics NaN"),
        pytest.param(file("config.json", "{}"), '^a bundle\'s config.json must say "format"', id="another program's"),
        pytest.param(config(format_version="1"), "must say .*and its version", id="version a text"),
        pytest.param(config(format_version=True), "must say .*and its version", id="version a truth"),
        pytest.param(config(format_version=0), "must say .*and its version", id="version too small"),
        pytest.param(
            config(format_version=2),
            "^a bundle must be of format 1 or older, got 2 in .*best: upgrade tune_sentiment",
            id="newer version",
        ),
        pytest.param(config(text={"padding": "right"}), "text preparation is not the one", id="other text"),
        pytest.param(config(settings=None), "config.json has no settings: export", id="no settings"),
        pytest.param(config(architecture=[]), "config.json has no architecture: export", id="no architecture"),
        pytest.param(config(sha256="x"), "config.json has no sha256: export", id="no digests"),
        pytest.param(config(provenance=3), "config.json has no provenance: export", id="no provenance"),
        pytest.param(config(settings={"lr": 0.1}), "its settings lack embedding_dim, hidden_dim", id="few settings"),
        pytest.param(settings(lr=-1), r"wrong settings: `lr`: .*greater than 0, got -1 in .*config\.json", id="lr"),
        pytest.param(settings(flavour=1), "wrong settings: `flavour`", id="unknown setting"),
        pytest.param(settings(lr=[[1]]), "its settings are not plain values", id="nested setting"),
        pytest.param(settings(hidden_dim=10**9), "wrong settings: `hidden_dim`", id="one absurd size"),
        pytest.param(
            settings(hidden_dim=8192, embedding_dim=8192, n_layers=16, bidirectional=True),
            "^a model may have at most 1,000,000,000 parameters, those of .* would have 2",
            id="absurd size in all",
        ),
        pytest.param(config(architecture={"vocab_size": "18"}), "vocab_size is '18', not a number", id="size a text"),
        pytest.param(config(architecture={"vocab_size": 1}), "vocab_size is '1', not a number", id="size too small"),
        pytest.param(
            config(architecture={"vocab_size": 10**12}),
            "^a vocabulary may have at most 4,000,000 words in .* has 1,000,000,000,000 in",
            id="absurd vocabulary",
        ),
        pytest.param(config(architecture={"vocab_size": 3_000_000}), "16 words instead of 2,999,998", id="promised"),
        pytest.param(words("one\ntwo\n"), "vocabulary.txt holds 2 words instead of 16: export", id="short vocabulary"),
        pytest.param(words("w\n" * 17), "vocabulary.txt holds 17 words instead of 16: export", id="long vocabulary"),
        pytest.param(words("w\n" * 16), "each word once", id="repeated words"),
        pytest.param(words("\n" * 16), "one word a line", id="empty words"),
        pytest.param(file("vocabulary.txt", b"\xff\n" * 16), "must be UTF-8", id="vocabulary binary"),
        pytest.param(
            file("vocabulary.txt", "".join(f"w{number}\n" for number in range(16))),
            r"vocabulary\.txt is not the file that was exported \(its SHA-256 differs\)",
            id="vocabulary of another model",
        ),
        pytest.param(file("model.safetensors", ""), "must be whole safetensors", id="weights empty"),
        pytest.param(file("model.safetensors", b"\xff" * 99), "must be safetensors, got .* is not", id="weights noise"),
        pytest.param(
            lambda bundle: os.truncate(bundle / "model.safetensors", 2000),
            r"must be whole safetensors, got .*model\.safetensors \(",
            id="weights cut",
        ),
        pytest.param(
            header(**{"embedding.weight": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 64]}}),
            "must be whole safetensors",
            id="weights promise too much",
        ),
        pytest.param(
            header(**{f"tensor{number}": {} for number in range(200_000)}), "must be safetensors", id="long header"
        ),
        pytest.param(
            tensors(lambda content: content.update({"linear.weight": torch.zeros(1, 9)})),
            r"must match its settings, in .* linear\.weight is \[1, 9\] instead of \[1, 8\]",
            id="other shape",
        ),
        pytest.param(
            tensors(lambda content: content.pop("linear.bias")), "linear.bias is missing: export", id="weight missing"
        ),
        pytest.param(
            tensors(lambda content: content.update({"x\x1b[31m\ny": torch.zeros(1)})),
            r"x \[31m y is unknown: export",
            id="weight unknown",
        ),
        pytest.param(
            tensors(lambda content: content.update({"linear.bias": torch.zeros(1, dtype=torch.float16)})),
            "weights must be F32, got F16, F32 in .*: export it again",
            id="half precision",
        ),
        pytest.param(
            tensors(lambda content: content["embedding.weight"].fill_(float("nan"))),
            "must be finite, got NaN or infinity in embedding.weight of",
            id="not finite",
        ),
    ],
)
def test_a_damaged_or_hostile_bundle_is_refused_with_one_sentence(bundle: Path, change: Change, message: str) -> None:
    change(bundle)
    with pytest.raises(BundleError, match=message) as refusal:
        read_bundle(bundle)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 700
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_the_weights_of_another_model_of_the_same_shape_are_refused(bundle: Path) -> None:
    other = {name: weight + 1 for name, weight in load_file(bundle / "model.safetensors").items()}
    save_file(other, bundle / "model.safetensors")
    with pytest.raises(BundleError, match=r"model\.safetensors is not the file that was exported"):
        read_bundle(bundle)


def test_hostile_names_of_settings_do_not_reach_the_terminal(bundle: Path) -> None:
    config(settings=SETTINGS.model_dump() | {f"\x1b[2J\n{number}": "x" for number in range(10_000)})(bundle)
    with pytest.raises(BundleError, match="wrong settings") as refusal:
        read_bundle(bundle)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) <= 300


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
def test_a_file_too_large_to_be_ours_is_not_read(bundle: Path, name: str) -> None:
    os.truncate(bundle / name, 2**40)  # a hole: it takes no room
    with pytest.raises(BundleError, match=rf"^{name} may take at most 16,777,216 bytes, .* has 1,099,511,627,776"):
        read_bundle(bundle)


def test_a_vocabulary_too_large_to_be_ours_is_not_read(bundle: Path) -> None:
    os.truncate(bundle / "vocabulary.txt", 2**40)
    with pytest.raises(BundleError, match=r"^a vocabulary may have at most .* in 1,099,511,627,776"):
        read_bundle(bundle)


def test_an_absurd_model_is_refused_before_any_memory_is_taken(bundle: Path) -> None:
    """Settings and a file full of holes ask for more than 4 GB of weights."""
    settings(embedding_dim=8192, hidden_dim=4096, n_layers=8)(bundle)
    os.truncate(bundle / "model.safetensors", 4 * 2**30)
    code = """
import sys
from pathlib import Path
from tune_sentiment.errors import BundleError
from tune_sentiment.export.bundle import read_bundle
peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])  # KB, of this program alone
before = peak()
try:
    read_bundle(Path(sys.argv[1]))
except BundleError as refusal:
    sys.exit(0 if "parameters" in str(refusal) and peak() - before < 50_000 else f"{refusal} {peak() - before}")
"""
    answer = subprocess.run([sys.executable, "-c", code, str(bundle)], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("kind", KINDS)  # what they do if run: tests/test_planted_pickles.py
@pytest.mark.parametrize("name", FILES)
def test_a_pickle_planted_in_place_of_any_file_is_never_run(bundle: Path, name: str, kind: str) -> None:
    trace = bundle.parent / "the pickle was run"
    plant(bundle / name, trace, kind)
    signed(bundle) if name == "vocabulary.txt" else None
    if name == "README.md":
        read_bundle(bundle)  # nothing of it is read, so nothing is wrong
    else:
        with pytest.raises(BundleError):
            read_bundle(bundle)
    assert not trace.exists()


def test_a_pickle_as_a_word_stays_a_word(tmp_path: Path, weights: dict[str, torch.Tensor]) -> None:
    trace = tmp_path / "trace"
    poisoned = "".join(chr(byte) for byte in pickle.dumps(Planted(trace), protocol=0)).split()
    names = [*poisoned, *(f"w{number}" for number in range(16))][:16]
    folder = write_bundle(
        tmp_path / "best",
        weights=weights,
        settings=SETTINGS,
        vocabulary=Vocabulary(tuple(dict.fromkeys(names))),
        metrics={},
        provenance={},
    )
    assert read_bundle(folder).vocabulary.words == tuple(names)
    assert not trace.exists()
