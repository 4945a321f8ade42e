"""A study in a shared database, through Optuna's own storage for them."""

import importlib.util
from typing import NamedTuple

from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from tune_sentiment.errors import SettingsError, StudyError
from tune_sentiment.masking import masked

DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql"}
"""By the database's name in an URL: the package that talks to it, and the extra of ours that installs it."""
EXTRAS = {"psycopg": "postgresql", "pymysql": "mysql"}


class StudyPlace(NamedTuple):
    """The database of a search's studies, and what stands before their names there."""

    url: str
    prefix: str


def check_study_url(url: str) -> None:
    """Refuse an URL that names no database that can be used, or shows a password.

    Raises:
        SettingsError: saying which.
    """
    parsed = _parsed(url)
    kind = parsed.get_backend_name()
    if kind not in (*DRIVERS, "sqlite"):
        raise SettingsError(
            f"--study names a PostgreSQL or MySQL database: got {kind}://: write postgresql://user@host/database."
        )
    if parsed.password is not None:
        raise SettingsError(
            f"--study must not show a password, which others could read in the list of processes: got "
            f"{parsed.render_as_string()}: put it into ~/.pgpass or PGPASSWORD (PostgreSQL), or into a file that "
            "?read_default_file=... names (MySQL)."
        )
    driver = DRIVERS.get(kind)
    if driver is not None and importlib.util.find_spec(driver) is None:
        raise SettingsError(
            f"--study {kind}://... needs {driver}: it is not installed: pip install 'tune-sentiment[{EXTRAS[driver]}]'."
        )


def open_database(url: str) -> RDBStorage:
    """Return Optuna's storage in the database at `url`.

    Raises:
        StudyError: if it does not answer, or holds tables of another version of Optuna.
    """
    parsed = _parsed(url)
    driver = DRIVERS.get(parsed.get_backend_name())
    if driver is not None:
        parsed = parsed.set(drivername=f"{parsed.get_backend_name()}+{driver}")
    try:
        return RDBStorage(
            parsed.render_as_string(hide_password=False),
            # Connections that the server has dropped meanwhile are made anew.
            engine_kwargs={"pool_pre_ping": True},
        )
    except (SQLAlchemyError, RuntimeError) as problem:
        origin = getattr(problem, "orig", None) or problem
        reason = " ".join(str(origin).split()) or type(problem).__name__
        raise StudyError(
            f"the study's database must answer: {masked(url)} does not ({reason}): check --study."
        ) from None


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise SettingsError(
            "--study is the URL of a database: what was given is none: write postgresql://user@host/database."
        ) from None
