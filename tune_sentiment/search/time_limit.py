"""The time that a trial may take, kept also where a step of it never comes back."""

import faulthandler
import time
from pathlib import Path
from typing import IO

HANG_FILE = "hang.txt"
"""In the folder of a trial's process: where it hung when it was ended from within a step."""
HANG_SECONDS = 5.0
"""How long after its timeout a trial may still report before its process is ended."""


class TimeLimit:
    """Ends the process of a trial that hangs: one that stands in a step when its time is long over."""

    def __init__(self, seconds: float | None) -> None:
        """Allow each trial `seconds`; None: as long as it takes."""
        self._seconds = seconds
        self._report: IO[bytes] | None = None
        self.began = time.time()

    def begin(self, folder: Path) -> None:
        """Begin a trial, in whose `folder` a hang is written down.

        The timer runs outside of Python, so that it also ends code that holds the interpreter. Ray then starts the
        trial anew, which finds what was written here, and reports it.
        """
        self.end()
        self.began = time.time()
        self._file = folder / HANG_FILE
        if self._report is not None:
            self._report.close()
            self._report = None
        if self._seconds is not None and not self.is_over():
            self._report = self._file.open("wb")
            faulthandler.dump_traceback_later(self._seconds + HANG_SECONDS, file=self._report, exit=True)

    def end(self) -> None:
        """Watch the trial no more."""
        faulthandler.cancel_dump_traceback_later()

    def is_over(self) -> bool:
        """Return whether the trial's time is over, or was when it hung."""
        if self._seconds is None:
            return False
        hung = self._file.exists() and self._file.stat().st_size > 0
        return hung or time.time() - self.began > self._seconds

    def where_it_hung(self) -> str:
        """Return the traceback of a trial that hung, or nothing."""
        return self._file.read_text(encoding="utf-8", errors="replace") if self._file.exists() else ""
