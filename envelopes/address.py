"""A server's address, put together from its URL and a password that is kept elsewhere.

Passwords stand in files of their own where containers run: a URL is shown by whoever lists
processes and their environment. Read by the settings of both sides; pure.
"""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import parse_qsl, quote, unquote, urlsplit

SENTINEL_SCHEME: Final = "redis+sentinel"
SENTINEL_PORT: Final = 26_379
"""Theirs, where none is named."""
_PASSWORD_FILE: Final = "sentinel_password_file"  # noqa: S105 -- the name of a parameter
_PATH: Final = re.compile(r"/([^/]+)(?:/(\d+))?/?")
_HOST: Final = re.compile(r"(\[[\da-fA-F:.]+\]|[\w.-]+)(?::(\d+))?")
_FORM: Final = (
    "Sentinels are named so: redis+sentinel://host:26379,host:26379/SERVICE/0, where SERVICE is "
    "what they call the server, and ?sentinel_password_file=FILE may follow"
)


def with_password(url: str, password: str) -> str:
    """Return the URL with its user's password; one that stands there already stays."""
    parts = urlsplit(url)
    if parts.password is not None:
        return url
    where = parts.netloc.rpartition("@")[2]
    user = parts.username or ""  # as it is written: quoted already
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{where}").geturl()


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The address of a server that Sentinels keep: whom to ask for it, and how to enter.

    redis+sentinel://USER:PASSWORD@HOST:26379,HOST:26379/SERVICE/DB?sentinel_password_file=FILE

    User and password are the server's. Port, user, DB and the query may be left out.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = None
    password_file: str | None = None
    """With the Sentinels' own password, where they have one."""

    @classmethod
    def of(cls, url: str) -> Self | None:
        """Read a URL; None where it names a server itself, and ValueError where it is wrong."""
        parts = urlsplit(url)
        if parts.scheme != SENTINEL_SCHEME:
            return None
        where = _PATH.fullmatch(parts.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if where is None or set(query) - {_PASSWORD_FILE}:
            raise ValueError(_FORM)
        return cls(
            hosts=tuple(map(_host, parts.netloc.rpartition("@")[2].split(","))),
            service=unquote(where[1]),
            db=int(where[2] or 0),
            username=_unquoted(parts.username),
            password=_unquoted(parts.password),
            password_file=query.get(_PASSWORD_FILE),
        )


def _host(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError(_FORM)
    return found[1].strip("[]"), int(found[2] or SENTINEL_PORT)


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None
