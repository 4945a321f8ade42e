"""What every peer is given: the encoded reviews, the space, ASHA's numbers, the course's loop, and a file of events."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads: one thread for each of the two workers

import numpy as np
import torch

from tests.course import CourseRNN, course_loop, loader

torch.set_num_threads(1)

JOB: dict[str, Any] = json.loads(os.environ["PEER_JOB"])
"""Paths: arrays, events, folder; numbers; space; settings: those to try first. See `job_of` in benchmarks/search.py."""


def measured_losses(number: str, setting: dict[str, Any]) -> Iterator[tuple[int, float, CourseRNN]]:
    """Train a setting with the course's loop, and yield (step, validation loss, model) at each of its reports."""
    arrays = np.load(JOB["arrays"])
    batch_size = JOB["batch_size"]
    torch.manual_seed(JOB["seed"])
    model = CourseRNN(
        int(arrays["vocab_size"]), 1, setting["embedding_dim"], setting["hidden_dim"], setting["n_layers"]
    )
    steps = course_loop(
        model,
        loader(arrays["train"], arrays["train_labels"], batch_size, shuffle=True),
        loader(arrays["validation"], arrays["validation_labels"], batch_size, shuffle=False),
        lr=setting["lr"],
        clip=setting["clip"],
        epochs=JOB["epochs"],
        batch_size=batch_size,
        print_every=JOB["report_every"],
    )
    busy, began = 0.0, time.perf_counter()
    for step, _, val_loss in steps:
        if val_loss is not None or step == JOB["max_steps"]:
            busy += time.perf_counter() - began
            note(number, step, val_loss, busy)
            if val_loss is not None:
                yield step, val_loss, model  # the time until the next step is asked for is not training
            began = time.perf_counter()


def note(number: str, step: int, val_loss: float | None, busy: float) -> None:
    """Append one event: a trial's steps so far, its last validation loss, and its seconds of work."""
    event = {"time": time.time(), "trial": number, "step": step, "val_loss": val_loss, "busy": busy}
    with open(JOB["events"], "a", encoding="utf-8") as events:  # one short write: whole also from two processes
        events.write(json.dumps(event) + "\n")
