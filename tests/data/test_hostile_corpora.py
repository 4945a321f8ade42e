"""Whole corpora that are wrong, in every kind of source: refused in one sentence, or read with a counted warning."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.command_line import answer, refusal
from tests.data.small_corpora import layout, made_up, pack, unpack, write_pair
from tests.data.test_hostile_files import DAMAGE, REVIEWS, expect_read_or_refused
from tune_sentiment.data.dataset import load_dataset
from tune_sentiment.data.reviews import Review
from tune_sentiment.errors import DataError

Reviews = Sequence[Review]


def table(kind: str) -> Callable[[Path, Reviews], Path]:
    def write(folder: Path, reviews: Reviews) -> Path:
        path = folder / f"a.{kind}"
        if kind == "parquet":
            pq.write_table(
                pa.table({"text": [one.text for one in reviews], "label": [one.label for one in reviews]}), path
            )
        elif kind == "jsonl":
            rows = [json.dumps({"text": one.text, "label": one.label}) + "\n" for one in reviews]
            path.write_text("".join(rows), encoding="utf-8")
        else:
            separator = {"csv": ",", "tsv": "\t"}[kind]
            rows = [separator.join(row) + "\n" for row in [("text", "label"), *(one[:2] for one in reviews)]]
            path.write_text("".join(rows), encoding="utf-8")
        return path

    return write


def course_folder(folder: Path, reviews: Reviews) -> Path:
    (folder / "reviews.txt").write_text("".join(f"{one.text}\n" for one in reviews), encoding="utf-8")
    (folder / "labels.txt").write_text("".join(f"{one.label}\n" for one in reviews), encoding="utf-8")
    return folder


FREE_LABELS: dict[str, Callable[[Path, Reviews], Path]] = {
    **{kind: table(kind) for kind in ("csv", "tsv", "jsonl", "parquet")},
    "the course's folder": course_folder,
}
"""Sources in which a label can be anything."""

SOURCES = FREE_LABELS | {
    "a pair": lambda folder, reviews: write_pair(folder / "a", reviews),
    "an aclImdb folder": lambda folder, reviews: unpack(folder, layout(reviews)),
    "an aclImdb archive": lambda folder, reviews: pack(folder / "a.tar.gz", layout(reviews)),
}

every_source = pytest.mark.parametrize("kind", SOURCES)
every_free_label = pytest.mark.parametrize("kind", FREE_LABELS)


@every_free_label
def test_a_half_labelled_source_is_refused_with_the_number(tmp_path: Path, kind: str) -> None:
    half = [one._replace(label=one.label if number < 30 else "") for number, one in enumerate(made_up(60))]
    path = FREE_LABELS[kind](tmp_path, half)
    with pytest.raises(DataError, match=r"every review must have a label: 30 of 60 in .* have none: label or remove"):
        load_dataset(str(path))


@every_free_label
def test_of_unknown_labels_the_first_are_listed(tmp_path: Path, kind: str) -> None:
    odd = [one._replace(label=f"mood {number % 9}") for number, one in enumerate(made_up(60))]
    path = FREE_LABELS[kind](tmp_path, odd)
    with pytest.raises(
        DataError, match=r"labels must be known: 'mood 0', 'mood 1', .*, 'mood 4' and 4 more in .*: wri"
    ):
        load_dataset(str(path))


@every_free_label
@pytest.mark.parametrize(
    ("positive", "negative"), [("Positive", "Negative"), ("1", "0"), ("1.0", "0.0"), ("true", "false"), ("5", "1")]
)
def test_labels_of_every_spelling_are_read(tmp_path: Path, kind: str, positive: str, negative: str) -> None:
    spelled = [one._replace(label=positive if one.label == "pos" else negative) for one in made_up(60)]
    dataset = load_dataset(str(FREE_LABELS[kind](tmp_path, spelled)))
    assert [int(split.labels.sum()) for split in dataset.splits.values()] == [24, 3, 3]


@every_source
def test_a_source_of_one_class_is_refused(tmp_path: Path, kind: str) -> None:
    good = [one for one in made_up(60) if one.label == "pos"]
    with pytest.raises(DataError, match=r"classes are needed, at least 10 of each: .* has 30 positive|is empty"):
        load_dataset(str(SOURCES[kind](tmp_path, good)))


@every_source
def test_fewer_reviews_than_can_be_split_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"at least 10 of each: .* has 3 positive and 3 negative: add more"):
        load_dataset(str(SOURCES[kind](tmp_path, made_up(6))))


@every_source
def test_reviews_that_stand_in_two_splits_are_counted_in_a_warning(tmp_path: Path, kind: str) -> None:
    twice = [*made_up(60), *made_up(60)]
    (problem,) = load_dataset(str(SOURCES[kind](tmp_path, twice))).problems
    assert problem.startswith("Found ") and problem.endswith("validation or test split in the training split too.")
    assert int(problem.split()[1]) > 10


def test_the_command_warns_of_duplicates_and_refuses_half_a_labelling_in_one_line(tmp_path: Path) -> None:
    path = table("csv")(tmp_path, [*made_up(60), *made_up(60)])
    assert "validation or test split in the training split too" in answer("data", path, cwd=tmp_path)
    table("csv")(tmp_path, [one._replace(label="") for one in made_up(60)])
    assert "every review must have a label: 60 of 60" in refusal("data", path, cwd=tmp_path)


@pytest.mark.parametrize("half", ["pos", "neg"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_half_a_pair_with_every_damage_is_read_or_refused(tmp_path: Path, half: str, damage: str) -> None:
    write, message = DAMAGE[damage]
    stem = write_pair(tmp_path / "a", REVIEWS)
    damaged = Path(f"{stem}.{half}")
    damaged.write_bytes(write(damaged.read_text(encoding="utf-8")))
    if "mark alone" in damage:
        message = "reviews of both classes are needed, at least 10 of each"
    elif "line of 3 million" in damage:
        message = "at most 1,000,000 characters: line 31 of"
    expect_read_or_refused(stem, message)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_review_file_with_every_damage_is_read_or_refused(tmp_path: Path, packed: bool, damage: str) -> None:
    write, message = DAMAGE[damage]
    files = layout(REVIEWS)
    extra = "aclImdb/train/pos/café_9.txt"
    files[extra] = write("un café\n")
    source = pack(tmp_path / "a.tar.gz", files) if packed else unpack(tmp_path, files)
    if "is binary" in message or "characters" in message:
        with pytest.raises(DataError, match=r"must be text: .* is binary|at most 1,000,000 characters") as refused:
            load_dataset(str(source))
        assert str(refused.value).isprintable()
        return
    dataset = load_dataset(str(source))
    dropped = damage == "empty" or "mark alone" in damage
    assert sum(map(len, dataset.splits.values())) == 61 - dropped
    assert ("Dropped 1 review without a word." in dataset.problems) == dropped
    assert ("Read 1 review as Windows-1252, not being UTF-8." in dataset.problems) == (damage == "Latin-1")
