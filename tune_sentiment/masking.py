"""Take passwords, tokens and signatures out of what is shown or written."""

import re
from typing import Any

# Rather too much than too little: a password may hold `@` and `/`, as database drivers take it.
_USER_IN_URL = re.compile(r"(?<=://)(?:[^/\s:@]*:\S*@|[^/\s]*@)")
_SECRET_IN_QUERY = re.compile(
    r"([?&](?:[^=&\s]*(?:password|passwd|pwd|secret|token|signature|credential|auth|key)[^=&\s]*|sig)=)[^&\s]+", re.I
)


def masked(text: str) -> str:
    """Return `text` without the users, passwords and tokens of the URLs in it, as UTF-8 can hold it.

    >>> masked("postgresql://ana:hunter2@db.example/optuna")
    'postgresql://***@db.example/optuna'
    """
    # A file name that is not UTF-8 arrives as surrogates, which no UTF-8 file can hold.
    written = text.encode("utf-8", "replace").decode("utf-8")
    return _SECRET_IN_QUERY.sub(r"\1***", _USER_IN_URL.sub("***@", written))


def all_masked(value: Any) -> Any:
    """Return `value`, plain values as JSON has them, with every text in it `masked`, the keys of dicts too."""
    match value:
        case str():
            return masked(value)
        case dict():
            return {all_masked(key): all_masked(item) for key, item in value.items()}
        case list() | tuple():
            return [all_masked(item) for item in value]
    return value
