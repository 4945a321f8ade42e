"""The example notebook, run again in a real kernel, and the kernel's stop button."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "search.ipynb"
KERNEL = {
    "PYTHONPATH": str(ROOT),
    "PLOTLY_RENDERER": "plotly_mimetype",  # without the four megabytes of plotly.js
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KERNEL.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def example() -> Any:
    return nbformat.read(EXAMPLE, as_version=4)


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example's cells with the outputs of a run of today."""
    notebook = nbformat.read(EXAMPLE, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    where = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KERNEL.items():
            patch.setenv(name, value)
        NotebookClient(notebook, timeout=200, kernel_name="python3", resources=where).execute()
    return notebook


def outputs(notebook: Any, source: str) -> list[Any]:
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    return list(cell.outputs)


def kinds(notebook: Any) -> list[list[tuple[str, list[str]]]]:
    """What each cell left, without the values: they depend on the machine."""
    return [
        [(output.output_type, sorted(output.get("data", {}))) for output in cell.get("outputs", [])]
        for cell in notebook.cells
    ]


def test_a_whole_search_leaves_one_output_in_its_cell(again: Any) -> None:
    (shown,) = outputs(again, "tune_sentiment.search(")
    assert shown.output_type == "display_data"
    assert shown.data["text/plain"].startswith("confirming 4/4: 4 complete, 0 stopped, 0 failed, 0 running; ")
    page = shown.data["text/html"]
    assert "<b>confirming 4/4</b>" in page and "best 0." in page and len(page) < 1500


def test_the_result_shows_itself_and_its_parts(again: Any) -> None:
    (shown,) = [output for output in outputs(again, "again") if output.output_type == "execute_result"]
    assert "won on 2 fresh seeds" in shown.data["text/html"] or "No setting beat" in shown.data["text/html"]
    (best,) = outputs(again, "found.best")
    assert best.data["text/plain"].startswith("Best(trial=") and "test_accuracy=0." in best.data["text/plain"]
    (table,) = outputs(again, "found.trials")
    assert table.data["text/html"].count("<tr>") + table.data["text/html"].count("<tr ") == 8 + 2
    for figure in ("plot_curves", "plot_importance"):
        (drawn,) = outputs(again, figure)
        assert drawn.data["application/vnd.plotly.v1+json"]["data"]
    (answers,) = outputs(again, "predict(")
    assert [line.split()[0] for line in answers.text.splitlines()] == ["positive", "negative"]


def test_the_example_in_the_repository_is_what_a_run_leaves(example: Any, again: Any) -> None:
    assert kinds(example) == kinds(again)
    assert EXAMPLE.stat().st_size < 200_000
    assert str(ROOT) not in EXAMPLE.read_text(encoding="utf-8")


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Any]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path), env={**os.environ, **KERNEL})
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_the_stop_button_ends_a_search_cleanly_and_the_kernel_lives_on(kernel: Any, corpus: Path, space: str) -> None:
    manager, client = kernel
    searching = (
        "import tune_sentiment\n"
        f"tune_sentiment.search({str(corpus)!r}, space={space!r}, trials=5000, name='stopped', dashboard=False)"
    )
    asked, limit = client.execute(searching), time.monotonic() + 120
    stopped, error, shown = False, None, []
    while time.monotonic() < limit:
        message = client.get_iopub_msg(timeout=120)
        if message["parent_header"].get("msg_id") != asked:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind in ("display_data", "update_display_data"):
            shown.append(content["data"]["text/plain"])
            if not stopped and " 0 complete" not in shown[-1]:
                manager.interrupt_kernel()
                stopped = True
        elif kind == "error":
            error = content
        elif kind == "status" and content["execution_state"] == "idle":
            break
    assert stopped and error is not None
    assert error["ename"] == "InterruptedSearch"
    assert len(error["traceback"]) == 1 and "search --resume --name stopped" in error["traceback"][0]
    after = (
        "import ray\nfound = tune_sentiment.reopen('stopped')\n"
        "print(ray.is_initialized(), found.outcome.phase, (found.trials['fate'] == 'complete').sum() >= 1)"
    )
    told: list[str] = []
    client.execute_interactive(
        after, timeout=60, output_hook=lambda message: told.append(str(message["content"].get("text", "")))
    )
    assert "False interrupted True" in "".join(told)
