"""The commands without a search: train one setting, describe a source."""

from typing import Annotated

import typer

from tune_sentiment.cli.app import app
from tune_sentiment.cli.options import SOURCES, DataUrl, Json, LabelColumn, Storage, TextColumn
from tune_sentiment.errors import SettingsError


@app.command()
def train(
    data: Annotated[str | None, typer.Option(metavar="SOURCE", help=f"The reviews, default demo: {SOURCES}.")] = None,
    embedding_dim: Annotated[int | None, typer.Option(help="Length of a word's vector; default 400.")] = None,
    hidden_dim: Annotated[int | None, typer.Option(help="Length of the LSTM's state; default 256.")] = None,
    n_layers: Annotated[int | None, typer.Option(help="LSTM layers; default 2.")] = None,
    lr: Annotated[float | None, typer.Option(help="Adam's learning rate; default 0.001.")] = None,
    clip: Annotated[float | None, typer.Option(help="Norm that longer gradients are cut to; default 5.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training split; default 4.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Reviews per step; default 50.")] = None,
    seq_length: Annotated[int | None, typer.Option(help="Words read of a review; default 200.")] = None,
    report_every: Annotated[int | None, typer.Option(help="Steps between two reports; default 100.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Between LSTM layers; default 0.5.")] = None,
    output_dropout: Annotated[float | None, typer.Option(help="Before the last layer; default 0.3.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Adam's L2 penalty; default 0.")] = None,
    pooling: Annotated[
        str | None, typer.Option(metavar="last|mean|max", help="What is read out of the LSTM; default last.")
    ] = None,
    bidirectional: Annotated[bool | None, typer.Option(help="Read each review from its end, too.")] = None,
    carry_hidden: Annotated[bool | None, typer.Option(help="The course's own loop, faults and all.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(metavar="auto|float32|bfloat16", help="Of the LSTM's products in training; default auto."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Fixes the weights and the order of the reviews; default 0.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all.")] = None,
    out: Annotated[str | None, typer.Option(metavar="DIR", help="Export the best weights there.")] = None,
    experiment: Annotated[
        str | None, typer.Option("--from", metavar="EXPERIMENT", help="Run the trial --trial of this search again.")
    ] = None,
    trial: Annotated[int | None, typer.Option(help="A trial's number, with --from.")] = None,
    storage: Storage = "experiments",
    as_json: Json = False,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    data_url: DataUrl = None,
) -> None:
    """Run the loop once, without Ray: the course's numbers (the defaults) and its progress lines."""
    options = {key: value for key, value in locals().items() if value is not None}
    from tune_sentiment.config import TrainSettings
    from tune_sentiment.console import training as console

    for name in ("storage", "as_json", "out", "experiment", "trial"):
        options.pop(name, None)
    if (experiment is None) != (trial is None) or (experiment is not None and options):
        given = ", ".join(f"--{name.replace('_', '-')}" for name in options) or "one of them"
        raise SettingsError(
            f"--from and --trial come together, and with --storage, --out and --json only: got {given}: "
            "leave out the rest, which is the trial's own."
        )
    if experiment is not None and trial is not None:
        console.train_again(experiment, trial, storage, out, as_json=as_json)
        return
    settings = {key: options.pop(key) for key in list(options) if key in TrainSettings.model_fields}
    console.train(settings, {**options, "out": out}, as_json=as_json)


@app.command()
def data(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=f"The reviews: {SOURCES}.")],
    as_json: Json = False,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    data_url: DataUrl = None,
) -> None:
    """Describe a source: counts, lengths, vocabulary, split, problems found."""
    from tune_sentiment import api
    from tune_sentiment.console import training as console

    columns = {"text_column": text_column, "label_column": label_column, "data_url": data_url}
    console.description(api.describe(source, **columns), as_json=as_json)
