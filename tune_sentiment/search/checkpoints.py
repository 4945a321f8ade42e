"""Keep on disk only the checkpoints that can still matter."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import SettingsError
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.records import Plan, Snapshot, TrialRecord
from tune_sentiment.search.resources import FLOAT_BYTES, parameters

KEPT = 5
"""Best trials of a search whose weights are kept, if the confirmation needs no more; any can still be exported."""
STATE_COPIES = 3
"""What a resume needs, in copies of the weights: the weights and Adam's two moments."""


def best_bytes(settings: TrainSettings, vocab_size: int) -> int:
    """Return the bytes of a trial's best weights."""
    return FLOAT_BYTES * parameters(settings, vocab_size)


def running_bytes(settings: TrainSettings, vocab_size: int) -> int:
    """Return the most bytes of a running trial's checkpoints: an old one goes only when the new one is whole."""
    weights = best_bytes(settings, vocab_size)
    return 2 * STATE_COPIES * weights + 3 * weights  # the best weights: in either checkpoint, and a working copy


def check_room(plan: Plan, largest: TrainSettings, vocab_size: int, max_bytes: int | None) -> None:
    """Refuse a limit that the running trials and what must be kept do not fit into.

    Raises:
        SettingsError: with the least that would do.
    """
    if max_bytes is None:
        return
    kept = max(1, plan.confirm_runs)
    needed = plan.slots * running_bytes(largest, vocab_size) + kept * best_bytes(largest, vocab_size)
    if needed > max_bytes:
        raise SettingsError(
            f"--max-disk must hold the checkpoints of {plan.slots} running trials and the best weights of {kept}: "
            f"{in_bytes(max_bytes)} is less than {in_bytes(needed)}: give more, or fewer --max-concurrent or "
            "--confirm-seeds."
        )


def in_bytes(count: int) -> str:
    """Return a number of bytes as a person reads it."""
    unit = next(unit for unit in (10**9, 10**6, 1) if count >= unit or unit == 1)
    return f"{count / unit:.3g} {({10**9: 'GB', 10**6: 'MB', 1: 'bytes'})[unit]}"


class CheckpointSweeper:
    """Deletes the checkpoints of trials that lost, as soon as a later trial ends. An observer of the search.

    Not at once: Ray may still be writing the last checkpoint of the trial that has just ended.
    """

    def __init__(
        self,
        folder: SearchFolder,
        *,
        phase: str,
        ended: Sequence[TrialRecord],
        keep: int,
        always: Sequence[int] = (),
        max_bytes: int | None = None,
        reserved_bytes: int = 0,
    ) -> None:
        """Keep the `keep` trials with the lowest validation loss, and those numbered `always`.

        ended: trials of earlier sessions.
        max_bytes: for all checkpoints of the phase, of which `reserved_bytes` are for running trials; fewer than
            `keep` are kept where they would not fit, but never less than the best one.
        """
        self._folder = folder.ray_folder / phase
        self._ended = {record.number: record for record in ended}
        self._lost: set[int] = set()
        self._keep = keep
        self._always = set(always)
        self._limit = None if max_bytes is None else max_bytes - reserved_bytes

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Do nothing: only the end of a trial changes what can matter."""

    def on_trial_end(self, record: TrialRecord) -> None:
        """Delete what no longer matters of the trials that ended before this one."""
        self._ended[record.number] = record
        self._sweep(spared={record.number})

    def close(self) -> None:
        """Delete what no longer matters, also what Ray wrote of a trial after that was deleted."""
        self._sweep(spared=set())
        for number in self._lost:
            self._delete(number)

    def _sweep(self, spared: set[int]) -> None:
        usable = [record for record in self._ended.values() if record.best_val_loss and record.fate != "failed"]
        usable.sort(key=lambda record: record.best_val_loss or 0.0)
        wanted = [record.number for record in usable[: self._keep]]
        wanted += [number for number in sorted(self._always) if number not in wanted]
        for number in set(self._ended) - set(wanted) - spared:
            self._delete(number)
            del self._ended[number]  # it lost for good, as what is kept only gets better
            self._lost.add(number)
        if self._limit is not None:
            sizes = {number: sum(map(_size, self._checkpoints(number))) for number in wanted}
            for number in reversed(wanted[1:]):
                if sum(sizes.values()) > self._limit and number not in spared:
                    self._delete(number)
                    del sizes[number]

    def _checkpoints(self, number: int) -> list[Path]:
        return sorted((self._folder / trial_folder(number)).glob("checkpoint_*"))

    def _delete(self, number: int) -> None:
        for checkpoint in self._checkpoints(number):
            shutil.rmtree(checkpoint, ignore_errors=True)


def trial_folder(number: int) -> str:
    """Return the name of a trial's folder below that of its phase."""
    return f"trial_{number:05d}"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
