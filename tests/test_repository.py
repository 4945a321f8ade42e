"""The repository itself: its layers, its lock, its documents, and a Makefile that says what is missing."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tune_sentiment.cli import app

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHON_FILES = sorted(
    [*ROOT.glob("tune_sentiment/**/*.py"), *ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
)
COMMANDS = [str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", name).lower(): pinned for name, pinned in pins}


def test_imports_only_go_to_a_room_further_left() -> None:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_documents_every_command(command: str) -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Commands")[2].partition("\n## ")[0]
    assert re.search(rf"^\| `{command}[ `]", table, re.MULTILINE)


def test_every_test_that_security_md_names_is_there() -> None:
    named = set(re.findall(r"`(tests/[\w/]+(?:\.py)?/?|test_\w+)`", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    tests = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))
    missing = {name for name in named if not ((ROOT / name).exists() or f"def {name}(" in tests)}
    assert len(named) > 20 and not missing


def test_the_readme_names_only_options_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    own = re.sub(r"(pip install|tensorboard|mlflow) [^`\n]*", "", text)  # the options of other programs
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", own))
    program = "import sys; from tune_sentiment.cli import app; app(sys.argv[1:], standalone_mode=False)"
    pages = [
        subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60).stdout
        for words in (["--help"], *([command, "--help"] for command in COMMANDS))
    ]
    assert len(named) > 8
    assert named <= set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "".join(pages)))


def test_the_lock_pins_what_the_project_asks_for() -> None:
    pins = locked()
    assert pins["torch"] == "2.13.0"
    extras = PROJECT["optional-dependencies"]
    assert extras["bench"]  # beside the lock: see pyproject.toml
    asked = [*PROJECT["dependencies"], *(one for name in extras if name != "bench" for one in extras[name])]
    for requirement in map(Requirement, asked):
        pinned = pins[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.specifier.contains(pinned), requirement
    for name, pinned in pins.items():
        assert Version(pinned).local is None, f"{name}: a build tag is not on every index"


def test_this_environment_is_the_locked_one() -> None:
    for name in ("torch", "ray", "optuna", "typer", "pydantic", "pandas"):
        assert Version(version(name)).public == locked()[name]


def test_the_wheel_holds_what_is_not_python_too(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("tune_sentiment-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {f"tune_sentiment/search_spaces/{name}.yaml" for name in ("course", "demo", "wide")} < held
    for path in ROOT.glob("tune_sentiment/**/*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert str(path.relative_to(ROOT)) in held


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_one_thing(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") <= 300
    assert path.stem not in ("util", "utils", "helpers", "common", "base", "manager")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what `make` needs, at a path with spaces and a quote."""
    root = tmp_path / "it's  a clone"
    shutil.copytree(ROOT / "scripts", root / "scripts")
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    return root


def made(clone: Path, tmp_path: Path, **pythons: str) -> str:
    """Run `make install` where only these Pythons are on the PATH, and return its error line."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("make", "sh", "cat", "cksum", "dirname"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    for name, script in pythons.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    for asked in (["-C", clone], ["-f", clone / "Makefile"]):
        done = subprocess.run(
            [str(tools / "make"), "--no-print-directory", *map(str, asked), "install"],
            cwd=tmp_path,
            env={"PATH": str(tools)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode != 0 and done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(errors) == 1, done.stderr
    return errors[0]


def test_make_without_python_says_so_in_one_line(clone: Path, tmp_path: Path) -> None:
    assert made(clone, tmp_path).startswith("error: Python 3.11, 3.12 or 3.13 is needed")


def test_make_with_an_old_python_says_so_in_one_line(clone: Path, tmp_path: Path) -> None:
    assert made(clone, tmp_path, python3="exit 1").startswith("error: Python 3.11, 3.12 or 3.13 is needed")


def test_make_without_the_venv_module_says_so_in_one_line(clone: Path, tmp_path: Path) -> None:
    bare = 'case "$2" in *ensurepip*) exit 1;; esac'
    error = made(clone, tmp_path, python3=bare)
    assert error.startswith("error: Python's venv module is needed: python3 has none: install it")
