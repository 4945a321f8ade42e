"""The recipe of a search, station by station: prepare, search, confirm, score, export, report."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

from optuna.samplers import RandomSampler

from tune_sentiment.errors import InterruptedSearch, NothingUsableError, StudyError
from tune_sentiment.export.fresh_process import FreshProcess
from tune_sentiment.export.winner import export_run, score_on_test
from tune_sentiment.preparation import Preparation, make_plan, resume_command
from tune_sentiment.results.leaderboard import write_csv
from tune_sentiment.results.report import LiveReport, write_report
from tune_sentiment.search.budget import Interruption, seconds_of_end
from tune_sentiment.search.checkpoints import KEPT, CheckpointSweeper, bytes_of_others
from tune_sentiment.search.cluster import Joined
from tune_sentiment.search.confirm import COURSE_TRIAL, candidates, confirmation_seeds, enqueue, longest_first
from tune_sentiment.search.metrics import exported_metrics
from tune_sentiment.search.outcome import TEST_SCORES, add_session, lowest, read_outcome, runs_of, score_key, set_phase
from tune_sentiment.search.probe import probe_gpu
from tune_sentiment.search.ray_dashboard import Announcement, RayDashboard
from tune_sentiment.search.raylet import watched_raylet
from tune_sentiment.search.records import Observer, Outcome, Plan, TrialRecord
from tune_sentiment.search.resources import Machine, cluster_machine, this_machine
from tune_sentiment.search.run import Phase, run_phase, shared
from tune_sentiment.search.sampler import ERRORS, tpe
from tune_sentiment.search.scheduler import asha
from tune_sentiment.search.study import (
    CONFIRMATION_STUDY,
    SEARCH_STUDY,
    Studies,
    checkpoint_of,
    open_storage,
    open_study,
    records,
)
from tune_sentiment.training.processor import give_back_memory, set_up_for_training

START_OVERLAP = 1.1
"""The start reads, imports and waits for Ray all at the same time; what is budgeted by its length does not."""
CONFIRM_SHARE = 0.5
"""Part of a time budget, less what start and export take of it, that the confirmation may claim at most."""


def run(
    preparation: Preparation,
    *,
    cluster: AbstractContextManager[Joined],
    observers: Sequence[Observer],
    on_plan: Callable[[Plan], None] | None,
    on_dashboard: Callable[[RayDashboard], None] | None,
    on_stuck: Callable[[str], None] | None,
    on_lost: Callable[[str], None] | None,
    storage_failure: Callable[[], str],
) -> Outcome:
    """Run the search to its end inside `cluster`, and return what it found.

    `storage_failure` returns why it must stop as nothing can be kept any more, or nothing.

    Raises:
        InterruptedSearch: if the user stopped it; all of it is kept.
        NothingUsableError: if no trial can be exported.
    """
    set_up_for_training()  # nothing is trained in this process, but measured in the end
    studies = open_storage(preparation.folder, preparation.request.study_place)
    study = open_study(studies, SEARCH_STUDY)
    machine = this_machine()
    address = preparation.request.resources.address
    live_report = LiveReport(preparation.folder.report_file, lambda: (_outcome(preparation, studies), study))
    interruption = Interruption(partial(on_stuck, resume_command(preparation)) if on_stuck else None)

    with ExitStack() as stack:
        # Entered first, so left last: Ray's own shutdown may be what hangs.
        stack.enter_context(interruption.watched())
        for observer in (live_report, *reversed(observers)):  # left in the opposite order
            stack.callback(observer.close)
        joined = stack.enter_context(cluster)
        interruption.take_signals()  # again: Ray has put its own handlers in
        stack.enter_context(watched_raylet(partial(on_lost, resume_command(preparation)) if on_lost else None))
        here = machine if address is None else cluster_machine(joined.resources)
        plan = make_plan(preparation, here, gpu=_probe_gpu(preparation, here))
        if on_plan:
            on_plan(plan)
        targets_file = preparation.folder.targets_file if address is None else None
        metrics = stack.enter_context(exported_metrics(targets_file, preparation.folder.name))
        phase = Phase(
            folder=preparation.folder,
            studies=studies,
            space=preparation.space,
            data=shared(preparation.data),
            plan=plan,
            seed=preparation.request.seed,
            observers=[Announcement(joined.dashboard, on_dashboard), *observers, live_report, metrics],
            interruption=interruption,
            command_started=preparation.started,
            time_budget=preparation.request.time_budget,
            trial_timeout=preparation.request.resources.trial_timeout,
            storage_failure=storage_failure,
            private_folder=joined.folder,
        )
        start_seconds = START_OVERLAP * (time.monotonic() - preparation.started)
        kept = seconds_of_end(preparation.dataset, preparation.space.settings({}), start_seconds)
        _search(preparation, phase, start_seconds, kept)
        _stop_if_interrupted(preparation, interruption, studies)
        _confirm(preparation, phase, kept)
        _stop_if_interrupted(preparation, interruption, studies)
        process = FreshProcess()
        process.start()  # it gets ready while Ray ends
    with process:
        return finish(preparation, studies, process)


def _search(preparation: Preparation, phase: Phase, start_seconds: float, end_seconds: float) -> None:
    """Let TPE choose settings and ASHA stop the weaker ones, the course's setting first; what follows gets its time."""
    request = preparation.request
    study = open_study(phase.studies, SEARCH_STUDY)
    set_phase(study, "searching")
    if not study.get_trials(deepcopy=False):
        course, _ = preparation.space.course_point()
        study.enqueue_trial(course)
    waves = math.ceil(preparation.confirm_runs / phase.plan.slots)

    def deadline(full_seconds: Sequence[float]) -> float:
        if request.time_budget is None:
            return math.inf
        typical = sum(full_seconds) / len(full_seconds) if full_seconds else 0.0
        end = request.time_budget - end_seconds
        # The confirmation starts its processes anew, which takes about as long as the start of the search did.
        kept = min(waves * typical + start_seconds, CONFIRM_SHARE * max(0.0, end - start_seconds)) if waves else 0.0
        return preparation.started + end - kept

    before = time.monotonic()
    earlier = records(study)
    sweeper = _sweeper(preparation, phase, earlier)
    end = run_phase(
        dataclasses.replace(phase, observers=[*phase.observers, sweeper]),
        name="search",
        study_name=SEARCH_STUDY,
        sampler=tpe(preparation.space, request.seed + len(earlier), repeats=request.allow_repeats),
        scheduler=asha(request.max_steps, preparation.space.settings({}).report_every, earlier),
        wanted=preparation.trials,
        deadline=deadline,
    )
    sweeper.close()
    add_session(study, "search", end, time.monotonic() - before)


def _sweeper(
    preparation: Preparation, phase: Phase, earlier: Sequence[TrialRecord], confirm_runs: int = 0
) -> CheckpointSweeper:
    """Return what keeps the weights of the best trials and of the course's setting only; `confirm_runs` are to come."""
    largest, words = preparation.space.largest(), preparation.dataset.vocabulary.size
    return CheckpointSweeper(
        preparation.folder,
        phase="search",
        ended=[record for record in earlier if record.fate not in ("waiting", "running")],
        keep=max(KEPT, preparation.request.confirm_top),
        always=[COURSE_TRIAL],
        max_bytes=preparation.request.resources.max_disk,
        reserved_bytes=bytes_of_others(preparation.folder, phase.plan, largest, words, confirm_runs),
    )


def _confirm(preparation: Preparation, phase: Phase, end_seconds: float) -> None:
    """Train the best settings and the course's again on fresh seeds, as far as the time for that goes."""
    request = preparation.request
    study = open_study(phase.studies, SEARCH_STUDY)
    chosen = candidates(records(study), request.confirm_top)
    if not chosen or request.confirm_seeds == 0:
        return
    set_phase(study, "confirming")
    runs_study = open_study(phase.studies, CONFIRMATION_STUDY)
    seeds = confirmation_seeds(request.seed, request.confirm_seeds)
    deadline = preparation.started + (math.inf if request.time_budget is None else request.time_budget - end_seconds)
    if time.monotonic() >= deadline:
        return
    wanted = enqueue(runs_study, chosen if request.time_budget else longest_first(chosen, preparation.space), seeds)
    if request.resources.max_disk is not None:
        to_come = sum(run.fate in ("waiting", "running") for run in records(runs_study))
        _sweeper(preparation, phase, records(study), to_come).close()
    before = time.monotonic()
    end = run_phase(
        phase,
        name="confirm",
        study_name=CONFIRMATION_STUDY,
        sampler=RandomSampler(seed=request.seed),  # never asked: every run is enqueued with its setting
        scheduler=None,
        wanted=wanted,
        deadline=lambda _: deadline,
    )
    add_session(study, "confirm", end, time.monotonic() - before)


def finish(preparation: Preparation, studies: Studies, process: FreshProcess) -> Outcome:
    """Score the winner and the course's setting on the test set, export the winner, write the report.

    `process` is what checks the exported bundle.

    Raises:
        NothingUsableError: if there is no trial to export.
    """
    folder, space, dataset = preparation.folder, preparation.space, preparation.dataset
    study = open_study(studies, SEARCH_STUDY)
    outcome = _outcome(preparation, studies)
    winner = outcome.winner
    give_back_memory()  # what Ray and the live report took is free, and a model of the largest size is to be loaded
    if winner is None:
        set_phase(study, "done")
        _write_results(preparation, studies)
        reasons = sorted({record.reason for record in outcome.records if record.reason})
        raise NothingUsableError(
            f"a search must have one trial that can be exported: all {len(outcome.records)} of {folder.name} failed "
            f"({', '.join(reasons) or 'before their first report'}): see {folder.path / ERRORS}, then extend it with "
            "--resume."
        )
    confirmed = bool(outcome.confirmed)
    runs_study = open_study(studies, CONFIRMATION_STUDY) if confirmed else study
    if confirmed:
        course = [setting for setting in outcome.confirmed if setting.is_course and setting.trial != winner.trial]
        winner_runs = runs_of(winner, outcome.confirmations)
        runs = [*winner_runs, *(run for setting in course for run in runs_of(setting, outcome.confirmations))]
    else:
        winner_runs = [outcome.records[winner.trial]]
        runs = [*winner_runs, *([outcome.records[0]] if winner.trial and outcome.records[0].best_val_loss else [])]
    settings = {score_key(run): space.settings(run.setting) for run in runs}
    score_on_test(study=study, runs_study=runs_study, runs=runs, settings=settings, dataset=dataset, folder=folder)
    export_again(preparation, folder.bundle, None, process)
    set_phase(study, "done")
    return _write_results(preparation, studies)


def export_again(
    preparation: Preparation, out: Path, trial: int | None, process: FreshProcess, *, onnx: bool = False
) -> Path:
    """Export the winner of a search that has one, or the best weights of its trial `trial`, to `out`.

    process: what checks the bundle. onnx: write model.onnx too, and check it.

    Raises:
        StudyError: if there is no winner yet, or no checkpoint of the trial.
    """
    studies = open_storage(preparation.folder, preparation.request.study_place)
    study = open_study(studies, SEARCH_STUDY)
    outcome = _outcome(preparation, studies)
    runs_study, run = study, None
    if trial is not None:
        checkpoint_of(study, trial, preparation.folder)  # refuses a number that is none
        run = outcome.records[trial]
    elif outcome.winner and outcome.confirmed:
        runs_study = open_study(studies, CONFIRMATION_STUDY)
        run = lowest(runs_of(outcome.winner, outcome.confirmations))
    elif outcome.winner:
        run = outcome.records[outcome.winner.trial]
    if run is None or run.best_val_loss is None:
        raise StudyError(
            f"an export needs a trial that was measured: {preparation.folder.name} has none yet: "
            "continue it with --resume."
        )
    return export_run(
        out,
        run=run,
        checkpoint=checkpoint_of(runs_study, run.number, preparation.folder),
        settings=preparation.space.settings(run.setting),
        dataset=preparation.dataset,
        outcome=outcome,
        test=study.user_attrs.get(TEST_SCORES, {}).get(score_key(run)),
        process=process,
        onnx=onnx,
    )


def _write_results(preparation: Preparation, studies: Studies) -> Outcome:
    outcome = _outcome(preparation, studies)
    write_csv(outcome, preparation.folder.leaderboard_file)
    write_report(outcome, open_study(studies, SEARCH_STUDY), preparation.folder.report_file)
    return outcome


def _outcome(preparation: Preparation, studies: Studies) -> Outcome:
    return read_outcome(preparation.folder, studies, preparation.request.for_readers())


def _probe_gpu(preparation: Preparation, machine: Machine) -> tuple[int, int] | None:
    """Measure the largest setting on one of the GPUs, if trials are to be packed by what it takes."""
    if machine.gpus < 1 or preparation.request.resources.gpus_per_trial != "auto":
        return None
    return probe_gpu(preparation.space.largest(), preparation.data)


def _stop_if_interrupted(preparation: Preparation, interruption: Interruption, studies: Studies) -> None:
    if interruption.requested:
        set_phase(open_study(studies, SEARCH_STUDY), "interrupted")
        _write_results(preparation, studies)
        raise InterruptedSearch(resume_command(preparation))
