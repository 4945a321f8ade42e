"""Read a whole search back out of its folder: the study is all it takes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import optuna

from tune_sentiment.search.confirm import confirmed_settings
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.records import ConfirmedSetting, Outcome, PhaseEnd, TrialRecord
from tune_sentiment.search.request import read_request
from tune_sentiment.search.rungs import rungs
from tune_sentiment.search.space import space_from_dict
from tune_sentiment.search.study import CONFIRMATION_STUDY, SEARCH_STUDY, Studies, open_storage, read_study, records

PHASE = "phase"
SESSIONS = "sessions"
TEST_SCORES = "test_scores"
"""Attributes of the search's study: where it stands, what each session cost, the test scores by confirmation run."""

PhaseName = Literal["searching", "confirming", "done", "interrupted"]


def set_phase(study: optuna.Study, phase: PhaseName) -> None:
    """Write down where the search stands."""
    study.set_user_attr(PHASE, phase)


def add_session(study: optuna.Study, name: str, end: PhaseEnd, seconds: float) -> None:
    """Write down what one session of a phase cost; `seconds` is its share of the whole command's time."""
    session = {
        "phase": name,
        "busy_seconds": end.busy_seconds,
        "slot_seconds": end.slot_seconds,
        "seconds": seconds,
        "timed_out": end.timed_out,
    }
    study.set_user_attr(SESSIONS, [*study.user_attrs.get(SESSIONS, []), session])


def read_outcome(folder: SearchFolder, studies: Studies, request: Mapping[str, Any]) -> Outcome:
    """Return all that the search in `folder` found so far; `request` is its search.json."""
    study = read_study(studies, SEARCH_STUDY)
    trials = records(study)
    runs = records(read_study(studies, CONFIRMATION_STUDY))
    attributes = study.user_attrs
    sessions = attributes.get(SESSIONS, [])
    scored = tuple(
        with_test_scores(one, runs, attributes.get(TEST_SCORES, {})) for one in confirmed_settings(trials, runs)
    )
    slot_seconds = sum(session["slot_seconds"] for session in sessions)
    space = space_from_dict(request["space"], str(folder.request_file))
    return Outcome(
        name=folder.name,
        folder=str(folder.path),
        phase=attributes.get(PHASE, "searching"),
        records=trials,
        confirmations=runs,
        confirmed=scored,
        winner=scored[0] if scored else unconfirmed_winner(trials, attributes.get(TEST_SCORES, {})),
        busy_share=sum(session["busy_seconds"] for session in sessions) / slot_seconds if slot_seconds else 0.0,
        seconds=sum(session["seconds"] for session in sessions),
        rungs=rungs(request["max_steps"], space.settings({}).report_every),
        request=dict(request),
        bundle=str(folder.bundle) if folder.bundle.is_dir() else None,
        notes=(
            *request.get("notes", ()),
            *([f"All of it is in {folder.place}; the paths here are of a working copy."] if folder.remote else []),
            *(f"Trial {record.number}: {record.note}" for record in trials if record.note),
            *(f"Confirmation run {record.number}: {record.note}" for record in runs if record.note),
        ),
    )


def open_outcome(folder: SearchFolder) -> tuple[Outcome, optuna.Study]:
    """Return what the search in `folder` found so far, and its study.

    Raises:
        StudyError: if a file of it is damaged.
    """
    request = read_request(folder)
    studies = open_storage(folder, request.study_place)
    return read_outcome(folder, studies, request.for_readers()), read_study(studies, SEARCH_STUDY)


def with_test_scores(
    setting: ConfirmedSetting, runs: tuple[TrialRecord, ...], scores: Mapping[str, Mapping[str, float]]
) -> ConfirmedSetting:
    """Return `setting` with the test scores of its runs, where they were scored."""
    own = [scores[score_key(run)] for run in runs_of(setting, runs) if score_key(run) in scores]
    return replace(
        setting,
        test_losses=tuple(score["loss"] for score in own),
        test_accuracies=tuple(score["accuracy"] for score in own),
    )


def runs_of(setting: ConfirmedSetting, runs: tuple[TrialRecord, ...]) -> list[TrialRecord]:
    """Return the confirmation runs of `setting`, in the order of its seeds."""
    own = {run.seed: run for run in runs if run.source_trial == setting.trial and run.fate == "complete"}
    return [own[seed] for seed in setting.seeds if seed in own]


def lowest(runs: Sequence[TrialRecord]) -> TrialRecord:
    """Return the run with the lowest validation loss."""
    return min(runs, key=lambda run: math.inf if run.best_val_loss is None else run.best_val_loss)


def score_key(run: TrialRecord) -> str:
    """Return the key under which the test score of a run stands."""
    return f"trial {run.number}" if run.source_trial is None else f"confirmation {run.number}"


def unconfirmed_winner(
    trials: tuple[TrialRecord, ...], scores: Mapping[str, Mapping[str, float]]
) -> ConfirmedSetting | None:
    """Return the trial with the lowest validation loss as a setting of one seed: what there is without confirmation."""
    usable = [trial for trial in trials if trial.fate in ("complete", "stopped") and trial.best_val_loss is not None]
    best = min(usable, key=lambda trial: trial.best_val_loss or 0.0, default=None)
    if best is None or best.best_val_loss is None:
        return None
    score = scores.get(score_key(best))
    return ConfirmedSetting(
        trial=best.number,
        setting=best.setting,
        is_course=best.number == 0,
        search_val_loss=best.best_val_loss,
        seeds=(best.seed,),
        val_losses=(best.best_val_loss,),
        test_losses=(score["loss"],) if score else (),
        test_accuracies=(score["accuracy"],) if score else (),
    )
