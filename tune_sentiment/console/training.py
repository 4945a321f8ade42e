"""What `train` and `data` print."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from rich.table import Table

from tune_sentiment.console.output import facts_table, print_json, readable, stdout

if TYPE_CHECKING:
    from tune_sentiment.data.describe import Description
    from tune_sentiment.training.loop import Progress


def train(settings: Mapping[str, Any], options: Mapping[str, Any], *, as_json: bool) -> None:
    """Run the loop and print the course's line for each report; with `as_json` on stderr, all reports as JSON after."""
    from tune_sentiment import api
    from tune_sentiment.config import validated
    from tune_sentiment.training.processor import set_up_for_training

    set_up_for_training()
    epochs = validated(settings, "the options").epochs
    lines = sys.stderr if as_json else sys.stdout
    reports = _print_reports(api.train(settings=settings, **options), epochs, lines)
    if options["out"]:
        lines.write(f"Bundle: {options['out']}\n")
    if as_json:
        print_json({"bundle": options["out"], "reports": [asdict(one) for one in reports]})


def train_again(experiment: str, trial: int, storage: str, out: str | None, *, as_json: bool) -> None:
    """Run a search's trial again, print the course's lines, and say whether its losses came out the same."""
    from tune_sentiment import api

    record, settings, progresses = api.retrain(experiment, trial, storage=storage, out=out)
    lines = sys.stderr if as_json else sys.stdout
    reports = _print_reports(progresses, settings.epochs, lines)
    losses = {progress.step: progress.val_loss for progress in reports}
    others = [(step, loss) for step, loss in record.curve if losses.get(step) != loss]
    if others:
        step, loss = others[0]
        lines.write(
            f"{len(others)} of {len(record.curve)} losses differ from the recorded ones, first at step {step}: "
            f"{losses.get(step)} here, {loss} recorded (another processor, device or version computes otherwise).\n"
        )
    else:
        lines.write(f"All {len(record.curve)} recorded losses of trial {trial} came out the same, to the last bit.\n")
    if out:
        lines.write(f"Bundle: {out}\n")
    if as_json:
        print_json(
            {"bundle": out, "differing_steps": [step for step, _ in others], "reports": list(map(asdict, reports))}
        )


def _print_reports(progresses: "Iterable[Progress]", epochs: int, lines: TextIO) -> "list[Progress]":
    reports = []
    for progress in progresses:
        reports.append(progress)
        lines.write(
            f"Epoch: {progress.epoch}/{epochs}... Step: {progress.step}... "
            f"Loss: {progress.train_loss:.6f}... Val Loss: {progress.val_loss:.6f}\n"
        )
        lines.flush()
    if reports:
        lines.write(f"Best: Val Loss: {reports[-1].best_val_loss:.6f} at Step: {reports[-1].best_step}\n")
    return reports


def description(found: "Description", *, as_json: bool) -> None:
    """Print what a source holds."""
    if as_json:
        print_json(found.to_dict())
        return
    facts = facts_table()
    described = found.to_dict()
    for name, value in described.items():
        if name not in ("problems", "splits"):
            facts.add_row(name.replace("_", " "), readable(value))
    counts = Table(box=None, header_style="bold", pad_edge=False)
    counts.add_column("split")
    for name, split in described["splits"].items():
        if len(counts.columns) == 1:
            for heading in split:
                counts.add_column(heading.replace("_", " "), justify="right")
        counts.add_row(name, *map(readable, split.values()))
    for part in (facts, counts):
        stdout().print(part)
    for problem in found.problems:
        stdout().print(f"problem: {problem}")
