"""A process that answers for long, as a server's does, does not grow with what it is asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.export.made_up import SETTINGS
from tune_sentiment.data.vocabulary import Vocabulary
from tune_sentiment.export.bundle import write_bundle
from tune_sentiment.training.model import build_model

ANSWERING = """
import random, sys
from tune_sentiment.export.predict import Predictor

def held():
    return int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0]) / 1000

predictor, chance = Predictor.load(sys.argv[1]), random.Random(0)
for number in range(700):
    if number == 100:
        before = held()
    predictor.predict([" ".join(["film"] * chance.randint(1, 60)) for _ in range(chance.randint(1, 60))])
print(held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
def test_a_process_that_answers_for_long_does_not_grow(tmp_path: Path) -> None:
    """It did by a quarter of a megabyte for each new shape of a batch: oneDNN kept a kernel for each."""
    settings = SETTINGS.model_copy(update={"embedding_dim": 64, "hidden_dim": 64, "seq_length": 60})
    vocabulary = Vocabulary(("film",))
    weights = build_model(settings, vocabulary.size).state_dict()
    write_bundle(
        tmp_path / "best", weights=weights, settings=settings, vocabulary=vocabulary, metrics={}, provenance={}
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONEDNN_")}
    done = subprocess.run(
        [sys.executable, "-c", ANSWERING, str(tmp_path / "best")],
        capture_output=True, text=True, timeout=100, env=environment | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 30, "megabytes"
