"""The commands over exported models: evaluate, compare, predict, serve."""

from typing import Annotated, Any

import typer

from tune_sentiment.cli.app import app
from tune_sentiment.cli.options import SOURCES, BundleArgument, DataUrl, Json, LabelColumn, NoToken, TextColumn
from tune_sentiment.errors import SettingsError

DataOption = Annotated[str, typer.Option("--data", metavar="SOURCE", help=f"The reviews: {SOURCES}.")]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split", metavar="all|train|validation|test", help="Default: test on data trained on, else all of it."
    ),
]


@app.command()
def evaluate(
    bundle: BundleArgument,
    data: DataOption,
    split: SplitOption = None,
    as_json: Json = False,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    data_url: DataUrl = None,
) -> None:
    """Score a bundle on labelled reviews: loss, accuracy, F1, AUC, confusion, calibration."""
    from tune_sentiment import api
    from tune_sentiment.console import bundles as console

    options: Any = {"split": split, "text_column": text_column, "label_column": label_column, "data_url": data_url}
    scores, scored = api.evaluate(bundle, data, **options)
    console.scores(scores, scored, as_json=as_json)


@app.command()
def compare(
    bundles: Annotated[list[str], typer.Argument(metavar="BUNDLE BUNDLE…", help="Folders of exported models.")],
    data: DataOption,
    split: SplitOption = None,
    as_json: Json = False,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    data_url: DataUrl = None,
) -> None:
    """Say whether one bundle is better than another by more than luck."""
    from tune_sentiment import api
    from tune_sentiment.console import bundles as console

    options: Any = {"split": split, "text_column": text_column, "label_column": label_column, "data_url": data_url}
    found, scored = api.compare(bundles, data, **options)
    console.comparison(found, scored, as_json=as_json)


@app.command()
def predict(
    bundle: BundleArgument,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]…", help="Reviews.")] = None,
    file: Annotated[str | None, typer.Option(metavar="F|-", help="A file of one review a line; - for stdin.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="What each word contributes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON Lines: one object a review.")] = False,
) -> None:
    """Say whether reviews are positive or negative."""
    from tune_sentiment.console import bundles as console

    if bool(texts) == (file is not None):
        raise SettingsError("predict takes texts or a file: got both or neither: give TEXT or --file F.")
    console.predict(bundle, texts or [], file, explain=explain, as_json=as_json)


@app.command()
def serve(
    bundle: BundleArgument,
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine alone.")] = "127.0.0.1",
    replicas: Annotated[int, typer.Option(help="Processes that answer, each on a CPU of its own.")] = 1,
    no_token: NoToken = False,
) -> None:
    """Answer over HTTP: POST /predict, GET /healthz, OpenAPI at /docs; until Ctrl-C."""
    from tune_sentiment import api
    from tune_sentiment.console import bundles as console

    api.serve(bundle, host=host, port=port, replicas=replicas, token=not no_token, on_ready=console.serving)
