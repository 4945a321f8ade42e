"""Run the command line as a user does, in a process of its own."""

import subprocess
import sys
from pathlib import Path


def run(*words: str | Path | bytes, cwd: Path, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tune_sentiment", *words]
    done = subprocess.run(command, cwd=cwd, input=given, capture_output=True, timeout=200)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def answer(*words: str | Path | bytes, cwd: Path, given: bytes = b"") -> str:
    """Return the stdout of a command that has to succeed."""
    done = run(*words, cwd=cwd, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(*words: str | Path, cwd: Path) -> str:
    """Return the one `error:` line of a command that has to refuse."""
    done = run(*words, cwd=cwd)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2, done.stderr
    assert len(errors) == 1 and errors[0] == done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    return errors[0]
