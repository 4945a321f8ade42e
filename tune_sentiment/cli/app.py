"""The application that the commands belong to, and what becomes of their errors."""

import gc
import io
import os
import sys
from typing import Annotated

import typer

from tune_sentiment import __version__
from tune_sentiment.errors import InterruptedSearch, NothingUsableError, SettingsError, TuneSentimentError

app = typer.Typer(
    name="tune-sentiment",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Find the best sentiment LSTM for your reviews in the time you have.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ALLOCATIONS_BETWEEN_COLLECTIONS = 50_000
"""Python's own is 700: a fifth of the time of an import went to looking for garbage where there is none."""


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Find the best sentiment LSTM for your reviews in the time you have."""
    if version:
        typer.echo(f"tune_sentiment {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise SettingsError("a command is needed: got none: start with `search`.")


def main() -> None:
    """Run the command line; exit with 0 done, 1 nothing usable, 2 a wrong request, 130 interrupted."""
    gc.set_threshold(ALLOCATIONS_BETWEEN_COLLECTIONS)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # reviews hold what a terminal's encoding may not
    code: int | None
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        if code == 130:  # Typer's answer to Ctrl-C
            typer.echo("interrupted", err=True)
    except NothingUsableError as problem:
        code = fail(problem, 1)
    except InterruptedSearch as stop:
        from tune_sentiment.console.searches import interrupted

        code = interrupted(stop.resume_command)
    except TuneSentimentError as problem:
        code = fail(problem, 2)
    except typer.TyperException as problem:
        context: typer.Context | None = getattr(problem, "ctx", None)
        command = context.command_path if context else "tune-sentiment"
        code = fail(f"{problem.format_message().rstrip('.')}: see `{command} --help`.", 2)
    except (BrokenPipeError, SystemExit):  # SystemExit is Typer's answer to a closed pipe, as of `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's own last flush fails, too
        code = 0
    gc.freeze()  # Python looks through all that is left, once more, as it ends: 0.8 s after a search
    sys.exit(code or 0)


def fail(problem: object, code: int) -> int:
    """Print a user's mistake as one line on stderr and return `code`."""
    typer.echo(f"error: {' '.join(str(problem).split())}", err=True)
    return code
