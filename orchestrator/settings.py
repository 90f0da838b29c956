"""Where the server is and which keys to use: read once, from the environment.

BUCKSTOP_URL               redis://..., or redis+sentinel://...; without it, what `buckstop up`
                           started in this directory or one above it
BUCKSTOP_PASSWORD_FILE     a file with the password of the URL's user, where the URL has none
BUCKSTOP_CELLS             a file that names several servers (orchestrator/cells/file.py), where
                           BUCKSTOP_URL names none
BUCKSTOP_CELL              the one of them that is meant; what runs in a cell needs it
BUCKSTOP_PREFIX            of every key; "buckstop:" unless said otherwise
BUCKSTOP_SIGNING_KEY       the orchestrator's private key, as text
BUCKSTOP_SIGNING_KEY_FILE  ... or a file with it; without either, the key that `up` made
BUCKSTOP_GRACE             seconds to end what is under way after SIGTERM
BUCKSTOP_SCHEMA            the newest schema version to write, while an upgrade lasts
BUCKSTOP_RETENTION         for orchestrators: how long finished tasks are kept; a week
BUCKSTOP_REPLICAS          how many replicas must have a task before its submitter is answered; 0
BUCKSTOP_PUBLIC_URL        where people find the console, for links in messages

Read by everything that connects, but not by workers: theirs stand in workers/settings.py.
"""

import getpass
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import TypeAdapter

from envelopes import limits
from envelopes.environ import SettingsError as SettingsError  # noqa: PLC0414 -- it is ours as well
from envelopes.environ import seconds, server_url
from envelopes.keys import PREFIX_DEFAULT, Keys
from envelopes.limits import GRACE_DEFAULT_S
from envelopes.request import Age
from envelopes.versions import OLDEST_VERSION, SCHEMA_VERSION
from orchestrator import keyfile
from orchestrator.running import Running, find

NO_PERSON: Final = ("nobody", "default")
"""Who stands in a record where no person has decided: nobody is called so."""


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
    schema: int = SCHEMA_VERSION
    """The newest schema version that is written: an older one, while it may be rolled back."""
    retention_ms: int | None = None
    """How long finished tasks are kept; None for as long as they were accepted with."""
    replicas: int = 0
    """How many replicas must have a task before it counts as accepted."""
    cells: Path | None = None
    """The file that names the cells, where all of them are meant; then there is no URL."""

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
            grace_s=seconds(environ, "BUCKSTOP_GRACE", GRACE_DEFAULT_S),
            console=environ.get("BUCKSTOP_PUBLIC_URL") or (running.console if running else None),
            schema=_schema(environ),
            replicas=_count(environ, "BUCKSTOP_REPLICAS"),
            retention_ms=_retention_ms(environ),
        )

    @classmethod
    def of_all(
        cls,
        environ: Mapping[str, str] = os.environ,
        start: Path | None = None,
        url: str | None = None,
    ) -> Self:
        """Read the settings of the server that is meant, or of all cells where all are."""
        file = all_cells(environ, url)
        return cls.read(environ, start, url) if file is None else cls.of_cells(environ, file)

    @classmethod
    def of_cells(cls, environ: Mapping[str, str], file: Path) -> Self:
        """Read what is the same in all cells; where they are stands in their file."""
        return cls(
            url="",
            found_in="BUCKSTOP_CELLS",
            cells=file,
            prefix=environ.get("BUCKSTOP_PREFIX") or PREFIX_DEFAULT,
            grace_s=seconds(environ, "BUCKSTOP_GRACE", GRACE_DEFAULT_S),
            console=environ.get("BUCKSTOP_PUBLIC_URL"),
            replicas=_count(environ, "BUCKSTOP_REPLICAS"),
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
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return f"uid {os.getuid()}"
    return f"user {user}" if user in NO_PERSON else user


def all_cells(environ: Mapping[str, str], url: str | None = None) -> Path | None:
    """Return the file that names the cells, where all of them are meant."""
    file = environ.get("BUCKSTOP_CELLS")
    one = url or environ.get("BUCKSTOP_URL") or environ.get("BUCKSTOP_CELL")
    return Path(file) if file and not one else None


def _server(
    environ: Mapping[str, str], start: Path, url: str | None
) -> tuple[str, str, Path | None]:
    """Return the server's URL, where it came from, and the directory of what runs, if that."""
    if named := named_server(environ, url):
        return named, "--url" if url else "BUCKSTOP_URL", None
    if environ.get("BUCKSTOP_CELLS") or environ.get("BUCKSTOP_CELL"):
        return _cell(environ)
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


def _cell(environ: Mapping[str, str]) -> tuple[str, str, Path | None]:
    """Return the same of the one cell that is meant, or raise SettingsError."""
    from orchestrator.cells.file import (  # noqa: PLC0415 -- with one server nobody reads YAML
        CellsFile,
        CellsFileError,
        NobodyHome,
    )

    file, name = environ.get("BUCKSTOP_CELLS"), environ.get("BUCKSTOP_CELL")
    if not file:
        raise SettingsError(f"cell {name!r} is named, and BUCKSTOP_CELLS names no file of cells")
    try:
        cells = CellsFile.read(Path(file))
        if not name:
            known = ", ".join(one.name for one in cells.cells)
            raise SettingsError(
                f"{file} names several cells, and one is asked for here; set BUCKSTOP_CELL to one "
                f"of them: {known}. A Python program asks all of them through "
                "orchestrator.cells.facade.opened()"
            )
        cell = cells.find(name)
        return cell.where(), f"cell {name} of {file}", cell.directory
    except NobodyHome as nobody:
        raise NoServer(str(nobody)) from None
    except CellsFileError as wrong:
        raise SettingsError(str(wrong)) from None


def named_server(environ: Mapping[str, str], url: str | None = None) -> str | None:
    """Return the URL that is given, or else the environment's, with its password; or None."""
    source = "--url" if url else "BUCKSTOP_URL"
    named = url or environ.get("BUCKSTOP_URL")
    if not named:
        return None
    return server_url(source, named, environ.get("BUCKSTOP_PASSWORD_FILE"))


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


def _schema(environ: Mapping[str, str]) -> int:
    text = environ.get("BUCKSTOP_SCHEMA") or str(SCHEMA_VERSION)
    if not text.isdecimal() or not OLDEST_VERSION <= int(text) <= SCHEMA_VERSION:
        raise SettingsError(
            f"BUCKSTOP_SCHEMA is {text!r}; this version writes {OLDEST_VERSION} to "
            f"{SCHEMA_VERSION}. Leave it out once an upgrade is over"
        )
    return int(text)


def _count(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name) or "0"
    if not text.isdecimal():
        raise SettingsError(f"{name} must be a whole number, not {text!r}")
    return int(text)


def _retention_ms(environ: Mapping[str, str]) -> int | None:
    if not (text := environ.get("BUCKSTOP_RETENTION")):
        return None
    try:
        seconds = TypeAdapter(Age).validate_python(text)
    except ValueError:
        seconds = 0
    if seconds < limits.RETENTION_MIN_S:
        raise SettingsError(f"BUCKSTOP_RETENTION: {text!r} is no time from 1m to 3650d; write 30d")
    return int(seconds * 1000)
