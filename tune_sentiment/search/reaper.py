"""End the processes of a search whose own process was killed; nothing else would for as long as 80 seconds."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

LOOK_SECONDS = 1.0
"""Between two looks at which processes there are: those started later than the last one are not known."""
MERCY_SECONDS = 1.0
"""For processes to end by themselves before they are killed."""


@contextmanager
def reaping(folder: Path) -> Iterator[None]:
    """Have a small process of its own stand by inside this block, in case that this one is killed.

    It then ends what this one had started, and removes `folder`, which is theirs.

    It reads a pipe that closes when this process ends, however it ends.
    """
    others = [process.pid for process in psutil.Process().children(recursive=True)]
    reading, writing = os.pipe()
    reaper = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import stand_by; stand_by({os.getpid()}, {others}, {str(folder)!r})"],
        stdin=reading,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # neither Ctrl-C nor the end of the terminal are for it
    )
    os.close(reading)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.write(writing, b"done")
        os.close(writing)
        reaper.wait()


def stand_by(parent: int, others: list[int], folder: str) -> None:
    """Remember the processes below `parent` until stdin ends; without a word there, end all that are left.

    `others` were there before, and are somebody else's.
    """
    import select

    known: dict[int, psutil.Process] = {}
    while not select.select([0], [], [], LOOK_SECONDS)[0]:
        with contextlib.suppress(psutil.Error):
            known |= {process.pid: process for process in psutil.Process(parent).children(recursive=True)}
    if os.read(0, 4):
        return
    for process in list(known.values()):  # those that a known one started in the last second
        with contextlib.suppress(psutil.Error):
            known |= {child.pid: child for child in process.children(recursive=True)}
    mercy = MERCY_SECONDS
    while True:
        # One whose parent ended before it was seen is nobody's child any more, but has the folder in its command line.
        known |= {process.pid: process for process in processes_of(folder)}
        for pid in (os.getpid(), *others):
            known.pop(pid, None)
        # psutil compares the time at which a process was started: one that has taken the number of another is spared.
        _, left = psutil.wait_procs(list(known.values()), timeout=mercy)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=MERCY_SECONDS)
        if not left:
            break
        known.clear()
        mercy = 0.0
    shutil.rmtree(folder, ignore_errors=True)


def processes_of(folder: str) -> Iterator[psutil.Process]:
    """Yield the processes that have `folder`, or what is in it, in their command line: all that Ray started there."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(folder in word for word in process.cmdline()):
                yield process
