"""Feed a reader with inputs that grow towards code not yet reached, until one gets past its refusals (not in CI).

pip install atheris; python benchmarks/fuzz.py {archive,csv,jsonl,parquet,yaml,bundle} --seconds 600

Anything but a result or a TuneSentimentError of one printable line is a finding: it ends the run with a traceback, and
the input stays behind as crash-*. A finding becomes a test.
"""

import argparse
import gzip
import io
import json
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["tune_sentiment.data", "tune_sentiment.export", "tune_sentiment.search", "tarfile", "csv", "json", "yaml"]
):
    import yaml  # noqa: F401 - so that it is instrumented

    from tune_sentiment.data.encoding import encode
    from tune_sentiment.data.formats import open_source
    from tune_sentiment.data.vocabulary import Vocabulary
    from tune_sentiment.errors import TuneSentimentError
    from tune_sentiment.export.bundle import FILES, read_bundle, write_bundle
    from tune_sentiment.search.space import load_space

ROOT = Path(__file__).resolve().parents[1]


def a_table(suffix: str) -> Callable[[bytes, Path], None]:
    """Return what reads a table with this suffix."""

    def read(content: bytes, folder: Path) -> None:
        (folder / f"a.{suffix}").write_bytes(content)
        encode(open_source(str(folder / f"a.{suffix}")))

    return read


def an_archive(content: bytes, folder: Path) -> None:
    """Read an archive, which the first byte says how to make of the rest."""
    # Every other input is packed here, for a mutated byte of a gzip file seldom leaves anything to unpack.
    raw = content[:1] > b"\x7f"
    (folder / "a.tar.gz").write_bytes(content[1:] if raw else gzip.compress(with_checksums(content[1:]), 1))
    encode(open_source(str(folder / "a.tar.gz")))


def with_checksums(unpacked: bytes) -> bytes:
    """Make the checksums of an archive's headers right, or hardly a changed one would be looked at."""
    blocks, start = bytearray(unpacked), 0
    while start + tarfile.BLOCKSIZE <= len(blocks) and any(blocks[start : start + tarfile.BLOCKSIZE]):
        header = blocks[start : start + tarfile.BLOCKSIZE]
        blocks[start + 148 : start + 156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header))[0]
        try:
            size = tarfile.nti(bytes(header[124:136]))
        except tarfile.HeaderError:
            break
        start += tarfile.BLOCKSIZE * (1 + max(0, -(-size // tarfile.BLOCKSIZE)))
    return bytes(blocks)


def a_space(content: bytes, folder: Path) -> None:
    """Read a search space."""
    (folder / "space.yaml").write_bytes(content)
    load_space(str(folder / "space.yaml"))


def a_bundle(content: bytes, folder: Path) -> None:
    """Replace one file of a whole bundle, which the first byte names."""
    whole = folder / "whole"
    if not whole.exists():
        write_a_bundle(whole)
    shutil.copytree(whole, folder / "bundle", dirs_exist_ok=True)
    (folder / "bundle" / FILES[content[0] % len(FILES) if content else 0]).write_bytes(content[1:])
    read_bundle(folder / "bundle")


def write_a_bundle(folder: Path) -> None:
    """Write a small bundle."""
    from tests.export.made_up import SETTINGS
    from tune_sentiment.training.loop import start

    vocabulary = Vocabulary(("good", "bad", "film"))
    weights = start(SETTINGS, vocabulary.size, seed=0).model.state_dict()
    write_bundle(folder, weights=weights, settings=SETTINGS, vocabulary=vocabulary, metrics={}, provenance={})


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "archive": an_archive,
    "csv": a_table("csv"),
    "jsonl": a_table("jsonl"),
    "parquet": a_table("parquet"),
    "yaml": a_space,
    "bundle": a_bundle,
}


def seeds(target: str, folder: Path) -> list[bytes]:
    """Return inputs that are read without complaint, for the fuzzer to change."""
    rows = [(f"good film, number {number}", "pos" if number % 2 else "neg") for number in range(12)]
    if target == "archive":
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for number, (text, label) in enumerate(rows[:3]):
                member = tarfile.TarInfo(f"aclImdb/train/{label}/{'x' * 110 * (number == 2)}{number}_7.txt")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        return [b"\0" + packed.getvalue(), b"\xff" + gzip.compress(packed.getvalue())]
    if target == "csv":
        quoted = "".join(f'"{text}",{label}\n' for text, label in rows)
        return [
            f"text,label\n{quoted}".encode(),
            f"text,label\n{quoted}".encode("utf-16"),
            b"text;label\r\na\xe9;5\r\n",
        ]
    if target == "jsonl":
        return ["".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows).encode()]
    if target == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        texts, labels = pa.array([text for text, _ in rows]), pa.array([label for _, label in rows])
        for column in (texts, texts.dictionary_encode()):
            pq.write_table(pa.table({"text": column, "label": labels}), folder / f"{column.type}.parquet")
        return [path.read_bytes() for path in folder.glob("*.parquet")]
    if target == "yaml":
        return [path.read_bytes() for path in (ROOT / "search_spaces").glob("*.yaml")]
    write_a_bundle(folder / "whole")
    return [bytes([index]) + (folder / "whole" / name).read_bytes() for index, name in enumerate(FILES)]


def main() -> None:
    """Fuzz the reader that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=600)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as place:
        folder, corpus = Path(place) / "files", Path(place) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        for number, seed in enumerate(seeds(given.target, folder)):
            (corpus / f"seed{number}").write_bytes(seed)

        def one_input(content: bytes) -> None:
            try:
                TARGETS[given.target](content, folder)
            except TuneSentimentError as refusal:
                said = str(refusal)
                assert said.isprintable() and len(said) < 8000, f"no sentence for a terminal: {said!r}"

        options = [f"-max_total_time={given.seconds}", "-timeout=20", "-rss_limit_mb=2048", "-max_len=20000"]
        options.append(
            "-keep_seed=1"
        )  # whole files of one bundle all take the same way through the code, and would be one
        atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(corpus)], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
