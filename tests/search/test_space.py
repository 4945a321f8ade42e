"""The search spaces: what their files may say, and where the course's setting lands in them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import SettingsError
from tune_sentiment.search.space import Space, load_space, shipped_spaces, space_from_dict


def space_of(tmp_path: Path, text: str) -> Space:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(str(path))


def test_the_course_space_is_the_table_of_the_design():
    space = load_space("course")
    assert space.name == "course"
    assert space.distributions == {
        "embedding_dim": IntDistribution(50, 500),
        "hidden_dim": IntDistribution(32, 512, log=True),
        "n_layers": IntDistribution(1, 3),
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "clip": FloatDistribution(0.25, 10, log=True),
    }
    assert space.fixed == {"epochs": 4, "batch_size": 50, "seq_length": 200, "report_every": 100}


def test_the_courses_setting_lies_inside_the_course_and_the_wide_space():
    for name in ("course", "wide"):
        space = load_space(name)
        params, differences = space.course_point()
        assert differences == []
        assert space.settings(params) == TrainSettings()


def test_the_demo_space_says_what_it_makes_of_the_courses_setting():
    params, differences = load_space("demo").course_point()
    assert params == {"embedding_dim": 64, "hidden_dim": 64, "n_layers": 2, "lr": 0.001, "clip": 5.0}
    assert differences == [
        "`embedding_dim` 64 for 400 (16..64 is searched)",
        "`hidden_dim` 64 for 256 (16..64 is searched)",
        "`epochs` 5 for 4 (fixed)",
        "`seq_length` 60 for 200 (fixed)",
    ]


def test_the_wide_space_searches_the_readout_and_what_goes_with_it():
    searched = load_space("wide").distributions
    assert set(load_space("course").distributions) < set(searched)
    assert searched["pooling"] == CategoricalDistribution(("last", "mean", "max"))
    assert searched["bidirectional"] == CategoricalDistribution((False, True))
    assert searched["batch_size"] == CategoricalDistribution((25, 50, 100))
    assert {"seq_length", "dropout", "weight_decay"} < set(searched)


@pytest.mark.parametrize("name", ["demo", "course", "wide"])
def test_a_point_of_a_shipped_space_is_a_valid_trial_of_optuna(name):
    space = load_space(name)
    params, _ = space.course_point()
    trial = create_trial(params=params, distributions=space.distributions, value=0.5)
    assert trial.params == params


def test_the_largest_setting_takes_the_most_memory_and_trains_like_the_course():
    largest = load_space("wide").largest()
    assert (largest.embedding_dim, largest.hidden_dim, largest.n_layers) == (500, 512, 3)
    assert (largest.batch_size, largest.seq_length) == (100, 500)
    assert (largest.pooling, largest.bidirectional) == ("mean", True)
    assert (largest.lr, largest.clip) == (0.001, 5.0)


def test_values_that_nobody_names_are_the_courses(tmp_path):
    space = space_of(tmp_path, "search:\n  lr: {type: float, low: 0.001, high: 0.01}\n")
    assert space.fixed == {}
    assert space.settings({"lr": 0.002}) == TrainSettings(lr=0.002)


def test_a_trial_with_an_unknown_hyperparameter_is_refused():
    with pytest.raises(SettingsError, match=r"`hidden`.* in the space 'course'"):
        load_space("course").settings({"hidden": 3})


def test_clamping_keeps_to_steps_choices_and_bounds(tmp_path):
    space = space_of(
        tmp_path,
        """
search:
  embedding_dim: {type: int, low: 10, high: 100, step: 30}
  dropout: {type: float, low: 0.0, high: 0.7, step: 0.1}
  clip: {type: float, low: 0.25, high: 2.0, log: true}
  batch_size: {type: categorical, choices: [20, 64, 128]}
  pooling: {type: categorical, choices: [max, mean]}
""",
    )
    inside, differences = space.clamp(
        {"embedding_dim": 60, "dropout": 0.32, "clip": 5.0, "batch_size": 50, "pooling": "last", "lr": 0.5}
    )
    assert inside == {"embedding_dim": 70, "dropout": 0.3, "clip": 2.0, "batch_size": 64, "pooling": "max"}
    assert differences == [
        "`embedding_dim` 70 for 60 (10..100 in steps of 30 is searched)",
        "`dropout` 0.3 for 0.32 (0.0..0.7 in steps of 0.1 is searched)",
        "`clip` 2.0 for 5.0 (0.25..2.0 is searched)",
        "`batch_size` 64 for 50 (20, 64, 128 is searched)",
        "`pooling` max for last (max, mean is searched)",
    ]


@given(
    low=st.integers(1, 50),
    step=st.integers(1, 20),
    steps=st.integers(0, 20),
    value=st.integers(1, 8192),
)
def test_a_clamped_whole_number_is_the_nearest_one_of_the_grid(low, step, steps, value):
    space = Space("grid", {"hidden_dim": IntDistribution(low, low + step * steps, step=step)}, {})
    inside, differences = space.clamp({"hidden_dim": value})
    grid = range(low, low + step * steps + 1, step)
    assert inside["hidden_dim"] in grid
    assert abs(inside["hidden_dim"] - value) == min(abs(point - value) for point in grid)
    assert bool(differences) == (value not in grid)


def test_an_override_fixes_a_value_and_no_longer_searches_it():
    space = load_space("course").override(epochs=2, n_layers=1)
    assert "n_layers" not in space.distributions
    assert (space.fixed["epochs"], space.fixed["n_layers"]) == (2, 1)
    assert load_space("course").fixed["epochs"] == 4


@pytest.mark.parametrize(
    ("fixed", "said"),
    [
        ({"epochs": 0}, "`epochs`: input should be greater than or equal to 1, got 0"),
        ({"epoch": 3}, "`epoch`"),
    ],
)
def test_an_override_that_no_run_can_have_is_refused(fixed, said):
    with pytest.raises(SettingsError, match=said):
        load_space("course").override(**fixed)


def test_an_override_that_leaves_nothing_to_search_is_refused(tmp_path):
    space = space_of(tmp_path, "search: {lr: {type: float, low: 0.001, high: 0.01}}")
    with pytest.raises(SettingsError, match=r"something to search: lr=0\.002 fixes it all"):
        space.override(lr=0.002)


@pytest.mark.parametrize("name", ["demo", "course", "wide"])
def test_a_space_survives_being_recorded_as_json(name):
    space = load_space(name)
    assert space_from_dict(json.loads(json.dumps(space.to_dict())), "search.json") == space


def test_the_fingerprint_follows_the_meaning_and_not_the_text(tmp_path):
    first = space_of(tmp_path, "search: {lr: {type: float, low: 0.001, high: 0.01}}\nfixed: {clip: 5, epochs: 2}")
    same = space_of(
        tmp_path,
        "# the course's clip need not be named\nfixed:\n  epochs: 2\nsearch:\n  lr:\n    high: 0.01\n    low: 0.001\n"
        "    type: float\n    log: false\n",
    )
    other = space_of(tmp_path, "search: {lr: {type: float, low: 0.001, high: 0.02}}\nfixed: {epochs: 2}")
    assert first.fingerprint() == same.fingerprint() != other.fingerprint()
    assert first.override(epochs=3).fingerprint() != first.fingerprint()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(SettingsError, match="'corse': give a YAML file, or one of course, demo, wide"):
        load_space("corse")


def test_a_folder_is_not_a_space(tmp_path):
    with pytest.raises(SettingsError, match="a search space must be readable"):
        load_space(str(tmp_path))


def test_a_shipped_name_wins_over_a_file_of_the_same_name(tmp_path, monkeypatch):
    (tmp_path / "course").write_text("search: {}")
    monkeypatch.chdir(tmp_path)
    assert load_space("course").distributions["n_layers"] == IntDistribution(1, 3)


def test_the_shipped_spaces_are_found_beside_the_package_and_inside_it(tmp_path):
    package = Path(__file__).parents[2] / "tune_sentiment"
    installed = tmp_path / "tune_sentiment"
    shutil.copytree(package, installed, ignore=shutil.ignore_patterns("__pycache__"))
    (installed / "search_spaces").mkdir()
    (installed / "search_spaces" / "course.yaml").write_bytes(shipped_spaces()["course"].read_bytes())
    program = "from tune_sentiment.search.space import load_space; print(load_space('course').fingerprint())"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == load_space("course").fingerprint()
