"""A source, and loading it with a cache."""

from pathlib import Path

import pytest

from tune_sentiment.data import cache, dataset
from tune_sentiment.data.dataset import Dataset, load_dataset


class Reader:
    """Loads a source with a cache, and tells whether it was read for that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self._times_read = 0
        monkeypatch.delenv(cache.SWITCH)
        # The tests' sources were written just now. (Time alone cannot be set back: that is what the cache relies on.)
        monkeypatch.setattr(cache, "_SETTLED_NS", 0)
        monkeypatch.setattr(dataset, "encode", self._encode)

    def _encode(self, *arguments: object) -> object:
        from tune_sentiment.data.encoding import encode

        self._times_read += 1
        return encode(*arguments)  # type: ignore[arg-type]

    def __call__(self, source: str | Path, **options: object) -> tuple[bool, Dataset]:
        before = self._times_read
        loaded = load_dataset(str(source), cache_folder=self.folder, **options)  # type: ignore[arg-type]
        return self._times_read > before, loaded

    @property
    def entries(self) -> list[Path]:
        return sorted((self.folder / "encoded").glob(f"*{cache.SUFFIX}"))


def csv(folder: Path, word: str = "good") -> Path:
    rows = [f"{word} word{number},{number % 2}" for number in range(60)]
    (folder / "a.csv").write_text("\n".join(["text,label", *rows, "...,1", "naïve film,1", "the word1,1"]))
    return folder / "a.csv"
