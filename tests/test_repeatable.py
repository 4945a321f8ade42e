"""With one trial at a time, two searches of one seed are the same search, to the last bit."""

from pathlib import Path

import pytest

from tune_sentiment import api
from tune_sentiment.search import sampler

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


def test_two_searches_of_one_seed_try_the_same_settings_with_the_same_losses(
    corpus: Path, space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "STARTUP_TRIALS", 4)  # the rest is what TPE makes of the losses
    first, second = (
        api.search(
            str(corpus), space=space, trials=10, seed=5, max_concurrent=1, confirm_top=1, confirm_seeds=1,
            name=name, storage=str(tmp_path), dashboard=False,
        ).outcome
        for name in ("first", "second")
    )  # fmt: skip
    assert len(first.records) == 10
    for mine, other in zip(
        (*first.records, *first.confirmations), (*second.records, *second.confirmations), strict=True
    ):
        assert (mine.setting, mine.seed, mine.fate, mine.curve) == (other.setting, other.seed, other.fate, other.curve)
    assert first.winner is not None and first.winner == second.winner
