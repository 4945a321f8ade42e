"""What makes a private cluster private: loopback, a token, a folder of the user's own; all of it put back."""

import os
from pathlib import Path

import pytest
from ray._private import ray_constants

from tune_sentiment.errors import ResourceError
from tune_sentiment.search.private_cluster import kept_private, users_token

NAMES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("mode", [None, "disabled", "token"])
def test_the_environment_cannot_turn_the_token_off_and_is_put_back(
    mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    before = {name: os.environ.get(name) for name in NAMES}
    could_join = ray_constants.ENABLE_RAY_CLUSTER
    with kept_private():
        assert "RAY_AUTH_MODE" not in os.environ  # Ray's own default for a cluster of its own is the token
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
        assert not ray_constants.ENABLE_RAY_CLUSTER
    assert {name: os.environ.get(name) for name in NAMES} == before
    assert could_join == ray_constants.ENABLE_RAY_CLUSTER


def test_only_a_flag_turns_the_token_off_and_it_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with kept_private(token=False):
        assert os.environ["RAY_AUTH_MODE"] == "disabled" and "RAY_AUTH_TOKEN" not in os.environ
        assert not ray_constants.ENABLE_RAY_CLUSTER  # still on loopback alone
    assert "RAY_AUTH_MODE" not in os.environ
    (warning,) = caplog.messages
    assert warning.startswith("warning: Ray runs without its token") and "CVE-2023-48022" in warning


def test_temporary_files_are_the_users_alone_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with kept_private() as arguments:
        folder = Path(arguments["_temp_dir"]).parent
        assert folder.parent == tmp_path and rights(folder) == 0o700
    assert not folder.exists()


def test_a_folder_for_temporary_files_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "nowhere"))
    with (
        pytest.raises(ResourceError, match=r"files: .*nowhere: No such file or directory: name another in RAY"),
        kept_private(),
    ):
        pass


def test_a_token_of_the_users_own_is_used(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    with kept_private():
        assert os.environ["RAY_AUTH_TOKEN"] == "mine"
    assert not (home / ".ray").exists()


def test_the_token_is_made_once_and_for_the_user_alone(home: Path) -> None:
    before = os.umask(0)
    try:
        token = users_token()
    finally:
        os.umask(before)
    assert len(token) == 64 and users_token() == token
    assert rights(home / ".ray" / "auth_token") == 0o600 and rights(home / ".ray") == 0o700


def test_a_token_that_others_could_read_is_closed_to_them(home: Path) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("of Ray\n")
    (home / ".ray" / "auth_token").chmod(0o644)
    assert users_token() == "of Ray"
    assert rights(home / ".ray" / "auth_token") == 0o600


@pytest.mark.parametrize("trouble", ["a file in the way", "an empty token", "no text"])
def test_without_a_usable_home_each_search_has_a_token_of_its_own(home: Path, trouble: str) -> None:
    if trouble == "a file in the way":
        (home / ".ray").touch()
    else:
        (home / ".ray").mkdir()
        (home / ".ray" / "auth_token").write_bytes(b"" if trouble == "an empty token" else b"\xff\xfe")
    assert len(users_token()) == 64 and users_token() != users_token()
