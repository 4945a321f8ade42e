"""Show a search in optuna-dashboard, on this machine, to whoever has the address with its token, to be read only."""

import contextlib
import hmac
import json
import secrets
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tune_sentiment.errors import ResourceError, SettingsError
from tune_sentiment.search.read_only import ReadOnlyStudies

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
OUR_NAMES = (HOST, "localhost", "::1")
"""What the page may be called: through an `ssh -L` it has another port, but no other name."""
COOKIE = "tune_sentiment_dashboard"


def run(studies: ReadOnlyStudies, study_id: int, *, port: int, on_ready: Callable[[str], None]) -> None:
    """Show the study until Ctrl-C or SIGTERM; `on_ready` gets the address of its page once it answers.

    port: 0 takes a free one.

    Raises:
        SettingsError: if the extra `[dashboard]` is not installed, or `port` is none.
        ResourceError: if the port is in use.
    """
    try:
        import optuna_dashboard
    except ImportError:
        raise SettingsError(
            "this page is optuna-dashboard's: it is not installed: install it with "
            "`pip install 'tune-sentiment[dashboard]'`."
        ) from None
    if not 0 <= port < 2**16:
        raise SettingsError(f"--port must be 0 to 65535: got {port}: 0 takes a free one.")
    token = secrets.token_urlsafe(24)
    page = guarded(optuna_dashboard.wsgi(studies), token, f"/dashboard/studies/{study_id}")
    try:
        server = make_server(HOST, port, page, server_class=_Server, handler_class=_QuietHandler)
    except OSError as problem:
        raise ResourceError(
            f"the page needs a free port: {HOST}:{port} is not ({problem.strerror}): choose another with --port, or "
            "0 for any."
        ) from None
    with server, _sigterm_as_ctrl_c(), contextlib.suppress(KeyboardInterrupt):
        on_ready(f"http://{HOST}:{server.server_port}/?{urlencode({'token': token})}")
        server.serve_forever()


def guarded(application: "WSGIApplication", token: str, first_page: str) -> "WSGIApplication":
    """Return `application` behind a token, for reading only, and deaf to other sites' pages.

    optuna-dashboard asks nobody who they are and lets all who reach it delete a study, also other users of the machine.
    The address with the token leaves it in a cookie and leads to `first_page`.
    """

    def answer(environment: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        if _host_name(environment) not in OUR_NAMES:  # a page of another site, whose name was made to lead here
            return _refuse(start, HTTPStatus.FORBIDDEN, f"this page is at {HOST} and nowhere else.")
        shown = parse_qs(environment.get("QUERY_STRING", "")).get("token", [""])[0]
        if _same(shown, token):
            cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"
            start("302 Found", [("Location", first_page), ("Set-Cookie", cookie), ("Referrer-Policy", "no-referrer")])
            return []
        if not _same(_cookie(environment), token):
            return _refuse(start, HTTPStatus.UNAUTHORIZED, "open the whole address that `dashboard` printed.")
        if environment["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refuse(start, HTTPStatus.FORBIDDEN, "this page only shows a search: nothing was written.")
        return application(environment, start)

    return answer


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the name of the base class
        """Write nothing down: the line of a request holds the token."""


def _host_name(environment: "WSGIEnvironment") -> str | None:
    try:
        return urlsplit(f"//{environment.get('HTTP_HOST', '')}").hostname
    except ValueError:
        return None


def _cookie(environment: "WSGIEnvironment") -> str:
    try:
        found = SimpleCookie(environment.get("HTTP_COOKIE", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _refuse(start: "StartResponse", status: HTTPStatus, reason: str) -> Iterable[bytes]:
    start(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps({"reason": reason}).encode()]  # where optuna-dashboard's own page looks for it
