"""What is the same to the last bit: two searches of one seed, one trial at a time, and a trial trained again."""

from pathlib import Path

import pytest

from tune_sentiment import api
from tune_sentiment.search import sampler
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.idle_cores import same_losses
from tune_sentiment.search.outcome import SESSIONS
from tune_sentiment.search.resources import this_machine
from tune_sentiment.search.study import SEARCH_STUDY, open_storage, read_study

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


@pytest.mark.skipif(not same_losses(), reason="this processor computes otherwise on other numbers of threads")
@pytest.mark.skipif(this_machine().cpus < 2, reason="no core is idle beside a trial")
def test_a_trial_takes_over_the_cores_of_idle_slots_and_can_be_repeated_to_the_last_bit(
    corpus: Path, tmp_path: Path
) -> None:
    space = tmp_path / "one.yaml"
    space.write_text(
        "search: {lr: {type: float, low: 0.001, high: 0.01}}\n"
        "fixed: {embedding_dim: 64, hidden_dim: 96, n_layers: 1, epochs: 10, seq_length: 20, report_every: 25}\n"
    )
    outcome = api.search(
        str(corpus), space=str(space), trials=1, confirm_top=0, max_concurrent=2,
        name="alone", storage=str(tmp_path), dashboard=False,
    ).outcome  # fmt: skip
    (trial,) = outcome.records
    assert len(trial.curve) == 4
    folder = SearchFolder(tmp_path / "alone")
    (session,) = read_study(open_storage(folder), SEARCH_STUDY).user_attrs[SESSIONS]
    assert session["busy_seconds"] > 1.2 * trial.seconds
    _, _, progresses = api.retrain("alone", 0, storage=str(tmp_path))
    assert tuple((progress.step, progress.val_loss) for progress in progresses) == trial.curve
