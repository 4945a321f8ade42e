"""A new Python process that loads a bundle as any other program would, getting ready while there is other work."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np

from tune_sentiment.data.dataset import Split
from tune_sentiment.errors import BundleError


class FreshProcess:
    """Measures one bundle in a process of its own, which ends with its answer, or with this process."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start the process, if it is not: it imports what it will need, a second of work, and then waits."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tune_sentiment.export.reload"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is this process's business
            )

    def validation_loss(self, bundle: Path, validation: Split) -> float:
        """Return the loss of the model in `bundle` on `validation`, measured in the new process.

        Raises:
            BundleError: if the process fails.
        """
        self.start()
        assert self._process is not None
        with tempfile.TemporaryDirectory() as folder:
            arrays = Path(folder) / "validation.npz"
            np.savez(arrays, token_ids=validation.token_ids, offsets=validation.offsets, labels=validation.labels)
            answer, problem = self._process.communicate(json.dumps([str(bundle), str(arrays)]))
        if self._process.returncode != 0:
            raise BundleError(
                f"a bundle must load in a fresh process: {bundle} did not ({problem.strip()[-300:]}): "
                "please report this."
            )
        return float(answer)

    def __enter__(self) -> "FreshProcess":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the process, if it still runs."""
        if self._process is not None:
            with self._process:  # waits for its end
                self._process.kill()
