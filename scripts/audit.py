"""Ask PyPI for known holes in the packages of requirements.lock: `make audit`; exit code 1 if one is not accepted."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"

ACCEPTED: dict[str, str] = {}
"""Identifier of a hole (PYSEC, CVE or GHSA) -> why it does not matter here; if a newer pin has a fix, move the pin."""

LIMIT_SECONDS = 120


class Audit(NamedTuple):
    """What the answer of pip-audit comes to."""

    lines: tuple[str, ...]
    """What to print."""
    code: int
    """1 if there is a hole that nobody has accepted, else 0."""


def asked(lock: Path, *service: str) -> dict[str, Any] | str:
    """Return what pip-audit says of the pins in `lock`, or why it could say nothing; `service` are options of its."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(lock), "--no-deps", "--disable-pip", *service]
    with tempfile.TemporaryDirectory() as cache:  # an answer of last month's is none
        try:
            done = subprocess.run(
                [*command, "-f", "json", "--aliases", "on", "--progress-spinner", "off", "--cache-dir", cache],
                capture_output=True,
                text=True,
                timeout=LIMIT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"no answer in {LIMIT_SECONDS} s"
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return (done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]
    return answer


def judged(answer: Mapping[str, Any] | str, accepted: Mapping[str, str]) -> Audit:
    """Say what was found; an audit that could not be made is no failure, and is not called clean either."""
    if isinstance(answer, str):
        return Audit((f"audit: NOT DONE: the service could not be reached: {answer}",), 0)
    lines, code, used = [], 0, set()
    packages = answer["dependencies"]
    looked_up = [package for package in packages if "vulns" in package]
    for package in looked_up:
        for hole in package["vulns"]:
            names = [hole["id"], *hole["aliases"]]
            reasons = [accepted[name] for name in names if name in accepted]
            used |= {name for name in names if name in accepted}
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            what = f"{package['name']} {package['version']}: {' '.join(names)}, fixed in {fixed}"
            lines.append(f"audit: accepted: {what}: {reasons[0]}" if reasons else f"audit: HOLE: {what}")
            code = code or int(not reasons)
    if unknown := len(packages) - len(looked_up):
        lines.append(f"audit: NOT DONE for {unknown} of {len(packages)} packages: the service does not answer for them")
    if looked_up:
        lines += [f"audit: {name} is accepted in scripts/audit.py, but not there: remove it" for name in
                  accepted if name not in used and not unknown]  # fmt: skip
        lines.append(f"audit: looked up {len(looked_up)} packages: " + ("holes" if code else "none has an open hole"))
    return Audit(tuple(lines), code)


def main() -> int:
    """Audit the lock and print what was found."""
    found = judged(asked(Path(sys.argv[1]) if len(sys.argv) > 1 else LOCK), ACCEPTED)
    print(*found.lines, sep="\n")
    return found.code


if __name__ == "__main__":
    sys.exit(main())
