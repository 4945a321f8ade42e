"""Checkpoints: a resumed run equals an uninterrupted one, damage is named, nothing is unpickled."""

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.conftest import NEEDS_BFLOAT16, VOCAB_SIZE
from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import StudyError
from tune_sentiment.training import optimizer
from tune_sentiment.training.checkpoint import load_state, load_weights, save_state, save_weights, settings_of
from tune_sentiment.training.loop import Progress, TrainingData, start, train

SMALL = TrainSettings(
    embedding_dim=12, hidden_dim=10, n_layers=2, epochs=3, batch_size=10, seq_length=16, report_every=7, lr=0.01
)


def without_time(progress: Progress) -> Progress:
    return replace(progress, seconds=0.0, reviews_per_second=0.0)


@pytest.mark.parametrize("precision", ["float32", pytest.param("bfloat16", marks=NEEDS_BFLOAT16)])
@pytest.mark.parametrize("carry_hidden", [False, True])
@pytest.mark.parametrize("interrupted_after", [1, 3, 4, 9])
@pytest.mark.parametrize("when_read", [False, True])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_last_bit(
    data: TrainingData,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupted_after: int,
    carry_hidden: bool,
    precision: str,
    when_read: bool,
) -> None:
    settings = SMALL.model_copy(update={"carry_hidden": carry_hidden, "precision": precision})
    if when_read:
        monkeypatch.setattr(optimizer, "SMALL", 0)
        monkeypatch.setattr(optimizer, "STEPS_AT_ONCE", 10)
    whole = start(settings, VOCAB_SIZE, seed=5)
    expected = [without_time(progress) for progress in train(whole, data)]

    first = start(settings, VOCAB_SIZE, seed=5)
    reports = train(first, data)
    seen = [without_time(next(reports)) for _ in range(interrupted_after)]
    save_state(first, tmp_path / "state.pt")
    torch.manual_seed(999)  # what another process would have
    second = load_state(tmp_path / "state.pt")
    seen += [without_time(progress) for progress in train(second, data)]

    assert seen == expected
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name]), name


def test_the_time_of_earlier_sessions_is_counted(data: TrainingData, tmp_path: Path) -> None:
    state = start(SMALL, VOCAB_SIZE, seed=5)
    before = next(train(state, data)).seconds
    save_state(state, tmp_path / "state.pt")
    assert load_state(tmp_path / "state.pt").seconds == before > 0


def test_a_checkpoint_names_its_settings_with_the_precision_that_auto_became(tmp_path: Path) -> None:
    save_state(start(SMALL, VOCAB_SIZE, seed=5), tmp_path / "state.pt")
    assert SMALL.precision == "auto"
    assert settings_of(tmp_path / "state.pt") == SMALL.model_copy(update={"precision": "float32"})


@pytest.mark.parametrize("damage", ["truncated", "empty", "missing", "text"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.pt"
    save_state(start(SMALL, VOCAB_SIZE, seed=5), path)
    content = path.read_bytes()
    {
        "truncated": lambda: path.write_bytes(content[: len(content) // 2]),
        "empty": lambda: path.write_bytes(b""),
        "missing": path.unlink,
        "text": lambda: path.write_text("not a checkpoint"),
    }[damage]()
    with pytest.raises(StudyError, match=r"a checkpoint must be whole: .*state\.pt is not .*start that trial again"):
        load_state(path)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state(start(SMALL, VOCAB_SIZE, seed=5), path)
    content = torch.load(path, weights_only=True)
    torch.save({**content, "format_version": 99}, path)
    with pytest.raises(StudyError, match=r"of format 2: .* is of 99"):
        load_state(path)


class Planted:
    """A pickle that writes a file when it is run."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.proof), "w"))


@pytest.mark.parametrize("loader", [load_state, load_weights])
def test_a_planted_pickle_is_refused_and_not_run(tmp_path: Path, loader: object) -> None:
    path, proof = tmp_path / "state.pt", tmp_path / "proof"
    for save in (lambda: path.write_bytes(pickle.dumps(Planted(proof))), lambda: torch.save(Planted(proof), path)):
        save()
        with pytest.raises(StudyError):
            loader(path)  # type: ignore[operator]
        assert not proof.exists()


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    weights = start(SMALL, VOCAB_SIZE, seed=5).model.state_dict()
    save_weights(weights, tmp_path / "best.pt")
    loaded = load_weights(tmp_path / "best.pt")
    assert all(torch.equal(loaded[name], weight) for name, weight in weights.items())


def test_a_save_that_fails_leaves_the_old_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.pt"
    save_state(start(SMALL, VOCAB_SIZE, seed=5), path)
    before = path.read_bytes()

    def half_written(content: object, beside: Path) -> None:
        beside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", half_written)
    with pytest.raises(OSError, match="No space left"):
        save_state(start(SMALL, VOCAB_SIZE, seed=6), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.pt"]


def test_checkpoints_have_the_rights_that_the_users_umask_gives(tmp_path: Path) -> None:
    state = start(SMALL, VOCAB_SIZE, seed=5)
    before = os.umask(0o027)
    try:
        save_state(state, tmp_path / "state.pt")
        save_weights(state.model.state_dict(), tmp_path / "best.pt")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o640, 0o640]
