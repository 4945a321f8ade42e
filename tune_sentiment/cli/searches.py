"""The commands over searches: search, report, dashboard, export, list."""

import time
from functools import partial
from typing import Annotated, Any

import typer

from tune_sentiment.cli.app import app
from tune_sentiment.cli.options import SOURCES, DataUrl, Experiment, Json, LabelColumn, NoToken, Storage, TextColumn
from tune_sentiment.errors import SettingsError


@app.command()
def search(
    data: Annotated[str | None, typer.Option(metavar="SOURCE", help=f"The reviews, default demo: {SOURCES}.")] = None,
    space: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="demo, course, wide or a YAML file; default: by the data.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Settings to try; default 16 for the demo, else 50.")] = None,
    time_budget: Annotated[
        str | None, typer.Option(metavar="90s|10m|2h", help="Time for everything, start to exported bundle.")
    ] = None,
    trial_timeout: Annotated[
        str | None, typer.Option(metavar="90s|10m|2h", help="Time for one trial; one that hangs is ended.")
    ] = None,
    max_disk: Annotated[str | None, typer.Option(metavar="20GB", help="Room for the checkpoints.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the search; default: the data and the time.")] = None,
    storage: Storage = "experiments",
    study: Annotated[
        str | None, typer.Option(metavar="URL", help="A database for the study: postgresql://… or mysql://….")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split, in place of the space's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes everything that can be fixed; default 0.")] = None,
    cpus_per_trial: Annotated[float | None, typer.Option(help="Default 1.")] = None,
    gpus_per_trial: Annotated[
        str, typer.Option(metavar="auto|X", help="auto packs what a probe shows to fit.")
    ] = "auto",
    max_concurrent: Annotated[int | None, typer.Option(help="Trials side by side, at most.")] = None,
    address: Annotated[str | None, typer.Option(metavar="auto|ray://…", help="A running Ray cluster to join.")] = None,
    confirm_top: Annotated[
        int | None,
        typer.Option(help="Best settings trained again on fresh seeds; default 2 for the demo, else 3."),
    ] = None,
    confirm_seeds: Annotated[
        int | None, typer.Option(help="Fresh seeds for each of them; default 2 for the demo, else 3.")
    ] = None,
    allow_repeats: Annotated[
        bool, typer.Option("--allow-repeats", help="A setting may be tried again, on another seed.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue or extend the search --name.")] = False,
    change_space: Annotated[
        bool, typer.Option("--change-space", help="With --resume: --space may have wider ranges.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and an estimate of the time; stop.")
    ] = False,
    as_json: Json = False,
    dashboard: Annotated[bool, typer.Option(help="Ray's dashboard on 127.0.0.1.")] = True,
    no_token: NoToken = False,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="An MLflow server to log the search and its model to.")
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    data_url: DataUrl = None,
) -> None:
    """Search, confirm and export the best setting for your reviews."""
    options = dict(locals())
    from tune_sentiment.console import searches as console

    for flag in ("dry_run", "as_json", "dashboard", "no_token"):
        options.pop(flag)
    options["gpus_per_trial"] = gpus_number(gpus_per_trial)
    options["started"] = process_start()
    if dry_run:
        console.dry_run(options, as_json)
    else:
        console.search({**options, "token": not no_token}, dashboard, as_json)


@app.command()
def report(
    experiment: Experiment,
    storage: Storage = "experiments",
    top: Annotated[int, typer.Option(help="Trials to show.")] = 10,
    open_page: Annotated[bool, typer.Option("--open", help="Open report.html in the browser.")] = False,
    png: Annotated[str | None, typer.Option(metavar="DIR", help="Write the main figures there.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a search found, running or finished, and write its report again."""
    from tune_sentiment.console import searches as console

    console.report(experiment, storage, top=top, open_page=open_page, png=png, as_json=as_json)


@app.command()
def dashboard(
    experiment: Experiment,
    storage: Storage = "experiments",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8080,
    open_page: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show a search, running or finished, in optuna-dashboard on 127.0.0.1 until Ctrl-C; it is only read."""
    from tune_sentiment import api
    from tune_sentiment.console import searches as console

    show = partial(console.study_page, open_page=open_page)
    api.dashboard(experiment, storage=storage, port=port, on_ready=show)


@app.command()
def export(
    experiment: Experiment,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder of the new bundle.")],
    trial: Annotated[int | None, typer.Option(help="A trial's number; default: the winner.")] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx too, and check it.")] = False,
    storage: Storage = "experiments",
) -> None:
    """Export a search's winner, or any trial, as a bundle, and check it in a fresh process."""
    from tune_sentiment import api

    typer.echo(api.export(experiment, out, trial=trial, onnx=onnx, storage=storage))


@app.command("list")
def list_searches(storage: Storage = "experiments", as_json: Json = False) -> None:
    """List the searches under a storage folder, their state and best."""
    from tune_sentiment import api
    from tune_sentiment.console import searches as console

    console.searches(api.list_searches(storage), storage, as_json=as_json)


def gpus_number(text: str) -> Any:
    """Return the value of --gpus-per-trial: "auto" or a number."""
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        raise SettingsError(f"--gpus-per-trial must be auto or a number: {text!r}: write auto, 0.25 or 1.") from None


def process_start() -> float:
    """Return the `time.monotonic()` at which this process began: a time budget counts from there."""
    import psutil

    age = time.time() - psutil.Process().create_time()
    return time.monotonic() - age
