"""What a report costs the driver: Ray's own loggers beside our event files.

python -m benchmarks.events --reports 1000
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback

from tune_sentiment.config import TrainSettings
from tune_sentiment.search.events import SCALARS, EventFiles

REPORT: dict[str, Any] = {
    **dict.fromkeys(SCALARS, 0.4321),
    **dict.fromkeys(("lr", "clipped", "seconds", "session_seconds", "began", "peak_memory_bytes"), 123.456),
    **dict.fromkeys(("epoch", "best_step", "max_steps", "timestamp", "time_total_s", "done", "should_checkpoint"), 1),
    **dict.fromkeys(("failure", "details", "note", "gpu_ids"), ""),
}


class FakeTrial:
    """A trial as Ray hands it to its loggers, as far as they look at it."""

    trial_id = "x"
    checkpoint = None

    def __init__(self, folder: Path) -> None:
        """Take the folder of its phase."""
        self.config = {**TrainSettings().model_dump(), "number": 0, "seed": 1, "resume_from": None}
        self.evaluated_params = self.config
        self.local_path = str(folder / "trial_00000")

    def init_local_path(self) -> None:
        """Make the trial's folder."""
        Path(self.local_path).mkdir(exist_ok=True)


def main() -> None:
    """Write the same reports with each, and print a line for each."""
    options = argparse.ArgumentParser()
    options.add_argument("--reports", type=int, default=1000)
    reports = options.parse_args().reports
    for name in ("CSVLoggerCallback", "JsonLoggerCallback", "TBXLoggerCallback", "EventFiles"):
        with tempfile.TemporaryDirectory() as place:
            one: Any = FakeTrial(Path(place))
            one.init_local_path()
            ray = {kind.__name__: kind for kind in (CSVLoggerCallback, JsonLoggerCallback, TBXLoggerCallback)}
            logger = EventFiles(Path(place), ["lr", "clip"]) if name == "EventFiles" else ray[name]()
            logger.on_trial_start(0, [one], one)
            wall, processor = time.perf_counter(), time.process_time()
            for number in range(reports):
                report = {**REPORT, "step": 100 * number, "training_iteration": number + 1}
                logger.on_trial_result(0, [one], one, report)
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            logger.on_trial_complete(0, [one], one)
            size = sum(file.stat().st_size for file in Path(place).rglob("*") if file.is_file())
            print(
                f"{name:20} {1e6 * wall / reports:6.0f} us a report, {1e6 * processor / reports:6.0f} us of processor "
                f"time, {size / reports:6.0f} bytes"
            )


if __name__ == "__main__":
    main()
