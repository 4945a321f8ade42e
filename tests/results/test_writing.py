from pathlib import Path

import pytest

from tune_sentiment.errors import StudyError
from tune_sentiment.results.writing import make_folder, replace_file


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    replace_file(path, "new \N{PLUS-MINUS SIGN}\n")
    assert path.read_bytes() == "new \N{PLUS-MINUS SIGN}\n".encode()
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_write_that_breaks_off_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_full_disk_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StudyError, match=r"report.html \(No space left on device\)"):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_cannot_be_written_is_named_in_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for act in (lambda: replace_file(blocked / "report.html", "x"), lambda: make_folder(blocked / "deeper")):
        with pytest.raises(StudyError, match=r"^a result needs a folder that can be written: .*file.* choose another"):
            act()
