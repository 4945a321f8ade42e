"""Every file is right for all Pythons that we support; `other_pythons.py` also runs tests with them."""

import pytest

from tests.machines.other_pythons import SUPPORTED, compiled, other_pythons

FOUND = other_pythons()


@pytest.mark.parametrize("version", SUPPORTED)
def test_every_file_compiles_without_a_warning(version: str) -> None:
    if version not in FOUND:
        pytest.skip(f"no other Python {version} on this machine")
    done = compiled(FOUND[version])
    assert done.returncode == 0, done.stderr
