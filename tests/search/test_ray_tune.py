"""Ray Tune is imported without pandas and Ray Data, and works with the real ones whenever they are asked for."""

import subprocess
import sys

import pytest

PROCESSES = ["tune_sentiment.search.trainable", "tune_sentiment.search.run", "tune_sentiment.search.sampler"]
"""What a trial's process imports first, a search's, and a module that comes before the others in some test."""


def test_only_named_leaves_an_imported_package_alone() -> None:
    printed = _run(
        "import pandas, tune_sentiment.search.ray_tune",
        "from ray.tune import result_grid",
        "print(result_grid.pd is pandas)",
    )
    assert printed == "True"


@pytest.mark.parametrize("module", PROCESSES)
def test_importing_it_imports_neither(module: str) -> None:
    printed = _run(f"import {module}, sys", "print(sorted({'pandas', 'ray.data'} & set(sys.modules)))")
    assert printed == "[]"


def test_what_ray_tune_holds_becomes_pandas_itself_when_it_is_used() -> None:
    printed = _run(
        "import tune_sentiment.search.ray_tune",
        "from ray.tune import result_grid",
        "frame = result_grid.pd.DataFrame({'loss': [0.5]})",
        "import pandas",
        "print(type(frame) is pandas.DataFrame)",
    )
    assert printed == "True"


def test_ray_data_is_itself_for_a_user_who_imports_it_afterwards() -> None:
    printed = _run("import tune_sentiment.search.ray_tune, ray.data", "print(ray.data.Dataset.__module__)")
    assert printed == "ray.data.dataset"


def test_a_missing_package_is_still_missing() -> None:
    printed = _run(
        "from tune_sentiment.search.ray_tune import only_named",
        "with only_named('not_there'): import not_there",
        "try: not_there.Thing",
        "except ModuleNotFoundError as problem: print(problem.name)",
    )
    assert printed == "not_there"


def _run(*lines: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    ).stdout.strip()
