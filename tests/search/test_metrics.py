"""Where Prometheus is told to look for a search."""

import json
import os
from pathlib import Path

import pytest
import ray

from tune_sentiment.search.metrics import exported_metrics


@pytest.fixture
def _nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {"NodeManagerAddress": "127.0.0.1", "MetricsExportPort": 4711, "Alive": True},
        {"NodeManagerAddress": "127.0.0.1", "MetricsExportPort": 4712, "Alive": False},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)


@pytest.mark.usefixtures("_nodes")
def test_prometheus_is_told_where_the_figures_are_for_as_long_as_the_search_runs(tmp_path: Path) -> None:
    path = tmp_path / ".prometheus" / "mine.json"
    with exported_metrics(path, "mine"):
        assert json.loads(path.read_text()) == [{"labels": {"search": "mine"}, "targets": ["127.0.0.1:4711"]}]
        (path.parent / "another.json").touch()
    assert os.listdir(path.parent) == ["another.json"]
    (path.parent / "another.json").unlink()
    with exported_metrics(path, "mine"):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("_nodes")
def test_a_search_runs_where_prometheus_cannot_be_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / ".prometheus").touch()
    with exported_metrics(tmp_path / ".prometheus" / "mine.json", "mine"):
        assert "Prometheus cannot be told" in caplog.text


def test_nothing_is_written_on_a_cluster_of_somebody_elses(tmp_path: Path) -> None:
    with exported_metrics(None, "mine"):
        assert os.listdir(tmp_path) == []
