"""Loading with a cache."""

from pathlib import Path

import pytest

from tests.data.cached import Reader


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Reader:
    return Reader(monkeypatch, tmp_path / "cache")
