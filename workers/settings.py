"""Where the server is, whom to believe, and which agents to run: read once, from the environment.

    BUCKSTOP_URL               redis://host:6379/0, or redis+sentinel://host:26379,host/service/0
    BUCKSTOP_PASSWORD_FILE     a file with the password of the URL's user, where the URL has none
    BUCKSTOP_PREFIX            of every key; "buckstop:" unless said otherwise
    BUCKSTOP_AGENTS            modules with agents, separated by commas
    BUCKSTOP_PUBLIC_KEYS       keys of the orchestrators, as text, one per line or word
    BUCKSTOP_PUBLIC_KEYS_FILE  ... or a file with them
    BUCKSTOP_GRACE             seconds to end what is under way after SIGTERM

`buckstop worker` and `buckstop up` set them for the workers they start.
"""

import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from envelopes.address import Sentinels, require_readable, with_password
from envelopes.keys import PREFIX_DEFAULT, Keys
from envelopes.limits import GRACE_DEFAULT_S

URL_DEFAULT = "redis://127.0.0.1:6379/0"
_KEY_BYTES = 32


class SettingsError(Exception):
    """Something that must be set is not, or cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a worker needs to know before it can start."""

    url: str = URL_DEFAULT
    keys: Keys = Keys()  # noqa: RUF009 - frozen, so one is as good as many
    modules: tuple[str, ...] = ()
    public_keys: tuple[bytes, ...] = ()
    grace_s: float = GRACE_DEFAULT_S

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the settings, or raise SettingsError naming the variable."""
        return cls(
            url=_url(environ),
            keys=Keys(environ.get("BUCKSTOP_PREFIX") or PREFIX_DEFAULT),
            modules=tuple(re.findall(r"[\w.]+", environ.get("BUCKSTOP_AGENTS", ""))),
            public_keys=_public_keys(environ),
            grace_s=_seconds(environ, "BUCKSTOP_GRACE", GRACE_DEFAULT_S),
        )

    def require_public_keys(self) -> tuple[bytes, ...]:
        """Return the keys, or raise SettingsError: without one, every message looks forged."""
        if not self.public_keys:
            raise SettingsError(
                "a worker runs only what an orchestrator has signed and knows no orchestrator's "
                "key; set BUCKSTOP_PUBLIC_KEYS_FILE to the signing.pub that `buckstop keys` made"
            )
        return self.public_keys


def _url(environ: Mapping[str, str]) -> str:
    url = environ.get("BUCKSTOP_URL") or URL_DEFAULT
    try:
        require_readable(url)
    except ValueError as error:
        raise SettingsError(f"BUCKSTOP_URL: {error}") from None
    kept = Sentinels.of(url)
    if kept is not None and kept.password_file is not None:
        _read("BUCKSTOP_URL: sentinel_password_file", Path(kept.password_file))
    for name, path in ({} if kept is None else kept.tls_files).items():
        _read(f"BUCKSTOP_URL: {name}", Path(path))
    if not (file := environ.get("BUCKSTOP_PASSWORD_FILE")):
        return url
    password = _read("BUCKSTOP_PASSWORD_FILE", Path(file)).strip()
    if not password:
        raise SettingsError(f"BUCKSTOP_PASSWORD_FILE: {file} is empty; write the password into it")
    return with_password(url, password)


def _public_keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    source, text = "BUCKSTOP_PUBLIC_KEYS", environ.get("BUCKSTOP_PUBLIC_KEYS", "")
    if not text and (file := environ.get("BUCKSTOP_PUBLIC_KEYS_FILE")):
        source, text = file, _read("BUCKSTOP_PUBLIC_KEYS_FILE", Path(file))
    return tuple(_key(word, f"{source}, key {n}") for n, word in enumerate(_words(text), 1))


def _words(text: str) -> list[str]:
    return re.split(r"[\s,]+", text.strip()) if text.strip() else []


def _read(variable: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error}") from None


def _key(text: str, where: str) -> bytes:
    try:
        key = urlsafe_b64decode(text)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"{where}: not a key ({_KEY_BYTES} bytes as urlsafe base64 are one)")
    return key


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    if not text.replace(".", "", 1).isdecimal():
        raise SettingsError(f"{name} must be a number of seconds, not {text!r}")
    return float(text)
