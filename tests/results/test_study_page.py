"""The page of a study: only for who has its address, only to be read, only one search's."""

import json
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import optuna
import pytest

from tune_sentiment.results.study_page import COOKIE, guarded
from tune_sentiment.search.folder import SearchFolder
from tune_sentiment.search.read_only import ReadOnlyStudies
from tune_sentiment.search.study import CONFIRMATION_STUDY, SEARCH_STUDY, Studies, open_storage, open_study

optuna_dashboard = pytest.importorskip("optuna_dashboard")

TOKEN = "the-token"
Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    """A search with two trials that ended, one that runs, and a confirmation run."""
    folder = SearchFolder(tmp_path)
    studies = open_storage(folder)
    search = open_study(studies, SEARCH_STUDY)
    for loss in (0.5, 0.25, None):
        trial = search.ask({"lr": optuna.distributions.FloatDistribution(0.001, 0.1)})
        trial.report(0.75, step=100)
        if loss is not None:
            search.tell(trial, loss)
    confirmation = open_study(studies, CONFIRMATION_STUDY)
    confirmation.tell(confirmation.ask(), 0.3)
    return folder


def asked(
    application: Any, path: str, method: str = "GET", host: str = "127.0.0.1:8080", cookie: str = "", body: Any = None
) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of what a WSGI application answers."""
    path, _, query = path.partition("?")
    content = json.dumps(body).encode()
    environment: dict[str, Any] = {
        "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": method, "HTTP_HOST": host, "HTTP_COOKIE": cookie,
        "HTTP_ACCEPT_ENCODING": "gzip", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": BytesIO(content),
    }  # fmt: skip
    setup_testing_defaults(environment)
    said: list[Any] = []
    chunks = application(environment, lambda status, headers, info=None: said.extend((status, headers)))
    return int(said[0].split()[0]), dict(said[1]), b"".join(chunks)


@pytest.fixture
def ask(folder: SearchFolder) -> Ask:
    """Asks the guarded page as a browser would that has the cookie."""
    application = guarded(optuna_dashboard.wsgi(ReadOnlyStudies(open_storage(folder))), TOKEN, "/dashboard/studies/0")
    return partial(asked, application, cookie=f"{COOKIE}={TOKEN}")


def test_the_address_with_the_token_leads_to_the_study_and_leaves_a_cookie(ask: Ask) -> None:
    status, headers, _ = ask(f"/?token={TOKEN}", cookie="")
    assert (status, headers["Location"]) == (302, "/dashboard/studies/0")
    assert headers["Set-Cookie"].startswith(f"{COOKIE}={TOKEN};")
    assert "HttpOnly" in headers["Set-Cookie"] and "SameSite=Strict" in headers["Set-Cookie"]


@pytest.mark.parametrize("cookie", ["", f"{COOKIE}=wrong", "nonsense;;=", f"{COOKIE}=ünsinn"])
@pytest.mark.parametrize("path", ["/", "/dashboard/studies/0", "/api/studies/0", "/csv/0", "/?token=wrong", "/?token="])
def test_without_the_token_nothing_is_shown(ask: Ask, path: str, cookie: str) -> None:
    status, _, body = ask(path, cookie=cookie)
    assert status == HTTPStatus.UNAUTHORIZED and b"whole address" in body


@pytest.mark.parametrize("host", ["", "evil.example:8080", "127.0.0.1.evil.example", "[broken"])
def test_a_page_of_another_site_whose_name_leads_here_is_refused(ask: Ask, host: str) -> None:
    for path in (f"/?token={TOKEN}", "/api/studies/0"):
        status, _, body = ask(path, host=host)
        assert status == HTTPStatus.FORBIDDEN and b"127.0.0.1" in body


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost:8080", "[::1]:8080"])
def test_it_can_be_reached_through_a_tunnel(ask: Ask, host: str) -> None:
    assert ask("/api/studies/0", host=host)[0] == HTTPStatus.OK


def test_the_page_shows_the_trials(ask: Ask) -> None:
    listed = json.loads(ask("/api/studies")[2])["study_summaries"]
    assert [one["study_name"] for one in listed] == [SEARCH_STUDY, CONFIRMATION_STUDY]
    shown = json.loads(ask("/api/studies/0")[2])
    assert [trial["state"] for trial in shown["trials"]] == ["Complete", "Complete", "Running"]
    assert shown["best_trials"][0]["number"] == 1
    assert shown["trials"][2]["intermediate_values"] == [{"step": 100, "value": 0.75}]


READ = (
    "/", "/dashboard", "/api/meta", "/api/studies", "/api/studies/0", "/api/studies/0/param_importances",
    "/api/studies/0/plot/timeline", "/api/studies/0/plot/slice", "/csv/0", "/incompatible-rdb-schema",
)  # fmt: skip
WRITE = (
    ("POST", "/api/studies", {"study_name": "new", "directions": ["minimize"]}),
    ("POST", "/api/studies/0/rename", {"study_name": "other"}),
    ("DELETE", "/api/studies/0", {}),
    ("PUT", "/api/studies/0/note", {"version": 1, "body": "note"}),
    ("PUT", "/api/studies/0/0/note", {"version": 1, "body": "note"}),
    ("POST", "/api/trials/2/tell", {"state": "Fail"}),
    ("POST", "/api/trials/2/user-attrs", {"user_attrs": {"seed": 1}}),
    ("PUT", "/api/studies/0/preference_feedback_component", {"output_type": "note"}),
)


def test_whatever_is_asked_of_the_page_nothing_is_written(ask: Ask, folder: SearchFolder) -> None:
    before = folder.study_file.read_bytes()
    for path in READ:
        assert ask(path)[0] in (200, 302, 400), path
    for method, path, body in WRITE:
        status, _, answer = ask(path, method, body=body)
        assert status == HTTPStatus.FORBIDDEN and "only shows" in json.loads(answer)["reason"], path
    assert folder.study_file.read_bytes() == before


def test_even_without_its_guard_the_page_can_write_nothing(folder: SearchFolder) -> None:
    before = folder.study_file.read_bytes()
    application = optuna_dashboard.wsgi(ReadOnlyStudies(open_storage(folder)))
    for method, path, body in WRITE:
        assert asked(application, path, method, body=body)[0] == 500, path
    assert folder.study_file.read_bytes() == before


def test_a_shared_database_shows_no_other_search(tmp_path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/studies.db")
    mine, others = Studies(storage, "mine/"), Studies(storage, "others/")
    for studies in (others, mine):
        study = open_study(studies, SEARCH_STUDY)
        study.tell(study.ask(), 0.5)
    shown = ReadOnlyStudies(mine)
    assert [study.study_name for study in shown.get_all_studies()] == ["mine/search"]
    other = storage.get_study_id_from_name("others/search")
    for read in (shown.get_all_trials, shown.get_study_user_attrs, shown.get_study_system_attrs, shown.get_best_trial):
        with pytest.raises(KeyError):
            read(other)
    assert [trial.value for trial in shown.get_all_trials(shown.get_study_id_from_name("mine/search"))] == [0.5]
    with pytest.raises(KeyError):
        shown.get_trial(storage.get_all_trials(other)[0]._trial_id)
