"""Options that many commands share, and how they write what they have to say."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.client import Buckstop
from orchestrator.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")(
        command
    )


def url_option(command: Command) -> Command:
    """Add --url."""
    return click.option("--url", metavar="URL", help="The server, as redis://host:6379/0.")(command)


def connected(url: str | None) -> Buckstop:
    """Connect to the server that is meant."""
    return Buckstop(settings=settings(url))


def settings(url: str | None) -> Settings:
    """Read the settings; --url wins."""
    return Settings.read(os.environ, Path.cwd(), url)


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
