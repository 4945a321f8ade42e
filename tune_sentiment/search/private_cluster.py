"""Keep a private cluster private: on the loopback address, behind a token, its files in a folder of the user's own."""

import logging
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tune_sentiment.errors import ResourceError

LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""What Ray sets on Windows and macOS so that firewalls stay silent: every port of every process is bound to 127.0.0.1.

`_node_ip_address="127.0.0.1"` does not do it: Ray turns that into the machine's outer address.
"""

NO_TOKEN = (
    "warning: Ray runs without its token, as you asked: until it ends, every user of this machine can run code as you "
    "(CVE-2023-48022)."
)

_AUTH_MODE = "RAY_AUTH_MODE"
_TOKEN = "RAY_AUTH_TOKEN"
_TOKEN_PATH = "RAY_AUTH_TOKEN_PATH"


@contextmanager
def kept_private(*, token: bool = True) -> Iterator[dict[str, Any]]:
    """Set what Ray reads of this process, for the block; yields further arguments for `ray.init`.

    Whatever the environment says, the cluster asks for a token, unless `token` is False, which is warned of;
    afterwards the environment is as it was.

    Raises:
        ResourceError: if no folder for temporary files can be made.
    """
    from ray._private import ray_constants
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    names = (*LOOPBACK_ONLY, _AUTH_MODE, _TOKEN)
    before = {name: os.environ.get(name) for name in names}
    had_cluster = ray_constants.ENABLE_RAY_CLUSTER
    # Short, for the path of a socket has at most 103 bytes; Ray makes its own folder writable for all, so it goes
    # inside one that only the user may enter.
    place = os.environ.get("RAY_TMPDIR") or ("/tmp" if os.path.isdir("/tmp") else None)
    try:
        private = tempfile.TemporaryDirectory(prefix="tune-", dir=place, ignore_cleanup_errors=True)
    except OSError as problem:
        raise ResourceError(
            f"Ray needs a folder for temporary files: {place or tempfile.gettempdir()}: {problem.strerror}: "
            "name another in RAY_TMPDIR."
        ) from None
    with private as folder:
        try:
            os.environ.update(LOOPBACK_ONLY)
            ray_constants.ENABLE_RAY_CLUSTER = False  # read when Ray was imported, which may have been long ago
            # Unset, not "token": only then does Ray read it again in a process that has read it before.
            os.environ.pop(_AUTH_MODE, None)
            if not token:
                logging.getLogger(__name__).warning(NO_TOKEN)
                os.environ[_AUTH_MODE] = "disabled"
            elif not (os.environ.get(_TOKEN) or os.environ.get(_TOKEN_PATH)):
                os.environ[_TOKEN] = users_token()
            AuthenticationTokenLoader.instance().reset_cache()
            yield {"_temp_dir": os.path.join(folder, "ray")}
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = had_cluster
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            Config.initialize("")
            AuthenticationTokenLoader.instance().reset_cache()


def users_token() -> str:
    """Return the user's token in ~/.ray/auth_token, which `ray get-auth-token` prints, made if there is none.

    Ray makes that file with the rights of the umask, mostly readable by all: here it is the user's alone. Without a
    home folder that can be written to, the token is one for this process and its children.
    """
    fresh = secrets.token_hex(32)
    try:
        path = Path.home() / ".ray" / "auth_token"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(fresh)
            return fresh
        except FileExistsError:
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            return path.read_text(encoding="ascii").strip() or fresh
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no home; ValueError: a token that is not text
        return fresh
