"""Write a model's computation down as an ONNX graph, with dynamic batch and length."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tune_sentiment.config import TrainSettings

if TYPE_CHECKING:
    import onnx

OPSET = 17
IR_VERSION = 8
"""Of the year 2022: what runs ONNX today reads it, whichever language it serves."""

# `num_words` is at least 1: a row of padding alone counts as one word. A column more, and a row where there is none,
# keep a batch without words or reviews from being a division by zero here and a crash in ONNX Runtime's LSTM.
_WORDS_FIRST = """
    batch_size = Shape<start = 0, end = 1>(token_ids)
    rows_lacking = Sub(one, batch_size)
    rows_added = Max(rows_lacking, zero)
    margins = Concat<axis = 0>(zero, one, rows_added, zero)
    wider = Pad(token_ids, margins)
    length = Shape<start = 1, end = 2>(wider)
    is_padding = Equal(wider, zero)
    is_word = Not(is_padding)
    ones = Cast<to = 7>(is_word)
    counted = ReduceSum<keepdims = 1>(ones, along_length)
    all_words = Max(counted, one)
    num_words = Min(all_words, seq_length)
    length_scalar = Squeeze(length)
    places = Range(zero_scalar, length_scalar, one_scalar)
    padding_before = Sub(length, all_words)
    shifted = Add(places, padding_before)
    order = Mod(shifted, length)
    words_first = GatherElements<axis = 1>(wider, order)
"""
# Cut to the longest review: what is padding in every row is not computed.
_SKIP_PADDING = """
    longest = ReduceMax<keepdims = 0>(num_words)
    longest_one = Reshape(longest, minus_one)
    read = Slice(words_first, zero, longest_one, along_length)
    flat_lengths = Reshape(num_words, minus_one)
    lengths = Cast<to = 6>(flat_lengths)
"""
# As in training with `carry_hidden`: every review is padded on its left to `seq_length`, and padding is read.
_READ_PADDING = """
    lacking = Sub(seq_length, length)
    added = Max(lacking, zero)
    pads = Concat<axis = 0>(zero, zero, zero, added)
    long_enough = Pad(words_first, pads)
    cut = Slice(long_enough, zero, seq_length, along_length)
    new_places = Range(zero_scalar, seq_length_scalar, one_scalar)
    new_shifted = Add(new_places, num_words)
    new_order = Mod(new_shifted, seq_length)
    read = GatherElements<axis = 1>(cut, new_order)
"""
_EMBED = """
    by_time = Transpose<perm = [1, 0]>(read)
    input_0 = Gather(embedding, by_time)
"""
# `states_i` is (length, directions, batch, hidden_dim), 0 in the padding; `last_i` (directions, batch, hidden_dim).
_LAYER = """
    states_{i}, last_{i} = LSTM<hidden_size = {hidden_dim}, direction = "{direction}">
        (input_{i}, w_{i}, r_{i}, b_{i}, {lengths})
    turned_{i} = Transpose<perm = [0, 2, 1, 3]>(states_{i})
    input_{next} = Reshape(turned_{i}, keep_keep_join)
"""
_READOUTS = {
    "last": """
    by_review = Transpose<perm = [1, 0, 2]>(last_{top})
    features = Reshape(by_review, keep_join)
""",
    "mean": """
    total = ReduceSum<keepdims = 0>(input_{outputs}, along_time)
    divisor = Cast<to = 1>(num_words)
    features = Div(total, divisor)
""",
    "max": """
    steps = Shape<start = 0, end = 1>(input_{outputs})
    steps_scalar = Squeeze(steps)
    times = Range(zero_scalar, steps_scalar, one_scalar)
    times_column = Reshape(times, minus_one_one_one)
    words_by_review = Reshape(num_words, one_minus_one_one)
    inside = Less(times_column, words_by_review)
    masked = Where(inside, input_{outputs}, minus_infinity)
    features = ReduceMax<keepdims = 0, axes = [0]>(masked)
""",
    "end": """
    features = Gather<axis = 0>(input_{outputs}, minus_one_scalar)
""",
}
_CLASSIFY = """
    logits = Gemm<transB = 1>(features, linear_weight, linear_bias)
    probabilities = Sigmoid(logits)
    every_row = Reshape(probabilities, minus_one)
    probability = Slice(every_row, zero, batch_size)
"""


def onnx_model(weights: Mapping[str, Tensor], settings: TrainSettings) -> "onnx.ModelProto":
    """Return the model that `settings` describe with these float32 CPU `weights`, as an ONNX model.

    Input `token_ids`, int64 (batch, length): word ids, 0 is padding, which stands before the words. Output
    `probability`, float32 (batch,): of "positive". A row longer than `seq_length` is cut to its first words, as a
    text is; an id that is not in the vocabulary is an error when it runs.
    """
    import onnx
    from onnx import numpy_helper, parser

    layer = partial(
        _LAYER.format,
        hidden_dim=settings.hidden_dim,
        direction="bidirectional" if settings.bidirectional else "forward",
        lengths="" if settings.carry_hidden else "lengths",
    )
    top = settings.n_layers - 1
    stations = (
        _WORDS_FIRST,
        _READ_PADDING if settings.carry_hidden else _SKIP_PADDING,
        _EMBED,
        *(layer(i=i, next=i + 1) for i in range(settings.n_layers)),
        _READOUTS["end" if settings.carry_hidden else settings.pooling].format(top=top, outputs=top + 1),
        _CLASSIFY,
    )
    model = parser.parse_model(
        f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}], producer_name: "tune_sentiment">\n'
        "sentiment (int64[batch, length_given] token_ids) => (float[batch] probability)\n{" + "".join(stations) + "}"
    )
    arrays = _constants(settings.seq_length) | _weights(weights, settings)
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in arrays.items() if name in used
    )
    onnx.helper.set_model_props(model, {"labels": "negative,positive", "seq_length": str(settings.seq_length)})
    return model


def _constants(seq_length: int) -> dict[str, NDArray[np.generic]]:
    whole_numbers = {
        "zero": [0],
        "one": [1],
        "minus_one": [-1],
        "zero_scalar": 0,
        "one_scalar": 1,
        "minus_one_scalar": -1,
        "along_length": [1],
        "along_time": [0],
        "seq_length": [seq_length],
        "seq_length_scalar": seq_length,
        "keep_join": [0, -1],
        "keep_keep_join": [0, 0, -1],
        "minus_one_one_one": [-1, 1, 1],
        "one_minus_one_one": [1, -1, 1],
    }
    constants: dict[str, NDArray[np.generic]] = {
        name: np.array(value, dtype=np.int64) for name, value in whole_numbers.items()
    }
    return constants | {"minus_infinity": np.array(-np.inf, dtype=np.float32)}


def _weights(weights: Mapping[str, Tensor], settings: TrainSettings) -> dict[str, NDArray[np.generic]]:
    """Return the weights as ONNX's LSTM wants them: directions stacked, gates in its order."""
    arrays = {name: weight.numpy() for name, weight in weights.items()}
    found: dict[str, NDArray[np.generic]] = {
        "embedding": arrays["embedding.weight"],
        "linear_weight": arrays["linear.weight"],
        "linear_bias": arrays["linear.bias"],
    }
    for layer in range(settings.n_layers):
        suffixes = [f"l{layer}", f"l{layer}_reverse"] if settings.bidirectional else [f"l{layer}"]
        for ours, kind in (("w", "weight_ih"), ("r", "weight_hh")):
            found[f"{ours}_{layer}"] = np.stack([_gates(arrays[f"lstm.{kind}_{suffix}"]) for suffix in suffixes])
        biases = [[_gates(arrays[f"lstm.{kind}_{suffix}"]) for kind in ("bias_ih", "bias_hh")] for suffix in suffixes]
        found[f"b_{layer}"] = np.stack([np.concatenate(pair) for pair in biases])
    return found


def _gates(stacked: NDArray[np.float32]) -> NDArray[np.float32]:
    # torch stacks input, forget, cell, output; ONNX input, output, forget, cell.
    into, forget, cell, out = np.split(stacked, 4)
    return np.concatenate([into, out, forget, cell])
