"""The examples for many machines: Ray's own parser takes them, and their commands are ones that we have."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tune_sentiment import intake
from tune_sentiment.cli import app

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
