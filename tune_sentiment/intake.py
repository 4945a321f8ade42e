"""Take in a request for a search, new or resumed: all that can be wrong with it is found before anything runs."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tune_sentiment.config import bytes_of, seconds_of
from tune_sentiment.data.dataset import Dataset
from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.masking import masked
from tune_sentiment.preparation import Preparation, command_of, completed, load
from tune_sentiment.search.database import check_study_url
from tune_sentiment.search.places import existing_place, new_place
from tune_sentiment.search.request import SearchRequest, read_request, validated_request
from tune_sentiment.search.space import Space, load_space, space_from_dict, widened
from tune_sentiment.search.study import Studies, environment, now, open_storage

DEFAULT_STORAGE = "experiments"


class Effort(NamedTuple):
    """How much a search does where the user does not say."""

    trials: int
    confirm_top: int
    confirm_seeds: int


EFFORT = {"demo": Effort(trials=16, confirm_top=2, confirm_seeds=2)}
"""By the name of the space: the demo is to end within a minute or so."""
USUAL_EFFORT = Effort(trials=50, confirm_top=3, confirm_seeds=3)
EFFORT_NAMES = Effort._fields
NEW_SEED = 0


def prepare(
    data: str | None = None,
    *,
    space: str | None = None,
    trials: int | None = None,
    time_budget: str | float | None = None,
    trial_timeout: str | float | None = None,
    max_disk: str | int | None = None,
    name: str | None = None,
    storage: str = DEFAULT_STORAGE,
    study: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    cpus_per_trial: float | None = None,
    gpus_per_trial: float | Literal["auto"] = "auto",
    max_concurrent: int | None = None,
    address: str | None = None,
    confirm_top: int | None = None,
    confirm_seeds: int | None = None,
    allow_repeats: bool = False,
    resume: bool = False,
    change_space: bool = False,
    text_column: str | None = None,
    label_column: str | None = None,
    data_url: str | None = None,
    mlflow: str | None = None,
    started: float | None = None,
    before_reading: Callable[[SearchRequest], None] = lambda request: None,
) -> Preparation:
    """Check a request for a search, read its data, and return what is needed to run it; nothing is written.

    `started` is the `time.monotonic()` from which the time budget counts, by default now. `before_reading` is called
    when all but the data has been checked.
    With `resume`, what the search `name` was asked for stands; what is given all the same must agree with it, or be
    what may change: the trials and the time, the confirmation, the resources, and with `change_space` a wider space.

    Raises:
        SettingsError, DataError, StudyError: if the request cannot be met.
    """
    started = time.monotonic() if started is None else started
    if study is not None:
        check_study_url(study)
    given = {
        "data": data,
        "space": space,
        "trials": trials,
        "time_budget": time_budget,
        "epochs": epochs,
        "seed": seed,
        "confirm_top": confirm_top,
        "confirm_seeds": confirm_seeds,
        "allow_repeats": allow_repeats or None,
        "cpus_per_trial": cpus_per_trial,
        "trial_timeout": trial_timeout,
        "max_disk": max_disk,
        "study": study,
        "text_column": text_column,
        "label_column": label_column,
        "data_url": data_url,
        "mlflow": mlflow,
    }
    resources = {
        "cpus_per_trial": cpus_per_trial,
        "gpus_per_trial": gpus_per_trial,
        "max_concurrent": max_concurrent,
        "address": address,
        "trial_timeout": None if trial_timeout is None else seconds_of(trial_timeout),
        "max_disk": None if max_disk is None else bytes_of(max_disk),
    }
    given["time_budget"] = None if time_budget is None else seconds_of(time_budget)
    if resume:
        return _resumed(given, name, storage, resources, started, before_reading, change_space=change_space)
    return _new({**given, "data": data or "demo"}, name, storage, resources, started, before_reading)


def _new(
    given: dict[str, Any],
    name: str | None,
    storage: str,
    resources: Mapping[str, Any],
    started: float,
    before_reading: Callable[[SearchRequest], None],
) -> Preparation:
    chosen = given["space"] or ("demo" if given["data"] == "demo" else "course")
    effort = EFFORT.get(chosen, USUAL_EFFORT)
    seed = NEW_SEED if given["seed"] is None else given["seed"]
    request = validated_request(
        created=now(),
        command=command_of({**given, "space": chosen, "seed": seed}),
        data={key: given[key] for key in ("text_column", "label_column", "data_url")} | {"source": given["data"]},
        seed=seed,
        time_budget=given["time_budget"],
        allow_repeats=bool(given["allow_repeats"]),
        resources=resources,
        **{key: value if given[key] is None else given[key] for key, value in effort._asdict().items()},
    )
    space = load_space(chosen)
    if given["epochs"] is not None:
        space = space.override(epochs=given["epochs"])
    folder = new_place(storage, name or default_name(given["data"]))
    if given["study"] is not None:
        request = request.model_copy(update={"study": given["study"], "study_prefix": f"{folder.name}/"})
        check_free(open_storage(folder, request.study_place), given["study"])
    before_reading(request)
    dataset = load(request)
    filled = completed(request, dataset, space, environment())
    return Preparation(filled, folder, dataset, space, started, mlflow=given["mlflow"])


def _resumed(
    given: Mapping[str, Any],
    name: str | None,
    storage: str,
    resources: Mapping[str, Any],
    started: float,
    before_reading: Callable[[SearchRequest], None],
    *,
    change_space: bool,
) -> Preparation:
    if name is None:
        raise SettingsError("a search is resumed by its name: --resume without --name: see `list` for the names.")
    folder = existing_place(name, storage)
    before = read_request(folder)
    if given["seed"] not in (None, before.seed):
        raise StudyError(
            f"a search keeps its seed: {folder.name} has {before.seed}, got --seed {given['seed']}: leave it out."
        )
    changed = {key: given[key] for key in EFFORT_NAMES if given[key] is not None}
    if given["allow_repeats"]:
        changed["allow_repeats"] = True
    if given["study"] is not None:
        if before.study is None:
            raise StudyError(
                f"a search keeps its study: {folder.name} has it in {folder.study_file}, got --study: leave it out."
            )
        changed["study"] = given["study"]  # the same database may have moved
    resources = {key: value for key, value in resources.items() if value not in (None, "auto")}
    space = space_from_dict(before.space, str(folder.request_file))
    new_space = _new_space(given, space, change_space=change_space)
    source = before.data.model_dump() | ({} if given["data"] is None else {"source": given["data"]})
    source |= {key: given[key] for key in ("text_column", "label_column", "data_url") if given[key] is not None}
    request = validated_request(
        **{
            **before.model_dump(),
            **changed,
            "data": source,
            "space": new_space.to_dict(),
            # A budget is for one session: the old one is spent.
            "time_budget": given["time_budget"],
            "resources": {**before.resources.model_dump(), "address": None, **resources},
        }
    )
    before_reading(request)
    dataset = load(request)
    check_same_data(request, dataset)
    return Preparation(request, folder, dataset, new_space, started, mlflow=given["mlflow"])


def _new_space(given: Mapping[str, Any], before: Space, *, change_space: bool) -> Space:
    """Return the space to go on with: the search's own, or the one that is given if it may stand in for it."""
    if given["space"] is None and given["epochs"] is None:
        return before
    space = before if given["space"] is None else load_space(given["space"])
    if given["epochs"] is not None:
        space = space.override(epochs=given["epochs"])
    return widened(before, space, allowed=change_space)


def check_free(studies: Studies, url: str) -> None:
    """Refuse the name of a search whose studies are already in a shared database.

    Raises:
        StudyError: if one of them is.
    """
    for name in studies.storage.get_all_studies():
        if name.study_name.startswith(studies.prefix):
            raise StudyError(
                f"a new search needs a name of its own: {masked(url)} holds {name.study_name!r} already: "
                "give another --name, or resume that search from its own folder."
            )


def check_same_data(request: SearchRequest, dataset: Dataset) -> None:
    """Refuse to continue a search on other data.

    Raises:
        StudyError: if the fingerprints differ.
    """
    before = request.dataset["fingerprint"]
    if dataset.fingerprint != before:
        raise StudyError(
            f"a search is continued on the data it began with: {request.data.source} now has fingerprint "
            f"{dataset.fingerprint[:12]}, not {before[:12]}: put the old data back, or start a new search."
        )


def default_name(source: str) -> str:
    """Return the name of a search that was given none: what it runs on, and the time."""
    stem = Path(source).name.split(".")[0] or "search"
    return f"{stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
