"""A snapshot says what is running and what ended, and comes seldom enough to take little of the time."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from tests.search.test_confirm import trial as made_trial
from tests.waiting import Clock
from tune_sentiment.search import watch
from tune_sentiment.search.records import Snapshot, TrialRecord
from tune_sentiment.search.watch import SNAPSHOT_SHARE, Watch


class Slow:
    """An observer whose every snapshot takes a while."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds
        self.snapshots: list[Snapshot] = []

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.clock.now += self.seconds
        self.snapshots.append(snapshot)

    def on_trial_end(self, record: TrialRecord) -> None: ...

    def close(self) -> None: ...


def watching(seconds: float, monkeypatch: pytest.MonkeyPatch, earlier: Any = ()) -> tuple[Watch, Slow, dict[str, Any]]:
    clock, records = Clock(100.0), {}
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=clock))
    slow = Slow(clock, seconds)
    searcher: Any = SimpleNamespace(record=records.__getitem__)
    one = Watch(
        phase="search", searcher=searcher, observers=[slow], slots=2, wanted=9, command_started=100.0,
        time_budget=None, earlier=earlier,
    )  # fmt: skip
    return one, slow, records


def ray_trial(name: str) -> Trial:
    return Trial("made_up", stub=True, trial_id=name)


def report(one: Watch, name: str, step: int, session_seconds: float, reviews_per_second: float = 5.0) -> None:
    result = {
        "session_seconds": session_seconds, "reviews_per_second": reviews_per_second, "step": step, "max_steps": 300,
        "seconds": session_seconds, "best_val_accuracy": 0.7, "slots": 1.0,
    }  # fmt: skip
    one.on_trial_result(0, [], ray_trial(name), result)


def test_a_snapshot_counts_what_ended_before_and_now_and_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = [made_trial(0, 0.5), made_trial(1, 0.2, fate="failed"), made_trial(2, 0.6, fate="stopped")]
    one, slow, records = watching(0.0, monkeypatch, earlier)
    for number, name in ((3, "a"), (4, "b")):
        records[name] = made_trial(number, 0.9, fate="running")
        one.on_trial_start(0, [], ray_trial(name))
    slow.clock.now += 10
    report(one, "a", 100, 4.0)
    report(one, "b", 100, 2.0)
    report(one, "a", 200, 6.0)
    snapshot = slow.snapshots[-1]
    assert (snapshot.complete, snapshot.stopped, snapshot.failed) == (1, 1, 1)
    assert [record.number for record in snapshot.running] == [3, 4]
    assert snapshot.best is not None and snapshot.best.number == 0
    assert snapshot.busy_share == pytest.approx((6 + 2) / 20)
    assert snapshot.eta_seconds == pytest.approx((4 * 1.0 + 0 + 0) / 2)  # 4 to come, of a second each
    records["b"] = replace(records["b"], fate="complete", best_val_loss=0.4)
    one.on_trial_complete(0, [], ray_trial("b"))
    snapshot = slow.snapshots[-1]
    assert (snapshot.complete, snapshot.slots_busy) == (2, 1)
    assert snapshot.best is not None and snapshot.best.number == 4


def test_the_last_state_of_a_phase_is_shown_however_slow_showing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one, slow, records = watching(5.0, monkeypatch)
    for number, name in enumerate("abc"):
        records[name] = made_trial(number, 0.9, fate="running")
        one.on_trial_start(0, [], ray_trial(name))
    for name in "ab":
        records[name] = replace(records[name], fate="complete")
        one.on_trial_complete(0, [], ray_trial(name))
    assert (slow.snapshots[-1].complete, len(slow.snapshots[-1].running)) == (1, 2)
    one.close([replace(records["c"], fate="stopped", reason="time budget")])
    snapshot = slow.snapshots[-1]
    assert (snapshot.complete, snapshot.stopped, snapshot.running) == (2, 1, ())


def test_a_trial_that_has_not_reported_yet_counts_as_the_last_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    one, slow, records = watching(0.0, monkeypatch)
    for number, name in enumerate("abc"):
        records[name] = made_trial(number, 0.9, fate="running")
    one.on_trial_start(0, [], ray_trial("a"))
    report(one, "a", 100, 1.0, 30.0)
    one.on_trial_start(0, [], ray_trial("b"))
    report(one, "b", 100, 1.0, 10.0)
    assert slow.snapshots[-1].reviews_per_second == 30 + 10
    report(one, "b", 200, 2.0, 0.0)  # it failed
    records["b"] = replace(records["b"], fate="failed")
    one.on_trial_complete(0, [], ray_trial("b"))
    assert slow.snapshots[-1].reviews_per_second == 30
    one.on_trial_start(0, [], ray_trial("c"))
    report(one, "a", 200, 2.0, 40.0)
    assert slow.snapshots[-1].reviews_per_second == 40 + (10 + 40) / 2


def test_a_quick_snapshot_comes_with_every_report(monkeypatch: pytest.MonkeyPatch) -> None:
    one, slow, records = watching(0.0, monkeypatch)
    records["a"] = made_trial(0, 0.9, fate="running")
    for step in range(1, 21):
        report(one, "a", step, 1.0)
    assert len(slow.snapshots) == 20


def test_slow_ones_take_their_share_of_the_time_and_still_come(monkeypatch: pytest.MonkeyPatch) -> None:
    one, slow, records = watching(0.05, monkeypatch)
    records["a"] = made_trial(0, 0.9, fate="running")
    began = slow.clock.now
    for step in range(1, 2001):
        slow.clock.now += 0.01
        report(one, "a", step, 1.0)
        one.on_step_end(0, [])
    share = len(slow.snapshots) * slow.seconds / (slow.clock.now - began)
    assert 0.5 * SNAPSHOT_SHARE < share <= 1.05 * SNAPSHOT_SHARE


@pytest.mark.parametrize(
    ("written", "said"),
    [(None, ""), ("The actor died", "The actor died"), ("", "No space left on device")],
)
def test_an_error_that_ray_could_not_write_down_is_that_of_a_full_disk(
    monkeypatch: pytest.MonkeyPatch, written: str | None, said: str
) -> None:
    watched, _, _ = watching(0.1, monkeypatch)
    lost: Any = SimpleNamespace(trial_id="a", get_error=lambda: written)
    watched.on_step_begin(0, [lost])
    assert watched.error_of("a") == said and watched.error_of("another") == ""
