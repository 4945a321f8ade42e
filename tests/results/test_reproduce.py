import json

import pytest

from tune_sentiment.results.reproduce import command_line, request_sections, script_json


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["python", "-m", "tune_sentiment", "search", "--data", "my reviews.csv"], "--data 'my reviews.csv'"),
        ("python -m tune_sentiment search", "python -m tune_sentiment search"),
        (None, ""),
    ],
)
def test_the_command_can_be_pasted_into_a_shell(command: object, line: str) -> None:
    assert command_line({"command": command}).endswith(line)
    assert command_line({}) == ""


def test_data_seeds_versions_and_space_come_first_and_all_else_is_shown() -> None:
    sections = request_sections(
        {
            "format_version": 1,
            "budget": {"trials": 30},
            "versions": {"torch": "2.13.0"},
            "command": "x",
            "notes": ["a note"],
            "data": {"reviews": {"train": 10, "test": 2}, "generated": True, "fingerprint": None},
            "space": {"name": "course", "search": {"lr": {"low": 0.1}}},
            "seeds": {"confirm": [1, 2]},
        }
    )
    assert sections == [
        ("Data", [("reviews", "train: 10, test: 2"), ("generated", "yes"), ("fingerprint", "-")]),
        ("Seeds", [("confirm", "1, 2")]),
        ("Versions", [("torch", "2.13.0")]),
        ("Search space", [("name", "course"), ("search", '{"lr": {"low": 0.1}}')]),
        ("Budget", [("trials", "30")]),
        ("Further settings", [("format_version", "1")]),
    ]


def test_odd_requests_are_shown_as_far_as_they_go() -> None:
    assert request_sections({}) == []
    assert request_sections({"data": "demo", "seeds": {}}) == [("Further settings", [("data", "demo")])]
    assert request_sections({"x": [{"a": object}]})[0][1][0][0] == "x"


def test_json_for_a_script_cannot_end_the_script_and_has_no_nan() -> None:
    text = script_json({"a": "</script><!--\u2028", "b": [float("nan"), (1.5, float("inf"))]})
    assert "<" not in text and "\u2028" not in text
    assert json.loads(text) == {"a": "</script><!--\u2028", "b": [None, [1.5, None]]}
