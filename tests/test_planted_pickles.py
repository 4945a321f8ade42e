"""A pickle in place of any file that is read is refused, never run. Bundles: tests/export/test_bundle_refusals.py."""

import base64
import gzip
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.data.small_corpora import layout, made_up, pack, unpack, write_pair
from tests.planted import KINDS, Planted, plant
from tune_sentiment.data.dataset import load_dataset
from tune_sentiment.data.vocabulary import Vocabulary
from tune_sentiment.errors import StudyError, TuneSentimentError
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.journal import mend_journal
from tune_sentiment.search.request import read_request
from tune_sentiment.search.space import load_space
from tune_sentiment.search.study import SEARCH_STUDY, open_storage, open_study
from tune_sentiment.training.checkpoint import load_state, load_weights, settings_of


def load(path: Path) -> object:
    return load_dataset(str(path))


def load_study(path: Path) -> object:
    before = path.read_bytes()
    with suppress(StudyError):
        mend_journal(SearchFolder(path.parent))
    assert path.read_bytes() == before
    return open_study(open_storage(SearchFolder(path.parent)), SEARCH_STUDY).trials


def cached_download(path: Path) -> object:
    """Read `imdb` where its cache holds the file; the hash is that of the pickle, as if the mirror had sent it."""
    import hashlib

    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    (path.parent / "cache").mkdir()
    path.rename(path.parent / "cache" / f"aclImdb_{sha256[:12]}.tar.gz")
    url = "http://127.0.0.1:9/never-asked"
    return load_dataset("imdb", data_url=url, data_sha256=sha256, cache_folder=path.parent / "cache")


READERS: dict[str, Callable[[Path], object]] = {
    "a.csv": load,
    "a.tsv": load,
    "a.jsonl": load,
    "a.parquet": load,
    "a.tar.gz": load,
    "a.tgz": load,
    "mine.pos": load,
    "mine.neg": load,
    "reviews.txt": load,
    "labels.txt": load,
    "aclImdb/train/pos/0_7.txt": lambda path: load(path.parents[3]),
    "cached.tar.gz": cached_download,
    "space.yaml": lambda path: load_space(str(path)),
    "search.json": lambda path: read_request(SearchFolder(path.parent)),
    "study.log": load_study,
    "state.pt": load_state,
    "settings.pt": settings_of,
    "best.pt": load_weights,
    "vocabulary.txt": Vocabulary.load,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_a_pickle_in_place_of_a_file_is_refused_and_not_run(tmp_path: Path, name: str, kind: str) -> None:
    folder, trace = tmp_path / "folder", tmp_path / "the pickle was run"
    folder.mkdir()
    if name.startswith("aclImdb"):
        unpack(folder, layout(made_up(2)))
    if name.startswith("mine"):
        write_pair(folder / "mine", made_up())
    if name in ("reviews.txt", "labels.txt"):
        for other in ("reviews.txt", "labels.txt"):
            (folder / other).write_text("pos\nneg\n" * 20)
    plant(folder / name, trace, kind)
    with pytest.raises(TuneSentimentError) as refusal:
        READERS[name](folder / name)
    assert not trace.exists()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_planted_pickles_would_do_harm_if_run(tmp_path: Path, kind: str) -> None:
    plant(tmp_path / "file", tmp_path / "trace", kind)
    if kind.startswith("torch"):
        torch.load(tmp_path / "file", weights_only=False)
    else:
        pickle.loads((tmp_path / "file").read_bytes())
    assert (tmp_path / "trace").exists()


def test_a_pickle_inside_an_archive_or_gzip_is_not_run(tmp_path: Path) -> None:
    poison = pickle.dumps(Planted(tmp_path / "trace"))
    pack(tmp_path / "a.tar.gz", {"train/pos/0_7.txt": poison, "train/neg/0_1.txt": poison})
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(poison))
    for name in ("a.tar.gz", "b.tar.gz"):
        with pytest.raises(TuneSentimentError):
            load(tmp_path / name)
    assert not (tmp_path / "trace").exists()


def test_a_pickled_type_in_the_schema_of_a_parquet_file_is_not_run(tmp_path: Path) -> None:
    """Arrow once unpickled the types that Python had defined."""
    poison = pickle.dumps(Planted(tmp_path / "trace"))
    names = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": poison}
    schema = pa.schema([pa.field("text", pa.string(), metadata=names), pa.field("label", pa.int64())])
    columns = [pa.array([f"word{number}" for number in range(40)]), pa.array([0, 1] * 20)]
    pandas = {b"pandas": base64.b64encode(poison)}
    table = pa.Table.from_arrays(columns, schema=schema.with_metadata(pandas))
    pq.write_table(table, tmp_path / "a.parquet")
    load(tmp_path / "a.parquet")
    assert not (tmp_path / "trace").exists()


def test_a_yaml_tag_that_calls_python_is_not_run(tmp_path: Path) -> None:
    for tag in ("!!python/object/apply:builtins.open", "!!python/object/new:builtins.open", "!!python/name:os.system"):
        (tmp_path / "space.yaml").write_text(f"search: {tag} [{tmp_path / 'trace'}, w]\n")
        with pytest.raises(TuneSentimentError, match="must be plain YAML"):
            load_space(str(tmp_path / "space.yaml"))
    assert not (tmp_path / "trace").exists()
