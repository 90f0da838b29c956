"""Where the server is and which keys to use: read once, from the environment.

BUCKSTOP_URL               redis://...; without it, what `buckstop up` started in this directory
                           or one above it
BUCKSTOP_PASSWORD_FILE     a file with the password of the URL's user, where the URL has none
BUCKSTOP_PREFIX            of every key; "buckstop:" unless said otherwise
BUCKSTOP_SIGNING_KEY       the orchestrator's private key, as text
BUCKSTOP_SIGNING_KEY_FILE  ... or a file with it; without either, the key that `up` made
BUCKSTOP_GRACE             seconds to end what is under way after SIGTERM
BUCKSTOP_PUBLIC_URL        where people find the console, for links in messages

Read by everything that connects, but not by workers: theirs stand in workers/settings.py.
"""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from envelopes.address import with_password
from envelopes.keys import PREFIX_DEFAULT, Keys
from envelopes.limits import GRACE_DEFAULT_S
from orchestrator import keyfile
from orchestrator.running import Running, find


class SettingsError(Exception):
    """Something that must be set is not, or cannot be read; the message says what to do."""


class NoServer(SettingsError):
    """No server is named, and none runs here."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an orchestrator or a client needs to know before it can connect."""

    url: str
    found_in: str
    """Where the URL came from, for error messages."""
    prefix: str = PREFIX_DEFAULT
    signing_key: bytes | None = None
    grace_s: float = GRACE_DEFAULT_S
    console: str | None = None
    """Where people find the console."""

    @classmethod
    def read(
        cls,
        environ: Mapping[str, str] = os.environ,
        start: Path | None = None,
        url: str | None = None,
    ) -> Self:
        """Read the settings; an explicit URL wins over the environment, that over what runs."""
        where, found_in, directory = _server(environ, start or Path.cwd(), url)
        running = Running.read(directory) if directory else None
        return cls(
            url=where,
            found_in=found_in,
            prefix=environ.get("BUCKSTOP_PREFIX") or PREFIX_DEFAULT,
            signing_key=_signing_key(environ, directory),
            grace_s=_seconds(environ, "BUCKSTOP_GRACE", GRACE_DEFAULT_S),
            console=environ.get("BUCKSTOP_PUBLIC_URL") or (running.console if running else None),
        )

    @property
    def keys(self) -> Keys:
        """Name this deployment's keys."""
        return Keys(self.prefix)

    def require_signing_key(self) -> bytes:
        """Return the key, or raise SettingsError: an orchestrator cannot publish without one."""
        if self.signing_key is None:
            raise SettingsError(
                "an orchestrator signs every message and has no key; make a pair with: buckstop "
                "keys, then set BUCKSTOP_SIGNING_KEY_FILE here and BUCKSTOP_PUBLIC_KEYS_FILE for "
                "the workers"
            )
        return self.signing_key


def person() -> str:
    """Name whoever gives a command, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return f"uid {os.getuid()}"


def _server(
    environ: Mapping[str, str], start: Path, url: str | None
) -> tuple[str, str, Path | None]:
    """Return the server's URL, where it came from, and the directory of what runs, if that."""
    if named := named_server(environ, url):
        return named, "--url" if url else "BUCKSTOP_URL", None
    try:
        found = find(start)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if found is None:
        raise NoServer(
            f"no server is named and none runs in {start} or above it; start one with: buckstop "
            "up, or name one with --url or BUCKSTOP_URL (redis://host:6379/0)"
        )
    directory, running = found
    return running.url, f"{directory}, written by `buckstop up`", directory


def named_server(environ: Mapping[str, str], url: str | None = None) -> str | None:
    """Return the URL that is given, or else the environment's, with its password; or None."""
    source = "--url" if url else "BUCKSTOP_URL"
    named = url or environ.get("BUCKSTOP_URL")
    if not named:
        return None
    if not named.startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError(f"{source} must be a URL such as redis://host:6379/0")
    file = environ.get("BUCKSTOP_PASSWORD_FILE")
    return with_password(named, _password(Path(file))) if file else named


def _password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"BUCKSTOP_PASSWORD_FILE: {path} cannot be read: {error}") from None
    if not password:
        raise SettingsError(f"BUCKSTOP_PASSWORD_FILE: {path} is empty; write the password into it")
    return password


def _signing_key(environ: Mapping[str, str], directory: Path | None) -> bytes | None:
    try:
        if text := environ.get("BUCKSTOP_SIGNING_KEY"):
            return keyfile.decode(text.strip(), "BUCKSTOP_SIGNING_KEY")
        if file := environ.get("BUCKSTOP_SIGNING_KEY_FILE"):
            return keyfile.read_private(Path(file))
        if directory is not None and (ours := directory / keyfile.PRIVATE).exists():
            return keyfile.read_private(ours)
    except keyfile.KeyFileError as error:
        raise SettingsError(str(error)) from None
    return None


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name) or str(default)
    if not text.replace(".", "", 1).isdecimal():
        raise SettingsError(f"{name} must be a number of seconds, not {text!r}")
    return float(text)
