"""Run what needs neither torch nor Ray with the other Pythons that we support, where they are installed.

python -m tests.machines.other_pythons     makes an environment for each, of the lock's versions, and runs tests in it

torch and Ray are left out: for these Pythons the registry's torch brings gigabytes of CUDA along.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = ("3.11", "3.12", "3.13")
NEEDED = (
    "filelock", "hypothesis", "numpy", "optuna", "pandas", "pooch", "psutil", "pyarrow", "pydantic", "pytest",
    "pytest-timeout", "pyyaml", "rich", "safetensors", "scikit-learn", "scipy", "typer",
)  # fmt: skip
TESTS = ("tests/data", "tests/test_masking.py", "tests/search/test_space_file.py")
COMPILE = """\
import pathlib, sys
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.py")):
    compile(path.read_bytes(), str(path), "exec")
"""


def other_pythons() -> dict[str, str]:
    """Return the interpreters of the supported versions that this is not, by version."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = {}
    for version in SUPPORTED:
        places = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
        for place in filter(None, places):
            says = subprocess.run([place, "-c", "import sys; print(sys.version)"], capture_output=True, text=True)
            if version != here and says.returncode == 0 and says.stdout.startswith(f"{version}."):
                found[version] = str(place)
    return found


def compiled(python: str) -> subprocess.CompletedProcess[str]:
    """Compile every file with `python`, in which a warning is an error; nothing is written."""
    command = [python, "-W", "error", "-c", COMPILE]
    for folder in ("tune_sentiment", "tests", "benchmarks", "scripts"):
        done = subprocess.run([*command, str(ROOT / folder)], capture_output=True, text=True)
        if done.returncode:
            break
    return done


def tested(python: str, folder: Path) -> int:
    """Make an environment in `folder` and run the tests that need neither torch nor Ray; return pytest's exit code."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [pin for pin in lock if re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() in NEEDED]
    subprocess.run([python, "-m", "venv", str(folder)], check=True)
    inside = str(folder / "bin" / "python")
    limits = ["--constraint", str(ROOT / "requirements.lock")]
    subprocess.run([inside, "-m", "pip", "install", "--quiet", *limits, *pins], check=True)
    subprocess.run([inside, "-m", "tune_sentiment", "--help"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return subprocess.run([inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS], cwd=ROOT).returncode


def main() -> int:
    """Run them all, and print how each went."""
    failed = 0
    for version, python in other_pythons().items():
        with tempfile.TemporaryDirectory() as folder:
            code = compiled(python).returncode or tested(python, Path(folder))
        failed += code != 0
        print(f"{'failed ' if code else 'passed '}  Python {version} ({python})", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
