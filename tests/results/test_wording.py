import pytest

from tune_sentiment.results import wording


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("lr", 0.00131, "1.3e-03"),
        ("lr", 0.02, "2.0e-02"),
        ("weight_decay", 0.0, "0"),
        ("clip", 5.0, "5"),
        ("clip", 0.31267, "0.313"),
        ("clip", 1234.56, "1235"),
        ("dropout", 0.001, "1.0e-03"),
        ("clip", 123456.0, "1.2e+05"),
        ("hidden_dim", 256, "256"),
        ("bidirectional", True, "yes"),
        ("pooling", "max", "max"),
        ("clip", None, "-"),
        ("clip", float("nan"), "nan"),
    ],
)
def test_a_hyperparameter_has_at_most_three_digits_and_lr_an_exponent(name: str, value: object, text: str) -> None:
    assert wording.figure(value, name) == text


def test_a_loss_has_four_decimals_unless_it_is_huge_or_missing() -> None:
    assert [wording.loss(value) for value in (0.43128, 123456.0, None, float("inf"))] == [
        "0.4313",
        "1.23e+05",
        "-",
        "-",
    ]


def test_a_share_is_worded_in_percent() -> None:
    assert [wording.percent(0.7891), wording.percent(0.931, 0), wording.percent(None)] == ["78.9 %", "93 %", "-"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.9, "9.9 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (80, "1 min 20 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (None, "-"),
    ],
)
def test_a_duration_carries_over_into_the_next_unit(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


def test_memory_counts_and_settings_read_as_words() -> None:
    assert wording.memory(1_234_000_000) == "1.2 GB"
    assert wording.memory(512_000_000) == "512 MB"
    assert [wording.count(1, "trial"), wording.count(10_000, "trial")] == ["1 trial", "10,000 trials"]
    assert wording.setting_text({"embedding_dim": 300, "lr": 0.0013}) == "embedding_dim=300 lr=1.3e-03"
    assert wording.tally({"asha": 17, "time budget": 2}) == "asha 17, time budget 2"
