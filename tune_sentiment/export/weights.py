"""Write a model's weights as safetensors, and read them back only if they are what the settings ask for."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import BundleError
from tune_sentiment.export.plain import one_line
from tune_sentiment.training.model import SentimentRNN, build_model

MAX_PARAMETERS = 1_000_000_000
"""The largest model that is written or read (4 GB of weights); the course's on IMDB has 31 million."""

MAX_HEADER_BYTES = 2**20
"""Room for 50 times the weights that the deepest model has; what a pickle says there is far beyond."""


def expected_shapes(settings: TrainSettings, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every weight of the model that `settings` describe, without making it."""
    width, hidden = settings.embedding_dim, settings.hidden_dim
    directions = ("", "_reverse") if settings.bidirectional else ("",)
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (vocab_size, width)}
    for layer in range(settings.n_layers):
        inputs = width if layer == 0 else hidden * len(directions)
        for suffix in (f"l{layer}{direction}" for direction in directions):
            shapes[f"lstm.weight_ih_{suffix}"] = (4 * hidden, inputs)  # the four gates, one above the other
            shapes[f"lstm.weight_hh_{suffix}"] = (4 * hidden, hidden)
            shapes[f"lstm.bias_ih_{suffix}"] = (4 * hidden,)
            shapes[f"lstm.bias_hh_{suffix}"] = (4 * hidden,)
    return shapes | {"linear.weight": (1, hidden * len(directions)), "linear.bias": (1,)}


def prepared(weights: Mapping[str, Tensor], settings: TrainSettings, vocab_size: int, place: Path) -> dict[str, Tensor]:
    """Return `weights`, which may be on any device and of any float type, as float32 on the CPU, copied where need be.

    Raises:
        BundleError: if they are not the weights of the model that `settings` describe, or not finite; its text names
            `place`, where they are to go.
    """
    _refuse_absurd_size(settings, vocab_size, place)
    _refuse_other_shapes({name: tuple(weight.shape) for name, weight in weights.items()}, settings, vocab_size, place)
    ready: dict[str, Tensor] = {}
    memory: set[int] = set()
    for name, weight in weights.items():
        plain = weight.detach().to("cpu", torch.float32).contiguous()
        place_of = plain.untyped_storage().data_ptr()
        ready[name] = plain.clone() if place_of in memory else plain  # safetensors refuses weights that share memory
        memory.add(place_of)
    _refuse_not_finite(ready, place)
    return ready


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write `weights`, as `prepared` returns them, to `path`.

    Raises:
        OSError: if the disk is full or the file cannot be written.
    """
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(dict(weights), path, metadata={"format": "pt"})
    except SafetensorError as problem:
        raise OSError(str(problem)) from None
    # safetensors makes its file readable by the owner alone, whatever the umask says.
    path.chmod(mode)


def read_weights(path: Path, settings: TrainSettings, vocab_size: int) -> dict[str, Tensor]:
    """Return the weights in `path`, float32 on the CPU, by name.

    Names, types and shapes are compared with `settings` before a byte of the weights is read.

    Raises:
        BundleError: if the file is not safetensors, is cut, or does not hold the weights of that model.
    """
    _refuse_absurd_size(settings, vocab_size, path)
    with path.open("rb") as start:
        header_bytes = int.from_bytes(start.read(8), "little")
    if header_bytes > MAX_HEADER_BYTES:
        raise BundleError(f"a bundle's weights must be safetensors, got {path} which is not: export it again.")
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            _refuse_other_shapes(shapes, settings, vocab_size, path)
            types = {part.get_dtype() for part in slices.values()}
            if types != {"F32"}:
                raise BundleError(
                    f"a bundle's weights must be F32, got {', '.join(sorted(types))} in {path}: export it again."
                )
            # A copy, since the file's memory map would change or fault with the file.
            weights = {name: file.get_tensor(name).clone() for name in slices}
    except (SafetensorError, OSError) as problem:
        raise BundleError(
            f"a bundle's weights must be whole safetensors, got {path} ({one_line(str(problem))}): export it again."
        ) from None
    _refuse_not_finite(weights, path)
    return weights


def rebuild(weights: Mapping[str, Tensor], settings: TrainSettings, device: torch.device) -> SentimentRNN:
    """Return the model that `settings` describe with these `weights`, in evaluation mode on `device`."""
    # Drawing millions of word vectors only to overwrite them would double the time to load: one row is drawn instead,
    # and from a generator put back afterwards, so that loading a model never changes a run's random numbers.
    with torch.random.fork_rng(devices=[]):
        model = build_model(settings, vocab_size=1)
    model.embedding.weight = nn.Parameter(weights["embedding.weight"])
    model.embedding.num_embeddings = len(weights["embedding.weight"])
    model.load_state_dict(dict(weights), strict=True)
    return model.to(device).eval()


def _refuse_absurd_size(settings: TrainSettings, vocab_size: int, place: Path) -> None:
    parameters = sum(math.prod(shape) for shape in expected_shapes(settings, vocab_size).values())
    if parameters > MAX_PARAMETERS:
        raise BundleError(
            f"a model may have at most {MAX_PARAMETERS:,} parameters, those of {place} would have "
            f"{parameters:,}: use a smaller `embedding_dim`, `hidden_dim` or vocabulary."
        )


def _refuse_other_shapes(
    found: Mapping[str, tuple[int, ...]], settings: TrainSettings, vocab_size: int, place: Path
) -> None:
    expected = expected_shapes(settings, vocab_size)
    if found == expected:
        return
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{one_line(name, 60)} is unknown" for name in found if name not in expected]
    problems += [
        f"{name} is {list(found[name])} instead of {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
    raise BundleError(f"a bundle's weights must match its settings, in {place} {shown}: export it again.")


def _refuse_not_finite(weights: Mapping[str, Tensor], place: Path) -> None:
    for name, weight in weights.items():
        # Both are NaN if any is; unlike `isfinite` on all of them, nothing as large as the weights is made.
        if not bool(torch.isfinite(torch.stack(torch.aminmax(weight))).all()):
            raise BundleError(
                f"a bundle's weights must be finite, got NaN or infinity in {name} of {place}: export another trial."
            )
