import re
from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest

from tune_sentiment.results import page
from tune_sentiment.results.mattered import Mattered
from tune_sentiment.results.plots import what_mattered
from tune_sentiment.search.records import Outcome, TrialRecord

NOW = 1_760_001_000.0
NOTHING = Mattered({}, ("Too early to say.",))


def without_scripts(html: str) -> str:
    return re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


def test_the_sections_stand_in_the_order_in_which_they_are_asked(outcome: Outcome, study: optuna.Study) -> None:
    html = page.render(outcome, what_mattered(outcome, study), NOW)
    places = [
        html.index(f'<section id="{name}">') for name in ("won", "went", "mattered", "trials", "failed", "reproduce")
    ]
    assert places == sorted(places)
    drawn = re.findall(r'<div class="plot" id="([^"]+)"', html)
    assert drawn[:4] == ["confirmed", "progress", "curves", "slots"]
    assert len(drawn) == 12


def test_the_page_of_a_running_search_reloads_itself_and_a_finished_one_does_not(outcome: Outcome) -> None:
    refresh = '<meta http-equiv="refresh" content="10">'
    for phase, reloads in (("searching", True), ("confirming", True), ("done", False), ("interrupted", False)):
        assert (refresh in page.render(replace(outcome, phase=phase), NOTHING, NOW)) is reloads


def test_the_winner_is_told_with_its_spread_and_the_test_scores_once(outcome: Outcome) -> None:
    text = without_scripts(page.render(outcome, NOTHING, NOW))
    assert "Trial 8 won on 3 fresh seeds" in text
    assert "0.4581 \N{PLUS-MINUS SIGN} 0.0129 (3 seeds)" in text
    assert text.count("75.9 % \N{PLUS-MINUS SIGN} 0.7 %") == 1
    assert "the winner&#39;s model of seed 1000, with 76.6 % of the test reviews right" in text


def test_everything_from_outside_is_escaped(record_of: Callable[..., TrialRecord], outcome: Outcome) -> None:
    evil = "</script><script>alert(1)</script>&\"'"
    odd = record_of(1, fate="failed", reason=f"error: {evil}", setting={"pooling": evil})
    hostile = replace(
        outcome,
        name=evil,
        records=(*outcome.records[:1], odd, *outcome.records[2:]),
        bundle=evil,
        notes=(evil,),
        request={"command": evil, "data": {evil: evil}, evil: {"a": {"b": evil}}},
    )
    html = page.render(hostile, Mattered({}, (evil,)), NOW)
    assert "<script>alert" not in html
    assert html.count("<script") == 3 and html.count("</script>") == 3
    assert html.count("&lt;script&gt;alert(1)") >= 9


def test_what_stands_in_backticks_in_a_note_is_shown_as_code(outcome: Outcome) -> None:
    html = page.render(replace(outcome, notes=("`epochs` 2 for 4, not `<b>`.",)), NOTHING, NOW)
    assert "<code>epochs</code> 2 for 4, not <code>&lt;b&gt;</code>." in html


def test_the_page_asks_no_network_for_anything(outcome: Outcome, study: optuna.Study) -> None:
    html = page.render(outcome, what_mattered(outcome, study), NOW)
    assert re.findall(r'(?:src|href|action)="(?!#|data:)[^"]*"', without_scripts(html)) == []
    assert "default-src 'none'" in html
    assert html.count("plotly.js v") == 1


def test_generated_reviews_are_called_generated(outcome: Outcome) -> None:
    for key in ("data", "dataset"):
        generated = replace(outcome, request={"data": {"source": "demo"}} | {key: {"generated": True}})
        assert "The reviews are generated" in page.render(generated, NOTHING, NOW)
    assert "The reviews are generated" not in page.render(outcome, NOTHING, NOW)


def test_how_to_reproduce_shows_command_seeds_versions_and_fingerprint(outcome: Outcome) -> None:
    text = without_scripts(page.render(outcome, NOTHING, NOW))
    assert "python -m tune_sentiment search --data &#39;my reviews.csv&#39; --trials 30" in text
    assert "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" in text
    assert "1000, 1001, 1002" in text and "2.13.0" in text
    assert "Nothing was recorded" in page.render(replace(outcome, request={}), NOTHING, NOW)


def test_failures_are_listed_by_reason(outcome: Outcome) -> None:
    text = without_scripts(page.render(outcome, NOTHING, NOW))
    failed = text[text.index('<section id="failed">') : text.index('<section id="reproduce">')]
    assert "diverged</span>: 2 trials" in failed
    assert failed.count("<li>") == 2
    fine = replace(outcome, records=tuple(one for one in outcome.records if one.fate != "failed"))
    assert "No trial failed." in page.render(fine, NOTHING, NOW)


def test_many_failures_of_one_kind_are_cut_and_that_is_said(
    record_of: Callable[..., TrialRecord], outcome: Outcome
) -> None:
    many = tuple(record_of(number, fate="failed", reason="diverged") for number in range(80))
    text = without_scripts(page.render(replace(outcome, records=many, winner=None, confirmed=()), NOTHING, NOW))
    assert text.count("<li>") == 20
    assert "The first 20 of 80" in text


def test_what_is_thinned_out_is_said(outcome_of: Callable[..., Outcome]) -> None:
    text = without_scripts(page.render(outcome_of(2500), NOTHING, NOW))
    assert "The best 500 of 2,500 trials; leaderboard.csv holds all of them." in text
    assert "1,500 of 2,500 trials are drawn" in text
    assert re.search(r"60 of [\d,]+ curves are drawn", text)
    assert "Means over equal spans of time." in text
    assert text.count("<tr") < 550


@pytest.mark.parametrize("phase", ["searching", "done", "interrupted"])
def test_a_search_without_a_single_trial_has_a_page(outcome: Outcome, phase: str) -> None:
    nothing = replace(outcome, phase=phase, records=(), confirmations=(), confirmed=(), winner=None, bundle=None)
    text = without_scripts(page.render(nothing, NOTHING, NOW))
    assert "No trial has started yet." in text and "None yet." in text
