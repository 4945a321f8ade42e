"""The processor's settings: denormal numbers are zero inside training and nowhere else."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.training.conftest import VOCAB_SIZE
from tune_sentiment.config import TrainSettings
from tune_sentiment.training import loop
from tune_sentiment.training.loop import TrainingData, start, train
from tune_sentiment.training.processor import denormals_flushed, trim_heap

SETTINGS = TrainSettings(embedding_dim=8, hidden_dim=8, n_layers=1, epochs=1, batch_size=10, report_every=10)
SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def halved(tiny: float) -> float:
    return float(torch.tensor([tiny]) * 0.5)


def test_denormals_are_zero_inside_and_numbers_again_outside() -> None:
    assert halved(2e-40) > 0
    with denormals_flushed():
        assert halved(2e-40) == 0
        with denormals_flushed():
            pass
        assert halved(2e-40) == 0
    assert halved(2e-40) > 0


def test_training_flushes_denormals_and_leaves_the_callers_arithmetic_alone_between_reports(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = []
    measure = loop._measure

    def spied(*arguments: object) -> object:
        inside.append(halved(2e-40))
        return measure(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_measure", spied)
    reports: Iterator[object] = train(start(SETTINGS, VOCAB_SIZE, seed=0), data)
    for _ in reports:
        assert halved(2e-40) > 0
    assert inside == [0.0, 0.0, 0.0]


def test_all_of_torchs_threads_flush_denormals_in_a_process_that_trains() -> None:
    program = """
import torch
from tests.training.conftest import make_split
from tune_sentiment.config import TrainSettings
from tune_sentiment.training.loop import TrainingData, start, train
from tune_sentiment.training.processor import denormals_flushed

torch.set_num_threads(2)
settings = TrainSettings(embedding_dim=200, hidden_dim=64, n_layers=1, epochs=1, batch_size=10, report_every=2)
data = TrainingData(make_split(20, seed=1), make_split(10, seed=2), 5000)
list(train(start(settings, 5000, seed=0), data))
tiny = torch.full((1_000_000,), 71362, dtype=torch.int32).view(torch.float32)
with denormals_flushed():
    print(int(torch.count_nonzero((tiny * 1.0).view(torch.int32))))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


@pytest.mark.skipif(
    not SWITCH.exists() or "[madvise]" not in SWITCH.read_text(encoding="ascii"),
    reason="this system does not leave it to its programs who gets huge pages",
)
def test_a_large_tensor_takes_few_page_faults_with_huge_pages() -> None:
    program = """
import resource, sys
import torch
from tune_sentiment.training.processor import use_huge_pages
if sys.argv[1] == "huge":
    use_huge_pages()
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults(); torch.ones(2**24); print(faults() - before)
"""
    # Without what a test before this one may have set in this process.
    clean = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    counts = {
        way: int(
            subprocess.run([sys.executable, "-c", program, way], capture_output=True, check=True, env=clean).stdout
        )
        for way in ("huge", "small")
    }
    assert counts["huge"] < counts["small"] / 4


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc, and glibc keeps what was freed")
def test_a_large_array_goes_back_to_the_system_as_soon_as_it_is_freed() -> None:
    program = """
import sys
import torch
from tune_sentiment.training.processor import give_back_large_arrays
if sys.argv[1] == "back":
    give_back_large_arrays()
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) / 1024
torch.ones(7 * 2**20)  # 28 MiB: from now on glibc itself keeps what is smaller
before = resident()
arrays = [torch.ones(5 * 2**20) for _ in range(8)]  # 20 MiB each
above = torch.ones(2**18)  # 1 MiB, in the heap above them
del arrays
print(resident() - before)
"""
    kept = {
        way: float(subprocess.run([sys.executable, "-c", program, way], capture_output=True, check=True).stdout)
        for way in ("back", "kept")
    }
    assert kept["back"] < 20 and kept["kept"] > 100


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc, and glibc keeps what was freed")
def test_what_was_freed_goes_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    pieces = [torch.ones(20_000) for _ in range(2_000)]  # 160 MB, too small each for a place of its own
    del pieces[:-1]  # the last one keeps the end of the heap in use
    before = resident()
    trim_heap()
    assert before - resident() > 100e6
