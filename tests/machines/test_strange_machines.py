"""A search comes to its end on machines that are odd in many ways at once; `strange.py` runs each way alone."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.machines.strange import CASES, NEEDS_GROUPS, NEEDS_NAMESPACES, UMASK, impossible, run_search

SECOND = ["80 columns", "no HOME", *NEEDS_NAMESPACES, *NEEDS_GROUPS]
FIRST = [name for name in CASES if name not in SECOND]

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07")

Done = tuple[subprocess.CompletedProcess[str], Path]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("odd")
    return run_search(FIRST, folder), folder


@pytest.mark.slow
def test_a_search_ends_well_where_everything_but_the_machine_is_odd(odd: Done) -> None:
    done, _ = odd
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
def test_files_and_folders_have_the_rights_that_the_umask_gives(odd: Done) -> None:
    (storage,) = odd[1].glob("*/storage")
    made = list(storage.rglob("*"))
    assert len(made) > 15
    wrong = {
        str(path.relative_to(storage)): oct(path.stat().st_mode & 0o777)
        for path in made
        if not path.is_symlink() and path.stat().st_mode & 0o777 != (0o777 if path.is_dir() else 0o666) & ~UMASK
    }
    assert not wrong


@pytest.mark.slow
def test_a_search_ends_well_in_a_small_container_without_home_network_and_shared_memory(
    tmp_path: Path,
) -> None:
    done = run_search([name for name in SECOND if not impossible(name)], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout
    shown = [ESCAPE.sub("", line).rstrip() for line in re.split(r"[\r\n]+", done.stdout)]
    assert max(map(len, shown)) <= 80
