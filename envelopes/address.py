"""A server's address, put together from its URL and a password that is kept elsewhere.

Passwords stand in files of their own where containers run: a URL is shown by whoever lists
processes and their environment. Read by the settings of both sides; pure.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

_SENTINEL_SCHEMES: Final = {"redis+sentinel": False, "rediss+sentinel": True}
"""And whether TLS is spoken, with the Sentinels and with their server."""
SCHEMES: Final = ("redis", "rediss", "unix", *_SENTINEL_SCHEMES)
"""What a server's URL may begin with."""
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
    "what they call the server, and ?sentinel_password_file=FILE may follow; with rediss+sentinel, "
    "where all of them speak TLS, so may ssl_ca_certs, ssl_certfile and ssl_keyfile (each a FILE), "
    "ssl_cert_reqs (required, optional or none) and ssl_check_hostname (true or false)"
)
_TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_WORDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "ssl_cert_reqs": {"required": "required", "optional": "optional", "none": "none"},
    "ssl_check_hostname": {"true": True, "false": False},
}
"""Named as redis-py names them, and as they stand in a rediss:// URL."""
_CHECKED: Final = {"ssl_cert_reqs": "required"}


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


def without_password(url: str) -> str:
    """Return the URL with its user, and no password."""
    parts = urlsplit(url)
    user, at, where = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}{at}{where}").geturl()


def tls_of(url: str) -> Mapping[str, Any] | None:
    """Return how TLS is spoken with a server, in redis-py's names; None where it is not.

    That its certificate is checked is said in any case: Celery would not check it otherwise.
    """
    if (kept := Sentinels.of(url)) is not None:
        return {**_CHECKED, **kept.tls_settings} if kept.tls else None
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return None
    query = {name: text for name, text in parse_qsl(parts.query) if name.startswith("ssl_")}
    return _CHECKED | {
        name: _TLS_WORDS.get(name, {}).get(text.lower(), text) for name, text in query.items()
    }


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The address of a server that Sentinels keep: whom to ask for it, and how to enter.

    redis+sentinel://USER:PASSWORD@HOST:26379,HOST:26379/SERVICE/DB?sentinel_password_file=FILE
    rediss+sentinel://...?ssl_ca_certs=FILE      the same by TLS

    User and password are the server's. Port, user, DB and the query may be left out.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int = 0
    username: str | None = None
    password: str | None = None
    password_file: str | None = None
    """With the Sentinels' own password, where they have one."""
    tls: bool = False
    """Whether TLS is spoken, with them and with their server."""
    tls_settings: Mapping[str, Any] = field(default_factory=dict)
    """How, in redis-py's names; the same for all of them."""

    @classmethod
    def of(cls, url: str) -> Self | None:
        """Read a URL; None where it names a server itself, and ValueError where it is wrong."""
        tls = _SENTINEL_SCHEMES.get(url.partition(":")[0])
        if tls is None:
            return None
        parts = _split(url, _FORM)
        where = _PATH.fullmatch(parts.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        password_file = query.pop(_PASSWORD_FILE, None)
        if where is None or "@" in parts.path or (query and not tls):
            raise ValueError(_FORM)
        return cls(
            hosts=tuple(map(_host, parts.netloc.rpartition("@")[2].split(","))),
            service=unquote(where[1]),
            db=int(where[2] or 0),
            username=_unquoted(parts.username),
            password=_unquoted(parts.password),
            password_file=password_file,
            tls=tls,
            tls_settings=dict(_tls_setting(name, text) for name, text in query.items()),
        )

    @property
    def tls_files(self) -> Mapping[str, str]:
        """Return the files that must be readable, by what they are called in the URL."""
        return {name: self.tls_settings[name] for name in _TLS_FILES if name in self.tls_settings}


def _tls_setting(name: str, text: str) -> tuple[str, Any]:
    if name in _TLS_FILES and text:
        return name, text
    words = _TLS_WORDS.get(name, {})
    if text not in words:
        raise ValueError(_FORM)
    return name, words[text]


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
