"""The IMDB layout, in an archive and in a folder."""

import gzip
import io
import os
import random
import tarfile
from pathlib import Path

import pytest

from tests.data.small_corpora import layout, made_up, pack, unpack
from tune_sentiment.data.archive import read_archive, read_folder
from tune_sentiment.data.reviews import MAX_REVIEW_CHARS
from tune_sentiment.errors import DataError

FILES = {
    "aclImdb/README": b"not a review",
    "aclImdb/train/unsup/0_0.txt": b"without a label",
    "aclImdb/train/pos/0_9.txt": b"good",
    "aclImdb/train/pos/._0_9.txt": b"what a Mac leaves behind",
    "aclImdb/train/neg/0_2.txt": "mauvais caf\xe9".encode(),
    "aclImdb/test/pos/0_10.txt": b"fine",
    "aclImdb/test/neg/0_1.txt": b"bad",
    "aclImdb/test/neg/note.md": b"not a review",
}
REVIEWS = {
    ("good", "pos", False, "train/pos/0_9.txt"),
    ("mauvais caf\xe9", "neg", False, "train/neg/0_2.txt"),
    ("fine", "pos", True, "test/pos/0_10.txt"),
    ("bad", "neg", True, "test/neg/0_1.txt"),
}


def test_only_labelled_reviews_are_read(tmp_path: Path) -> None:
    assert set(read_archive(pack(tmp_path / "a.tar.gz", FILES), [])) == REVIEWS
    assert set(read_folder(unpack(tmp_path, FILES) / "aclImdb", [])) == REVIEWS


@pytest.mark.parametrize("prefix", ["", "./", "./aclImdb/"])
def test_the_leading_folder_may_be_missing(tmp_path: Path, prefix: str) -> None:
    files = {name.replace("aclImdb/", prefix): content for name, content in FILES.items()}
    assert set(read_archive(pack(tmp_path / "a.tgz", files), [])) == REVIEWS


def test_reviews_that_are_not_utf8_are_counted(tmp_path: Path) -> None:
    files = {f"train/pos/{number}_9.txt": b"caf\xe9" for number in range(3)} | {"train/neg/0_1.txt": b"bad"}
    for read, source in ((read_archive, pack(tmp_path / "a.tar.gz", files)), (read_folder, unpack(tmp_path, files))):
        problems: list[str] = []
        assert [review.text for review in read(source, problems)].count("caf\xe9") == 3
        assert problems == ["Read 3 reviews as Windows-1252, not being UTF-8."]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    ("strange", "message"),
    [
        (member("../train/pos/1_9.txt"), r"must stay below its folder: .* holds '\.\./train/pos/1_9\.txt'"),
        (member("aclImdb/train/../../x"), "must stay below its folder"),
        (member("..\\x"), "must stay below its folder"),
        (member("/etc/passwd"), "must stay below its folder: .* holds '/etc/passwd'"),
        (member("train/pos/1_9.txt", tarfile.SYMTYPE, "/etc/passwd"), "plain files only, no links or devices: .*1_9"),
        (member("train/pos/1_9.txt", tarfile.LNKTYPE, "0_9.txt"), "plain files only"),
        (member("train/pos/1_9.txt", tarfile.CHRTYPE), "plain files only"),
        (member("train/pos/1_9.txt", tarfile.BLKTYPE), "plain files only"),
        (member("train/pos/1_9.txt", tarfile.FIFOTYPE), "plain files only"),
    ],
)
def test_members_that_have_no_business_in_an_archive_are_refused(
    tmp_path: Path, strange: tarfile.TarInfo, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        list(read_archive(pack(tmp_path / "a.tar.gz", FILES, [strange]), []))


def test_members_of_the_oldest_kind_and_long_names_are_read(tmp_path: Path) -> None:
    old = member("train/pos/0_9.txt", tarfile.AREGTYPE)
    old.size = 100_000
    folder = "./" * 60
    with gzip.open(tmp_path / "a.tar.gz", "wb") as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(old, io.BytesIO(b"good " * 20_000))
        for name in (f"{folder}train/neg/0_1.txt", "train/neg/caf\xe9.txt"):
            new = member(name)
            new.size = 3
            archive.addfile(new, io.BytesIO(b"bad"))
    texts = {review.key: review.text for review in read_archive(tmp_path / "a.tar.gz", [])}
    assert texts == {
        "train/pos/0_9.txt": "good " * 20_000,
        "train/neg/0_1.txt": "bad",
        "train/neg/caf\xe9.txt": "bad",
    }


def test_a_file_that_stands_in_an_archive_twice_is_refused(tmp_path: Path) -> None:
    files = {"train/pos/0_9.txt": b"good", "aclImdb/train/pos/0_9.txt": b"bad"}
    with pytest.raises(DataError, match=r"must hold a file once: .* repeats aclImdb/train/pos/0_9\.txt"):
        list(read_archive(pack(tmp_path / "a.tar.gz", files), []))


def test_a_truncated_archive_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = pack(tmp_path / "a.tar.gz", layout(made_up(8)) | {"noise": os.urandom(20_000)}).read_bytes()
    assert len(whole) > 20_000
    for length in (*range(0, len(whole) - 1, 97), *range(len(whole) - 300, len(whole))):
        (tmp_path / "cut.tar.gz").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"an archive must (be whole|hold train/pos).*cut\.tar\.gz"):
            list(read_archive(tmp_path / "cut.tar.gz", []))


def test_an_archive_cut_between_two_members_is_refused_too(tmp_path: Path) -> None:
    with gzip.open(pack(tmp_path / "a.tar.gz", layout(made_up(4)))) as packed:
        unpacked = packed.read()
    cut = gzip.compress(unpacked[:2048])[:-8]
    (tmp_path / "cut.tar.gz").write_bytes(cut)
    with pytest.raises(DataError, match=r"must be whole: .*cut\.tar\.gz: Compressed file ended"):
        list(read_archive(tmp_path / "cut.tar.gz", []))


def test_a_damaged_byte_is_found(tmp_path: Path) -> None:
    whole = bytearray(
        pack(tmp_path / "a.tar.gz", {"train/pos/0_1.txt": random.Random(0).randbytes(5000).hex().encode()}).read_bytes()
    )
    whole[3000] ^= 1
    (tmp_path / "a.tar.gz").write_bytes(whole)
    with pytest.raises(DataError, match="an archive must be whole"):
        list(read_archive(tmp_path / "a.tar.gz", []))


@pytest.mark.parametrize(
    "content",
    [b"", b"plain text", gzip.compress(b"no archive"), gzip.compress(os.urandom(2048))],
    ids=["empty", "text", "packed text", "packed noise"],  # the bytes hold the time, and may be no test's name
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"an archive must .*a\.tar\.gz"):
        list(read_archive(tmp_path / "a.tar.gz", []))


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold train/pos/\*\.txt and train/neg/\*\.txt: .* has none"):
        list(read_archive(pack(tmp_path / "a.tar.gz", {"photos/1.jpg": b"..."}), []))


def test_a_bomb_of_zeros_is_refused_at_its_header(tmp_path: Path) -> None:
    bomb = tarfile.TarInfo("aclImdb/train/pos/0_9.txt")
    bomb.size = 4 << 30
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(bomb.tobuf()))
    with pytest.raises(DataError, match=r"must unpack to at most 67,108,864 bytes: .* claims more"):
        list(read_archive(tmp_path / "a.tar.gz", []))


def test_a_bomb_behind_the_last_member_is_refused(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(made := member("train/pos/0_9.txt"), io.BytesIO(b""))
            assert made.size == 0
        for _ in range(70):
            packed.write(bytes(1 << 20))
    with pytest.raises(DataError, match="must unpack to at most 67,108,864 bytes"):
        list(read_archive(tmp_path / "a.tar.gz", []))


def test_a_header_of_any_length_is_refused_before_it_is_read(tmp_path: Path) -> None:
    for kind in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, b"X"):
        header = member("././@LongLink", kind)
        header.size = 1 << 33
        (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT)))
        with pytest.raises(DataError, match="headers must be at most 65,536 bytes: one claims 8,589,934,592"):
            list(read_archive(tmp_path / "a.tar.gz", []))


def test_headers_that_follow_one_another_without_end_are_refused(tmp_path: Path) -> None:
    header = member("././@PaxHeader", tarfile.XHDTYPE)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header.tobuf() * 5000))
    with pytest.raises(DataError, match="an archive must"):
        list(read_archive(tmp_path / "a.tar.gz", []))


def test_an_attribute_that_claims_a_length_beyond_any_integer_is_refused(tmp_path: Path) -> None:
    """Found by fuzzing: tarfile takes the length of a pax attribute as it is written."""
    attributes = b"99999999999999999999 path=x\n"
    header = member("././@PaxHeader", tarfile.XHDTYPE)
    header.size = len(attributes)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header.tobuf() + attributes.ljust(512, b"\0")))
    with pytest.raises(DataError, match=r"an archive must be whole: .*a\.tar\.gz: .*(too large|invalid header)"):
        list(read_archive(tmp_path / "a.tar.gz", []))


def test_a_review_longer_than_any_is_refused(tmp_path: Path) -> None:
    files = {"train/pos/0_9.txt": os.urandom(4 * MAX_REVIEW_CHARS + 1)}
    with pytest.raises(DataError, match=r"at most 1,000,000 characters: train/pos/0_9\.txt in .*a\.tar\.gz has more"):
        list(read_archive(pack(tmp_path / "a.tar.gz", files), []))
    with pytest.raises(DataError, match=r"at most 1,000,000 characters: .*0_9\.txt has more"):
        list(read_folder(unpack(tmp_path, files), []))


def test_a_binary_review_is_refused(tmp_path: Path) -> None:
    files = {"train/pos/0_9.txt": b"a\0b"}
    with pytest.raises(DataError, match=r"train/pos/0_9\.txt in .*a\.tar\.gz is binary"):
        list(read_archive(pack(tmp_path / "a.tar.gz", files), []))
    with pytest.raises(DataError, match=r"0_9\.txt is binary"):
        list(read_folder(unpack(tmp_path, files), []))


def test_a_pipe_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    folder = unpack(tmp_path, FILES) / "aclImdb"
    os.mkfifo(folder / "train" / "pos" / "1_9.txt")
    assert set(read_folder(folder, [])) == REVIEWS
