"""The options that several commands share."""

from typing import Annotated

import typer

SOURCES = (
    "demo; imdb (downloaded once); an aclImdb folder or .tar.gz; a folder with reviews.txt and labels.txt; "
    "*.pos and *.neg files; .csv .tsv .jsonl .parquet"
)
Data = Annotated[str, typer.Option("--data", metavar="SOURCE", help=f"The reviews: {SOURCES}.")]
TextColumn = Annotated[str | None, typer.Option(help="Column of the texts, where its name is not a usual one.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column of the labels, where its name is not a usual one.")]
DataUrl = Annotated[str | None, typer.Option(help="A mirror of the archive that `imdb` downloads.")]
Storage = Annotated[str, typer.Option(metavar="DIR|URI", help="Folder, or s3://…, that holds the searches.")]
Experiment = Annotated[str, typer.Argument(help="A search: its folder, or its name under --storage.")]
BundleArgument = Annotated[str, typer.Argument(metavar="BUNDLE", help="Folder of an exported model.")]
NoToken = Annotated[
    bool, typer.Option("--no-token", help="Do not have Ray ask for its token: other users can then run code as you.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
