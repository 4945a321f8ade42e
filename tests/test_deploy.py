"""The examples for many machines: Ray's own parser takes them, and their commands are ones that we have.

And the Grafana dashboard: Grafana's own model takes it, and it shows the figures that we export.
"""

import itertools
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_sentiment import intake
from tune_sentiment.cli import app
from tune_sentiment.search.metrics import FIGURES

DEPLOY = Path(__file__).parents[1] / "deploy"


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return content


def asked_of(command: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a `python -m tune_sentiment search ...` would ask for, taken by the real command line."""
    words = shlex.split(command)
    assert words[:4] == ["python", "-m", "tune_sentiment", "search"]
    asked: dict[str, Any] = {}

    def note(data: str | None = None, **options: Any) -> None:
        asked.update(options, data=data)
        raise KeyboardInterrupt

    monkeypatch.setattr(intake, "prepare", note)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        raise SystemExit(app(words[3:], standalone_mode=False))
    return asked


def test_rays_cluster_launcher_takes_the_cluster() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(read("ray-cluster.yaml"))
    validate_config(config)
    assert config["provider"]["type"] == "local"
    assert any("RAY_AUTH_MODE=token" in command for command in config["head_start_ray_commands"])


def test_the_job_on_kubernetes_is_a_search_that_keeps_its_results(monkeypatch: pytest.MonkeyPatch) -> None:
    job = read("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    asked = asked_of(job["spec"]["entrypoint"], monkeypatch)
    assert (asked["address"], asked["trials"], asked["time_budget"]) == ("auto", 200, "2h")
    cluster = job["spec"]["rayClusterSpec"]
    lock = (DEPLOY.parent / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert f"ray=={cluster['rayVersion']}" in lock
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert asked["storage"].startswith(container["volumeMounts"][0]["mountPath"])
        assert asked["data"].startswith(container["volumeMounts"][0]["mountPath"])
        assert container["volumeMounts"][0]["name"] == pod["volumes"][0]["name"]
        assert container["resources"]["limits"] == container["resources"]["requests"]


@pytest.fixture
def grafana() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DEPLOY / "grafana" / "tune_sentiment.json").read_text(encoding="utf-8"))
    return content


def test_grafana_would_understand_all_of_its_dashboard(grafana: dict[str, Any]) -> None:
    """Grafana's published model of a dashboard drops what it does not know, such as a misspelt field."""
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    understood = json.loads(JSONEncoder().encode(Dashboard.from_json(grafana)))
    assert missing(grafana, understood) == []


def missing(given: Any, understood: Any, place: str = "") -> list[str]:
    """Return the places at which `understood` is not what was given; it may have more fields, all at their defaults."""
    if isinstance(given, dict) and isinstance(understood, dict):
        return [
            found for name, value in given.items() for found in missing(value, understood.get(name), f"{place}.{name}")
        ]
    if isinstance(given, list) and isinstance(understood, list) and len(given) == len(understood):
        pairs = zip(given, understood, strict=True)
        return [found for number, pair in enumerate(pairs) for found in missing(*pair, f"{place}[{number}]")]
    return [] if given == understood else [place]


def test_the_panels_of_the_dashboard_stand_side_by_side(grafana: dict[str, Any]) -> None:
    panels = grafana["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert apart or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_the_dashboard_shows_the_figures_that_we_export_and_no_others(grafana: dict[str, Any]) -> None:
    named = set(re.findall(r"\bray_\w+", json.dumps(grafana)))
    assert named == {figure.exported for figure in FIGURES}
