"""Work out what mattered while a search runs, in a short-lived process: what draws it takes 130 MB to import."""

import os
import pickle
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tune_sentiment.results import wording

if TYPE_CHECKING:
    from tune_sentiment.results.comparable import Comparison
    from tune_sentiment.results.figures import Figure

FEWEST_TRIALS = 8
"""Below this many trials that can be compared, what mattered is noise."""

LONGEST_SECONDS = 120.0
"""For one drawing, on a machine that is busy with trials."""

CHILD = "import sys; sys.path[:] = {path!r}; from {module} import draw_for; draw_for({parent})"


@dataclass(frozen=True)
class Mattered:
    """What mattered, drawn; and in sentences, what was compared and what could not be drawn."""

    figures: "dict[str, Figure]"
    """By title, in the order in which they are read."""
    sentences: tuple[str, ...]


NOT_AT_HAND = Mattered({}, ("The study was not at hand, so nothing was compared.",))


def too_early(compared: "Comparison") -> Mattered | None:
    """Return the sentence that stands for what mattered while there are too few trials; None if there are enough."""
    if compared.compared >= FEWEST_TRIALS:
        return None
    many = wording.count(compared.compared, "trial")
    return Mattered({}, (f"Too early to say: {many} can be compared so far, {FEWEST_TRIALS} are needed.",))


class DrawnApart:
    """Draws what mattered in a process of its own, one at a time; it ends with this process, however this one ends."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._guard = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def draw(self, compared: "Comparison") -> Mattered:
        """Return what mattered of the trials `compared`.

        Raises:
            ChildProcessError: if the process failed, was stopped, or took too long.
        """
        code = CHILD.format(path=sys.path, module=__name__, parent=os.getpid())
        with self._guard:
            self._child = child = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # the cores are the trials'
                start_new_session=True,  # Ctrl-C is not for it: `stop` is
            )
        try:
            drawn, said = child.communicate(pickle.dumps(compared), timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            raise ChildProcessError(f"it took longer than {LONGEST_SECONDS:.0f} s") from None
        finally:
            child.kill()
            child.wait()
        if child.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            raise ChildProcessError(lines[-1] if lines else f"its process ended with {child.returncode}")
        mattered: Mattered = pickle.loads(drawn)
        return mattered

    def stop(self) -> None:
        """End a process at work; its `draw` fails."""
        with self._guard:
            if self._child is not None:
                self._child.kill()


def draw_for(parent: int) -> None:
    """Be the process: read what to compare from stdin, write what mattered to stdout; end when `parent` does."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.nice(19)  # trials go first
    answer = os.dup(1)
    os.dup2(2, 1)  # whatever a library prints is no part of the answer
    compared = pickle.load(sys.stdin.buffer)
    from tune_sentiment.results.plots import mattered_of

    with os.fdopen(answer, "wb") as file:
        pickle.dump(mattered_of(compared), file)


def _end_with(parent: int) -> None:
    """End this process at once when another has become its parent, as its own has ended."""
    wait = threading.Event()
    while os.getppid() == parent:
        wait.wait(0.1)
    os._exit(1)
