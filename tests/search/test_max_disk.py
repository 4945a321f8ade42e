"""--max-disk, over a whole search whose trials write all that they ever write, at every report."""

import math
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tune_sentiment import api
from tune_sentiment.data.dataset import load_dataset
from tune_sentiment.errors import SettingsError
from tune_sentiment.search import run
from tune_sentiment.search.checkpoints import STATE_COPIES, best_bytes, running_bytes
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.outcome import open_outcome, runs_of
from tune_sentiment.search.space import load_space
from tune_sentiment.search.study import CONFIRMATION_STUDY, SEARCH_STUDY, checkpoint_of, open_storage, read_study
from tune_sentiment.search.trainable import ReviewTrainable
from tune_sentiment.training.checkpoint import BEST_FILE

SPACE = """\
search:
  lr: {type: float, low: 0.001, high: 0.1, log: true}
fixed: {embedding_dim: 64, hidden_dim: 64, epochs: 4, n_layers: 1, seq_length: 20, report_every: 5}
"""
TRIALS, SLOTS, CONFIRMED = 10, 2, 10  # all would be kept, and take twice the limit


def that_saves_always() -> type[ReviewTrainable]:
    """The trainable of the product, with what a resume needs in every checkpoint, and a checkpoint at every report."""

    class Saving(ReviewTrainable):
        def _result(self, *words: Any, **options: Any) -> dict[str, Any]:
            self._saved_at, self._save_seconds = -math.inf, 0.0
            return super()._result(*words, **options)

    return Saving


class Scale:
    """Weighs all checkpoints in a folder again and again, in a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.weights: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._weigh, daemon=True)
        self._thread.start()

    def _weigh(self) -> None:
        while not self._over.wait(0.02):
            self.weights.append(self.now())

    def now(self) -> int:
        size = 0
        for place, _, names in os.walk(self.folder):  # unlike `glob`, it goes on where a folder has just been deleted
            if Path(place).name.startswith("checkpoint_"):
                for name in names:
                    with suppress(FileNotFoundError):
                        size += Path(place, name).stat().st_size
        return size

    def close(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_checkpoints_never_take_more_than_the_limit_and_the_winners_are_there_at_the_end(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE, encoding="utf-8")
    words, largest = load_dataset(str(corpus)).vocabulary.size, load_space(str(space)).largest()
    one = best_bytes(largest, words)
    least = SLOTS * running_bytes(largest, words) + (CONFIRMED + 1 + 2) * one
    asked: dict[str, Any] = {
        "data": str(corpus), "space": str(space), "storage": str(tmp_path), "name": "tight", "trials": TRIALS,
        "max_concurrent": SLOTS, "confirm_top": CONFIRMED, "confirm_seeds": 1,
    }  # fmt: skip
    with pytest.raises(SettingsError, match=r"^--max-disk must hold the checkpoints of 2 running trials"):
        api.plan_search(**asked, max_disk=least - 1)
    monkeypatch.setattr(run, "ReviewTrainable", that_saves_always())
    folder = SearchFolder(tmp_path / "tight")
    scale = Scale(folder.ray_folder)
    try:
        api.search(**asked, max_disk=least, dashboard=False)
    finally:
        scale.close()
    assert max(scale.weights) <= least + (1 + STATE_COPIES) * one
    assert max(scale.weights) > least / 2  # it was looked at while it mattered

    outcome, _ = open_outcome(folder)
    studies = open_storage(folder)
    assert len(outcome.records) == TRIALS and outcome.winner is not None and outcome.bundle is not None
    for run_ in runs_of(outcome.winner, outcome.confirmations):
        assert (checkpoint_of(read_study(studies, CONFIRMATION_STUDY), run_.number, folder) / BEST_FILE).is_file()
    best = min(outcome.records, key=lambda record: record.best_val_loss or math.inf)
    for number in {0, best.number}:
        assert (checkpoint_of(read_study(studies, SEARCH_STUDY), number, folder) / BEST_FILE).is_file()
