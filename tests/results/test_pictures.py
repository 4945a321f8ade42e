import builtins
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.results.pictures import write_png
from tune_sentiment.search.records import Outcome

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="the extra [png] is missing"
)


def test_without_matplotlib_the_extra_is_named(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SettingsError, match=r"need matplotlib: it is not installed: .*tune-sentiment\[png\]"):
        write_png(outcome, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_matplotlib
def test_the_main_figures_are_written_as_png(outcome: Outcome, study: optuna.Study, tmp_path: Path) -> None:
    from matplotlib import pyplot

    style = dict(pyplot.rcParams)
    written = write_png(outcome, study, tmp_path / "new" / "folder")
    names = ["confirmed", "best_so_far", "learning_curves", "slots_busy", "importance", "parallel", "slices", "contour"]
    assert [path.stem for path in written] == names
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(
        f"{name}.png" for name in names
    )
    assert all(path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000 for path in written)
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == style


@needs_matplotlib
def test_what_too_few_trials_cannot_show_is_left_out(
    outcome_of: Callable[..., Outcome], study_of: Callable[[Outcome], optuna.Study], tmp_path: Path
) -> None:
    few = outcome_of(4, "searching")
    written = write_png(few, study_of(few), tmp_path)
    assert [path.stem for path in written] == ["best_so_far", "learning_curves", "slots_busy"]


@needs_matplotlib
def test_a_folder_that_is_a_file_is_refused(outcome: Outcome, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="can be written"):
        write_png(outcome, None, tmp_path / "file")
