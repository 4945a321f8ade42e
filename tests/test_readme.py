"""What the README tells a stranger to type is typed here, on a small search in an empty folder."""

import csv
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.command_line import Done, run
from tests.conftest import BAD, GOOD
from tests.readme import README, blocks, commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SMALL = "--trials 3 --time-budget 10m --confirm-top 1 --confirm-seeds 1 --no-dashboard"
"""After a search's own options, whose place it takes."""

ELSEWHERE = {
    "make": "the CI itself, tests/test_repository.py",
    "git clone": "every checkout",
    "cp": "plain shell",
    "pip install": "scripts/in-venv",
    ".venv/bin/": "tests/test_cli.py",
    "ray job submit": "tests/faults/test_nodes.py",
    "tune-sentiment search --data my.csv --name shared --gpus": "tests/search/test_placement.py",
    "tune-sentiment search --data /shared": "tests/faults/test_nodes.py",
    "tune-sentiment search --data s3": "tests/faults/test_object_store.py",
    "tune-sentiment search --data my.csv --mlflow": "tests/results/test_mlflow.py",
    "tune-sentiment dashboard": "tests/test_dashboard_command.py",
    "tensorboard": "tests/search/test_events.py",
    "mlflow": "tests/results/test_mlflow.py",
    "prometheus": "tests/test_watching.py",
    "ray get-auth-token": "tests/test_watching.py",
    "ssh": "nobody else's machine is here",
    "tune-sentiment serve": "tests/export/test_serve.py",
    "curl -X POST": "tests/export/test_serve.py",
}
"""Beginnings of the README's commands that are not run by `test_every_command_runs`, and where they are."""


def is_elsewhere(command: str) -> bool:
    return any(command.startswith(beginning) for beginning in ELSEWHERE)


def typed(command: str, folder: Path) -> Done:
    words = shlex.split(command)
    assert words[0] == "tune-sentiment", command
    if words[1] == "search":
        words += shlex.split(SMALL) if "--dry-run" not in words else ["--trials", "3"]
        if "--resume" not in words:
            words += ["--space", "tiny.yaml"]
    return run(*words[1:], cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, space: str) -> Path:
    """Where the reader of the README is: two tables of reviews, a text to predict, and an older bundle."""
    made = tmp_path_factory.mktemp("reader")
    for name, count in (("my.csv", 300), ("other.csv", 40)):
        with (made / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            for index in range(count):
                writer.writerow([f"{GOOD} {index % 7} of {index % 11}", "positive"])
                writer.writerow([f"{BAD} {index % 7} of {index % 11}", "negative"])
    (made / "reviews.txt").write_text(f"{GOOD}\n{BAD}\n", encoding="utf-8")
    shutil.copy(space, made / "tiny.yaml")
    return made


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, Done]:
    """Every command of the README that is run here, in its order."""
    done: dict[str, Done] = {}
    for command in commands():
        if is_elsewhere(command):
            continue
        best = folder / "experiments" / "mine" / "best"
        if best.exists() and not (folder / "experiments" / "old").exists():
            shutil.copytree(best, folder / "experiments" / "old" / "best")
        done[command] = typed(command, folder)
    return done


def test_every_command_runs(ran: dict[str, Done]) -> None:
    assert len(ran) >= 10
    failed = {command: done.stderr[-800:] for command, done in ran.items() if done.returncode != 0}
    assert not failed


def test_what_is_not_run_here_is_in_the_readme_and_run_elsewhere() -> None:
    root = Path(__file__).resolve().parents[1]
    for beginning, where in ELSEWHERE.items():
        if where.startswith("tests/") and any(command.startswith(beginning) for command in commands()):
            assert (root / where).exists(), f"{beginning}: {where}"


def test_the_python_example_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = [block for block in blocks("python") if "tune_sentiment.search(" in block]
    small = 'trials=3, space="tiny.yaml", confirm_top=1, confirm_seeds=1, dashboard=False, name="example"'
    program, changed = re.subn(r"trials=50, .*?name=\"mine\"", small, example)
    assert changed == 1
    monkeypatch.chdir(folder)
    exec(program, {})
    assert "positive" in capsys.readouterr().out


def test_the_space_of_the_readme_is_one(folder: Path) -> None:
    (space,) = [block for block in blocks("yaml") if block.startswith("search:")]
    (folder / "readme.yaml").write_text(space, encoding="utf-8")
    done = typed("tune-sentiment search --data my.csv --dry-run --space readme.yaml", folder)
    assert done.returncode == 0, done.stderr


def test_the_messages_in_the_faq_are_real_ones() -> None:
    faq = README.partition("## Questions")[2].partition("\n## ")[0]
    quoted = re.findall(r"^\*\*`(?:error: )?(.*?)`\*\*", faq, re.MULTILINE)
    assert len(quoted) >= 5
    root = Path(__file__).resolve().parents[1] / "tune_sentiment"
    source = "".join(path.read_text(encoding="utf-8") for path in root.rglob("*.py"))
    # A message may be written over several lines of code, and has values in it.
    joined = re.sub(r'"\s*\n\s*f?"', "", source)
    for message in quoted:
        for part in message.split("…"):
            assert part.strip() in joined, message
