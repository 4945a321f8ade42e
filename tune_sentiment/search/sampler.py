"""Optuna's TPE behind Ray Tune's searcher interface, told the truth about every trial."""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from tune_sentiment.search.distinct import DistinctTPE
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.ray_tune import only_named
from tune_sentiment.search.records import TrialRecord
from tune_sentiment.search.space import Space
from tune_sentiment.search.storage import STORAGE, named_disk_error, names_storage_problem
from tune_sentiment.search.study import CHECKPOINT, KEPT_STEP, SEED, SUMMARY, record_of, seed_of_trial, unfinished

with only_named("pandas", "ray.data"):
    from ray.tune.search.optuna import OptunaSearch

METRIC = "best_val_loss"
"""The one definition of best: the lowest validation loss of the trial so far."""

LOSSES = 1
"""Times that a trial whose process was lost is handed out again, each with as many retries of Ray's own."""
LOST_HANDOVERS = 20
"""Times that it is handed out again when the process was lost before the trial ran in it: hardly its own doing."""

ERRORS = "errors"
"""Folder in that of the search: the tracebacks of failed trials."""

SETTING_TO_BLAME = ("diverged", "out of memory", "timeout")
"""Failures that another trial of the same setting would have, too."""


STARTUP_TRIALS = 20
"""Trials that are drawn at random before TPE looks at any: with fewer, it settles on a place that luck chose."""


def tpe(space: Space, seed: int, *, repeats: bool = False) -> TPESampler:
    """Return the sampler of a search: it models the hyperparameters jointly and counts running trials as bad.

    No setting is chosen twice, unless `repeats` allows it.
    """
    options: dict[str, Any] = {
        "multivariate": True,
        "constant_liar": True,
        "n_startup_trials": STARTUP_TRIALS,
        "seed": seed,
    }
    return TPESampler(**options) if repeats else DistinctTPE(space.distributions, **options)


class StudySearch(OptunaSearch):
    """Ray Tune's OptunaSearch, but the study is the only truth and hears it all.

    Where stock OptunaSearch tells a trial that ASHA stopped as COMPLETE with its last loss, this one says PRUNED;
    finished trials are COMPLETE with their BEST loss; a trial that diverged, ran out of memory or out of time is PRUNED
    with a violated constraint, which TPE ranks below all others, so that it moves away from there; an error is FAIL.
    Trials left running by an earlier session are handed out first, from their last checkpoint, under their number;
    then trials that wait in the study (the course's setting, confirmation runs); then TPE's suggestions.
    """

    def __init__(
        self,
        *,
        storage: BaseStorage,
        study_name: str,
        sampler: BaseSampler,
        space: Space,
        seed: int,
        folder: SearchFolder,
        wanted: float = math.inf,
    ) -> None:
        """Open the study `study_name` in `storage`; `seed` is the search's, `folder` its folder.

        wanted: trials that the study is to hold in the end.
        """
        super().__init__(
            space=space.distributions,
            metric=METRIC,
            mode="min",
            storage=storage,
            study_name=study_name,
            sampler=sampler,
        )
        self._search_space = space
        self._search_seed = seed
        self._folder = folder
        self._wanted = wanted
        self._to_continue = unfinished(self.study)
        self._begun = sum(trial.state != TrialState.WAITING for trial in self.study.get_trials(deepcopy=False))
        self._live: set[str] = set()
        self._distributions: dict[tuple[str, BaseDistribution], BaseDistribution] = {}
        self._losses: Counter[tuple[int, bool]] = Counter()
        self.stop_reason: Callable[[], str] = lambda: "asha"
        """Why a trial that is stopped at this moment is stopped."""
        self.time_is_up: Callable[[], bool] = lambda: False
        """Whether it is too late for a trial to begin."""
        self.error_of: Callable[[str], str] = lambda trial_id: ""
        """What Ray says of the loss of a trial's process."""
        self.ran: Callable[[str], bool] = lambda trial_id: True
        """Whether a trial whose process was lost had run in it, and Ray has taken it up again as often as it may."""
        self.storage_failure = ""
        """Not empty once a trial could not write: the search cannot go on."""

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        study: object = self._ot_study
        assert isinstance(study, optuna.Study)
        return study

    def number_of(self, trial_id: str) -> int:
        """Return the number in the study of Ray's trial `trial_id`."""
        return int(self._ot_trials[trial_id].number)

    def record(self, trial_id: str) -> TrialRecord:
        """Return what the study holds of Ray's trial `trial_id`."""
        frozen: FrozenTrial = self.study._storage.get_trial(self._ot_trials[trial_id]._trial_id)
        return record_of(frozen)

    @property
    def all_begun(self) -> bool:
        """Whether no trial is left to begin, or to be continued."""
        return not self._to_continue and self._begun >= self._wanted

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return the config of the next trial: its setting, number, seed and where to resume from.

        None while the last trials run, as one of them may be lost and have to be continued; then FINISHED. So too when
        the time is up, once a trial was handed out.
        """
        if (self._ot_trials and self.time_is_up()) or self.all_begun:
            return None if self._live else self.FINISHED
        self._live.add(trial_id)
        resume_from = None
        if self._to_continue:
            frozen = self._to_continue.pop(0)
            trial = Trial(self.study, frozen._trial_id)
            self._ot_trials[trial_id] = trial
            for name, distribution in self._search_space.distributions.items():
                trial._suggest(name, distribution)  # one that died while its setting was being chosen
            checkpoint = frozen.user_attrs.get(CHECKPOINT)
            if checkpoint is not None:
                resume_from = self._folder.checkpoint(checkpoint)
        else:
            super().suggest(trial_id)
            trial = self._ot_trials[trial_id]
            self._begun += 1
        seed = trial.user_attrs.get(SEED)
        if seed is None:
            seed = seed_of_trial(self._search_seed, trial.number)
            trial.set_user_attr(SEED, seed)
        settings = self._search_space.settings(trial.params)
        return {**settings.model_dump(), "number": trial.number, "seed": seed, "resume_from": resume_from}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Report the validation loss of a step to the study; a step seen before, by a resumed trial, is passed over."""
        trial = self._ot_trials[trial_id]
        if not result["failure"] and result["step"] not in self._reported(trial):
            trial.report(result["val_loss"], result["step"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the study how the trial ended."""
        self._live.discard(trial_id)
        trial = self._ot_trials[trial_id]
        if self.record(trial_id).fate != "running":
            return
        if result is None:
            if error:
                self._lost(trial, reason_of_loss(self.error_of(trial_id)), ran=self.ran(trial_id))
            return
        self.on_trial_result(trial_id, result)
        failure = result["failure"]
        finished = result["step"] >= result["max_steps"] and not failure
        reason = "" if finished else failure or self.stop_reason()
        if failure.startswith(STORAGE):
            self.storage_failure = failure  # the trial is left as it was, to be continued
            return
        summary = summary_of(result, reason)
        if failure:
            if result["details"]:
                self._write_details(trial, result["details"])
            self._close_failed(trial, summary)
            return
        trial.set_user_attr(SUMMARY, summary)
        if finished:
            self.study.tell(trial, result[METRIC])
        else:
            self.study.tell(trial, state=TrialState.PRUNED)
        self._keep_once(trial)

    def _lost(self, trial: Trial, reason: str, *, ran: bool) -> None:
        """Have a trial continued whose process was lost, unless that happens again and again or was its own doing.

        Ray does so itself, but not for a process that was lost while the trial was being handed to it.
        """
        self._losses[trial.number, ran] += 1
        if reason.startswith(STORAGE):
            self.storage_failure = reason
        elif reason in SETTING_TO_BLAME or self._losses[trial.number, ran] > (LOSSES if ran else LOST_HANDOVERS):
            self._close_failed(trial, {"reason": reason})
        else:
            self._to_continue.append(self.study._storage.get_trial(trial._trial_id))

    def _close_failed(self, trial: Trial, summary: dict[str, Any]) -> None:
        """Tell the study that a trial failed, and whether its setting is to blame: the sampler then avoids it."""
        trial.set_user_attr(SUMMARY, summary)
        if summary["reason"] in SETTING_TO_BLAME:
            trial.set_constraint("trainable", 1.0)
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, state=TrialState.FAIL)
        self._keep_once(trial)

    def _keep_once(self, trial: Trial) -> None:
        """Hold what is known of a trial that has ended once, in the study, and equal distributions once for all trials.

        Optuna's handle of it has a copy of its own, and its journal makes a distribution anew for each line.
        Nothing of an ended trial changes any more.
        """
        frozen = self.study._storage.get_trial(trial._trial_id)
        for name, distribution in frozen.distributions.items():
            frozen.distributions[name] = self._distributions.setdefault((name, distribution), distribution)
        trial._cached_frozen_trial = frozen
        trial._relative_params = trial.relative_search_space = {}

    def _write_details(self, trial: Trial, details: str) -> None:
        folder = self._folder.path / ERRORS
        folder.mkdir(exist_ok=True)
        (folder / f"{self.study.study_name}_{trial.number:05d}.txt").write_text(details, encoding="utf-8")

    def note_checkpoint(self, trial_id: str, path: str, step: int) -> None:
        """Write down where the trial's last checkpoint is, and of which step."""
        self._ot_trials[trial_id].set_user_attr(CHECKPOINT, self._folder.relative(path))
        self._ot_trials[trial_id].set_user_attr(KEPT_STEP, step)

    def close_interrupted(self, reason: str) -> list[TrialRecord]:
        """Tell the study that every trial still running was stopped for `reason`, and return them."""
        closed = []
        for frozen in unfinished(self.study):
            trial = Trial(self.study, frozen._trial_id)
            kept = {KEPT_STEP: frozen.user_attrs.get(KEPT_STEP, 0), "reason": reason}
            trial.set_user_attr(SUMMARY, {**frozen.user_attrs.get(SUMMARY, {}), **kept})
            self.study.tell(trial, state=TrialState.PRUNED)
            closed.append(record_of(self.study._storage.get_trial(frozen._trial_id)))
        return closed

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: the study is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        """Read nothing: the study is the only state."""

    def _reported(self, trial: Trial) -> dict[int, float]:
        steps: dict[int, float] = self.study._storage.get_trial(trial._trial_id).intermediate_values
        return steps


def summary_of(result: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return what the study keeps of a trial's last report."""
    names = (
        "max_steps",
        "seconds",
        "best_val_accuracy",
        "peak_memory_bytes",
        "reviews_per_second",
        "train_loss",
        "gpu_ids",
        "began",
        "note",
    )
    return {**{name: result[name] for name in names}, "reason": reason}


def reason_of_loss(error: str) -> str:
    """Return the reason for a lost process in one or two words, from what Ray says of it."""
    text = error.lower()
    if "outofmemory" in text or "running low on memory" in text:
        return "out of memory"
    if names_storage_problem(error):
        return f"{STORAGE}: {named_disk_error(error)}".removesuffix(": ")
    return "lost node" if "node has died" in text or "node died" in text or "node failure" in text else "lost process"
