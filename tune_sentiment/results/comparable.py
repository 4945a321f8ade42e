"""Make of a search a study in which every trial counts with its best loss, so that Optuna can say what mattered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import optuna

from tune_sentiment.results import facts
from tune_sentiment.results.series import loss_range, thinned
from tune_sentiment.search.records import Outcome


@dataclass(frozen=True)
class Comparison:
    """Trials that can be held against each other."""

    study: optuna.Study
    """In memory; every trial COMPLETE, its value its lowest validation loss, at most `ceiling`."""
    compared: int
    """Trials in `study`."""
    measured: int
    """Trials with a usable loss; more than `compared` where they were thinned."""
    stopped: int
    """Trials among the `measured` that were stopped early or still run."""
    ceiling: float | None
    """The loss that stands for all higher ones, which would leave the others no room; None if there are none."""


def comparison(outcome: Outcome, study: optuna.Study, keep: int = 300) -> Comparison:
    """Return the outcome's trials, as `study` knows their distributions, each with its best loss.

    Optuna itself passes over the trials that were stopped early, which are most of a search, and the ones from which
    a reader learns what to keep away from.

    keep: most trials; more are thinned evenly by number, the best always among them.
    """
    known = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    usable = [
        (record, value)
        for record in sorted(outcome.records, key=lambda record: record.number)
        if record.number in known and (value := facts.usable_loss(record)) is not None
    ]
    chosen = {record.number: value for record, value in thinned(usable, keep - 1)}
    if usable:
        best, value = min(usable, key=lambda pair: pair[1])
        chosen[best.number] = value
    reach = loss_range(chosen.values())
    ceiling = reach[1] if reach is not None and max(chosen.values()) > reach[1] else None
    with _quiet():
        compared = optuna.create_study(direction="minimize")
        compared.add_trials(
            optuna.trial.create_trial(
                value=value if ceiling is None else min(value, ceiling),
                params=known[number].params,
                distributions=known[number].distributions,
            )
            for number, value in sorted(chosen.items())
        )
    stopped = sum(record.fate != "complete" for record, _ in usable)
    return Comparison(compared, len(chosen), len(usable), stopped, ceiling)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing a study that no user asked for."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)
