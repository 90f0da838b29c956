"""A server's address, put together from its URL and a password that is kept elsewhere.

Passwords stand in files of their own where containers run: a URL is shown by whoever lists
processes and their environment. Read by the settings of both sides; pure.
"""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

SENTINEL_SCHEME: Final = "redis+sentinel"
SENTINEL_PORT: Final = 26_379
"""Theirs, where none is named."""
_PASSWORD_FILE: Final = "sentinel_password_file"  # noqa: S105 -- the name of a parameter
_PATH: Final = re.compile(r"/([^/]+)(?:/(\d+))?/?")
_HOST: Final = re.compile(r"(\[[\da-fA-F:.]+\]|[\w.-]+)(?::(\d+))?")
_PORT_MAX: Final = 65_535
_SERVER_FORM: Final = (
    "a server is named so: redis://USER:PASSWORD@host:6379/0; in a password write / as %2F, # as "
    "%23, ? as %3F, @ as %40 and [ as %5B, or keep it in a file: BUCKSTOP_PASSWORD_FILE"
)
_FORM: Final = (
    "Sentinels are named so: redis+sentinel://host:26379,host:26379/SERVICE/0, where SERVICE is "
    "what they call the server, and ?sentinel_password_file=FILE may follow"
)


def require_readable(url: str) -> None:
    """Raise ValueError where a URL names no server, saying nothing of it: it may hold a password.

    One that is not quoted ends where a slash stands in it; the rest of it is then taken for a path,
    and its beginning for a port, which others would tell.
    """
    if Sentinels.of(url) is None and not url.startswith("unix:"):
        parts = _split(url, _SERVER_FORM)
        _require_port(parts)
        if "@" in parts.path + parts.fragment:
            raise ValueError(_SERVER_FORM)


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
        if not url.startswith(f"{SENTINEL_SCHEME}:"):
            return None
        parts = _split(url, _FORM)
        where = _PATH.fullmatch(parts.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if where is None or "@" in parts.path or set(query) - {_PASSWORD_FILE}:
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
    if found is None or not (port := found[2] or str(SENTINEL_PORT)).isascii():
        raise ValueError(_FORM)
    if len(port) > len(str(_PORT_MAX)) or int(port) > _PORT_MAX:
        raise ValueError(_FORM)
    return found[1].strip("[]"), int(port)


def _split(url: str, form: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(form) from None


def _require_port(parts: SplitResult) -> None:
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(_SERVER_FORM) from None


def _unquoted(text: str | None) -> str | None:
    return unquote(text) if text else None
