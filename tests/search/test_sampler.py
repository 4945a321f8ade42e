"""The sampler is told the truth: best losses, pruned trials, failures, and nothing twice."""

import math
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from tune_sentiment.search.folder import SearchFolder, make_folder
from tune_sentiment.search.sampler import LOSSES, STARTUP_TRIALS, StudySearch, reason_of_loss, tpe
from tune_sentiment.search.space import load_space, space_from_dict, widened
from tune_sentiment.search.study import SEARCH_STUDY, open_storage, open_study, record_of, seed_of_trial


def searcher(path: Path, seed: int = 0, sampler: Any = None, wanted: float = math.inf) -> StudySearch:
    folder = SearchFolder(path)
    make_folder(folder)
    return StudySearch(
        storage=open_storage(folder).storage,
        study_name=SEARCH_STUDY,
        sampler=sampler or RandomSampler(seed=0),
        space=load_space("course"),
        seed=seed,
        folder=folder,
        wanted=wanted,
    )


def result(step: int, val_loss: float, best: float, failure: str = "") -> dict[str, Any]:
    return {
        "step": step,
        "val_loss": val_loss,
        "best_val_loss": best,
        "max_steps": 300,
        "seconds": 1.0 * step,
        "best_val_accuracy": 0.7,
        "peak_memory_bytes": 1,
        "reviews_per_second": 10.0,
        "train_loss": 0.6,
        "gpu_ids": "",
        "began": 0.0,
        "note": "",
        "details": "",
        "failure": failure,
    }


def test_no_trial_begins_when_the_time_is_up_but_the_first(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.time_is_up = lambda: True
    assert isinstance(search.suggest("a"), dict)
    assert search.suggest("b") is None
    search.on_trial_complete("a", result(300, 0.5, 0.4))
    assert search.suggest("b") == search.FINISHED
    assert len(search.study.trials) == 1


def test_a_finished_trial_is_complete_with_its_best_loss_not_its_last(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_result("a", result(100, 0.5, 0.5))
    search.on_trial_result("a", result(200, 0.4, 0.4))
    search.on_trial_complete("a", result(300, 0.6, 0.4))
    (trial,) = search.study.trials
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 0.4
    assert trial.intermediate_values == {100: 0.5, 200: 0.4, 300: 0.6}
    assert record_of(trial).fate == "complete"


@pytest.mark.parametrize(("gpu_ids", "on_gpu"), [("", False), ("0", True)])
def test_it_is_known_whether_a_trial_ran_on_a_gpu(tmp_path: Path, gpu_ids: str, on_gpu: bool) -> None:
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_complete("a", {**result(300, 0.5, 0.4), "gpu_ids": gpu_ids})
    assert search.record("a").on_gpu is on_gpu


def test_what_is_known_of_ended_trials_is_held_once(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    for trial_id, failure in (("a", ""), ("b", "diverged"), ("c", "")):
        search.suggest(trial_id)
        search.on_trial_complete(trial_id, result(300, 0.5, 0.5, failure))
    kept = search.study.get_trials(deepcopy=False)
    for trial_id, trial in zip("abc", kept, strict=True):
        assert search._ot_trials[trial_id]._cached_frozen_trial is trial
        for name, distribution in trial.distributions.items():
            assert distribution is kept[0].distributions[name]
    again = searcher(tmp_path).study.trials  # from the journal
    assert [(one.params, one.distributions, one.user_attrs, one.state) for one in again] == [
        (one.params, one.distributions, one.user_attrs, one.state) for one in kept
    ]


def test_a_trial_that_asha_stopped_is_pruned_with_all_its_losses(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_complete("a", result(100, 0.7, 0.7))
    (trial,) = search.study.trials
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {100: 0.7}
    assert (record_of(trial).fate, record_of(trial).reason) == ("stopped", "asha")


def test_a_trial_stopped_by_the_time_budget_says_so(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.stop_reason = lambda: "time budget"
    search.suggest("a")
    search.on_trial_complete("a", result(100, 0.7, 0.7))
    assert record_of(search.study.trials[0]).reason == "time budget"


@pytest.mark.parametrize("failure", ["diverged", "out of memory", "timeout"])
def test_a_diverged_trial_is_infeasible_and_named_and_never_nan(tmp_path: Path, failure: str) -> None:
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_result("a", result(100, 0.5, 0.5))
    search.on_trial_complete("a", result(100, 100.0, 100.0, failure))
    (trial,) = search.study.trials
    assert trial.state == TrialState.PRUNED
    assert any(value > 0 for value in trial.constraints.values())
    assert trial.intermediate_values == {100: 0.5}
    assert (record_of(trial).fate, record_of(trial).reason) == ("failed", failure)


def test_an_error_is_a_failed_trial_with_its_reason(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_complete("a", result(100, 100.0, 100.0, "error: ValueError: no"))
    (trial,) = search.study.trials
    assert (trial.state, record_of(trial).reason) == (TrialState.FAIL, "error: ValueError: no")


@pytest.mark.parametrize(
    ("text", "reason", "state"),
    [
        ("The actor died because its node has died. Node Id: 1", "lost node", TrialState.FAIL),
        ("ray.exceptions.OutOfMemoryError: Task was killed", "out of memory", TrialState.PRUNED),
        ("Worker unexpectedly exits with a connection error code 2.", "lost process", TrialState.FAIL),
    ],
)
def test_a_process_that_is_lost_again_and_again_says_what_took_it(
    tmp_path: Path, text: str, reason: str, state: TrialState
) -> None:
    search = searcher(tmp_path)
    search.error_of = lambda trial_id: text
    handed_out = 0
    while not search.study.trials or record_of(search.study.trials[0]).fate == "running":
        config = search.suggest(str(handed_out))
        assert isinstance(config, dict) and config["number"] == 0
        search.on_trial_complete(str(handed_out), None, error=True)
        handed_out += 1
    (trial,) = search.study.trials
    assert (trial.state, record_of(trial).reason, record_of(trial).fate) == (state, reason, "failed")
    assert handed_out == (1 if reason == "out of memory" else 1 + LOSSES)


def test_processes_lost_while_a_trial_is_handed_to_them_are_not_held_against_it(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.ran = lambda trial_id: False
    for name in "abcdefgh":
        config = search.suggest(name)
        assert isinstance(config, dict) and config["number"] == 0
        search.on_trial_complete(name, None, error=True)
    search.suggest("z")
    search.on_trial_complete("z", result(300, 0.5, 0.5))
    assert [record_of(trial).fate for trial in search.study.trials] == ["complete"]


def test_it_has_finished_when_the_last_trial_has_ended_and_not_before(tmp_path: Path) -> None:
    search = searcher(tmp_path, wanted=2)
    assert isinstance(search.suggest("a"), dict)
    assert isinstance(search.suggest("b"), dict)
    search.on_trial_complete("a", result(300, 0.5, 0.5))
    assert search.suggest("c") is None
    search.on_trial_complete("b", None, error=True)  # its process is lost: it is handed out once more
    again = search.suggest("c")
    assert isinstance(again, dict) and again["number"] == 1
    assert search.suggest("d") is None
    search.on_trial_complete("c", result(300, 0.4, 0.4))
    assert search.suggest("d") == search.FINISHED
    assert len(search.study.trials) == 2


def test_a_trial_that_could_not_write_is_left_to_be_continued(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    search.suggest("a")
    search.on_trial_complete("a", result(100, 0.5, 0.5, "storage: No space left on device"))
    assert search.storage_failure == "storage: No space left on device"
    assert search.study.trials[0].state == TrialState.RUNNING


@pytest.mark.parametrize("failure", ["diverged", "out of memory"])
def test_the_sampler_moves_away_from_a_corner_where_trials_fail(tmp_path: Path, failure: str) -> None:
    search = searcher(tmp_path, sampler=tpe(load_space("course"), seed=2))
    for index in range(60):
        config = search.suggest(str(index))
        if config["lr"] > 2e-3:
            search.on_trial_complete(str(index), result(100, 100.0, 100.0, failure))
        else:
            search.on_trial_complete(str(index), result(300, 0.5, 0.5 + config["clip"] / 100))
    rates = [trial.params["lr"] for trial in search.study.trials]
    early = sum(rate > 2e-3 for rate in rates[:STARTUP_TRIALS])
    late = sum(rate > 2e-3 for rate in rates[-STARTUP_TRIALS:])
    assert early >= 4
    assert late < early / 2


def test_a_space_that_was_widened_is_searched_where_it_is_new(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path)
    make_folder(folder)
    narrow, wide = (
        space_from_dict(
            {"name": "lr", "search": {"lr": {"type": "float", "low": 1e-4, "high": high, "log": True}}, "fixed": {}},
            "here",
        )
        for high in (1e-3, 1e-2)
    )
    for space, names in ((narrow, range(12)), (wide, range(12, 60))):
        search = StudySearch(
            storage=open_storage(folder).storage, study_name=SEARCH_STUDY, sampler=tpe(space, seed=1),
            space=widened(narrow, space, allowed=True), seed=0, folder=folder,
        )  # fmt: skip
        for name in map(str, names):
            loss = abs(math.log10(search.suggest(name)["lr"]) + 2.3)  # type: ignore[index, call-overload]
            search.on_trial_complete(name, result(300, loss, loss))
    rates = [trial.params["lr"] for trial in search.study.trials]
    assert len(rates) == 60 and max(rates[:12]) <= 1e-3
    assert 2e-3 < search.study.best_params["lr"] < 1e-2  # the best is where the first space ended


def test_trials_left_running_are_handed_out_first_under_their_number_and_seed(tmp_path: Path) -> None:
    first = searcher(tmp_path)
    configs = [first.suggest(name) for name in ("a", "b", "c")]
    first.on_trial_complete("b", result(300, 0.5, 0.5))
    first.on_trial_result("c", result(100, 0.6, 0.6))
    checkpoint = tmp_path / "ray" / "trial_00002" / "checkpoint_000000"
    checkpoint.mkdir(parents=True)
    first.note_checkpoint("c", str(checkpoint), 100)

    second = searcher(tmp_path)
    again = [second.suggest(name) for name in ("x", "y")]
    assert [config["number"] for config in again] == [0, 2]
    assert [config["seed"] for config in again] == [configs[0]["seed"], configs[2]["seed"]]
    assert [config["resume_from"] for config in again] == [None, str(checkpoint)]
    assert {**again[1], "resume_from": None} == {**configs[2], "resume_from": None}
    assert second.suggest("z")["number"] == 3

    second.on_trial_result("y", result(100, 0.6, 0.6))  # seen before the crash
    second.on_trial_complete("y", result(300, 0.4, 0.4))
    assert second.study.trials[2].intermediate_values == {100: 0.6, 300: 0.4}


def test_a_trial_that_waits_in_the_study_runs_with_its_setting_and_seed(tmp_path: Path) -> None:
    space = load_space("course")
    search = searcher(tmp_path)
    course, _ = space.course_point()
    open_study(open_storage(SearchFolder(tmp_path)), SEARCH_STUDY).enqueue_trial(course, user_attrs={"seed": 77})
    config = search.suggest("a")
    assert {name: config[name] for name in course} == course
    assert config["seed"] == 77
    assert config["report_every"] == 100


def test_seeds_follow_from_the_search_and_the_number(tmp_path: Path) -> None:
    assert searcher(tmp_path, seed=5).suggest("a")["seed"] == seed_of_trial(5, 0)
    assert len({seed_of_trial(seed, number) for seed in range(20) for number in range(50)}) == 1000


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("OSError: [Errno 28] No space left on device: '/x'", "storage: No space left on device"),
        ("OSError: When uploading part: AWS Error NETWORK_CONNECTION", "storage"),
        ("The node has died", "lost node"),
        ("Worker exit type: SYSTEM_ERROR", "lost process"),
        ("Task was killed due to the node running low on memory", "out of memory"),
    ],
)
def test_why_a_process_was_lost_is_named(error: str, reason: str) -> None:
    assert reason_of_loss(error) == reason
