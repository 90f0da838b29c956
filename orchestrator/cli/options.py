"""Options that many commands share, and how they write what they have to say."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.cells.facade import opened
from orchestrator.cells.file import CellsFile
from orchestrator.cells.where import noting
from orchestrator.client import Buckstop
from orchestrator.settings import Settings, SettingsError, all_cells

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")(
        command
    )


def url_option(command: Command) -> Command:
    """Add --url, and --cell for where a deployment has several servers."""
    command = click.option(
        "--cell",
        metavar="NAME",
        expose_value=False,
        callback=_mean_cell,
        help="Of the cells in the file BUCKSTOP_CELLS, this one only.",
    )(command)
    return click.option("--url", metavar="URL", help="The server, as redis://host:6379/0.")(command)


def _mean_cell(ctx: click.Context, option: click.Parameter, name: str | None) -> None:
    """Let this one be meant by whatever reads the settings, here and in what is started."""
    del ctx, option
    if name is not None and not os.environ.get("BUCKSTOP_CELLS"):
        raise click.UsageError("--cell names one of the cells in a file; set BUCKSTOP_CELLS to it")
    if name is not None:
        os.environ["BUCKSTOP_CELL"] = name
        os.environ.pop("BUCKSTOP_URL", None)


@contextmanager
def connected(url: str | None) -> Iterator[Buckstop]:
    """Connect to the server that is meant, or to all cells; say which of them were left out."""
    with opened(url) as buckstop, noting() as missing:
        yield buckstop
    for name in sorted(missing):
        complain(f"cell {name!r} is away; what it has is left out. See: buckstop cells")


@contextmanager
def changing() -> Iterator[None]:
    """Change what is to be the same in all cells; say where that is still to be done."""
    with noting() as missing:
        yield
    for name in sorted(missing):
        complain(f"cell {name!r} is away; once it is back: buckstop cells align {name}")


def settings(url: str | None) -> Settings:
    """Read the settings; --url wins. Raise SettingsError where all of several cells are meant."""
    if (file := all_cells(os.environ, url)) is not None:
        raise SettingsError(_which(file))
    return Settings.read(os.environ, Path.cwd(), url)


def _which(file: Path) -> str:
    """Say how to name the cell in which a command is to do its work."""
    command = click.get_current_context().command_path
    first, *others = [one.name for one in CellsFile.read(file).cells]
    among = f" (or {', '.join(others)})" if others else ""
    return f"this is done in one cell; say which: {command} --cell {first}{among}"


def settings_of_all(url: str | None) -> Settings:
    """Read the settings of the server that is meant, or of all cells where all are."""
    return Settings.of_all(os.environ, Path.cwd(), url)


def write_json(value: Any) -> None:
    """Write one JSON value on one line, at once: a program may be reading along."""
    print(json.dumps(value, default=_plain, ensure_ascii=False), flush=True)


def complain(text: str) -> None:
    """Say something that is not part of the answer."""
    print(f"buckstop: {text}", file=sys.stderr, flush=True)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Decimal | Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
