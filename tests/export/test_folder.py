import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_sentiment.export.folder import strangers, write_whole


def writing(**texts: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        for name, text in texts.items():
            (folder / name).write_text(text)

    return fill


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "with space" / "ünï" / "best"
    write_whole(folder, writing(a="1"))
    assert content(folder) == {"a": "1"}
    assert os.listdir(folder.parent) == ["best"]


def test_an_old_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    write_whole(folder, writing(a="1", b="2"))
    write_whole(folder, writing(a="3"))
    assert content(folder) == {"a": "3"}
    assert os.listdir(tmp_path) == ["best"]


@pytest.mark.parametrize("problem", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_while_filling_leaves_the_old_folder_and_nothing_else(tmp_path: Path, problem: BaseException) -> None:
    folder = tmp_path / "best"
    write_whole(folder, writing(a="1"))

    def fail(beside: Path) -> None:
        (beside / "a").write_text("half")
        raise problem

    with pytest.raises(type(problem)):
        write_whole(folder, fail)
    assert content(folder) == {"a": "1"}
    assert os.listdir(tmp_path) == ["best"]


def test_a_failure_while_the_names_change_hands_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "best"
    write_whole(folder, writing(a="1"))
    rename = os.rename

    def fail_for_the_new(source: Path, target: Path) -> None:
        if Path(source).suffix == ".new":
            raise OSError("no space for a name")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_for_the_new)
    with pytest.raises(OSError, match="no space for a name"):
        write_whole(folder, writing(a="2"))
    assert content(folder) == {"a": "1"}
    assert os.listdir(tmp_path) == ["best"]


def test_every_file_is_on_the_disk_before_the_folder_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def noted_rename(source: Path, target: Path) -> None:
        events.append("renamed")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    write_whole(tmp_path / "best", writing(a="1", b="2"))
    before, after = events[: events.index("renamed")], events[events.index("renamed") + 1 :]
    assert {"a", "b"} < set(before)
    assert any(name.endswith(".new") for name in before)
    assert after == [tmp_path.name]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o027, 0o750), (0o077, 0o700)])
def test_the_folder_has_the_rights_that_the_umask_asks_for(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "best", writing(a="1"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "best").stat().st_mode) == mode


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    write_whole(tmp_path / "real", writing(a="1"))
    (tmp_path / "best").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "best", writing(a="2"))
    assert (tmp_path / "best").is_symlink()
    assert content(tmp_path / "real") == {"a": "2"}


def test_strangers_are_other_names_and_what_is_no_file(tmp_path: Path) -> None:
    writing(a="1", notes="mine")(tmp_path)
    (tmp_path / "b").mkdir()
    assert strangers(tmp_path, ("a", "b")) == ["b", "notes"]
