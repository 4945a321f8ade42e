from collections.abc import Callable
from dataclasses import replace

from tune_sentiment.results.failures import failure_groups, in_common
from tune_sentiment.search.records import Outcome, TrialRecord

RecordOf = Callable[..., TrialRecord]


def trials(record_of: RecordOf, failing: range, total: int = 40) -> list[TrialRecord]:
    """Return `total` trials of rising lr, all alike otherwise; those numbered in `failing` diverged."""
    records = [record_of(number, setting={"lr": 0.001 * (number + 1), "pooling": "max"}) for number in range(total)]
    return [replace(one, fate="failed", reason="diverged") if one.number in failing else one for one in records]


def test_failed_trials_are_grouped_by_reason_the_most_frequent_first(record_of: RecordOf) -> None:
    records = trials(record_of, range(30, 34))
    records[3] = replace(records[3], fate="failed", reason="out of memory")
    groups = failure_groups(records)
    assert [(group.reason, [one.number for one in group.records]) for group in groups] == [
        ("diverged", [30, 31, 32, 33]),
        ("out of memory", [3]),
    ]


def test_a_narrow_range_that_holds_all_failures_is_told(record_of: RecordOf) -> None:
    records = trials(record_of, range(35, 40))
    assert failure_groups(records)[0].in_common == ("lr 3.6e-02 to 4.0e-02",)


def test_what_chance_explains_is_not_told(record_of: RecordOf) -> None:
    records = trials(record_of, range(0))
    assert in_common([records[3], records[5]], records) == ()
    assert in_common([records[0], records[20], records[39]], records) == ()
    assert in_common(records[:1], records) == ()


def test_a_rare_choice_that_all_failures_made_is_told(record_of: RecordOf) -> None:
    records = [record_of(number, setting={"pooling": "mean" if number < 4 else "max"}) for number in range(40)]
    assert in_common(records[:3], records) == ("pooling mean",)


def test_a_search_without_failures_has_no_groups(record_of: RecordOf, outcome: Outcome) -> None:
    assert failure_groups([record_of(0)]) == []
    assert [group.reason for group in failure_groups(outcome.records)] == ["diverged"]
