"""A search that is ready to run, and the plan of it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tune_sentiment.data.dataset import Dataset, load_dataset
from tune_sentiment.masking import masked
from tune_sentiment.search.checkpoints import check_room
from tune_sentiment.search.distinct import number_of_settings
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.records import Plan
from tune_sentiment.search.request import SearchRequest
from tune_sentiment.search.resources import Machine, plan_search
from tune_sentiment.search.space import Space

if TYPE_CHECKING:
    from tune_sentiment.training.loop import TrainingData

# torch is imported where it is needed: a request is checked, and Ray is on its way up, before that second is spent.


@dataclass(frozen=True)
class Preparation:
    """A search that is ready to run: all that can be wrong with the request has been checked."""

    request: SearchRequest
    folder: SearchFolder
    dataset: Dataset
    space: Space
    started: float
    """`time.monotonic()` at which the whole command began."""
    mlflow: str | None = None
    """Address of the MLflow server that this session is shown on."""

    @property
    def data(self) -> "TrainingData":
        """What trials may see."""
        from tune_sentiment.training.loop import TrainingData

        return TrainingData(self.dataset.train, self.dataset.validation, self.dataset.vocabulary.size)

    @property
    def trials(self) -> int:
        """Trials of the search: those asked for, or one per setting of a space that has fewer."""
        settings = number_of_settings(self.space.distributions)
        return self.request.trials if self.request.allow_repeats else int(min(self.request.trials, settings))

    @property
    def confirm_runs(self) -> int:
        """Runs of the confirmation: the best settings and the course's, once per seed."""
        top = min(self.request.confirm_top, self.trials)
        return (top + 1) * self.request.confirm_seeds if top else 0


def load(request: SearchRequest) -> Dataset:
    """Return the data that was asked for."""
    data = request.data
    return load_dataset(
        data.source, text_column=data.text_column, label_column=data.label_column, data_url=data.data_url
    )


def describe_dataset(dataset: Dataset) -> dict[str, object]:
    """Return what search.json keeps of the data."""
    return {
        "name": dataset.name,
        "generated": dataset.generated,
        "official_test": dataset.official_test,
        "fingerprint": dataset.fingerprint,
        "reviews": {"train": len(dataset.train), "validation": len(dataset.validation), "test": len(dataset.test)},
        "vocabulary": dataset.vocabulary.size,
    }


def completed(request: SearchRequest, dataset: Dataset, space: Space, versions: dict[str, str]) -> SearchRequest:
    """Return the request of a new search with all that follows from its data and its space filled in."""
    from tune_sentiment.training.loop import total_steps

    course, differences = space.course_point()
    near = f"Trial 0 is the course's setting, as near as this space comes: {', '.join(differences)}."
    return request.model_copy(
        update={
            "dataset": describe_dataset(dataset),
            "space": space.to_dict(),
            "max_steps": total_steps(space.settings(course), len(dataset.train)),
            "notes": (near,) if differences else (),
            "versions": versions,
        }
    )


def make_plan(
    preparation: Preparation, machine: Machine, *, gpu: tuple[int, int] | None = None, estimate: bool = False
) -> Plan:
    """Return the plan of the search on `machine`; `gpu` is what the probe measured there.

    Raises:
        ResourceError, SettingsError: if the machine or the limits of the request have no room for it.
    """
    request, space = preparation.request, preparation.space

    def plan(estimated_seconds: float) -> Plan:
        return plan_search(
            machine,
            largest=space.largest(),
            vocab_size=preparation.dataset.vocabulary.size,
            trials=preparation.trials,
            max_steps=request.max_steps,
            confirm_runs=preparation.confirm_runs,
            cpus_per_trial=request.resources.cpus_per_trial,
            gpus_per_trial=request.resources.gpus_per_trial,
            max_concurrent=request.resources.max_concurrent,
            gpu_bytes_per_trial=gpu[0] if gpu else None,
            gpu_memory_bytes=gpu[1] if gpu else None,
            estimated_seconds=estimated_seconds,
            notes=(*preparation.dataset.problems, *request.notes, *few_settings(preparation)),
        )

    planned = plan(0.0)
    words, states = preparation.dataset.vocabulary.size, preparation.folder.states_kept
    check_room(planned, space.largest(), words, request.resources.max_disk, states)
    if not estimate:
        return planned
    from tune_sentiment.search.probe import estimate_seconds

    runs = preparation.confirm_runs
    return plan(
        estimate_seconds(space, preparation.data, trials=preparation.trials, confirm_runs=runs, slots=planned.slots)
    )


def few_settings(preparation: Preparation) -> list[str]:
    """Return the sentence to say if the space has fewer settings than trials were asked for."""
    if preparation.trials == preparation.request.trials:
        return []
    return [
        f"The space has {preparation.trials:,} different settings, not {preparation.request.trials:,}: each is tried "
        "once; --allow-repeats tries them on more seeds."
    ]


def resume_command(preparation: Preparation) -> str:
    """Return the command that continues this search."""
    folder = preparation.folder
    words = ["python", "-m", "tune_sentiment", "search", "--resume", "--name", folder.name]
    words += ["--storage", folder.storage]
    return shlex.join([*words, *(["--mlflow", masked(preparation.mlflow)] if preparation.mlflow else [])])


def command_of(options: Mapping[str, Any]) -> str:
    """Return the command line that asks for a search with these options, those that are None left out."""
    words = ["python", "-m", "tune_sentiment", "search"]
    for name, value in options.items():
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
