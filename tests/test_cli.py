"""The command line: what is on stdout, what on stderr, and the exit code.

Each command runs here at least once as users run it, in a process of its own; the rest of what they say is heard in
the process of the tests, which has loaded torch already.
"""

import csv
import json
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import Done, answer, refusal, run, run_apart
from tests.conftest import BAD, GOOD

pytestmark = pytest.mark.timeout(240)

OF_THE_DESIGN = {
    "search": "--data --space --trials --time-budget --name --storage --epochs --seed --cpus-per-trial "
    "--gpus-per-trial --max-concurrent --address --confirm-top --confirm-seeds --resume --dry-run --json "
    "--dashboard --no-dashboard --mlflow",
    "train": "--data --seed --out --embedding-dim --hidden-dim --n-layers --lr --clip --epochs --pooling",
    "report": "--open --storage --json --top --png",
    "dashboard": "--open --storage --port",
    "export": "--out --trial --onnx --storage",
    "evaluate": "--data --split --json",
    "compare": "--data --split --json",
    "predict": "--file --explain --json",
    "serve": "--port --host --replicas",
    "list": "--storage --json",
    "data": "--text-column --label-column --json",
}
COMMANDS = tuple(OF_THE_DESIGN)
SMALLEST = ["--embedding-dim", "4", "--hidden-dim", "4", "--n-layers", "1", "--report-every", "5"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("with a space")


@pytest.fixture(scope="module")
def bundle(folder: Path, corpus: Path) -> Path:
    """A bundle, made by `train`."""
    small = "--embedding-dim=8 --hidden-dim=8 --n-layers=1 --lr=0.05 --epochs=6 --seq-length=8 --report-every=10"
    answer("train", "--data", corpus, *small.split(), "--pooling", "mean", "--out", "alone", cwd=folder, by=run_apart)
    return folder / "alone"


@pytest.fixture(scope="module")
def searched(folder: Path, corpus: Path, space: str) -> Done:
    asked = f"--space {space} --trials 3 --confirm-top 1 --confirm-seeds 1 --name first --no-dashboard --json"
    return run_apart("search", "--data", corpus, *asked.split(), cwd=folder)


def processor_seconds(*words: str | Path, cwd: Path) -> float:
    """Run a command apart, and return its processor time: the clock also counts what else this machine does."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer(*words, cwd=cwd, by=run_apart)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_and_version_answer_at_once(tmp_path: Path) -> None:
    for words in (("--help",), ("search", "--help"), ("--version",)):
        taken = [processor_seconds(*words, cwd=tmp_path) for _ in range(2)]
        assert min(taken) < 0.75, words


def test_help_imports_neither_torch_nor_ray_nor_optuna_nor_pandas(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom tune_sentiment.cli import app\nsys.argv[1:] = ['search', '--help']\n"
        "app(standalone_mode=False)\n"
        "print(sorted({'torch', 'ray', 'optuna', 'pandas', 'numpy', 'plotly'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_every_option_has_help(tmp_path: Path, command: str) -> None:
    assert re.search(rf"^  {command} +\w", answer("--help", cwd=tmp_path), re.MULTILINE)
    page = answer(command, "--help", cwd=tmp_path)
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    assert set(OF_THE_DESIGN[command].split()) <= options
    for entry in page.partition("Options:\n")[2].split("\n  -"):
        assert re.search(r"(  +|\n +)\w.*\w", entry), f"no help: {entry}"


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    import tune_sentiment

    assert answer("--version", cwd=tmp_path) == f"tune_sentiment {tune_sentiment.__version__}\n"


def test_no_command_shows_the_help_and_is_refused(tmp_path: Path) -> None:
    done = run_apart(cwd=tmp_path)
    assert done.returncode == 2
    assert "Commands:" in done.stdout
    assert done.stderr == "error: a command is needed: got none: start with `search`.\n"


def test_a_fault_of_ours_is_a_traceback(tmp_path: Path) -> None:
    program = (
        "from tune_sentiment import api, cli\n"
        "def broken(storage):\n    raise ZeroDivisionError('ours')\n"
        "api.list_searches = broken\nimport sys\nsys.argv[1:] = ['list']\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "ZeroDivisionError: ours" in done.stderr


def test_train_prints_the_courses_lines(tmp_path: Path, corpus: Path) -> None:
    small = [*SMALLEST, "--epochs", "2"]
    lines = answer("train", "--data", corpus, *small, cwd=tmp_path).splitlines()
    pattern = r"Epoch: [12]/2\.\.\. Step: \d+\.\.\. Loss: \d\.\d{6}\.\.\. Val Loss: (\d\.\d{6})"
    losses = [float(found[1]) for line in lines[:-1] if (found := re.fullmatch(pattern, line))]
    assert len(losses) == len(lines) - 1 >= 4
    best = re.fullmatch(r"Best: Val Loss: (\d\.\d{6}) at Step: \d+", lines[-1])
    assert best and float(best[1]) == min(losses)


def test_train_as_json_is_one_object_on_stdout_and_the_lines_on_stderr(tmp_path: Path, corpus: Path) -> None:
    done = run_apart("train", "--data", corpus, *SMALLEST, "--epochs", "1", "--json", cwd=tmp_path)
    reports = json.loads(done.stdout)["reports"]
    assert [report["step"] for report in reports] == [5, 10]
    assert done.stderr.count("Val Loss") == len(reports) + 1


def test_predict_answers_within_two_seconds_and_without_ray(folder: Path, bundle: Path) -> None:
    taken = [processor_seconds("predict", bundle, GOOD, cwd=folder) for _ in range(3)]
    assert min(taken) < 2
    program = (
        "import sys\nfrom tune_sentiment.cli import app\n"
        "app(sys.argv[1:], standalone_mode=False)\n"
        "print(sorted({'ray', 'optuna', 'pandas', 'plotly', 'sklearn', 'onnx', 'fastapi'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, "predict", str(bundle), GOOD]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_predict_answers_arguments_in_order(folder: Path, bundle: Path) -> None:
    lines = answer("predict", bundle, GOOD, BAD, "", cwd=folder).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["positive", "negative"]
    assert GOOD in lines[0] and "no words" in lines[2]


def test_predict_reads_a_file_and_stdin_alike(folder: Path, bundle: Path) -> None:
    texts = f"\ufeff{GOOD}\r\n\n{BAD}".encode()
    (folder / "texts.txt").write_bytes(texts)
    from_file = answer("predict", bundle, "--file", "texts.txt", "--json", cwd=folder)
    from_stdin = answer("predict", bundle, "--file", "-", "--json", cwd=folder, given=texts, by=run_apart)
    assert from_file == from_stdin
    answers = [json.loads(line) for line in from_file.splitlines()]
    assert [one["text"] for one in answers] == [GOOD, "", BAD]
    assert [one["label"] for one in answers][::2] == ["positive", "negative"]
    assert all(0 <= one["probability"] <= 1 for one in answers)


def test_predict_bears_bytes_that_are_no_text_and_control_characters(folder: Path, bundle: Path) -> None:
    out = answer("predict", bundle, "--file", "-", cwd=folder, given=b"great \xff\xfe\n\x1b[31mred\n", by=run_apart)
    assert len(out.splitlines()) == 2 and "\x1b" not in out
    assert "two lines" in answer("predict", bundle, "two\nlines", cwd=folder)
    answer("predict", bundle, b"great \xff", "--json", cwd=folder, by=run_apart)


def test_predict_explains_each_word(folder: Path, bundle: Path) -> None:
    effects = json.loads(answer("predict", bundle, "a wonderful film", "--explain", "--json", cwd=folder))["effects"]
    assert [effect["word"] for effect in effects] == ["a", "wonderful", "film"]
    lines = answer("predict", bundle, "a wonderful film", "--explain", cwd=folder).splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["a", "wonderful", "film"]
    assert float(lines[2].split()[0]) == pytest.approx(-effects[1]["change"], abs=1e-4)


def test_a_reader_that_goes_away_is_no_failure(folder: Path, bundle: Path) -> None:
    for words in (["predict", bundle, GOOD, BAD], ["data", "demo", "--json"], ["--help"]):
        command = [sys.executable, "-m", "tune_sentiment", *words]
        with subprocess.Popen(command, cwd=folder, stdout=-1, stderr=-1) as process:
            assert process.stdout and process.stderr
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0


def test_predict_of_a_missing_file_is_refused(folder: Path, bundle: Path) -> None:
    assert "--file must be readable: nowhere.txt" in refusal("predict", bundle, "--file", "nowhere.txt", cwd=folder)


def test_evaluate_scores_a_source(folder: Path, bundle: Path, corpus: Path) -> None:
    scored = json.loads(answer("evaluate", bundle, "--data", corpus, "--split", "all", "--json", cwd=folder))
    assert (scored["split"], scored["reviews"], scored["accuracy"]) == ("all", 600, 1.0)
    page = answer("evaluate", bundle, "--data", corpus, "--split", "all", cwd=folder, by=run_apart)
    assert "100.00 %" in page and "600 (all)" in page
    assert "'half'" in refusal("evaluate", bundle, "--data", corpus, "--split", "half", cwd=folder)


def test_compare_says_whether_a_difference_is_more_than_luck(folder: Path, bundle: Path, corpus: Path) -> None:
    answer("train", "--data", corpus, *SMALLEST, "--epochs", "1", "--out", "[worse]", cwd=folder)
    asked = ("compare", bundle, "[worse]", "--data", corpus)
    found = json.loads(answer(*asked, "--json", cwd=folder))
    assert found["split"] == "test" and list(found["scores"]) == [str(bundle), "[worse]"]
    assert found["pairs"][0]["first"] == str(bundle) and found["pairs"][0]["more_than_luck"]
    page = answer(*asked, cwd=folder, by=run_apart)
    assert "[worse]" in page and "more than luck" in page and "McNemar, exact" in page
    assert "different bundles" in refusal("compare", bundle, bundle, "--data", corpus, cwd=folder)


def test_data_describes_a_source(folder: Path, corpus: Path) -> None:
    described = json.loads(answer("data", corpus, "--json", cwd=folder))
    assert sum(split["positive"] + split["negative"] for split in described["splits"].values()) == 600
    page = answer("data", corpus, cwd=folder, by=run_apart)
    for word in ("train", "validation", "test", "vocabulary size", "fingerprint", "length percentiles"):
        assert word in page


def test_a_dry_run_prints_the_plan_and_leaves_nothing(tmp_path: Path, corpus: Path, space: str) -> None:
    asked = ("search", "--data", corpus, "--space", space, "--trials", "5", "--confirm-top", "1", "--dry-run")
    plan = json.loads(answer(*asked, "--json", cwd=tmp_path, by=run_apart))
    assert plan["trials"] == 5 and plan["slots"] >= 1 and plan["estimated_seconds"] > 0
    assert "5 trials" in answer(*asked, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_search_ends_with_one_json_object_and_its_files(folder: Path, searched: Done) -> None:
    assert searched.returncode == 0, searched.stderr
    found = json.loads(searched.stdout)
    assert found["name"] == "first" and found["phase"] == "done" and len(found["trials"]) == 3
    assert found["winner"]["val_losses"]
    assert Path(found["folder"]) == folder / "experiments" / "first"
    assert Path(found["report"]).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    with Path(found["leaderboard"]).open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 3
    assert answer("predict", found["bundle"], GOOD, cwd=folder).startswith("positive")
    assert "slots" in searched.stderr, "the plan and the progress are on stderr"


@pytest.mark.usefixtures("searched")
def test_report_prints_the_leaderboard_of_a_search_by_name_and_by_folder(folder: Path) -> None:
    page = answer("report", "first", "--top", "1", cwd=folder)
    assert "the course's setting" in page and "test accuracy" in page
    by_folder = json.loads(answer("report", "experiments/first", "--json", cwd=folder, by=run_apart))
    assert by_folder["name"] == "first" and len(by_folder["trials"]) == 3


@pytest.mark.usefixtures("searched")
def test_report_writes_pictures(folder: Path) -> None:
    answer("report", "first", "--png", "pictures", cwd=folder)
    pictures = list((folder / "pictures").glob("*.png"))
    assert pictures and all(one.read_bytes().startswith(b"\x89PNG") for one in pictures)


@pytest.mark.usefixtures("searched")
def test_export_writes_any_trial_as_a_bundle(folder: Path) -> None:
    out = answer("export", "first", "--trial", "0", "--out", "exported", cwd=folder).strip()
    assert answer("predict", out, BAD, cwd=folder).startswith(("negative", "positive"))
    assert not (folder / out / "model.onnx").exists()
    out = answer("export", "first", "--out", "exported", "--onnx", cwd=folder, by=run_apart).strip()
    assert (folder / out / "model.onnx").stat().st_size > 1000
    assert "17" in refusal("export", "first", "--trial", "17", "--out", "other", cwd=folder)


@pytest.mark.usefixtures("searched")
def test_list_shows_the_searches(folder: Path) -> None:
    assert re.search(r"^first +done +3/3", answer("list", cwd=folder), re.MULTILINE)
    found = json.loads(answer("list", "--json", cwd=folder, by=run_apart))["searches"]
    assert [(one["name"], one["state"]) for one in found] == [("first", "done")]


@pytest.mark.usefixtures("searched")
def test_a_name_that_exists_is_refused(folder: Path, corpus: Path) -> None:
    assert "first" in refusal("search", "--data", corpus, "--name", "first", cwd=folder)


def test_a_storage_without_searches_says_how_to_start_one(tmp_path: Path) -> None:
    done = run("list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "no searches under experiments" in done.stderr


def test_ctrl_c_ends_a_training_with_130(tmp_path: Path, corpus: Path) -> None:
    asked = ["train", "--data", str(corpus), *SMALLEST, "--epochs", "9999"]
    command = [sys.executable, "-m", "tune_sentiment", *asked]
    with subprocess.Popen(command, cwd=tmp_path, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout and process.stdout.readline().startswith("Epoch: 1/9999")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "interrupted\n"
