"""The cluster: it also starts from a path that a shell would take apart."""

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tune_sentiment.search.cluster import private_runtime_env

PROGRAM = """
import sys
import ray
from tune_sentiment.search.cluster import cluster

with cluster(address=None, cpus=1, gpus=0, dashboard=False):
    assert ray.get(ray.remote(lambda: sys.executable).remote(), timeout=60) == sys.executable
print(sys.executable)
"""


def test_ray_is_told_of_its_interpreter_only_where_a_shell_would_take_the_path_apart() -> None:
    assert private_runtime_env("/usr/bin/python3.11") is None
    assert private_runtime_env("/my venv/bin/python") == {"py_executable": "'/my venv/bin/python'"}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_private_cluster_runs_from_a_virtual_environment_whose_path_has_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "my venv (1)"
    venv.create(folder, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    # The packages of the tests' own environment, and the package as it is imported here.
    (site / "here.pth").write_text("\n".join(path for path in sys.path if path), encoding="utf-8")
    done = subprocess.run(
        [folder / "bin" / "python", "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=150
    )
    assert (done.returncode, done.stdout) == (0, f"{folder}/bin/python\n"), done.stderr[-2000:]
