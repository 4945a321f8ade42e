"""What a time budget keeps back for its end grows with what is to be scored."""

import numpy as np
import pytest

from tune_sentiment.config import TrainSettings
from tune_sentiment.data.dataset import Split, load_dataset
from tune_sentiment.search import budget
from tune_sentiment.search.budget import EXPORT_SECONDS, SCORED_PER_SECOND, seconds_of_end


def long_reviews(count: int) -> Split:
    offsets = np.arange(count + 1, dtype=np.int64) * 1000
    return Split(np.ones(count * 1000, dtype=np.int32), offsets, np.zeros(count, dtype=np.int8))


@pytest.mark.parametrize(("cpus", "scoring"), [(1, 50.0), (2, 25.0), (0.5, 50.0)])
def test_the_words_that_are_read_are_paid_for_twice(
    cpus: float, scoring: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset("demo")
    count = 50 * SCORED_PER_SECOND // 200 // 4
    object.__setattr__(dataset, "test", long_reviews(count))
    object.__setattr__(dataset, "validation", long_reviews(count))
    monkeypatch.setattr(budget, "this_machine", lambda: type("Machine", (), {"cpus": cpus}))
    settings = TrainSettings(seq_length=200)
    assert seconds_of_end(dataset, settings, 1.0) == pytest.approx(EXPORT_SECONDS + scoring)
    assert seconds_of_end(dataset, settings, 20.0) == pytest.approx(20.0 + scoring)
