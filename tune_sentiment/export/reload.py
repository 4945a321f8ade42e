"""Print the validation loss of a bundle: `python -m tune_sentiment.export.reload`, both paths as JSON on stdin."""

import gc
import json
import sys
from pathlib import Path

import numpy as np
import torch

from tune_sentiment.data.dataset import Split
from tune_sentiment.export.bundle import read_bundle
from tune_sentiment.training.evaluation import evaluate


def loss_of(bundle: str, arrays: str) -> float:
    """Return the loss of the model in `bundle` on the split saved in `arrays`, computed on one thread."""
    torch.set_num_threads(1)
    read = read_bundle(Path(bundle))
    with np.load(arrays, allow_pickle=False) as saved:
        split = Split(saved["token_ids"], saved["offsets"], saved["labels"])
    return evaluate(read.build_model(), split, read.settings).loss


if __name__ == "__main__":
    asked = sys.stdin.read()
    if asked:  # nothing is asked when the process that started this one has ended
        sys.stdout.write(f"{loss_of(*json.loads(asked))!r}\n")
    gc.freeze()  # nothing is left to be looked through for garbage at the end, which takes as long as the work
