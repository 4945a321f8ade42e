"""The cluster: it also starts from a path that a shell would take apart."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import ray

from tune_sentiment.errors import ResourceError
from tune_sentiment.search.cluster import cluster, private_runtime_env

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


@pytest.mark.parametrize("trials", [True, False])
def test_only_processes_for_trials_are_loaded_ahead(trials: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "RAY_preload_python_modules"
    monkeypatch.setattr(os, "environ", {key: value for key, value in os.environ.items() if key != name})
    loaded: list[str | None] = []

    def start(**options: object) -> None:
        loaded.append(os.environ.get(name))
        raise RuntimeError("not today")

    monkeypatch.setattr(ray, "init", start)
    opened = cluster(address=None, cpus=1, gpus=0, dashboard=False, trials=trials)
    with pytest.raises(ResourceError, match="not today"), opened:
        raise AssertionError("the cluster was entered")
    assert loaded == ["tune_sentiment.search.preload" if trials else None]


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
