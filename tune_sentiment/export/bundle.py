"""Write a trained model as a bundle, a folder without pickle that rebuilds it anywhere, and read one back safely."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tune_sentiment.config import TrainSettings, validated
from tune_sentiment.data.dataset import Split
from tune_sentiment.data.reviews import shown
from tune_sentiment.data.vocabulary import MAX_FILE_BYTES, MAX_WORDS, PADDING_ID, UNKNOWN, Vocabulary
from tune_sentiment.errors import BundleError, DataError, SettingsError
from tune_sentiment.export.card import model_card
from tune_sentiment.export.folder import strangers, write_whole
from tune_sentiment.export.plain import one_line, plain
from tune_sentiment.export.weights import prepared, read_weights, rebuild, write_weights
from tune_sentiment.training.model import SentimentRNN

FORMAT = "tune_sentiment bundle"
FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
VOCABULARY_FILE = "vocabulary.txt"
METRICS_FILE = "metrics.json"
CARD_FILE = "README.md"
FILES = (WEIGHTS_FILE, CONFIG_FILE, VOCABULARY_FILE, METRICS_FILE, CARD_FILE)
ONNX_FILE = "model.onnx"
"""Where it was asked for; nothing here reads it again."""

MAX_JSON_BYTES = 16 * 2**20

TEXT = {
    "steps": ["<br /> becomes white space", "lower case", "punctuation removed", "split on white space"],
    "padding": "left",
    "padding_id": PADDING_ID,
    "cut": "first seq_length words",
    "unknown": UNKNOWN,
}
"""How a text becomes word ids; a bundle that says anything else was not made for this code."""


@dataclass(frozen=True)
class Bundle:
    """A trained model, with everything needed to use it."""

    folder: Path
    settings: TrainSettings
    vocabulary: Vocabulary
    weights: dict[str, Tensor] = field(repr=False)
    """Float32 on the CPU, by the names of the model's state dict."""
    metrics: dict[str, Any]
    provenance: dict[str, Any]

    def build_model(self, device: str | torch.device = "cpu") -> SentimentRNN:
        """Return the model on `device`, in evaluation mode; it may share its weights with the bundle."""
        return rebuild(self.weights, self.settings, torch.device(device))


def write_bundle(
    folder: Path,
    *,
    weights: Mapping[str, Tensor],
    settings: TrainSettings,
    vocabulary: Vocabulary,
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
    onnx_reviews: Split | None = None,
) -> Path:
    """Write a bundle to `folder`, whole or not at all, and return `folder`.

    weights: the model's state dict, from any device; written as float32.
    metrics, provenance: see `card.model_card`; passwords in URLs are masked, numbers that are not finite become null.
    onnx_reviews: write model.onnx too, and check it on these; needs the extra `[onnx]`.
    A bundle that stands in `folder` is replaced; anything else there is left alone.

    Raises:
        BundleError: if `folder` holds something else or cannot be written, or the weights are not finite or not those
            of the model that `settings` describe, or ONNX Runtime does not give the model's probabilities.
    """
    folder = Path(folder)
    metrics, provenance = plain(metrics), plain(provenance)
    weights = prepared(weights, settings, vocabulary.size, folder)

    def fill(beside: Path) -> None:
        vocabulary.save(beside / VOCABULARY_FILE)
        _refuse_absurd_vocabulary(beside / VOCABULARY_FILE, vocabulary.size, folder)
        write_weights(beside / WEIGHTS_FILE, weights)
        config = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "architecture": {"name": "SentimentRNN", "vocab_size": vocabulary.size},
            "settings": {name: _json_number(value) for name, value in settings.model_dump().items()},
            "text": TEXT,
            "labels": ["negative", "positive"],
            "sha256": {name: _sha256(beside / name) for name in (WEIGHTS_FILE, VOCABULARY_FILE)},
            "provenance": provenance,
        }
        _write_json(beside / CONFIG_FILE, config)
        _write_json(beside / METRICS_FILE, metrics)
        if onnx_reviews is not None:
            from tune_sentiment.export.onnx_file import write_onnx

            write_onnx(beside / ONNX_FILE, weights, settings, onnx_reviews)
        card = model_card(settings, metrics, provenance, onnx=onnx_reviews is not None)
        (beside / CARD_FILE).write_text(card, encoding="utf-8")

    try:
        _refuse_to_replace_others(folder)
        write_whole(folder, fill)
    except OSError as problem:
        raise BundleError(
            f"a bundle's folder must be writable, got {folder} ({one_line(problem.strerror or str(problem))}): "
            "choose another folder or free some space."
        ) from None
    return folder


def read_bundle(folder: Path) -> Bundle:
    """Return the bundle in `folder`. Nothing in it is unpickled or run, and sizes are checked before memory is taken.

    Raises:
        BundleError: if it is missing, damaged, of a newer format, or asks for a model of absurd size.
    """
    folder = Path(folder)
    try:
        return _read(folder)
    except OSError as problem:
        raise BundleError(
            f"a bundle must be readable, got {folder} ({one_line(problem.strerror or str(problem))}): "
            "check its permissions."
        ) from None


def _read(folder: Path) -> Bundle:
    if not folder.is_dir():
        raise BundleError(f"a bundle is a folder, got {folder}: give the `best` folder of a search, or an export.")
    for name in (CONFIG_FILE, WEIGHTS_FILE, VOCABULARY_FILE, METRICS_FILE):
        # Not only missing: reading a named pipe would wait for ever.
        if not (folder / name).is_file():
            raise BundleError(f"a bundle must hold the file {name}, {folder} does not: export it again.")
    config = _read_json(folder / CONFIG_FILE)
    _refuse_other_formats(config, folder)
    settings = _settings(config, folder)
    vocab_size = _part(config, "architecture", folder).get("vocab_size")
    if type(vocab_size) is not int or vocab_size < 2:
        raise _damaged(folder, f"vocab_size is {shown(vocab_size)}, not a number of words")
    _refuse_absurd_vocabulary(folder / VOCABULARY_FILE, vocab_size, folder)
    vocabulary = _vocabulary(folder / VOCABULARY_FILE, vocab_size)
    weights = read_weights(folder / WEIGHTS_FILE, settings, vocab_size)
    _refuse_exchanged_files(_part(config, "sha256", folder), folder)
    return Bundle(
        folder=folder,
        settings=settings,
        vocabulary=vocabulary,
        weights=weights,
        metrics=_read_json(folder / METRICS_FILE),
        provenance=_part(config, "provenance", folder),
    )


def _refuse_to_replace_others(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BundleError(f"a bundle is a folder, got the file {folder}: choose another name.")
    others = strangers(folder, (*FILES, ONNX_FILE))
    if others:
        raise BundleError(
            f"only a bundle may be replaced, {folder} also holds {one_line(others[0], 80)}: choose another folder."
        )
    if any(folder.iterdir()):
        try:
            ours = _read_json(folder / CONFIG_FILE).get("format") == FORMAT
        except (BundleError, OSError):
            ours = False
        if not ours:
            raise BundleError(f"only a bundle may be replaced, {folder} is none: choose another folder.")


def _refuse_other_formats(config: Mapping[str, Any], folder: Path) -> None:
    version = config.get("format_version")
    if config.get("format") != FORMAT or type(version) is not int or version < 1:
        raise BundleError(
            f'a bundle\'s {CONFIG_FILE} must say "format": "{FORMAT}" and its version, {folder} does not: '
            "give a folder that `tune_sentiment` exported."
        )
    if version > FORMAT_VERSION:
        raise BundleError(
            f"a bundle must be of format {FORMAT_VERSION} or older, got {version} in {folder}: upgrade tune_sentiment."
        )
    if config.get("text") != TEXT:
        raise _damaged(folder, "its text preparation is not the one that this version knows")


def _settings(config: Mapping[str, Any], folder: Path) -> TrainSettings:
    settings = _part(config, "settings", folder)
    if not all(isinstance(value, str | int | float) for value in settings.values()):
        raise _damaged(folder, "its settings are not plain values")
    missing = [name for name in TrainSettings.model_fields if name not in settings]
    if missing:
        raise _damaged(folder, f"its settings lack {', '.join(missing)}")
    try:
        return validated(settings, str(folder / CONFIG_FILE))
    except SettingsError as problem:
        raise BundleError(one_line(str(problem))) from None


def _refuse_absurd_vocabulary(path: Path, vocab_size: int, folder: Path) -> None:
    num_bytes = path.stat().st_size
    if vocab_size > MAX_WORDS or num_bytes > MAX_FILE_BYTES:
        raise BundleError(
            f"a vocabulary may have at most {MAX_WORDS:,} words in {MAX_FILE_BYTES:,} bytes, that of {folder} "
            f"has {vocab_size:,} in {num_bytes:,}: use fewer words."
        )


def _vocabulary(path: Path, vocab_size: int) -> Vocabulary:
    with path.open("rb") as file:
        lines = sum(1 for _ in file)
    if lines != vocab_size - 2:
        raise _damaged(path.parent, f"{path.name} holds {lines:,} words instead of {vocab_size - 2:,}")
    try:
        vocabulary = Vocabulary.load(path)
    except (BundleError, DataError) as problem:
        raise BundleError(one_line(str(problem))) from None
    return vocabulary


def _refuse_exchanged_files(digests: Mapping[str, Any], folder: Path) -> None:
    # A vocabulary of the right length but of another model would be read, and every answer be nonsense.
    for name in (WEIGHTS_FILE, VOCABULARY_FILE):
        if digests.get(name) != _sha256(folder / name):
            raise _damaged(folder, f"{name} is not the file that was exported (its SHA-256 differs)")


def _part(config: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    part = config.get(name)
    if not isinstance(part, dict):
        raise _damaged(folder, f"{CONFIG_FILE} has no {name}")
    return part


def _damaged(folder: Path, problem: str) -> BundleError:
    return BundleError(f"a bundle must be whole, in {folder} {problem}: export it again.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if len(text.encode()) > MAX_JSON_BYTES:
        raise BundleError(f"{path.name} may take at most {MAX_JSON_BYTES:,} bytes, got {len(text):,}: hand over less.")
    path.write_text(text, encoding="utf-8")


def _json_number(value: Any) -> Any:
    # JSON has no infinity (`clip: .inf` is a legal setting), but the settings' validation reads it from text.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _read_json(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise BundleError(f"{path.name} may take at most {MAX_JSON_BYTES:,} bytes, {path} has {size:,}: export again.")
    try:
        content = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise BundleError(
            f"{path.name} must be JSON, {path} is not ({one_line(str(problem))}): export again."
        ) from None
    if not isinstance(content, dict):
        raise BundleError(f"{path.name} must be a JSON object, {path} is {type(content).__name__}: export again.")
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
