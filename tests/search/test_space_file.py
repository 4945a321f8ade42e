"""The files of search spaces: every way in which one can be wrong, and what is said of it."""

from pathlib import Path

import pytest

from tune_sentiment.errors import SettingsError
from tune_sentiment.search.space import load_space


def refusal_of(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(SettingsError) as caught:
        load_space(str(path))
    message = str(caught.value)
    assert "mine.yaml" in message and "\n" not in message
    return message


def test_every_problem_of_a_file_is_shown_at_once(tmp_path):
    message = refusal_of(
        tmp_path,
        """
serch: {}
search:
  hiden_dim: {type: int, low: 1, high: 2}
  embedding_dim: {type: int, low: 500, high: 50}
  lr: {type: float, low: 0, high: 0.01, log: true}
  clip: {type: float, low: 1.0, high: 10.0, log: true, step: 0.5}
  pooling: {type: categorical, choices: []}
  n_layers: {type: integer, low: 1, high: 3}
  dropout: {type: float, low: 0.0, high: 1.5}
fixed:
  batchsize: 50
  seq_length: long
""",
    )
    for said in (
        "unknown key: 'serch' (did you mean `search`?)",
        "unknown hyperparameter in `search`: 'hiden_dim' (did you mean `hidden_dim`?)",
        "`embedding_dim`: low must be at most high, got low=500 and high=50",
        "`lr`: a log range must start above 0, got low=0.0",
        "`clip`: a log range has no step, got step=0.5",
        "`pooling.choices`: list should have at least 1 item",
        "`n_layers.type` must be int, float or categorical, got 'integer'",
        "`dropout.high`: input should be less than 1, got 1.5",
        "unknown hyperparameter in `fixed`: 'batchsize' (did you mean `batch_size`?)",
        "`fixed.seq_length`: input should be a valid integer, got 'long'",
    ):
        assert said in message, said


@pytest.mark.parametrize(
    ("searched", "said"),
    [
        ("lr: {type: float, low: 1e-4, high: 0.01}", "`lr.low`: input should be a valid number"),
        ("lr: {type: float, low: 1e-4, high: 0.01}", "YAML reads 1e-4 as text: write 1.0e-4"),
        ("lr: {type: float, low: 0.001}", "`lr.high` is missing"),
        ("lr: {type: float, low: 0.001, high: .inf}", "`lr.high`: input should be a finite number"),
        ("lr: {type: float, low: .nan, high: 1.0}", "`lr.low`: input should be a finite number"),
        ("lr: {type: float, low: 0.001, high: true}", "`lr.high`: input should be a valid number, got True"),
        ("lr: {type: float, low: 0.001, high: 11.0}", "`lr.high`: input should be less than or equal to 10"),
        ("lr: {type: float, low: 0.001, high: 0.01, logg: true}", "unknown key in `lr`: 'logg' (did you mean `log`?)"),
        ("lr: {type: float, low: 0.001, high: 0.01, log: maybe}", "`lr.log`: input should be a valid boolean"),
        ("lr: 0.01", "`lr` must be a map such as {type: int, low: 1, high: 3}, got 0.01"),
        ("lr: {type: [float], low: 1, high: 2}", "`lr.type` must be int, float or categorical, got ['float']"),
        ("lr: {low: 0.1, high: 0.2}", "`lr.type` must be int, float or categorical, got None"),
        ("clip: {type: float, low: 1.0, high: 2.0, step: 0.3}", "steps of 0.3 from 1.0 do not reach high=2.0"),
        ("clip: {type: float, low: 1.0, high: 2.0, step: 0.0}", "`clip.step`: input should be greater than 0"),
        ("clip: {type: categorical, choices: [1.0, .inf]}", "`clip.choices`: must be a finite number, got inf"),
        ("hidden_dim: {type: float, low: 32.0, high: 64.0}", "`hidden_dim` is a whole number, got type: float"),
        ("hidden_dim: {type: int, low: 32.5, high: 64}", "`hidden_dim.low`: input should be a valid integer"),
        ("hidden_dim: {type: int, low: 0, high: 64, log: true}", "a log range must start above 0, got low=0"),
        ("hidden_dim: {type: int, low: 10, high: 95, step: 10}", "do not reach high=95 (the last is 90)"),
        ("hidden_dim: {type: categorical, choices: [32, 32]}", "`hidden_dim.choices` holds 32 twice"),
        ("hidden_dim: {type: categorical, choices: [[1], {a: 2}]}", "`hidden_dim.choices`: input should be a valid"),
        ("hidden_dim: {type: categorical, choices: 32}", "`hidden_dim.choices`: input should be a valid list"),
        ("pooling: {type: categorical, choices: [median]}", "should be 'last', 'mean' or 'max', got 'median'"),
        ("bidirectional: {type: int, low: 0, high: 1}", "`bidirectional.low`: input should be a valid boolean, got 0"),
        ("epochs: {type: int, low: 1, high: 4}", "`epochs` cannot be searched"),
        ("report_every: {type: int, low: 1, high: 4}", "`report_every` cannot be searched"),
        ("precision: {type: categorical, choices: [float32, bfloat16]}", "`precision` cannot be searched"),
        ("7: {type: int, low: 1, high: 4}", "unknown hyperparameter in `search`: 7"),
    ],
)
def test_a_wrong_hyperparameter_is_named_with_its_value(tmp_path, searched, said):
    assert said in refusal_of(tmp_path, f"search:\n  {searched}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it must be a map of `search` and `fixed`, got None"),
        ("[1, 2]", "it must be a map of `search` and `fixed`, got [1, 2]"),
        ("fixed: {epochs: 3}", "`search` must name at least one hyperparameter"),
        ("search: {}", "`search` must name at least one hyperparameter"),
        ("search: [lr, clip]", "`search` must be a map of hyperparameters, got ['lr', 'clip']"),
        ("search: {lr: {type: float, low: 1, high: 2}}\nfixed: {lr: 0.5}", "`lr` stands in both `search` and `fixed`"),
        ("search: {lr: {type: float, low: 1, high: 2}}\nfixed: {epochs: '4'}", "`fixed.epochs`: input should be a"),
        (
            "search: {lr: {type: float, low: 1, high: 2}}\nfixed: {precision: half}",
            "`fixed.precision`: input should be",
        ),
        ("search: {lr: {type: float, low: 1, high: 2}}\nfixed: {carry_hidden: 1}", "`fixed.carry_hidden`"),
        ("search: {lr: {type: float, low: 1, high: 2, low: 3}}", "'low' stands twice (again in line 1)"),
        ("search: {lr: {type: float, low: 1, high: 2}}\nsearch: {}", "'search' stands twice (again in line 2)"),
        ("search:\n\tlr: 3", "cannot start any token in line 2, column 1"),
        ("search: !!python/object/apply:os.getcwd []", "could not determine a constructor for the tag"),
        ("a: &a [1]\nb: [*a, *a]", "aliases (*name) are not read in line 2"),
        ("search: {lr: {type: float, low: 0x" + "f" * 30000 + ", high: 2}}", "the number is too long"),
        ("search: " + "[" * 5000, "too deeply nested"),
        ("search: 2026-13-45", "must be plain YAML"),
        ("search: 1\n---\nsearch: 2", "expected a single document"),
        ("# " + "x" * 70_000, "must be at most 65536 bytes"),
        (b"search: \xff\xfe", "must be plain YAML"),
        ("search: \x00", "must be plain YAML"),
        ("search: {? [1, 2] : 3}", "found unhashable key"),
    ],
)
def test_a_file_that_is_no_plain_space_is_refused_in_one_line(tmp_path, text, said):
    assert said in refusal_of(tmp_path, text)


def test_a_huge_value_does_not_flood_the_message(tmp_path):
    message = refusal_of(
        tmp_path, f"search: {{lr: {{type: float, low: {'a' * 30_000}, high: 1}}}}\nfixed: {'b' * 9000}"
    )
    assert len(message) < 600


def test_of_very_many_problems_the_first_are_named_and_the_others_counted(tmp_path):
    message = refusal_of(tmp_path, "".join(f"wrong{number}: 1\n" for number in range(500)))
    assert "unknown key: 'wrong19'" in message and "wrong20" not in message
    assert "; and 481 more; in" in message
