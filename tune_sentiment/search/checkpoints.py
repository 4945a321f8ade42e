"""Keep on disk only the checkpoints that can still matter."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import SettingsError
from tune_sentiment.search.folder import RAY, SearchFolder
from tune_sentiment.search.records import Plan, Snapshot, TrialRecord
from tune_sentiment.search.remote import Remote
from tune_sentiment.search.resources import FLOAT_BYTES, parameters

KEPT = 5
"""Best trials of a search whose weights are kept, if the confirmation needs no more; any can still be exported."""
SCORED = 2
"""Trials whose weights the end of the search needs if there is no confirmation: the best and the course's."""
STATE_COPIES = 3
"""What a resume needs, in copies of the weights: the weights and Adam's two moments."""
TRIAL, CHECKPOINT = "trial_", "checkpoint_"
"""What the names of a trial's folder, ours, and of a checkpoint's in it, Ray's, begin with."""


def best_bytes(settings: TrainSettings, vocab_size: int) -> int:
    """Return the bytes of a trial's best weights."""
    return FLOAT_BYTES * parameters(settings, vocab_size)


def running_bytes(settings: TrainSettings, vocab_size: int, states_kept: int = 1) -> int:
    """Return the most bytes of a running trial's checkpoints: an old one goes only when the new one is whole."""
    weights = best_bytes(settings, vocab_size)
    written = states_kept + 1
    return written * STATE_COPIES * weights + (written + 1) * weights  # the best weights: in each, and a working copy


def check_room(
    plan: Plan, largest: TrainSettings, vocab_size: int, max_bytes: int | None, states_kept: int = 1
) -> None:
    """Refuse a limit that the running trials and what must be kept do not fit into.

    Raises:
        SettingsError: with the least that would do.
    """
    if max_bytes is None:
        return
    kept = plan.confirm_runs + SCORED
    needed = plan.slots * running_bytes(largest, vocab_size, states_kept) + kept * best_bytes(largest, vocab_size)
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
        max_bytes: for all checkpoints of the search, of which `reserved_bytes` are for others than the trials that
            ended in this phase; fewer than `keep` are kept where they would not fit, but never less than the best one
            and those numbered `always`. The trial that has just ended may come on top until the next one ends.
        """
        self._place = place_of(folder, phase)
        # A store takes its time, which the search has better use for.
        in_store = folder.remote is not None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sweeper") if in_store else None
        self._ended = {record.number: record for record in ended}
        self._lost: set[int] = set()
        self._keep = keep
        self._always = set(always)
        self._limit = None if max_bytes is None else max_bytes - reserved_bytes

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Do nothing: only the end of a trial changes what can matter."""

    def on_trial_end(self, record: TrialRecord) -> None:
        """Delete what no longer matters of the trials that ended before this one."""
        if self._thread is None:
            self._take(record)
        else:
            self._thread.submit(self._take, record)

    def close(self) -> None:
        """Delete what no longer matters, also what Ray wrote of a trial after that was deleted."""
        if self._thread is not None:
            self._thread.shutdown()
        self._sweep(spared=set())
        for number in self._lost & self._place.numbers():
            self._place.delete(number)

    def _take(self, record: TrialRecord) -> None:
        self._ended[record.number] = record
        self._sweep(spared={record.number})

    def _sweep(self, spared: set[int]) -> None:
        usable = [record for record in self._ended.values() if record.best_val_loss and record.fate != "failed"]
        usable.sort(key=lambda record: record.best_val_loss or 0.0)
        ranked = [record.number for record in usable[: self._keep]]
        needed = {*ranked[:1], *(self._always & set(self._ended))}
        wanted = [*needed, *(number for number in ranked if number not in needed)]
        for number in set(self._ended) - set(wanted) - spared:
            self._place.delete(number)
            del self._ended[number]  # it lost for good, as what is kept only gets better
            self._lost.add(number)
        if self._limit is not None:
            room = self._limit
            for number in wanted:  # the better ones first: what does not fit is deleted, and all that is worse
                room -= self._place.size(number)
                if room < 0 and number not in needed | spared:
                    self._place.delete(number)


def trial_folder(number: int) -> str:
    """Return the name of a trial's folder below that of its phase."""
    return f"{TRIAL}{number:05d}"


def number_of(folder: str) -> int:
    """Return the number of the trial whose folder has that name.

    One that Ray has lost and is handed out again has a second folder, trial_00007_5af1 or so.
    """
    return int(folder.removeprefix(TRIAL).partition("_")[0])


class Place(Protocol):
    """Where the checkpoints of a phase are."""

    def numbers(self) -> set[int]:
        """Return the numbers of the trials that have any."""

    def size(self, number: int) -> int:
        """Return the bytes of a trial's."""

    def delete(self, number: int) -> None:
        """Delete those of a trial."""


def place_of(folder: SearchFolder, phase: str) -> Place:
    """Return where the checkpoints of a phase are."""
    if folder.remote is None:
        return OnDisk(folder.ray_folder / phase)
    return InStore(folder.remote / RAY / phase)


def bytes_of_others(
    folder: SearchFolder, plan: Plan, largest: TrainSettings, vocab_size: int, confirm_runs: int
) -> int:
    """Return the most bytes of all checkpoints but those of the search's ended trials.

    confirm_runs: those to come; those that were are counted as they are.
    """
    confirmed = place_of(folder, "confirm")
    running = plan.slots * running_bytes(largest, vocab_size, folder.states_kept)
    there = sum(confirmed.size(number) for number in confirmed.numbers())
    return running + there + confirm_runs * best_bytes(largest, vocab_size)


@dataclass(frozen=True)
class OnDisk:
    """Checkpoints in a folder."""

    folder: Path

    def numbers(self) -> set[int]:
        """Return the numbers of the trials that have any."""
        return {number_of(found.parent.name) for found in self.folder.glob(f"{TRIAL}*/{CHECKPOINT}*")}

    def size(self, number: int) -> int:
        """Return the bytes of a trial's."""
        size = 0
        for file in (file for checkpoint in self._checkpoints(number) for file in checkpoint.glob("*")):
            with suppress(FileNotFoundError):  # Ray deletes a trial's last checkpoint but one
                size += file.stat().st_size
        return size

    def delete(self, number: int) -> None:
        """Delete those of a trial."""
        for checkpoint in self._checkpoints(number):
            shutil.rmtree(checkpoint, ignore_errors=True)

    def _checkpoints(self, number: int) -> list[Path]:
        name = trial_folder(number)
        folders = [self.folder / name, *self.folder.glob(f"{name}_*")]
        return [checkpoint for folder in folders for checkpoint in folder.glob(f"{CHECKPOINT}*")]


@dataclass(frozen=True)
class InStore:
    """Checkpoints in an object store."""

    folder: Remote

    def numbers(self) -> set[int]:
        """Return the numbers of the trials that have any."""
        names = [name.split("/") for name, info in self.folder.objects(recursive=True) if info.is_file]
        return {number_of(parts[0]) for parts in names if len(parts) > 1 and parts[1].startswith(CHECKPOINT)}

    def size(self, number: int) -> int:
        """Return the bytes of a trial's."""
        found = (one for trial in self._folders(number) for one in trial.objects(recursive=True))
        return sum(info.size for name, info in found if info.is_file and name.startswith(CHECKPOINT))

    def delete(self, number: int) -> None:
        """Delete those of a trial."""
        for trial in self._folders(number):
            for name, _ in trial.objects():
                if name.startswith(CHECKPOINT):
                    trial.filesystem.delete_dir(f"{trial.path}/{name}")

    def _folders(self, number: int) -> list[Remote]:
        found = [name for name, _ in self.folder.objects() if name.startswith(TRIAL)]
        return [self.folder / name for name in found if number_of(name) == number]
