"""Which cells there are: the YAML file that BUCKSTOP_CELLS names.

    cells:
      east: {url: "redis://east.example:6379/0", password_file: /run/secrets/east}
      west: {url: "redis://west.example:6379/0", password_file: /run/secrets/west, added: 1}
      old:  {directory: ../old, draining: true}
    spread: [acme]

    url, directory   where it is; `directory` is one in which `buckstop up` runs
    draining         takes no new tasks; what it has goes on, and is read
    added            0, or the number of the change by which it came: keys that were used before it
                     was there are looked for where they would have been (ranking.py)
    spread           tenants whose tasks go to all cells, each by its own key

The first cell is home: tokens and sessions are looked up there. Paths are relative to the file. A
cell is called the same for ever, for its name says what goes there.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import Field, StringConstraints, model_validator

from envelopes import limits
from envelopes.address import require_readable, with_password
from envelopes.request import Name
from envelopes.strict import Frozen, Refused, compact, parse
from orchestrator.running import DIRECTORY, Running

CELL_PATTERN: Final = r"^[a-z0-9][a-z0-9-]*$"
CellName = Annotated[
    str, StringConstraints(pattern=CELL_PATTERN, max_length=limits.CELL_NAME_CHARS_MAX)
]
"""Part of a place in the news of all cells, so without `=` and `,`."""
_BYTES_MAX: Final = limits.REQUEST_BYTES_MAX


class CellsFileError(Exception):
    """The file cannot be used; the message says why."""


class NobodyHome(ConnectionError):
    """Nothing runs in the directory that is a cell."""


class Entry(Frozen):
    """One cell, as it is written."""

    url: str | None = Field(default=None, pattern=r"^(rediss?(\+sentinel)?|unix)://")
    directory: str | None = None
    password_file: str | None = None
    draining: bool = False
    added: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.directory is None):
            raise Refused("url", "say either the url of a Redis, or the directory of an `up`")
        if self.url is not None:
            _require_readable(self.url)
        return self


def _require_readable(url: str) -> None:
    try:
        require_readable(url)
    except ValueError as error:
        raise Refused("url", str(error)) from None


class Written(Frozen):
    """The whole file, as it is written."""

    cells: Annotated[dict[CellName, Entry], Field(min_length=1, max_length=limits.CELLS_MAX)]
    spread: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _somebody_takes(self) -> Self:
        if all(one.draining for one in self.cells.values()):
            raise Refused("cells", "every cell is draining; one at least must take new tasks")
        return self


@dataclass(frozen=True, slots=True)
class Listed:
    """One cell, as others need to know it."""

    name: str
    url: str | None
    """With its password; None where a directory says it."""
    directory: Path | None
    draining: bool
    added: int

    def where(self) -> str:
        """Return the URL; a directory is looked into each time, or raise NobodyHome."""
        if self.url is not None:
            return self.url
        assert self.directory is not None
        if (running := Running.read(self.directory)) is None:
            raise NobodyHome(
                f"nothing runs in {self.directory.parent}; start it: "
                f"buckstop up MODULE --dir {shlex.quote(str(self.directory))}"
            )
        return running.url


@dataclass(frozen=True, slots=True)
class CellsFile:
    """All cells, in the order of the file."""

    path: Path
    cells: tuple[Listed, ...]
    spread: frozenset[str]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file, or raise CellsFileError naming what is wrong in it."""
        written = _written(path)
        cells = tuple(_listed(path, name, one) for name, one in written.cells.items())
        return cls(path, cells, frozenset(written.spread))

    def find(self, name: str) -> Listed:
        """Return one cell, or raise CellsFileError."""
        for one in self.cells:
            if one.name == name:
                return one
        known = ", ".join(one.name for one in self.cells)
        raise CellsFileError(f"{self.path} has no cell {name!r}; it has: {known}")


def _written(path: Path) -> Written:
    try:
        said: Any = yaml.load(path.read_text(encoding="utf-8"), _Strict)  # noqa: S506 - a safe one
        return parse(Written, compact(said), bytes_max=_BYTES_MAX, what="the file")
    except (OSError, UnicodeDecodeError) as error:
        raise CellsFileError(f"BUCKSTOP_CELLS: {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise CellsFileError(f"BUCKSTOP_CELLS: {path}: {_told(error)}") from None
    except (TypeError, ValueError) as error:
        told = " ".join(str(error).split())
        raise CellsFileError(f"BUCKSTOP_CELLS: {path}: {told}") from None


class _Strict(yaml.SafeLoader):
    """Takes no key twice: of two cells with one name, YAML would keep the second, silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - YAML's
        names = set()
        for key, _ in node.value:
            if key.value in names:
                why = f"{key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, why, key.start_mark)
            names.add(key.value)
        return super().construct_mapping(node, deep)


def _told(error: yaml.YAMLError) -> str:
    """Say what is wrong and in which line; not the line itself, where a password may stand."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it is no YAML"
    return f"{error.problem}; line {error.problem_mark.line + 1}"


def _listed(path: Path, name: str, entry: Entry) -> Listed:
    directory = None if entry.directory is None else path.parent / entry.directory / DIRECTORY
    return Listed(name, _url(path, name, entry), directory, entry.draining, entry.added)


def _url(path: Path, name: str, entry: Entry) -> str | None:
    if entry.url is None or entry.password_file is None:
        return entry.url
    file = path.parent / entry.password_file
    try:
        password = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise CellsFileError(f"{path}: {name}.password_file cannot be read: {error}") from None
    if not password:
        raise CellsFileError(f"{path}: {name}.password_file: {file} is empty")
    return with_password(entry.url, password)
