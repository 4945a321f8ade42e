"""A search that is resumed: what stands, what may change, and what is refused."""

import shutil
from pathlib import Path

import pytest

from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.intake import prepare
from tune_sentiment.preparation import Preparation
from tune_sentiment.search.folder import make_folder
from tune_sentiment.search.request import write_request

WIDER = "embedding_dim: {type: int, low: 8, high: 64}"
NARROWER = "embedding_dim: {type: int, low: 10, high: 16}"


@pytest.fixture
def begun(corpus: Path, space: str, tmp_path: Path) -> Preparation:
    preparation = prepare(str(corpus), space=space, name="x", storage=str(tmp_path), trials=7, seed=3)
    make_folder(preparation.folder)
    write_request(preparation.folder, preparation.request)
    return preparation


def changed(space: str, tmp_path: Path, old: str, new: str) -> str:
    text = Path(space).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "changed.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return str(path)


def resume(begun: Preparation, **options: object) -> Preparation:
    return prepare(name="x", storage=str(begun.folder.path.parent), resume=True, **options)  # type: ignore[arg-type]


def test_without_further_words_all_stands_but_the_time_that_is_spent(begun: Preparation) -> None:
    again = resume(begun)
    assert again.request == begun.request
    assert (again.request.seed, again.request.trials, again.space.to_dict()) == (3, 7, begun.space.to_dict())


def test_trials_time_confirmation_and_limits_may_change(begun: Preparation) -> None:
    again = resume(
        begun, trials=9, time_budget="2m", confirm_top=1, confirm_seeds=4, trial_timeout="90s", max_disk="1GB"
    )
    asked = again.request
    assert (asked.trials, asked.time_budget, asked.confirm_top, asked.confirm_seeds) == (9, 120.0, 1, 4)
    assert (asked.resources.trial_timeout, asked.resources.max_disk) == (90.0, 10**9)


def test_data_that_was_moved_is_the_same_data(begun: Preparation, corpus: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    assert resume(begun, data=str(moved)).request.data.source == str(moved)


def test_other_data_is_refused_by_its_fingerprint(begun: Preparation, corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    with (other / "reviews.pos").open("a", encoding="utf-8") as file:
        file.write("one more good film\n")
    with pytest.raises(StudyError, match=r"^a search is continued on the data it began with: .*other now has finger"):
        resume(begun, data=str(other))


def test_another_seed_is_refused(begun: Preparation) -> None:
    assert resume(begun, seed=3).request.seed == 3
    with pytest.raises(StudyError, match=r"^a search keeps its seed: x has 3, got --seed 4: leave it out"):
        resume(begun, seed=4)


def test_the_same_space_in_another_file_is_the_same_space(begun: Preparation, space: str, tmp_path: Path) -> None:
    copy = changed(space, tmp_path, "search:", "# a comment\nsearch:")
    assert resume(begun, space=copy).space == begun.space


def test_a_wider_space_is_refused_with_every_difference_unless_allowed(
    begun: Preparation, space: str, tmp_path: Path
) -> None:
    wider = changed(space, tmp_path, "embedding_dim: {type: int, low: 8, high: 16}", WIDER)
    with pytest.raises(SettingsError, match=r"`embedding_dim` was 8\.\.16, now 8\.\.64: .*with --change-space"):
        resume(begun, space=wider)
    assert resume(begun, space=wider, change_space=True).space.distributions["embedding_dim"].high == 64


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("embedding_dim: {type: int, low: 8, high: 16}", NARROWER, r"`embedding_dim` was 8\.\.16, now 10\.\.16"),
        ("epochs: 6", "epochs: 7", "`epochs` was fixed at 6, now at 7"),
        ("  lr: {type: float, low: 0.01, high: 0.1, log: true}\n", "", r"`lr` was 0\.01\.\.0\.1, now not searched"),
        ("high: 0.1, log: true", "high: 0.1, log: false", "`lr` was"),
    ],
)
def test_a_space_that_is_not_only_wider_is_never_allowed(
    begun: Preparation, space: str, tmp_path: Path, old: str, new: str, difference: str
) -> None:
    other = changed(space, tmp_path, old, new)
    with pytest.raises(SettingsError, match=difference + r".*: only the ends of ranges may move outwards"):
        resume(begun, space=other, change_space=True)


def test_other_epochs_are_another_space(begun: Preparation) -> None:
    assert resume(begun, epochs=6).space == begun.space
    with pytest.raises(SettingsError, match="`epochs` was fixed at 6, now at 9"):
        resume(begun, epochs=9)


def test_a_damaged_search_json_is_named_with_what_is_left_and_nothing_is_begun(begun: Preparation) -> None:
    begun.folder.request_file.write_text('{"format_version": 1, "tria', encoding="utf-8")
    with pytest.raises(StudyError, match=r"^search\.json must be whole: .*x/search\.json is not .*weights in .*ray"):
        resume(begun)
    assert [entry.name for entry in begun.folder.path.iterdir()] == ["search.json"]


def test_search_json_says_what_it_ran_on(begun: Preparation) -> None:
    versions = begun.request.versions
    assert {"python", "torch", "ray", "optuna", "device"} <= versions.keys()
    assert versions["device"]
    if (Path(__file__).parents[1] / ".git").exists():
        assert len(versions["git revision"].rstrip("+")) == 40
