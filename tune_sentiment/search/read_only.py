"""The studies of one search as a storage that shows them, and refuses every write."""

import contextlib
from collections.abc import Container
from typing import Any, NoReturn

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from tune_sentiment.errors import StudyError
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.request import read_request
from tune_sentiment.search.study import CONFIRMATION_STUDY, SEARCH_STUDY, Studies, open_storage


class ReadOnlyStudies(BaseStorage):
    """What others may be given of a search that runs: its two studies, none of others in the same database."""

    def __init__(self, studies: Studies) -> None:
        """Show `studies`."""
        self._storage = studies.storage
        self._names = {studies.name_of(SEARCH_STUDY), studies.name_of(CONFIRMATION_STUDY)}

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return the search and, once it has begun, its confirmation."""
        return [study for study in self._storage.get_all_studies() if study.study_name in self._names]

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the number of one of the two studies."""
        if study_name not in self._names:
            raise KeyError(study_name)
        return self._storage.get_study_id_from_name(study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        """Return the name of one of the two studies."""
        name = self._storage.get_study_name_from_id(study_id)
        if name not in self._names:
            raise KeyError(study_id)
        return name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return that it minimizes."""
        self.get_study_name_from_id(study_id)
        return self._storage.get_study_directions(study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return where the search stands."""
        self.get_study_name_from_id(study_id)
        return self._storage.get_study_user_attrs(study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return Optuna's own attributes of a study."""
        self.get_study_name_from_id(study_id)
        return self._storage.get_study_system_attrs(study_id)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial of the two studies."""
        for study in self.get_all_studies():
            for trial in self._storage.get_all_trials(study._study_id, deepcopy=False):
                if trial._trial_id == trial_id:
                    return trial
        raise KeyError(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Return the trials of one of the two studies."""
        self.get_study_name_from_id(study_id)
        return self._storage.get_all_trials(study_id, deepcopy=deepcopy, states=states)

    def _refuse(self, *arguments: Any, **named: Any) -> NoReturn:
        raise StudyError("this only shows a search: nothing was written: change it with `search --resume`.")

    create_new_study = delete_study = set_study_user_attr = set_study_system_attr = _refuse
    create_new_trial = set_trial_param = set_trial_state_values = set_trial_intermediate_value = _refuse
    set_trial_user_attr = set_trial_system_attr = _refuse


def shown_study(folder: SearchFolder) -> tuple[ReadOnlyStudies, int]:
    """Return the studies of the search in `folder`, to be read only, and the number of the search's own among them.

    Raises:
        StudyError: if there is no study yet, or it cannot be read.
    """
    place = read_request(folder).study_place
    if place is not None or folder.study_file.exists():  # opening a journal would make it
        studies = open_storage(folder, place)
        with contextlib.suppress(KeyError):
            return ReadOnlyStudies(studies), studies.storage.get_study_id_from_name(studies.name_of(SEARCH_STUDY))
    raise StudyError(
        f"what is shown is a study: {folder.name} has none yet: wait until its first trial has begun, or go on with "
        "`search --resume`."
    )
