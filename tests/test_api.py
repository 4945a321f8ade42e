"""The whole recipe on a small real corpus: search, confirm, score once, export, report, resume, extend."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import tune_sentiment
from tests.conftest import BAD, GOOD, Recorder
from tune_sentiment import api
from tune_sentiment.api.result import SearchResult
from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.search.checkpoints import number_of
from tune_sentiment.search.records import Outcome, Plan

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def watched() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return []


@pytest.fixture(scope="module")
def outcome(corpus: Path, space: str, storage: Path, watched: Recorder, plans: list[Plan]) -> Outcome:
    found: SearchResult = tune_sentiment.search(
        str(corpus),
        space=space,
        trials=6,
        confirm_top=2,
        confirm_seeds=2,
        name="first",
        storage=str(storage),
        dashboard=False,
        observers=[watched],
        on_plan=plans.append,
    )
    return found.outcome


@pytest.mark.slow
def test_every_trial_asked_for_is_accounted_for(outcome: Outcome) -> None:
    assert [record.number for record in outcome.records] == list(range(6))
    assert {record.fate for record in outcome.records} <= {"complete", "stopped"}
    assert outcome.phase == "done"


def test_trial_0_is_the_courses_setting_clamped_and_said_so(outcome: Outcome) -> None:
    assert outcome.records[0].setting == {"embedding_dim": 16, "hidden_dim": 16, "lr": 0.01}
    assert any("`embedding_dim` 16 for 400 (8..16 is searched)" in note for note in outcome.notes)


def test_the_winner_and_the_course_are_confirmed_on_the_same_fresh_seeds(outcome: Outcome) -> None:
    assert outcome.winner is not None
    course = next(setting for setting in outcome.confirmed if setting.is_course)
    assert outcome.winner.seeds == course.seeds and len(course.seeds) == 2
    assert not set(course.seeds) & {record.seed for record in outcome.records}
    assert sum(outcome.winner.val_losses) <= sum(course.val_losses)


def test_the_test_set_is_scored_for_the_winner_and_the_course_only(outcome: Outcome) -> None:
    assert outcome.winner is not None
    scored = [setting.trial for setting in outcome.confirmed if setting.test_losses]
    assert sorted(scored) == sorted({outcome.winner.trial, 0})
    assert all(0 <= accuracy <= 1 for accuracy in outcome.winner.test_accuracies)


def test_the_bundle_predicts_and_its_loss_is_the_recorded_one(outcome: Outcome) -> None:
    assert outcome.bundle is not None
    metrics = json.loads(Path(outcome.bundle, "metrics.json").read_text(encoding="utf-8"))
    assert metrics["validation"]["loss"] == pytest.approx(metrics["validation"]["recorded_loss"], abs=1e-6)
    good, bad = tune_sentiment.load(outcome.bundle).predict([GOOD, BAD])
    assert (good.label, bad.label) == ("positive", "negative")


def test_files_of_the_search_stand_where_the_design_says(outcome: Outcome) -> None:
    folder = Path(outcome.folder)
    for name in ("search.json", "study.log", "ray", "report.html", "leaderboard.csv", "best"):
        assert (folder / name).exists(), name
    assert len((folder / "leaderboard.csv").read_text(encoding="utf-8").splitlines()) >= 7


def test_ray_writes_no_state_and_no_copies_of_what_the_study_holds(outcome: Outcome) -> None:
    ray = Path(outcome.folder) / "ray"
    assert {path.read_text() for path in ray.glob("*/experiment_state-*.json")} == {'{"trial_data": []}'}
    assert list(ray.glob("*/trial_00000/events.out.tfevents*")), "TensorBoard's events are kept"
    assert {path.name for path in ray.glob("*/trial_*/*") if path.is_file() and "tfevents" not in path.name} == set()


def test_observers_see_both_phases_and_every_end(outcome: Outcome, watched: Recorder) -> None:
    assert {snapshot.phase for snapshot in watched.snapshots} == {"search", "confirm"}
    assert sorted(record.number for record in watched.ended if record.source_trial is None) == list(range(6))
    assert sum(record.source_trial is not None for record in watched.ended) == len(outcome.confirmations)
    assert watched.closed == 1
    last = [snapshot for snapshot in watched.snapshots if snapshot.phase == "search"][-1]
    assert last.complete + last.stopped + last.failed == last.wanted == 6
    assert 0 < outcome.busy_share <= 1


def test_the_plan_is_told_before_the_first_trial(outcome: Outcome, plans: list[Plan]) -> None:
    (plan,) = plans
    assert (plan.trials, plan.confirm_runs, plan.gpus_per_trial) == (6, 6, 0.0)
    assert plan.slots >= 1 and plan.max_steps == 60


def test_the_fingerprint_the_seeds_and_the_versions_are_written_down(outcome: Outcome) -> None:
    request = json.loads(Path(outcome.folder, "search.json").read_text(encoding="utf-8"))
    assert len(request["dataset"]["fingerprint"]) == 64
    assert request["versions"]["optuna"] and request["versions"]["device"] and request["seed"] == 0
    card = Path(outcome.folder, "best", "README.md").read_text(encoding="utf-8")
    assert request["dataset"]["fingerprint"] in card
    for name in request["versions"]:  # with the git revision, in a checkout
        assert f"| {name} |" in card
    assert request["versions"]["torch"] in card and request["versions"].get("git revision", "") in card
    assert request["command"].startswith("python -m tune_sentiment search --data ")


def test_a_name_that_is_taken_is_refused(outcome: Outcome, corpus: Path, space: str, storage: Path) -> None:
    with pytest.raises(StudyError, match=r"a new search needs a name of its own: .*first exists"):
        api.search(str(corpus), space=space, name="first", storage=str(storage))


def test_any_trial_can_be_exported(outcome: Outcome, storage: Path, tmp_path: Path) -> None:
    """Those that are not among the best from a run that repeats theirs."""
    kept = {number_of(folder.parent.name) for folder in (storage / "first" / "ray" / "search").glob("*/checkpoint_*")}
    assert 1 <= len(kept) <= 6 and 0 in kept
    for number in kept:
        bundle = api.export("first", str(tmp_path / f"trial{number}"), trial=number, storage=str(storage))
        assert tune_sentiment.load(bundle).predict([GOOD])[0].probability > 0
    for number in {record.number for record in outcome.records} - kept:
        with pytest.raises(StudyError, match=rf"trial {number} of first were not kept.*`train --from first --trial"):
            api.export("first", str(tmp_path / "out"), trial=number, storage=str(storage))


@pytest.mark.parametrize("number", [0, 3])
def test_a_trial_is_run_again_with_the_same_losses_to_the_last_bit(
    outcome: Outcome, storage: Path, tmp_path: Path, number: int
) -> None:
    record, _, again = api.retrain("first", number, storage=str(storage), out=str(tmp_path / "again"))
    losses = {progress.step: progress.val_loss for progress in again}
    assert len(record.curve) > 0
    assert [losses[step] for step, _ in record.curve] == [loss for _, loss in record.curve]
    assert tune_sentiment.load(tmp_path / "again").predict([GOOD])[0].probability > 0


def test_a_trial_that_does_not_exist_is_refused(outcome: Outcome, storage: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="has trials 0 to 5, not 99"):
        api.export("first", str(tmp_path / "out"), trial=99, storage=str(storage))


def test_the_bundle_is_evaluated_on_a_source(outcome: Outcome, corpus: Path) -> None:
    assert outcome.bundle is not None
    everything, split = api.evaluate(outcome.bundle, str(corpus), split="all")
    assert (split, everything.reviews) == ("all", 600)
    assert everything.accuracy > 0.9


def test_on_the_data_it_was_trained_on_a_bundle_is_scored_on_the_test_split(outcome: Outcome, corpus: Path) -> None:
    assert outcome.bundle is not None
    scores, split = api.evaluate(outcome.bundle, str(corpus))
    recorded = json.loads(Path(outcome.bundle, "metrics.json").read_text(encoding="utf-8"))["test"]
    assert (split, scores.reviews) == ("test", 60)
    assert scores.loss == pytest.approx(recorded["loss"], abs=1e-6)


def test_a_source_that_the_bundle_was_not_trained_on_is_scored_whole(outcome: Outcome, tmp_path: Path) -> None:
    assert outcome.bundle is not None
    (tmp_path / "new.csv").write_text("text,label\n" + f"{GOOD},1\n{BAD} never heard of,0\n" * 12, encoding="utf-8")
    scores, split = api.evaluate(outcome.bundle, str(tmp_path / "new.csv"))
    assert (split, scores.reviews, scores.accuracy) == ("all", 24, 1.0)


def test_a_split_that_does_not_exist_is_refused(outcome: Outcome, corpus: Path) -> None:
    with pytest.raises(SettingsError, match="one of all, train, validation, test: got 'half'"):
        api.evaluate(str(outcome.bundle), str(corpus), split="half")  # type: ignore[arg-type]


def test_a_search_is_listed_with_its_state_and_best(outcome: Outcome, storage: Path) -> None:
    (listed,) = api.list_searches(str(storage))
    assert (listed["name"], listed["state"], listed["trials"], listed["wanted"]) == ("first", "done", 6, 6)
    assert listed["best_val_loss"] == min(record.best_val_loss for record in outcome.records if record.best_val_loss)


@pytest.mark.slow
def test_a_finished_search_is_extended_and_scores_no_run_on_the_test_set_twice(outcome: Outcome, storage: Path) -> None:
    extended = api.search(name="first", storage=str(storage), resume=True, trials=8, dashboard=False).outcome
    assert [record.number for record in extended.records] == list(range(8))
    assert extended.records[:6] == outcome.records
    before = {setting.trial: setting for setting in outcome.confirmed}
    for setting in extended.confirmed:
        if setting.trial in before and before[setting.trial].test_losses:
            assert setting.test_losses == before[setting.trial].test_losses or not setting.test_losses


def test_tensorboard_reads_the_curves_and_the_hyperparameters_also_of_an_extended_search(
    outcome: Outcome, storage: Path
) -> None:
    now = tune_sentiment.reopen("first", str(storage)).outcome
    for phase, records in (("search", now.records), ("confirm", now.confirmations)):
        for record in records:
            read = EventAccumulator(str(storage / "first" / "ray" / phase / f"trial_{record.number:05d}")).Reload()
            curve = [(event.step, event.value) for event in read.Scalars("val_loss")]
            assert curve == [(step, pytest.approx(loss, abs=1e-6)) for step, loss in record.curve]
            row = HParamsPluginData.FromString(read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content)
            assert set(row.session_start_info.hparams) == {*record.setting, "seed"}
            assert row.session_start_info.hparams["lr"].number_value == record.setting["lr"]


def test_a_search_on_other_data_is_not_continued(outcome: Outcome, corpus: Path, storage: Path) -> None:
    reviews = corpus / "reviews.pos"
    text = reviews.read_text(encoding="utf-8")
    reviews.write_text(text + "one more wonderful film\n", encoding="utf-8")
    try:
        with pytest.raises(StudyError, match="continued on the data it began with"):
            api.search(name="first", storage=str(storage), resume=True, trials=9)
    finally:
        reviews.write_text(text, encoding="utf-8")


def test_a_dry_run_plans_estimates_and_writes_nothing(corpus: Path, space: str, tmp_path: Path) -> None:
    plan = api.plan_search(str(corpus), space=space, trials=6, storage=str(tmp_path / "none"))
    assert plan.estimated_seconds > 0
    assert list(tmp_path.iterdir()) == []


def test_the_loop_runs_alone_and_leaves_a_bundle(corpus: Path, tmp_path: Path) -> None:
    settings = {"embedding_dim": 8, "hidden_dim": 8, "n_layers": 1, "epochs": 2, "lr": 0.02, "report_every": 5}
    reports = list(tune_sentiment.train(str(corpus), settings=settings, threads=1, out=str(tmp_path / "alone")))
    assert [report.step for report in reports] == [5, 10, 15, 20]
    assert tune_sentiment.load(tmp_path / "alone").predict([GOOD])[0].label == "positive"


def test_public_names_are_few_and_light() -> None:
    code = "import sys, tune_sentiment; print(sorted(set(sys.modules) & {'torch', 'ray', 'optuna', 'pandas', 'numpy'}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
    names = ["Predictor", "TuneSentimentError", "compare", "export", "load", "reopen", "search", "train"]
    assert tune_sentiment.__all__ == names
    assert all(callable(getattr(tune_sentiment, name)) for name in names)
