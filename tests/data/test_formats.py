"""What a SOURCE is, told by what it holds."""

import json
import os
from pathlib import Path

import pytest

from tests.data.small_corpora import SHARED, layout, made_up, pack, unpack, write_pair
from tune_sentiment.data.formats import open_source
from tune_sentiment.errors import DataError

REVIEWS = made_up(6)


def read(source: Path | str, **options: str) -> tuple[str, list[tuple[str, str]]]:
    opened = open_source(str(source), **options)
    return opened.name, sorted((text.strip(), label.strip()) for text, label, *_ in opened.reviews)


PAIRS = sorted((review.text, review.label) for review in REVIEWS)


def write_course_folder(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "reviews.txt").write_text("".join(f"{review.text}\n" for review in REVIEWS))
    (folder / "labels.txt").write_text("".join(f"{review.label}\n" for review in REVIEWS))
    return folder


@pytest.mark.parametrize("given", ["", "mine.pos", "mine.neg", "mine"])
def test_a_pair_is_given_as_its_folder_a_half_or_the_stem(tmp_path: Path, given: str) -> None:
    write_pair(tmp_path / "mine", REVIEWS)
    assert read(tmp_path / given) == ("mine", PAIRS)


def test_a_stem_may_hold_dots(tmp_path: Path) -> None:
    write_pair(tmp_path / "mine.v1.2", REVIEWS)
    assert read(tmp_path / "mine.v1.2") == ("mine.v1.2", PAIRS)


@pytest.mark.parametrize("given", ["", "reviews.txt", "labels.txt"])
def test_the_course_folder_is_given_as_itself_or_a_file_of_it(tmp_path: Path, given: str) -> None:
    assert read(write_course_folder(tmp_path / "course") / given) == ("course", PAIRS)


@pytest.mark.parametrize("given", ["aclImdb", ".", "a.tar.gz", "only"])
def test_the_imdb_layout_is_given_as_folder_or_archive(tmp_path: Path, given: str) -> None:
    if given in ("aclImdb", "."):
        unpack(tmp_path, layout(REVIEWS))
    else:
        (tmp_path / "only").mkdir()
        pack(tmp_path / "a.tar.gz", layout(REVIEWS))
        pack(tmp_path / "only" / "b.tgz", layout(REVIEWS))
    assert read(tmp_path / given)[1] == PAIRS


@pytest.mark.parametrize("given", ["a.csv", ""])
def test_a_table_is_given_as_itself_or_the_folder_that_holds_it(tmp_path: Path, given: str) -> None:
    rows = "".join(f"{review.text},{review.label}\n" for review in REVIEWS)
    (tmp_path / "a.csv").write_text(f"text,label\n{rows}")
    assert read(tmp_path / given) == ("a.csv", PAIRS)


def test_columns_of_a_table_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"t": r.text, "l": r.label}) + "\n" for r in REVIEWS))
    assert read(tmp_path / "a.jsonl", text_column="t", label_column="l") == ("a.jsonl", PAIRS)


def test_the_demo_is_called_generated() -> None:
    opened = open_source("demo")
    assert (opened.name, opened.generated) == ("demo (generated)", True)


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_pair(tmp_path / "mine", REVIEWS)
    assert read("~/mine.pos") == ("mine", PAIRS)


def test_a_folder_of_several_sources_is_refused_with_their_paths(tmp_path: Path) -> None:
    write_pair(tmp_path / "mine", REVIEWS)
    write_course_folder(tmp_path)
    unpack(tmp_path, layout(REVIEWS))
    pack(tmp_path / "a.tar.gz", layout(REVIEWS))
    (tmp_path / "a.csv").touch()
    with pytest.raises(DataError, match=r"must hold one source: .*: give one of these paths") as caught:
        open_source(str(tmp_path))
    for name in ("aclImdb", "reviews.txt", "mine.pos", "a.tar.gz", "a.csv"):
        assert f"'{tmp_path / name}'" in str(caught.value)


def test_two_pairs_in_a_folder_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "one", REVIEWS)
    write_pair(tmp_path / "two", REVIEWS)
    with pytest.raises(DataError, match=r"must hold one source: .*one\.pos', .*two\.pos'"):
        open_source(str(tmp_path))


def test_of_many_sources_in_a_folder_the_first_ten_are_listed(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.csv").touch()
    with pytest.raises(DataError, match=r"00\.csv', .*09\.csv' and 2 more: give one of these paths"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("half", [".pos", ".neg"])
@pytest.mark.parametrize("given", ["", "mine", "mine.pos", "mine.neg"])
def test_half_a_pair_is_refused(tmp_path: Path, half: str, given: str) -> None:
    write_pair(tmp_path / "mine", REVIEWS)
    (tmp_path / f"mine{half}").unlink()
    with pytest.raises(DataError, match=rf"belong together: .*mine\{half} is missing: put it there"):
        open_source(str(tmp_path / given))


@pytest.mark.parametrize("missing", ["reviews.txt", "labels.txt"])
def test_half_a_course_folder_is_refused(tmp_path: Path, missing: str) -> None:
    (write_course_folder(tmp_path) / missing).unlink()
    with pytest.raises(DataError, match=rf"belong together: .*{missing} is missing: put it there"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("reviews", "labels", "counts"),
    [("a\nb\nc\n", "pos\nneg\n", "3 reviews and 2 labels"), ("a\nb", "pos\nneg\npos", "2 reviews and 3 labels")],
)
def test_reviews_and_labels_of_different_length_are_refused(
    tmp_path: Path, reviews: str, labels: str, counts: str
) -> None:
    (tmp_path / "reviews.txt").write_text(reviews)
    (tmp_path / "labels.txt").write_text(labels)
    with pytest.raises(DataError, match=f"as many lines: .* has {counts}: give each review its label"):
        read(tmp_path)


def test_blank_lines_at_the_end_of_one_file_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "reviews.txt").write_text("a\n\nc\n\n\n\n")
    (tmp_path / "labels.txt").write_text("pos\nneg\npos\n")
    assert read(tmp_path)[1] == [("", "neg"), ("a", "pos"), ("c", "pos")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", r"must exist: .*nowhere does not: give `demo`, `imdb`, an aclImdb folder"),
        ("file.csv/below", "must exist"),
        ("empty", r"must hold a source of a known kind: .*empty holds no files: give"),
        ("strange", r"must hold a source of a known kind: .*strange holds 'notes.txt': give"),
        ("strange/notes.txt", r"must be of a known kind: .*notes.txt is of none: give"),
        ("pipe", "must be a file or a folder: .*pipe is neither"),
        ("x" * 300, "must be readable: .*: File name too long"),
    ],
)
def test_a_source_that_is_none_is_refused(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "file.csv").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "notes.txt").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=message):
        open_source(str(tmp_path / given))


@pytest.mark.parametrize("given", ["", "  ", "a\0b"])
def test_a_source_without_a_name_is_refused(given: str) -> None:
    with pytest.raises(DataError, match=r"must be a name or a path: .* is neither: give"):
        open_source(given)


def test_the_home_of_nobody_is_refused() -> None:
    with pytest.raises(DataError, match="must be readable: ~no_such_user/x: "):
        open_source("~no_such_user/x")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    write_pair(tmp_path / "mine", REVIEWS)
    monkeypatch.setattr("tune_sentiment.data.reviews.open", refuse, raising=False)
    with pytest.raises(DataError, match=r"must be readable: .*mine: Permission denied: check the path and its permi"):
        read(tmp_path / "mine")


def test_options_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path / "mine", REVIEWS)
    with pytest.raises(DataError, match=r"only tables have columns: .*mine' is none: leave `--text-column`"):
        open_source(str(tmp_path / "mine"), text_column="text")
    with pytest.raises(DataError, match="only tables have columns: 'demo' is none"):
        open_source("demo", label_column="label")
    with pytest.raises(DataError, match="only `imdb` is downloaded: 'demo' is not: leave `--data-url` out"):
        open_source("demo", data_url="http://127.0.0.1/")


@pytest.mark.skipif(not SHARED.exists(), reason="the folder with the real reviews is not here")
def test_the_folder_with_both_real_corpora_is_ambiguous() -> None:
    with pytest.raises(DataError, match=r"must hold one source: .*rt-polarity\.pos.*aclImdb_train\.tar\.gz"):
        open_source(str(SHARED))
