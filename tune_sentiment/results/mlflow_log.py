"""Show a search on an MLflow server while it runs, and leave the model there: an observer that never holds it up."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tune_sentiment.results import facts
from tune_sentiment.results.mlflow_server import MlflowServer, reason_of
from tune_sentiment.search.records import Outcome, Snapshot, TrialRecord

if TYPE_CHECKING:
    import optuna

    from tune_sentiment.results.mlflow_server import Status

RUN = "mlflow_run"
"""Attribute of the search's study: the id of its run."""

EVERY = 5.0
"""Seconds between two rounds: what came in the meantime goes out together."""
WAIT_AFTER_FAILURE = 30.0
"""Seconds until a server that did not answer is tried again."""
WAIT_AFTER_STOP = 10.0
"""Seconds that a user who stopped a search waits for the server at most."""
PATIENCE = 60.0
"""Seconds that the end of a search may wait for trials that are not on the server yet."""

NOT_BEGUN = -1
"""The last step on the server of a trial that it has nothing of."""

_log = logging.getLogger(__name__)


class MlflowLog:
    """An observer that hands what it is told to a thread, which tells the server when the server has time.

    The server may die, and come back: whatever it has not acknowledged is sent again. What it still lacks at the end of
    a search it gets when the search is resumed with it: the study has everything, the server is asked what it has.
    """

    def __init__(self, server: MlflowServer, study: "optuna.Study", outcome: Outcome) -> None:
        """Find the search's run on the server, or make it; trials that ended earlier and are not there follow.

        Raises:
            SettingsError: if the server refuses.
        """
        self._server = server
        with server.refusing():
            run: str | None = study.user_attrs.get(RUN)
            if run is None or not server.has_run(run):
                run = server.start_search(outcome.name, search_params(outcome))
                study.set_user_attr(RUN, run)
            else:
                server.set_status(run, "RUNNING")
            there = server.trials(run)
        self.run = run
        earlier = [record for record in (*outcome.records, *outcome.confirmations) if is_over(record)]
        self._done = {key for key, (_, over) in there.items() if over}
        self._ended = deque(record for record in earlier if key_of(record) not in self._done)
        self._children = {key: child for key, (child, over) in there.items() if not over}
        self._steps: dict[str, int] = {}
        self._running: Sequence[TrialRecord] = ()
        self._broken = False
        self._last_words: list[Callable[[], None]] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Keep what runs for the next round."""
        self._running = snapshot.running

    def on_trial_end(self, record: TrialRecord) -> None:
        """Keep a trial that ended for the next round."""
        self._ended.append(record)

    def close(self) -> None:
        """Have nothing more to say of what runs."""
        self._running = ()

    def finish(self, outcome: Outcome) -> None:
        """Log what the search found, and its model; wait for it, though not for a server that does not answer."""
        self._last_words = [lambda: self._log_findings(outcome)]
        if outcome.bundle is not None:
            self._last_words.append(lambda: self._server.log_model(self.run, Path(str(outcome.bundle))))
        self._end("FINISHED")

    def stop(self, *, failed: bool) -> None:
        """End without findings: the search failed, or was interrupted."""
        self._end("FAILED" if failed else "KILLED", wait=WAIT_AFTER_STOP)

    def _end(self, status: "Status", wait: float | None = None) -> None:
        self._last_words.append(lambda: self._server.set_status(self.run, status))
        self._closing.set()
        self._thread.join(wait)

    def _work(self) -> None:
        pause = EVERY
        while not self._closing.wait(pause):
            try:
                self._round()
                pause = EVERY
            except Exception as problem:
                self._complain(problem)
                pause = WAIT_AFTER_FAILURE
        try:
            self._send_ended(until=time.monotonic() + PATIENCE)
            for child in self._children.values():
                self._server.set_status(child, "KILLED")  # it goes on when the search is resumed
            for word in self._last_words:
                word()
        except Exception as problem:
            self._complain(problem)
        if self._ended:
            self._complain(TimeoutError(f"{len(self._ended)} trials behind"))

    def _round(self) -> None:
        self._send_ended(until=time.monotonic() + PATIENCE)
        for record in self._running:
            if self._closing.is_set():
                return
            if key_of(record) not in self._done:  # it may have ended since
                self._send_curve(record)

    def _send_ended(self, until: float) -> None:
        while self._ended and time.monotonic() < until:
            self._send_end(self._ended[0])
            self._ended.popleft()  # not before the server has it

    def _send_curve(self, record: TrialRecord) -> str:
        """Log the reports of a trial that the server does not have, and return the id of its run."""
        key = key_of(record)
        if key not in self._children:
            self._children[key] = self._server.start_trial(self.run, key, name_of(record), record.started)
            self._steps[key] = NOT_BEGUN
        child = self._children[key]
        if key not in self._steps:  # of an earlier session
            self._steps[key] = self._server.last_step(child, "val_loss")
            self._server.set_status(child, "RUNNING")
        points = [
            ("val_loss", loss, moment_of(record, step), step) for step, loss in record.curve if step > self._steps[key]
        ]
        if self._steps[key] == NOT_BEGUN:
            self._server.log(child, params={**record.setting, "seed": record.seed}, metrics=points)
        elif points:
            self._server.log(child, metrics=points)
        self._steps[key] = max([0, *(step for step, _ in record.curve)])
        return child

    def _send_end(self, record: TrialRecord) -> None:
        child = self._send_curve(record)
        now = record.ended or time.time()
        figures = ("best_val_loss", "best_val_accuracy", "best_step", "steps", "seconds")
        metrics = [(name, getattr(record, name), now, record.steps) for name in figures]
        tags = {"fate": record.fate, "reason": record.reason} | ({"note": record.note} if record.note else {})
        self._server.set_status(child, "FAILED" if record.fate == "failed" else "FINISHED", now)
        # The fate comes last: a run that has it is whole, and not sent again.
        self._server.log(
            child,
            metrics=[(name, float(value), moment, step) for name, value, moment, step in metrics if value is not None],
            tags=tags,
        )
        self._done.add(key_of(record))
        del self._children[key_of(record)], self._steps[key_of(record)]

    def _log_findings(self, outcome: Outcome) -> None:
        now = time.time()
        metrics = [(name, value, now, 0) for name, value in finding_metrics(outcome).items()]
        winner = outcome.winner
        # Tags, since a parameter of a run may not change, and an extended search may find another winner.
        tags = {} if winner is None else {"winner": f"trial {winner.trial}"}
        tags |= {} if winner is None else {f"winner {name}": str(value) for name, value in winner.setting.items()}
        self._server.log(self.run, metrics=metrics, tags=tags)
        self._server.describe(self.run, facts.verdict(outcome))

    def _complain(self, problem: Exception) -> None:
        if not self._broken:
            _log.warning(
                "MLflow at %s does not take what it is sent (%s): the search goes on without it. What it lacks in the "
                "end, `search --resume` with the same --mlflow logs there.",
                self._server.shown,
                reason_of(problem),
            )
        self._broken = True


def key_of(record: TrialRecord) -> str:
    """Return what tells a trial from all others of its search."""
    return f"{'search' if record.source_trial is None else 'confirm'} {record.number}"


def name_of(record: TrialRecord) -> str:
    """Return the name that a trial's run is shown with."""
    if record.source_trial is None:
        return f"trial {record.number}"
    return f"confirmation of trial {record.source_trial}, seed {record.seed}"


def is_over(record: TrialRecord) -> bool:
    """Return whether a trial has met its fate."""
    return record.fate not in ("waiting", "running")


def moment_of(record: TrialRecord, step: int) -> float:
    """Return about when a trial was at a step, in UNIX time: the study has no times of single reports."""
    if record.started is None or not record.steps:
        return time.time()
    return record.started + record.seconds * step / record.steps


def search_params(outcome: Outcome) -> dict[str, object]:
    """Return what a search was asked for, by the names that MLflow shows; no passwords are in it."""
    request = outcome.request
    data = request["data"]
    return {
        "data": data["source"],
        "data fingerprint": data["fingerprint"],
        "space": request["space"].get("name", ""),
        "search seed": request["seed"],
        "confirm_top": request["confirm_top"],
        "confirm_seeds": request["confirm_seeds"],
        "created": request["created"],
        "command": request["command"],
        **{f"version {name}": number for name, number in request["versions"].items()},
    }


def finding_metrics(outcome: Outcome) -> dict[str, float]:
    """Return the figures of the winner and of the course's setting: means over the fresh seeds, and spreads."""
    found: dict[str, float | None] = {"seconds": outcome.seconds, "busy_share": outcome.busy_share}
    for fate, number in facts.fate_counts(outcome.records).items():
        found[f"trials_{fate}"] = float(number)
    for name, setting in (("winner", outcome.winner), ("course", facts.course_setting(outcome))):
        if setting is not None:
            found[f"{name}_val_loss"] = facts.mean(setting.val_losses)
            found[f"{name}_val_loss_spread"] = facts.spread(setting.val_losses)
            found[f"{name}_test_loss"] = facts.mean(setting.test_losses)
            found[f"{name}_test_accuracy"] = facts.mean(setting.test_accuracies)
    if outcome.winner is not None:
        found["exported_test_accuracy"] = facts.exported_accuracy(outcome.winner)
    return {name: value for name, value in found.items() if value is not None}
