"""What the commands over searches print."""

import contextlib
import os
import sys
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tune_sentiment.console.output import print_json, stderr, stdout

if TYPE_CHECKING:
    from tune_sentiment.search.ray_dashboard import RayDashboard
    from tune_sentiment.search.records import Outcome, Plan


def search(options: dict[str, Any], dashboard: bool, as_json: bool) -> None:
    """Run a search, showing its plan and its progress on stderr and what it found on stdout."""
    from tune_sentiment import api
    from tune_sentiment.results.leaderboard import plan_table, summary, table
    from tune_sentiment.results.progress import progress_for

    log, progress = stderr(), progress_for(sys.stderr)
    log.print(f"reading {options['data'] or ('the data' if options['resume'] else 'demo')} …", style="dim")
    with contextlib.redirect_stdout(sys.stderr):  # Ray prints what its nodes complain of on stdout
        found = api.search(
            **options,
            progress=False,
            dashboard=dashboard,
            observers=[progress],
            on_plan=lambda plan: log.print(plan_table(plan)),
            on_stuck=give_up,
            on_lost=cluster_lost,
            on_dashboard=lambda found: ray_dashboard(found, progress.say),
        )
    outcome = found.outcome
    if as_json:
        print_json(outcome_facts(outcome))
        return
    out = stdout()
    out.print(table(outcome, width=out.width))
    out.print(summary(outcome))


def ray_dashboard(found: "RayDashboard", say: Callable[[str], None]) -> None:
    """Say how to open Ray's dashboard, line by line."""
    say(f"Ray dashboard: {found.address}")
    say(f"  its token: {found.token_command or found.token_note}")
    say(f"  from another machine: {found.tunnel}")


INTERRUPTED = 130
"""Exit code of a search that the user stopped."""


def interrupted(resume_command: str) -> int:
    """Print how to continue, and return the exit code."""
    sys.stderr.write(f"\ninterrupted; everything so far is kept. Continue with:\n  {resume_command}\n")
    sys.stderr.flush()
    return INTERRUPTED


def give_up(resume_command: str) -> None:
    """End the process at once: an interrupted search waits for Ray's processes, which are gone."""
    os._exit(interrupted(resume_command))


def cluster_lost(resume_command: str) -> None:
    """End the process at once, with the code of an error: Ray would, later and with a page of its own words."""
    sys.stderr.write(
        "\nerror: a search needs its Ray cluster: its raylet has died, killed by somebody or for want of memory; "
        f"everything so far is kept. Continue with:\n  {resume_command}\n"
    )
    sys.stderr.flush()
    os._exit(2)


def dry_run(options: dict[str, Any], as_json: bool) -> None:
    """Print the plan of a search."""
    from tune_sentiment import api
    from tune_sentiment.results.leaderboard import plan_table

    plan: Plan = api.plan_search(**options)
    if as_json:
        print_json(asdict(plan))
    else:
        stdout().print(plan_table(plan))


def report(experiment: str, storage: str, *, top: int, open_page: bool, png: str | None, as_json: bool) -> None:
    """Print the leaderboard of a search, write its page again, and say where it is."""
    from tune_sentiment import api
    from tune_sentiment.results.leaderboard import summary, table

    outcome, study = api.report(experiment, storage)
    page = Path(outcome.folder) / "report.html"
    if png is not None:
        from tune_sentiment.results.pictures import write_png

        for path in write_png(outcome, study, Path(png)):
            stderr().print(f"wrote {path}", style="dim")
    if as_json:
        print_json(outcome_facts(outcome))
    else:
        out = stdout()
        out.print(table(outcome, top=top, width=out.width))
        out.print(summary(outcome))
    if open_page:
        webbrowser.open(page.as_uri())


def study_page(address: str, *, open_page: bool) -> None:
    """Print where optuna-dashboard answers, on stdout, for programs that wait for it."""
    from tune_sentiment.search.ray_dashboard import tunnel

    sys.stdout.write(f"optuna-dashboard at {address}\n")
    sys.stdout.flush()
    sys.stderr.write(
        f"from another machine: {tunnel(urlsplit(address).netloc)}\n"
        "the search is only read, nothing can be changed there; Ctrl-C stops the page\n"
    )
    if open_page:
        webbrowser.open(address)


def outcome_facts(outcome: "Outcome") -> dict[str, Any]:
    """Return what a program wants to know of a search, JSON-ready."""
    from tune_sentiment.results.leaderboard import rows

    return {
        "name": outcome.name,
        "folder": outcome.folder,
        "phase": outcome.phase,
        "bundle": outcome.bundle,
        "report": str(Path(outcome.folder) / "report.html"),
        "leaderboard": str(Path(outcome.folder) / "leaderboard.csv"),
        "seconds": outcome.seconds,
        "busy_share": outcome.busy_share,
        "rungs": outcome.rungs,
        "winner": asdict(outcome.winner) if outcome.winner else None,
        "confirmed": [asdict(setting) for setting in outcome.confirmed],
        "trials": rows(outcome),
        "request": outcome.request,
        "notes": outcome.notes,
    }


def searches(found: Sequence[Mapping[str, Any]], storage: str, *, as_json: bool) -> None:
    """Print the searches under a storage folder."""
    from tune_sentiment.results.leaderboard import searches_table

    if as_json:
        print_json({"storage": storage, "searches": found})
    elif found:
        stdout().print(searches_table(found))
    else:
        stderr().print(f"no searches under {storage}: start one with `search`, or give --storage.")
