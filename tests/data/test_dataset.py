"""Splits, batches and what identifies a dataset."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.small_corpora import SHARED, layout, made_up, pack, unpack, write_pair
from tune_sentiment.data import encoding
from tune_sentiment.data.dataset import Dataset, Split, left_pad, load_dataset, num_leaked
from tune_sentiment.data.reviews import Review
from tune_sentiment.errors import DataError

REVIEWS = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=12), min_size=1, max_size=8)


def split_of(reviews: list[list[int]], labels: list[int] | None = None) -> Split:
    offsets = np.cumsum([0, *map(len, reviews)], dtype=np.int64)
    token_ids = np.array([number for review in reviews for number in review], dtype=np.int32)
    return Split(token_ids, offsets, np.array(labels or [0] * len(reviews), dtype=np.int8))


def texts_of(dataset: Dataset, split: Split) -> list[str]:
    return [" ".join(dataset.vocabulary.decode(split.token_ids[start:end])) for start, end in pairwise(split.offsets)]


def write_corpus(folder: Path, reviews: list[Review]) -> str:
    return str(write_pair(folder / "mine", reviews))


@settings(deadline=None)
@given(REVIEWS)
def test_padding_and_then_stripping_the_zeros_gives_the_reviews_back(reviews: list[list[int]]) -> None:
    padded = left_pad(split_of(reviews), np.arange(len(reviews)), 100)
    assert padded.dtype == np.int32
    assert padded.shape == (len(reviews), max(map(len, reviews)))
    for row, review in zip(padded.tolist(), reviews, strict=True):
        assert row == [0] * (len(row) - len(review)) + review


@settings(deadline=None)
@given(REVIEWS, st.integers(1, 15), st.integers(0, 5), st.data())
def test_reviews_are_cut_to_their_first_words(
    reviews: list[list[int]], seq_length: int, extra: int, data: st.DataObject
) -> None:
    indices = data.draw(st.lists(st.integers(0, len(reviews) - 1)))
    length = max([1, *(min(len(reviews[index]), seq_length) for index in indices)]) + extra
    padded = left_pad(split_of(reviews), np.array(indices, dtype=np.int64), seq_length, length)
    assert padded.shape == (len(indices), length)
    for row, index in zip(padded.tolist(), indices, strict=True):
        assert [number for number in row if number] == reviews[index][:seq_length]
        assert row[-1] == reviews[index][:seq_length][-1]


def test_a_length_that_would_cut_a_review_is_an_error() -> None:
    with pytest.raises(ValueError, match="length=2 is less than the longest review's 3 words"):
        left_pad(split_of([[1, 2, 3]]), np.array([0]), 5, 2)


def test_lengths_are_those_after_the_cut() -> None:
    lengths = split_of([[1], [1, 2, 3]]).lengths(2)
    assert lengths.tolist() == [1, 2]
    assert lengths.dtype == np.int32


def test_a_source_is_split_80_10_10_with_both_classes_in_the_same_share(tmp_path: Path) -> None:
    reviews = [Review(f"word{number}", "pos" if number % 4 else "neg") for number in range(400)]
    dataset = load_dataset(write_corpus(tmp_path, reviews))
    assert [len(split) for split in dataset.splits.values()] == [320, 40, 40]
    assert [split.labels.sum() for split in dataset.splits.values()] == [240, 30, 30]
    assert not dataset.official_test
    texts = texts_of(dataset, dataset.train)
    assert len(set(texts)) == 320
    assert set(dataset.validation.token_ids) == {dataset.vocabulary.unknown_id}


def test_every_review_keeps_its_words_and_its_label(tmp_path: Path) -> None:
    dataset = load_dataset(write_corpus(tmp_path, made_up(100)))
    found = {}
    for split in dataset.splits.values():
        assert [str(array.dtype) for array in (split.token_ids, split.offsets, split.labels)] == [
            "int32",
            "int64",
            "int8",
        ]
        assert split.offsets[-1] == len(split.token_ids)
        for text, label in zip(texts_of(dataset, split), split.labels, strict=True):
            assert text.endswith("is good") == (label == 1)
            found[text] = label
    assert set(texts_of(dataset, dataset.train)) < {review.text for review in made_up(100)}
    assert dataset.vocabulary.words[:2] == ("is", "review")


def test_the_same_reviews_give_the_same_dataset_and_another_seed_another(tmp_path: Path) -> None:
    source = write_corpus(tmp_path, made_up())
    first, again, other = load_dataset(source), load_dataset(source), load_dataset(source, split_seed=1)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    for one, two in zip(first.splits.values(), again.splits.values(), strict=True):
        assert np.array_equal(one.token_ids, two.token_ids)
    assert len(first.fingerprint) == 64


def test_chunks_of_the_encoding_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_corpus(tmp_path, made_up())
    whole = load_dataset(source).fingerprint
    monkeypatch.setattr(encoding, "_CHUNK_TOKENS", 20)
    monkeypatch.setattr(encoding, "_BLOCK_BYTES", 50)
    assert load_dataset(source).fingerprint == whole


def test_one_changed_word_or_label_changes_the_fingerprint(tmp_path: Path) -> None:
    source = write_corpus(tmp_path, made_up())
    before = load_dataset(source).fingerprint
    changed = [made_up()[0]._replace(text="review number0 is great"), *made_up()[1:]]
    assert load_dataset(write_corpus(tmp_path, changed)).fingerprint != before
    changed = [made_up()[0]._replace(label="neg"), *made_up()[1:]]
    assert load_dataset(write_corpus(tmp_path, changed)).fingerprint != before


def test_a_folder_and_its_archive_are_the_same_dataset_however_they_were_packed(tmp_path: Path) -> None:
    files = layout(made_up(60)) | layout(made_up(20), "test")
    backwards = dict(reversed(files.items()))
    datasets = [
        load_dataset(str(source))
        for source in (
            unpack(tmp_path / "unpacked", files),
            pack(tmp_path / "forwards.tar.gz", files),
            pack(tmp_path / "backwards.tgz", backwards),
        )
    ]
    assert len({dataset.fingerprint for dataset in datasets}) == 1


def test_a_test_split_of_the_source_is_kept_and_the_rest_split_90_10(tmp_path: Path) -> None:
    files = layout(made_up(100)) | layout([Review(f"test{n}", "pos" if n % 2 else "neg") for n in range(30)], "test")
    dataset = load_dataset(str(pack(tmp_path / "a.tar.gz", files)))
    assert dataset.official_test
    assert [len(split) for split in dataset.splits.values()] == [90, 10, 30]
    assert set(dataset.test.token_ids) == {dataset.vocabulary.unknown_id}


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        (["pos"] * 50, "50 positive and 0 negative"),
        (["neg"] * 50, "0 positive and 50 negative"),
        (["pos"] * 50 + ["neg"] * 9, "50 positive and 9 negative"),
        (["pos", "neg"], "1 positive and 1 negative"),
    ],
)
def test_too_few_reviews_of_a_class_are_refused(tmp_path: Path, labels: list[str], counts: str) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"word,{label}\n" for label in labels))
    with pytest.raises(DataError, match=rf"at least 10 of each: .*a\.csv has {counts}: add more"):
        load_dataset(str(tmp_path / "a.csv"))


def test_a_test_split_of_one_class_is_refused(tmp_path: Path) -> None:
    files = layout(made_up(40)) | layout([Review("good", "pos")], "test")
    with pytest.raises(DataError, match=r"of each: the test split of .*a\.tar\.gz has 1 positive and 0 negative"):
        load_dataset(str(pack(tmp_path / "a.tar.gz", files)))


@settings(deadline=None, max_examples=30)
@given(st.integers(10, 40), st.integers(10, 400))
def test_every_split_has_both_classes_whatever_their_share(num_positive: int, num_negative: int) -> None:
    from tune_sentiment.data.dataset import split_reviews
    from tune_sentiment.data.encoding import encode
    from tune_sentiment.data.reviews import Source

    reviews = [Review("good", "pos")] * num_positive + [Review("bad", "neg")] * num_negative
    encoded = encode(Source("made up", "here", iter(reviews)))
    members, _ = split_reviews(encoded, 0, "here")
    assert sorted(np.concatenate(members)) == list(range(len(reviews)))
    for reviews_of_split in members:
        assert set(encoded.labels[reviews_of_split]) == {0, 1}


def test_neutral_and_empty_reviews_are_left_out_and_named(tmp_path: Path) -> None:
    rows = [f"word{number},{1 + 4 * (number % 2)}" for number in range(40)] + ["neutral words,3"] * 5 + [",5"] * 2
    (tmp_path / "a.csv").write_text("\n".join(["text,stars", *rows]))
    dataset = load_dataset(str(tmp_path / "a.csv"))
    assert sum(map(len, dataset.splits.values())) == 40
    assert "neutral" not in dataset.vocabulary.words
    assert dataset.problems == (
        "Dropped 2 reviews without a word.",
        "Dropped 5 reviews as neutral: more than 2 and fewer than 4 stars.",
    )


def test_reviews_that_are_in_the_training_split_too_are_counted(tmp_path: Path) -> None:
    dataset = load_dataset(write_corpus(tmp_path, [*made_up(100), *made_up(100)]))
    leaked = num_leaked(dataset.train, dataset.validation, dataset.test)
    texts = set(texts_of(dataset, dataset.train))
    assert leaked == sum(
        text in texts for split in (dataset.validation, dataset.test) for text in texts_of(dataset, split)
    )
    assert leaked > 10
    assert dataset.problems == (f"Found {leaked} reviews of the validation or test split in the training split too.",)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_cannot_be_one_is_refused(seed: int) -> None:
    with pytest.raises(DataError, match=rf"must be from 0 to 2\*\*32 - 1: got {seed}: give another"):
        load_dataset("demo", split_seed=seed)


@pytest.mark.skipif(not SHARED.exists(), reason="the folder with the real reviews is not here")
def test_the_real_sentences_are_read() -> None:
    dataset = load_dataset(str(SHARED / "rt-polarity"))
    assert dataset.name == "rt-polarity"
    assert [(len(split), int(split.labels.sum())) for split in dataset.splits.values()] == [
        (8530, 4265),
        (1066, 533),
        (1066, 533),
    ]
    assert dataset.vocabulary.words[:4] == ("the", "a", "and", "of")
    assert dataset.problems == ()


@pytest.mark.skipif(not SHARED.exists(), reason="the folder with the real reviews is not here")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the memory from /proc")
def test_the_real_imdb_reviews_are_read_in_little_memory() -> None:
    program = (
        "import sys\n"
        "from tune_sentiment.data.dataset import load_dataset\n"
        "dataset = load_dataset(sys.argv[1])\n"
        "peak = open('/proc/self/status').read().split('VmHWM:')[1].split()[0]\n"
        "print(*map(len, dataset.splits.values()), len(dataset.vocabulary.words), dataset.vocabulary.words[0], peak)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(SHARED / "aclImdb_train.tar.gz")],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    *numbers, first_word, peak = done.stdout.split()
    assert numbers == ["20000", "2500", "2500", "99124"]
    assert first_word == "the"
    # Not `ru_maxrss`: that begins with the peak of the process that started this one.
    assert int(peak) * 1024 < 400e6
