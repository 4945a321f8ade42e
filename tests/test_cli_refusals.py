"""Wrong requests on the command line: one line each, exit code 2, nothing left behind."""

import re
from pathlib import Path

import pytest

from tests.command_line import refusal, run, run_apart


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("serch", "No such command 'serch'. Did you mean 'search', 'serve'?"),
        ("search --trails 3", "No such option: --trails (Possible options: --trials)"),
        ("search --trials many", "Invalid value for '--trials'"),
        ("search --trials", "Option '--trials' requires an argument"),
        ("search --space corse", "a search space must exist: 'corse': give a YAML file, or one of course, demo, wide"),
        ("search --gpus-per-trial some", "--gpus-per-trial must be auto or a number: 'some'"),
        ("search --time-budget soon", "soon"),
        ("search --trials 0", "trials"),
        ("search --epochs 0", "`epochs`: input should be greater than or equal to 1, got 0"),
        ("search --data nowhere.csv", "nowhere.csv"),
        ("search --resume", "--resume without --name"),
        ("search --resume --name nobody", "nobody"),
        ("search --address auto --no-token", "--no-token is for a private cluster: --address joins one"),
        ("train --data demo --lr -1", "`lr`: input should be greater than 0, got -1.0"),
        ("train --pooling sum", "`pooling`: input should be 'last', 'mean' or 'max', got 'sum'"),
        ("report nobody", "nobody"),
        ("export nobody --out there", "nobody"),
        ("export nobody", "Missing option '--out'"),
        ("evaluate nobody --data demo", "nobody"),
        ("predict nobody text", "nobody"),
        ("predict nobody", "got both or neither: give TEXT or --file F"),
        ("predict nobody text --file -", "got both or neither: give TEXT or --file F"),
        ("data nowhere", "nowhere"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(tmp_path: Path, words: str, said: str) -> None:
    assert said in refusal(*words.split(), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == [], "a wrong request leaves nothing behind"


@pytest.mark.parametrize("words", ["serch", "search --space corse", "evaluate nobody --data demo"])
def test_a_process_of_its_own_refuses_with_the_same_line(tmp_path: Path, words: str) -> None:
    """Whatever the libraries that it loads first have to say."""
    apart, here = (refusal(*words.split(), cwd=tmp_path, by=by) for by in (run_apart, run))
    assert apart.partition(": see `")[0] == here.partition(": see `")[0]  # after it the program's name, here pytest's


def test_all_problems_of_a_space_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("search:\n  lr: {type: float, low: 1e-4, high: 0.1}\nfixed: {epoch: 3}\n")
    error = refusal("search", "--space", "mine.yaml", "--dry-run", cwd=tmp_path)
    assert "write 1.0e-4" in error and "did you mean `epochs`?" in error


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_space_whose_largest_model_cannot_fit_is_refused_with_its_size_and_leaves_nothing(
    tmp_path: Path, words: list[str]
) -> None:
    ranges = "embedding_dim: {type: int, low: 50, high: 8192}, hidden_dim: {type: int, low: 50, high: 8192}"
    (tmp_path / "huge.yaml").write_text(f"search: {{{ranges}}}\nfixed: {{n_layers: 16, seq_length: 100000}}\n")
    error = refusal("search", "--space", "huge.yaml", *words, cwd=tmp_path)
    assert re.search(r"the largest setting of the space must fit in memory: it needs about [0-9.]+ GiB of", error)
    assert "(embedding_dim=8192, hidden_dim=8192, n_layers=16, 4,842 words)" in error
    assert [path.name for path in tmp_path.iterdir()] == ["huge.yaml"]
