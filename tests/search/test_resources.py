"""The plan: slots from real CPUs, GPUs and memory, and one clear line for what cannot be."""

import pytest

from tune_sentiment.config import TrainSettings
from tune_sentiment.errors import ResourceError
from tune_sentiment.search.records import Plan
from tune_sentiment.search.resources import Machine, cluster_machine, plan_search, this_machine, trial_bytes

GIB = 2**30
LARGEST = TrainSettings(embedding_dim=500, hidden_dim=512, n_layers=3)


def plan(machine: Machine, **changes: object) -> Plan:
    asked = {"largest": LARGEST, "vocab_size": 20_000, "trials": 10, "max_steps": 600, "confirm_runs": 0, **changes}
    return plan_search(machine, **asked)


def test_without_a_gpu_each_trial_has_one_cpu() -> None:
    made = plan(Machine(cpus=8, gpus=0, memory_bytes=64 * GIB))
    assert (made.device, made.slots, made.cpus_per_trial, made.gpus_per_trial) == ("cpu", 8, 1.0, 0.0)


@pytest.mark.parametrize(("cpus_per_trial", "slots"), [(2, 4), (3, 2), (0.5, 16)])
def test_cpus_per_trial_set_the_slots(cpus_per_trial: float, slots: int) -> None:
    assert plan(Machine(8, 0, 256 * GIB), cpus_per_trial=cpus_per_trial).slots == slots


def test_max_concurrent_lowers_the_slots() -> None:
    assert plan(Machine(8, 0, 64 * GIB), max_concurrent=3).slots == 3


def test_memory_lowers_the_slots_and_the_plan_says_so() -> None:
    made = plan(Machine(8, 0, 3 * GIB))
    assert 1 <= made.slots < 8
    assert "Memory, not CPUs" in made.notes[-1]


def test_gpus_are_packed_by_memory_but_never_past_what_the_cpus_feed() -> None:
    by_memory = plan(Machine(64, 2, 512 * GIB), gpu_bytes_per_trial=10 * GIB, gpu_memory_bytes=80 * GIB)
    assert by_memory.slots == 12 and by_memory.gpus_per_trial == pytest.approx(1 / 6, abs=1e-3)
    by_cpus = plan(Machine(8, 2, 512 * GIB), gpu_bytes_per_trial=1 * GIB, gpu_memory_bytes=80 * GIB)
    assert by_cpus.slots == 8 and by_cpus.gpus_per_trial == 0.25


def test_a_gpu_that_was_not_probed_is_not_shared() -> None:
    made = plan(Machine(16, 4, 512 * GIB))
    assert (made.slots, made.gpus_per_trial, made.device) == (4, 1.0, "cuda")


def test_a_trial_never_spans_the_rests_of_two_gpus() -> None:
    assert plan(Machine(64, 4, 512 * GIB), gpus_per_trial=0.4).slots == 8
    assert plan(Machine(64, 5, 512 * GIB), gpus_per_trial=2.0).slots == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cpus_per_trial": 9.0}, r"--cpus-per-trial 9 of 8: give more than 0 and at most 8"),
        ({"cpus_per_trial": 0.0}, r"--cpus-per-trial 0 of 8"),
        ({"gpus_per_trial": 1.0}, r"--gpus-per-trial 1 of 0: give 0 or auto"),
        ({"gpus_per_trial": -1.0}, r"--gpus-per-trial -1"),
    ],
)
def test_resources_that_are_not_there_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ResourceError, match=message):
        plan(Machine(8, 0, 64 * GIB), **changes)


def test_a_fraction_of_several_gpus_is_refused() -> None:
    with pytest.raises(ResourceError, match="give a whole number or at most 1"):
        plan(Machine(8, 4, 64 * GIB), gpus_per_trial=1.5)


def test_a_space_whose_largest_model_cannot_fit_is_refused_with_its_size() -> None:
    with pytest.raises(ResourceError, match=r"it needs about \d+\.\d GiB of 4\.0 GiB .*embedding_dim=8192"):
        plan(Machine(8, 0, 4 * GIB), largest=TrainSettings(embedding_dim=8192), vocab_size=1_000_000)


def test_a_trials_memory_counts_word_vectors_three_times() -> None:
    small, large = trial_bytes(LARGEST, 10_000), trial_bytes(LARGEST, 110_000)
    assert large - small == 100_000 * 500 * 3 * 4


def test_this_machine_has_what_the_system_says() -> None:
    machine = this_machine()
    assert machine.cpus >= 1 and machine.memory_bytes > 100 * 2**20


def test_a_clusters_resources_are_read_from_ray() -> None:
    assert cluster_machine({"CPU": 12.0, "GPU": 3.0, "memory": 1e9}) == Machine(12.0, 3.0, 1_000_000_000)
