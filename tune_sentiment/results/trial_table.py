"""Word the page's table of trials, with the value by which each cell sorts."""

import math
from typing import Any

from tune_sentiment.results import leaderboard, wording
from tune_sentiment.search.records import Outcome

ROWS = 500
"""Trials that the table holds at most; no reader scrolls further, and leaderboard.csv has them all."""

HEADINGS = {
    "best_val_loss": "best loss",
    "best_val_accuracy": "accuracy",
    "best_step": "best at step",
    "seconds": "time",
    "confirmed_val_loss": "confirmed loss",
}


def trial_table(outcome: Outcome, keep: int = ROWS) -> dict[str, Any]:
    """Return {"columns": [(key, heading)], "rows": [...], "total": trials}; the `keep` best trials have a row.

    A row: {"fate", "is_course", "cells": [(text, value to sort by or "")]}.
    """
    settings = leaderboard.setting_names(outcome.records)
    everyone = leaderboard.rows(outcome)
    keys = ["rank", "trial", "fate", "reason", "best_val_loss", "best_val_accuracy", "best_step", "steps", "seconds"]
    if any(row["confirmed_val_loss"] is not None for row in everyone):
        keys.insert(5, "confirmed_val_loss")
    keys += settings
    return {
        "columns": [(key, HEADINGS.get(key, key)) for key in keys],
        "rows": [
            {"fate": row["fate"], "is_course": row["is_course"], "cells": [_cell(row, key) for key in keys]}
            for row in everyone[:keep]
        ],
        "total": len(everyone),
    }


def _cell(row: dict[str, Any], key: str) -> tuple[str, str]:
    value = row[key]
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return ("", "")
    if key in ("best_val_loss", "confirmed_val_loss"):
        text = wording.loss(value)
    elif key == "best_val_accuracy":
        text = wording.percent(value)
    elif key == "seconds":
        text = wording.duration(value)
    elif key == "steps" and row["max_steps"]:
        text = f"{value:,} of {row['max_steps']:,}"
    else:
        text = wording.figure(value, key)
    return (text, str(value))
