"""Print the validation loss of a bundle: `python -m tune_sentiment.export.reload BUNDLE ARRAYS.npz`."""

import sys
from pathlib import Path

import numpy as np
import torch

from tune_sentiment.data.dataset import Split
from tune_sentiment.export.bundle import read_bundle
from tune_sentiment.training.evaluation import evaluate


def main(bundle: str, arrays: str) -> float:
    """Return the loss of the model in `bundle` on the split saved in `arrays`, computed on one thread."""
    torch.set_num_threads(1)
    read = read_bundle(Path(bundle))
    with np.load(arrays, allow_pickle=False) as saved:
        split = Split(saved["token_ids"], saved["offsets"], saved["labels"])
    return evaluate(read.build_model(), split, read.settings).loss


if __name__ == "__main__":
    sys.stdout.write(f"{main(*sys.argv[1:])!r}\n")
