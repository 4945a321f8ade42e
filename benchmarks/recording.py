"""Add what a benchmark prints to RESULTS.md, with its command, date and machine."""

import argparse
import io
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

RESULTS = Path(__file__).parent / "RESULTS.md"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let the user leave RESULTS.md alone."""
    parser.add_argument("--no-results", action="store_true", help="print only, leave RESULTS.md alone")


@contextmanager
def recorded(name: str, options: argparse.Namespace, results: Path = RESULTS) -> Iterator[None]:
    """Append what the block prints to `results`, if it ends well and the user did not say `--no-results`."""
    if options.no_results:
        yield
        return
    command, started = command_line(name, sys.argv[1:]), f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine()}"
    both = Both(sys.stdout)
    with redirect_stdout(both):
        yield
    with results.open("a", encoding="utf-8") as file:
        file.write(f"\n`{command}`, {started}:\n\n{as_markdown(both.written.getvalue())}\n")


class Both(io.TextIOBase):
    """Writes to a stream and keeps what it wrote."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream
        self.written = io.StringIO()

    def write(self, text: str) -> int:
        """Write `text`."""
        self.written.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


def command_line(name: str, words: list[str]) -> str:
    """Return the command of a benchmark, the files that it was given without their folders."""
    said = [Path(word).name if os.sep in word and Path(word).exists() else word for word in words]
    return shlex.join(["python", "-m", f"benchmarks.{name}", *said])


def machine() -> str:
    """Return the processor, its cores, how busy it is, and the versions that matter."""
    model = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "ray", "optuna"))
    load = os.getloadavg()[0]
    return f"{len(os.sched_getaffinity(0))} cores of {model}, load average {load:.1f} before, {versions}"


def as_markdown(printed: str) -> str:
    """Return `printed` with its tables as they are, and a bullet before each other line."""
    blocks: list[list[str]] = []
    for line in printed.splitlines():
        kind = line.startswith("|")
        if not line.strip():
            continue
        if not blocks or blocks[-1][-1].startswith("|") != kind:
            blocks.append([])
        blocks[-1].append(line if kind else f"- {line.strip()}")
    return "\n\n".join("\n".join(block) for block in blocks)
