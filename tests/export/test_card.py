import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

import tune_sentiment
from tune_sentiment.config import TrainSettings
from tune_sentiment.export.card import model_card
from tune_sentiment.export.plain import plain
from tune_sentiment.export.predict import Predictor
from tune_sentiment.export.scoring import score
from tune_sentiment.search.records import ConfirmedSetting

METRICS = {
    "validation": {"loss": 0.4123, "accuracy": 0.8105, "reviews": 1066},
    "test": {"loss": 0.4456, "accuracy": 0.79, "f1": 0.7812, "auc": 0.8634, "calibration_error": 0.0512},
    "seconds_per_review": 0.00125,
}
WINNER = ConfirmedSetting(
    trial=17,
    setting={"lr": 0.002},
    is_course=False,
    search_val_loss=0.4001,
    seeds=(1, 2, 3),
    val_losses=(0.41, 0.42, 0.43),
    test_losses=(0.44, 0.45, 0.46),
    test_accuracies=(0.78, 0.79, 0.80),
)
COURSE = ConfirmedSetting(
    trial=0, setting={}, is_course=True, search_val_loss=0.52, seeds=(1,), val_losses=(0.51,), test_accuracies=(0.75,)
)
PROVENANCE = {
    "data": {
        "source": "/data/rt-polarity",
        "name": "rt-polarity",
        "generated": False,
        "fingerprint": "ab" * 32,
        "reviews": {"train": 8530, "validation": 1066, "test": 1066},
    },
    "vocabulary": {"words": 20123},
    "search": {
        "name": "quiet-otter",
        "trials": 30,
        "seconds": 3754.2,
        "space": {"lr": {"type": "float", "low": 0.0001, "high": 0.01, "log": True}, "n_layers": [1, 3]},
        "seed": 5,
        "command": "tune-sentiment search --data /data/rt-polarity",
    },
    "run": {"seed": 3, "best_step": 1200},
    "winner": plain(asdict(WINNER)),
    "course": plain(asdict(COURSE)),
    "versions": {"torch": "2.13.0", "ray": "2.60.0"},
    "created": "2025-11-23T21:00:00Z",
}


def section(card: str, title: str) -> str:
    return card.split(f"## {title}\n")[1].split("\n## ")[0]


def test_a_full_card_says_everything_that_is_known() -> None:
    card = model_card(TrainSettings(hidden_dim=100, seq_length=321), METRICS, PROVENANCE)
    assert card.startswith("# Sentiment of reviews")
    assert "LSTM (2 layers, hidden_dim 100, read from the start)" in card
    assert "Made on `2025-11-23T21:00:00Z`." in card

    figures = section(card, "Figures")
    assert "| validation | 1,066 | 0.4123 | 81.05 % | 78.59 to 83.29 % |  |  |  |" in figures
    # The number of test reviews is taken from the data where the scores do not tell it.
    assert "| test | 1,066 | 0.4456 | 79.00 % | 76.45 to 81.34 % | 0.781 | 0.863 | 0.051 |" in figures
    assert "| seconds_per_review | 0.00125 |" in figures

    compared = section(card, "Compared with the course's setting")
    assert "| this model's setting (trial 17) | 3 | 0.4200 ± 0.0100 | 79.00 ± 1.00 % | 0.4001 |" in compared
    assert "| course (trial 0) | 1 | 0.5100 | 75.00 % | 0.5200 |" in compared

    data = section(card, "Data")
    assert "| name | `rt-polarity` |" in data
    assert "| source | `/data/rt-polarity` |" in data
    assert "| reviews | 8,530 train, 1,066 validation, 1,066 test |" in data
    assert "| words in the vocabulary | 20,123 |" in data
    assert "ab" * 32 in data

    search = section(card, "How it was found")
    assert "| trials | 30 |" in search
    assert "| time | 1 h 2 min |" in search
    assert "| space: lr | `type float, low 0.0001, high 0.01, log True` |" in search
    assert "| space: n_layers | `1 / 3` |" in search
    assert "| command | `tune-sentiment search --data /data/rt-polarity` |" in search
    assert "| its best step | 1,200 |" in search

    assert "| hidden_dim | 100 | 256 |" in section(card, "Settings")
    assert "the first 321 words" in section(card, "Limits")
    assert "whoever owns them" in section(card, "Licence")
    assert "| torch | 2.13.0 |" in section(card, "Made with")


def test_a_card_of_nothing_known_has_no_empty_table_and_no_empty_claim() -> None:
    card = model_card(TrainSettings(n_layers=1, bidirectional=True), {}, {})
    titles = re.findall(r"^## (.*)$", card, flags=re.MULTILINE)
    assert titles == ["Settings", "Limits", "Use", "Licence"]
    assert "LSTM (1 layer, hidden_dim 256, read both ways)" in card
    assert "None" not in card
    assert "found" not in card.split("## ")[0]


def test_figures_without_a_count_have_no_interval() -> None:
    figures = section(model_card(TrainSettings(), {"test": {"accuracy": 0.79}}, {}), "Figures")
    assert "| split | accuracy |\n|---|---|\n| test | 79.00 % |" in figures
    assert "interval" not in figures
    # Nobody said that the test split was kept away from a choice.
    assert "not looked at" not in figures


def test_the_interval_is_that_of_the_scores() -> None:
    scores = score([0.9] * 79 + [0.1] * 21, [1] * 100)
    figures = section(model_card(TrainSettings(), {"test": plain(scores)}, {}), "Figures")
    low, high = 100 * scores.accuracy_low, 100 * scores.accuracy_high
    assert f"| 100 | {scores.loss:.4f} | 79.00 % | {low:.2f} to {high:.2f} % |" in figures
    assert "ROC AUC" not in figures  # undefined: all labels are the same


def test_generated_reviews_are_called_so_wherever_it_matters() -> None:
    card = model_card(TrainSettings(), {}, {"data": {"name": "demo", "generated": True}})
    assert "`demo` (generated by a program, not written by people)" in section(card, "Data")
    assert "trained on generated text" in section(card, "Limits")
    assert "whoever owns them" not in section(card, "Licence")


def test_hostile_names_cannot_break_out_of_their_cell() -> None:
    name = "x` | <script>alert(1)</script>\n\n# Owned"
    card = model_card(
        TrainSettings(),
        {name: 3},
        {"data": {"name": name, "source": name}, "versions": {name: name}, "search": {"space": {name: name}}},
    )
    assert "\n# Owned" not in card
    for row in [line for line in card.splitlines() if line.startswith("|") and "Owned" in line]:
        outside_code = re.sub(r"`[^`]*`", "", row)
        assert "<script>" not in outside_code
        assert len(re.findall(r"(?<!\\)\|", row)) == 3


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
NAMES = (
    "loss accuracy reviews f1 name source generated train trials seconds space seed command trial val_losses "
    "test_accuracies search_val_loss words best_step"
)
parts = st.dictionaries(st.sampled_from(NAMES.split()), anything)


@effort(deadline=None)
@given(
    metrics=st.dictionaries(st.sampled_from(["validation", "test", "other"]), parts | anything),
    provenance=st.dictionaries(
        st.sampled_from(["data", "search", "run", "winner", "course", "versions", "created", "vocabulary"]),
        parts | anything,
    ),
)
def test_whatever_is_known_gives_a_card(metrics: dict[str, Any], provenance: dict[str, Any]) -> None:
    card = model_card(TrainSettings(), metrics, provenance)
    assert "## Use" in card
    assert not re.search(r"\bnan\b|\binf\b", section(card, "Figures") if "## Figures" in card else "")


def test_the_python_lines_of_the_card_run_in_the_bundles_folder(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bundle)
    monkeypatch.setattr(tune_sentiment, "load", Predictor.load, raising=False)
    (code,) = re.findall(r"```python\n(.*?)```", (bundle / "README.md").read_text(), flags=re.DOTALL)
    exec(code, {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.match(r"(positive|negative) [01]\.\d+ \d+", line) for line in lines)
