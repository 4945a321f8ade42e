from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tune_sentiment.results import figures
from tune_sentiment.search.records import Outcome, TrialRecord

NOW = 1_760_001_000.0


def trace(figure: figures.Figure, name: str) -> dict[str, Any]:
    return [one for one in figure["data"] if one["name"] == name][-1]


def test_every_seed_of_a_confirmed_setting_is_a_point(outcome: Outcome) -> None:
    drawn = figures.confirmed_figure(outcome)
    seeds = trace(drawn, "one fresh seed")
    losses = [loss for setting in outcome.confirmed for loss in setting.val_losses]
    assert sorted(seeds["x"]) == sorted(losses)
    assert seeds["y"][-1] == "8 winner" and seeds["y"][0] == "0 course"
    means = trace(drawn, "mean and spread")
    assert means["y"] == ["0 course", "11", "1", "8 winner"]
    assert all(spread > 0 for spread in means["error_x"]["array"])
    assert [one["name"] for one in drawn["data"] if one.get("showlegend", True)] == [
        "in the search",
        "one fresh seed",
        "mean and spread",
    ]


def test_each_fate_has_its_colour_and_its_symbol(searching: Outcome) -> None:
    drawn = figures.progress_figure(searching, NOW)
    fates = {one["name"]: one["marker"] for one in drawn["data"] if one["mode"] == "markers"}
    assert set(fates) == {"complete", "stopped", "failed", "running"}
    assert len({marker["color"] for marker in fates.values()}) == 4
    assert len({marker["symbol"] for marker in fates.values()}) == 4
    assert len(set(figures.FATE_COLOURS.values())) == len(set(figures.FATE_SYMBOLS.values())) == 5


def test_trials_without_a_loss_lie_on_the_upper_rim(outcome: Outcome) -> None:
    drawn = figures.progress_figure(outcome, NOW)
    low, high = drawn["layout"]["yaxis"]["range"]
    failed = trace(drawn, "failed")["y"]
    assert len(failed) == 2
    assert all(low < place < high and place > high - 0.1 * (high - low) for place in failed)


def test_the_hover_text_of_a_trial_is_no_markup(record_of: Callable[..., TrialRecord], outcome: Outcome) -> None:
    odd = record_of(0, fate="failed", reason="error: <b>&")
    drawn = figures.progress_figure(replace(outcome, records=(odd,), confirmations=()), NOW)
    assert trace(drawn, "failed")["text"][0].startswith("trial 0: failed, error: &lt;b>&amp;<br>")


def test_rungs_are_drawn_where_asha_cut(outcome: Outcome) -> None:
    rungs = trace(figures.curves_figure(outcome), "rungs of ASHA")
    assert [x for x in rungs["x"] if x is not None] == [100, 100, 300, 300, 900, 900]
    without = figures.curves_figure(replace(outcome, rungs=()))
    assert "rungs of ASHA" not in [one["name"] for one in without["data"]]


def test_a_legend_names_each_fate_once(outcome: Outcome) -> None:
    drawn = figures.curves_figure(outcome)
    named = [one["name"] for one in drawn["data"] if one.get("showlegend", True)]
    assert sorted(named) == ["0 course", "8 winner", "complete", "rungs of ASHA", "stopped"]
    assert trace(drawn, "0 course")["line"]["dash"] == "dash"


def test_a_long_run_with_an_early_rung_has_a_logarithmic_axis(
    record_of: Callable[..., TrialRecord], outcome: Outcome
) -> None:
    curve = tuple((step, 0.5) for step in range(100, 10_001, 100))
    long = replace(outcome, records=(record_of(0, curve=curve),), rungs=(100, 400, 1600))
    assert figures.curves_figure(long)["layout"]["xaxis"]["type"] == "log"
    assert "type" not in figures.curves_figure(outcome)["layout"]["xaxis"]


def test_the_time_axis_uses_a_unit_that_fits(record_of: Callable[..., TrialRecord], outcome: Outcome) -> None:
    for seconds, unit, most in ((120.0, "seconds", 120), (1200.0, "minutes", 20), (36_000.0, "hours", 10)):
        one = record_of(0, started=1000.0, ended=1000.0 + seconds, seconds=seconds)
        drawn = figures.slots_figure(replace(outcome, records=(one,), confirmations=()), NOW)
        assert drawn["layout"]["xaxis"]["title"]["text"] == f"time, {unit}"
        assert max(drawn["data"][0]["x"]) == most


def test_the_start_of_the_confirmation_is_marked(outcome: Outcome) -> None:
    start = trace(figures.slots_figure(outcome, NOW), "confirmation starts")
    assert start["x"][0] == start["x"][1] > 6


def test_a_search_without_trials_can_still_be_drawn(outcome: Outcome) -> None:
    nothing = replace(outcome, records=(), confirmations=(), confirmed=(), winner=None)
    for drawn in (
        figures.progress_figure(nothing, NOW),
        figures.curves_figure(nothing),
        figures.slots_figure(nothing, NOW),
        figures.confirmed_figure(nothing),
    ):
        assert drawn["layout"]["height"] > 0
