"""What a search was asked to do: validated when asked, written to search.json, read again to resume or extend."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tune_sentiment.config import describe_problem
from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.masking import all_masked
from tune_sentiment.search.database import StudyPlace
from tune_sentiment.search.folder import SearchFolder, read_request_file, write_request_file


class Source(BaseModel):
    """Where the reviews come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    text_column: str | None = None
    label_column: str | None = None
    data_url: str | None = None
    """A mirror of the archive that `imdb` downloads."""


class Resources(BaseModel):
    """What a trial gets, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus_per_trial: Annotated[float, Field(gt=0)] | None = None
    """None: one."""
    gpus_per_trial: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    max_concurrent: Annotated[int, Field(ge=1)] | None = None
    trial_timeout: Annotated[float, Field(gt=0)] | None = None
    """Seconds that a trial may take in one session."""
    max_disk: Annotated[int, Field(gt=0)] | None = None
    """Bytes that the checkpoints of a phase may take."""
    address: str | None = None
    """Of a running Ray cluster; None starts a private one."""


class SearchRequest(BaseModel):
    """All that a search needs to be repeated, resumed or extended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    created: str
    """ISO 8601, UTC."""
    command: str
    """A command that does the same search."""
    data: Source
    dataset: dict[str, Any] = {}
    """Name, fingerprint and sizes of the data, once it was read."""
    space: dict[str, Any] = {}
    """The space in the form of its file plus `name`."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    study: str | None = None
    """URL of the database that the study is in; None: study.log."""
    study_prefix: str = ""
    """What stands before the names of this search's studies in that database."""
    trials: Annotated[int, Field(ge=1)]
    allow_repeats: bool = False
    """Whether a setting may be tried more than once, each time on another seed."""
    time_budget: Annotated[float, Field(gt=0)] | None = None
    """Seconds for everything, or None."""
    confirm_top: Annotated[int, Field(ge=0)]
    confirm_seeds: Annotated[int, Field(ge=0)]
    resources: Resources
    max_steps: int = 0
    """Steps of one full run of the course's setting in this space."""
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = {}

    @property
    def study_place(self) -> StudyPlace | None:
        """Where the study is, unless in study.log."""
        return None if self.study is None else StudyPlace(self.study, self.study_prefix)

    def for_readers(self) -> dict[str, Any]:
        """Return the request as JSON-ready values, as the report and the model card show it."""
        shown: dict[str, Any] = all_masked(self.model_dump(mode="json"))
        shown["data"] = {**shown["data"], **shown.pop("dataset")}
        shown["seeds"] = {"search": self.seed}
        return shown


def validated_request(**fields: Any) -> SearchRequest:
    """Return the request of these fields.

    Raises:
        SettingsError: naming every wrong field at once.
    """
    try:
        return SearchRequest(**fields)
    except ValidationError as problems:
        lines = [describe_problem(problem) for problem in problems.errors()]
        raise SettingsError(f"wrong options: {'; '.join(lines)}: correct them.") from None


def write_request(folder: SearchFolder, request: SearchRequest) -> None:
    """Write search.json, whole or not at all; passwords in URLs are masked, and have to be given again to resume."""
    # The database is needed to go on; its URL was refused if it had a password.
    write_request_file(folder, {**all_masked(request.model_dump(mode="json")), "study": request.study})


def read_request(folder: SearchFolder) -> SearchRequest:
    """Return what search.json holds.

    Raises:
        StudyError: if it is damaged or of a newer format.
    """
    try:
        return SearchRequest(**read_request_file(folder))
    except ValidationError as problems:
        lines = [describe_problem(problem) for problem in problems.errors()]
        raise StudyError(
            f"search.json must be whole: {folder.request_file} is not ({'; '.join(lines)}): put it back from a copy."
        ) from None
