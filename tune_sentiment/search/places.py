"""Find, make and hold the folder of a search, be it on a disk or in an object store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tune_sentiment.errors import StudyError
from tune_sentiment.search.folder import (
    REQUEST_FILE,
    STUDY_FILE,
    SearchFolder,
    check_name,
    find_folder,
    free_folder,
    locked,
    make_folder,
    name_is_taken,
)
from tune_sentiment.search.lease import Lease, leased
from tune_sentiment.search.remote import is_remote, not_answering, open_remote
from tune_sentiment.search.working_copy import fetch, fetch_unless_running, make_working_copy, working_copy


def new_place(storage: str, name: str) -> SearchFolder:
    """Return the folder that a new search will have; it is not made yet.

    Raises:
        StudyError: if the name is taken, is no plain name, or `storage` is not there or cannot be written to.
        SettingsError: if `storage` is no path and no URI of a store.
    """
    if not is_remote(storage):
        return free_folder(Path(storage), name)
    check_name(name)
    folder = working_copy(open_remote(storage) / name)
    if _is_there(folder):
        raise name_is_taken(folder)
    return folder


def existing_place(experiment: str, storage: str) -> SearchFolder:
    """Return the folder of a search, given its path, its URI or its name under `storage`; a working copy is fetched.

    Raises:
        StudyError: if there is none.
    """
    if is_remote(experiment):
        remote = open_remote(experiment)
    elif is_remote(storage) and not (Path(experiment) / REQUEST_FILE).is_file():
        check_name(experiment)
        remote = open_remote(storage) / experiment
    else:
        return find_folder(experiment, Path(storage))
    folder = working_copy(remote)
    if not _is_there(folder):
        raise StudyError(
            f"a search is named by its folder or its name: no {REQUEST_FILE} in {remote.uri}: see `list`, or give "
            "`--storage`."
        )
    fetch_unless_running(folder)
    return folder


def places(storage: str) -> list[SearchFolder]:
    """Return the folders of all searches under `storage`, the one last written to first; of a store, what a list needs.

    Raises:
        StudyError: if a store does not answer.
    """
    if is_remote(storage):
        remote = open_remote(storage)
        try:
            names = [name for name, info in remote.objects() if not info.is_file and not name.startswith(".")]
        except OSError as problem:
            raise not_answering(storage, problem) from None
        found = [working_copy(remote / name) for name in names]
        for folder in found:
            fetch_unless_running(folder, only=(REQUEST_FILE, STUDY_FILE))
        found = [folder for folder in found if folder.request_file.exists()]
    else:
        found = [SearchFolder(file.parent.absolute()) for file in Path(storage).glob(f"*/{REQUEST_FILE}")]
    return sorted(found, key=lambda folder: (-folder.modified, folder.name))


@contextmanager
def held(folder: SearchFolder, *, new: bool) -> Iterator[Lease | None]:
    """Hold the search for this process inside the block, its folder made; of one in an object store, yield the lease.

    new: whether the search is to begin now.

    Raises:
        StudyError: if another process holds it, or it cannot be written to, or is there although it is new.
    """
    if folder.remote is None:
        make_folder(folder)
        with locked(folder):
            if new and folder.request_file.exists():
                raise name_is_taken(folder)
            yield None
        return
    make_working_copy(folder)
    with locked(folder), leased(folder.remote) as lease:
        fetch(folder)
        if new and folder.request_file.exists():
            raise name_is_taken(folder)
        yield lease


def keep(folder: SearchFolder, *files: Path) -> None:
    """Send `files` that were written into a working copy to the store; those of a search on a disk are there.

    Raises:
        StudyError: if the store does not take them.
    """
    if folder.remote is None:
        return
    try:
        for file in files:
            (folder.remote / file.relative_to(folder.path).as_posix()).write(file.read_bytes())
    except OSError as problem:
        raise not_answering(folder.remote.uri, problem) from None


def _is_there(folder: SearchFolder) -> bool:
    assert folder.remote is not None
    try:
        return (folder.remote / REQUEST_FILE).exists()
    except OSError as problem:
        raise not_answering(folder.remote.uri, problem) from None
