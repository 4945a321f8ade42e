"""One trial of Syne Tune's, a process of its own."""

import argparse
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from syne_tune import Reporter

from benchmarks.peers.job import JOB, measured_losses

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name, (kind, _, _) in JOB["space"].items():
        parser.add_argument(f"--{name}", type=float if kind == "log_float" else int)
    setting = vars(parser.parse_known_args()[0])
    report = Reporter()
    for step, val_loss, _ in measured_losses(uuid.uuid4().hex, setting):
        report(step=step, val_loss=val_loss)
