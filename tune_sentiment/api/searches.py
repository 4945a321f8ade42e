"""Searches and single runs: one function for each command."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_sentiment.config import validated
from tune_sentiment.errors import StudyError

if TYPE_CHECKING:
    import optuna

    from tune_sentiment.api.result import SearchResult
    from tune_sentiment.config import TrainSettings
    from tune_sentiment.search.ray_dashboard import RayDashboard
    from tune_sentiment.search.records import Observer, Outcome, Plan, TrialRecord
    from tune_sentiment.training.loop import Progress

DEFAULT_STORAGE = "experiments"


def search(
    data: str | None = None,
    *,
    on_plan: "Callable[[Plan], None] | None" = None,
    on_dashboard: "Callable[[RayDashboard], None] | None" = None,
    on_stuck: Callable[[str], None] | None = None,
    on_lost: Callable[[str], None] | None = None,
    observers: "Sequence[Observer]" = (),
    dashboard: bool = True,
    token: bool = True,
    mlflow: str | None = None,
    progress: bool | None = None,
    **options: Any,
) -> "SearchResult":
    """Search the best setting for `data` (the demo corpus without), confirm it, export it, and return what was found.

    `options` are those of `intake.prepare`. `mlflow` is the address of a server to log the search and its model to.
    `progress` shows it run: in a notebook, unless False; in a terminal, on stderr, only if True. `observers` watch it
    run, `on_plan` gets the plan before the first trial, `on_dashboard` how to open Ray's dashboard;
    without `token`, the private cluster does not ask for Ray's token, which is warned of;
    `on_stuck` gets the command that resumes if an interrupted search cannot stop by itself, and should end the process.
    `on_lost` gets it if the private cluster's raylet has died, and should end the process, as Ray itself will soon.

    Raises:
        DataError, SettingsError, ResourceError, StudyError: if the request cannot be met.
        InterruptedSearch: if the user stopped it (Ctrl-C); all is kept, and `resume_command` continues it.
        NothingUsableError: if no trial can be exported.
    """
    from tune_sentiment.results.notebook import keep_quiet

    keep_quiet()
    from tune_sentiment.api.result import SearchResult
    from tune_sentiment.api.watching import mlflow_logs, mlflow_server, progress_where_this_runs
    from tune_sentiment.intake import prepare
    from tune_sentiment.preparation import make_plan, resume_command
    from tune_sentiment.search.head_start import SearchCluster
    from tune_sentiment.search.journal import mend_journal
    from tune_sentiment.search.mirror import mirrored
    from tune_sentiment.search.outcome import open_outcome
    from tune_sentiment.search.places import held
    from tune_sentiment.search.request import write_request
    from tune_sentiment.search.resources import this_machine
    from tune_sentiment.search.storage import storage_error

    server = None if mlflow is None else mlflow_server(mlflow)
    with closing(SearchCluster(dashboard=dashboard, token=token)) as cluster:
        preparation = prepare(data, mlflow=mlflow, before_reading=cluster.begin, **options)
        if preparation.request.resources.address is None:
            make_plan(preparation, this_machine())  # so that what is impossible is refused before anything is written
        watching = [*progress_where_this_runs(progress), *observers]
        from tune_sentiment import recipe  # torch and Ray Tune, while Ray's processes start

        with held(preparation.folder, new=not options.get("resume")) as lease:
            try:
                mend_journal(preparation.folder)
                write_request(preparation.folder, preparation.request)
                with mirrored(preparation.folder, lease) as mirror, mlflow_logs(server, preparation) as logs:
                    outcome = recipe.run(
                        preparation,
                        cluster=cluster,
                        observers=[*([] if mirror is None else [mirror]), *watching, *logs],
                        on_plan=on_plan,
                        on_dashboard=on_dashboard,
                        on_stuck=on_stuck,
                        on_lost=on_lost,
                        storage_failure=lambda: "" if mirror is None else mirror.failure,
                    )
                for log in logs:
                    log.finish(outcome)
                return SearchResult(outcome, open_outcome(preparation.folder)[1])
            except Exception as problem:
                told = storage_error(problem, preparation.folder, resume_command(preparation))
                if told is None:
                    raise
                raise told from problem


def plan_search(data: str | None = None, **options: Any) -> "Plan":
    """Return how a search would use this machine, with an estimate of its time, without running or writing anything."""
    from tune_sentiment.intake import prepare
    from tune_sentiment.preparation import make_plan
    from tune_sentiment.search.resources import this_machine

    return make_plan(prepare(data, **options), this_machine(), estimate=True)


def train(
    data: str = "demo",
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    threads: int | None = None,
    out: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    data_url: str | None = None,
) -> "Iterator[Progress]":
    """Run the loop once, without Ray, and yield its reports; `settings` differ from the course's.

    With `out`, the best weights become a bundle there after the last report.
    """
    from tune_sentiment.data.dataset import load_dataset
    from tune_sentiment.export.alone import train_alone

    chosen = validated(settings or {}, "the options")
    dataset = load_dataset(data, text_column=text_column, label_column=label_column, data_url=data_url)
    return train_alone(dataset, chosen, seed=seed, threads=threads, out=None if out is None else Path(out))


def retrain(
    experiment: str, trial: int, *, storage: str = DEFAULT_STORAGE, out: str | None = None
) -> "tuple[TrialRecord, TrainSettings, Iterator[Progress]]":
    """Run a search's trial again, alone: return what was recorded of it, its settings, and the reports of the new run.

    Setting, seed, data and threads are the trial's, so that on the same machine the losses are the same to the last
    bit. With `out`, the best weights become a bundle there after the last report.

    Raises:
        StudyError: if the search has no such trial, or one whose setting was never chosen.
    """
    from tune_sentiment.export.alone import train_alone
    from tune_sentiment.intake import prepare
    from tune_sentiment.search.outcome import open_outcome
    from tune_sentiment.search.study import named

    preparation = prepare(name=experiment, storage=storage, resume=True)
    record = named(open_outcome(preparation.folder)[0].records, trial, preparation.folder)
    settings = preparation.space.settings(record.setting)
    threads = max(1, int(preparation.request.resources.cpus_per_trial or 1))
    target = None if out is None else Path(out)
    return record, settings, train_alone(preparation.dataset, settings, seed=record.seed, threads=threads, out=target)


def reopen(experiment: str, storage: str = DEFAULT_STORAGE) -> "SearchResult":
    """Return what a search, running or finished, has found so far: what `search` returns at its end.

    Raises:
        StudyError: if there is no such search, or a file of it is damaged.
    """
    from tune_sentiment.results.notebook import keep_quiet

    keep_quiet()
    from tune_sentiment.api.result import SearchResult
    from tune_sentiment.search.outcome import open_outcome
    from tune_sentiment.search.places import existing_place

    return SearchResult(*open_outcome(existing_place(experiment, storage)))


def report(experiment: str, storage: str = DEFAULT_STORAGE) -> "tuple[Outcome, optuna.Study]":
    """Write the report and the leaderboard of a search again, and return what it found and its study."""
    from tune_sentiment.results.leaderboard import write_csv
    from tune_sentiment.results.report import write_report
    from tune_sentiment.search.outcome import open_outcome
    from tune_sentiment.search.places import existing_place, keep

    folder = existing_place(experiment, storage)
    outcome, study = open_outcome(folder)
    write_csv(outcome, folder.leaderboard_file)
    write_report(outcome, study, folder.report_file)
    keep(folder, folder.leaderboard_file, folder.report_file)
    return outcome, study


def dashboard(
    experiment: str,
    *,
    storage: str = DEFAULT_STORAGE,
    port: int = 8080,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Show a search, running or finished, in optuna-dashboard on 127.0.0.1 until Ctrl-C or SIGTERM; it is only read.

    `on_ready` gets the address, which holds a token, once it answers. port: 0 takes a free one.

    Raises:
        StudyError: if there is no such search, or no trial of it yet.
        SettingsError: if the extra `[dashboard]` is not installed.
        ResourceError: if the port is in use.
    """
    from tune_sentiment.results.study_page import run
    from tune_sentiment.search.places import existing_place
    from tune_sentiment.search.read_only import shown_study

    run(*shown_study(existing_place(experiment, storage)), port=port, on_ready=on_ready)


def export(
    experiment: str, out: str, *, trial: int | None = None, onnx: bool = False, storage: str = DEFAULT_STORAGE
) -> Path:
    """Export a search's winner, or the best weights of one of its trials, as a bundle in the folder `out`.

    With `onnx`, the bundle holds the model as model.onnx too, checked against ONNX Runtime.

    Raises:
        StudyError: if the search has no winner, or the trial no checkpoint.
        SettingsError: if `onnx` is wanted and the extra `[onnx]` is not installed.
        BundleError: if `out` is no place for a bundle, or what was exported does not answer as the model does.
    """
    from tune_sentiment.intake import prepare

    if onnx:
        from tune_sentiment.export.onnx_file import require_onnx

        require_onnx()
    from tune_sentiment.export.fresh_process import FreshProcess
    from tune_sentiment.recipe import export_again

    preparation = prepare(name=experiment, storage=storage, resume=True)
    with FreshProcess() as process:
        return export_again(preparation, Path(out), trial, process, onnx=onnx)


def list_searches(storage: str = DEFAULT_STORAGE) -> list[dict[str, Any]]:
    """Return the searches under a storage folder, newest first: name, state, trials, wanted, best, winner, updated."""
    from tune_sentiment.search.outcome import open_outcome
    from tune_sentiment.search.places import places

    found: list[dict[str, Any]] = []
    for folder in places(storage):
        try:
            outcome, _ = open_outcome(folder)
        except StudyError as problem:
            found.append({"name": folder.name, "state": f"damaged: {problem}"})
            continue
        ended = [record for record in outcome.records if record.fate not in ("waiting", "running")]
        losses = [record.best_val_loss for record in ended if record.best_val_loss is not None]
        found.append(
            {
                "name": folder.name,
                "state": outcome.phase,
                "trials": len(ended),
                "wanted": outcome.request["trials"],
                "best_val_loss": min(losses, default=None),
                "winner": outcome.winner.setting if outcome.winner else None,
                "updated": folder.modified,
            }
        )
    return found
