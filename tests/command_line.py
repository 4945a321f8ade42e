"""Run the command line: here, where torch is loaded already, or as a user does, in a process of its own."""

import contextlib
import io
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from tune_sentiment.cli import main, searches

Done = subprocess.CompletedProcess[str]


def run(*words: str | Path | bytes, cwd: Path, given: bytes = b"") -> Done:
    """Run a command in this process, from `main` on: what it prints, and the code it would exit with."""
    command = ["tune-sentiment", *map(os.fsdecode, words)]
    stdin, stdout, stderr = (io.TextIOWrapper(io.BytesIO(text), "utf-8") for text in (given, b"", b""))
    code: str | int | None = 0
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", command),
        mock.patch.object(sys, "stdin", stdin),
        mock.patch.object(searches, "process_start", time.monotonic),  # budgets of time count from there
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
        except Exception:
            traceback.print_exc()
            code = 1
    return Done(command, int(code or 0), *map(written, (stdout, stderr)))


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def run_apart(*words: str | Path | bytes, cwd: Path, given: bytes = b"") -> Done:
    """Run a command in a process of its own, as `python -m tune_sentiment`."""
    command = [sys.executable, "-m", "tune_sentiment", *words]
    done = subprocess.run(command, cwd=cwd, input=given, capture_output=True, timeout=200)
    return Done(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def answer(*words: str | Path | bytes, cwd: Path, given: bytes = b"", by: Callable[..., Done] = run) -> str:
    """Return the stdout of a command that has to succeed."""
    done = by(*words, cwd=cwd, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(*words: str | Path, cwd: Path, by: Callable[..., Done] = run) -> str:
    """Return the one `error:` line of a command that has to refuse."""
    done = by(*words, cwd=cwd)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert len(errors) == 1 and errors[0] == done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    return errors[0]
