"""`buckstop mcp`: speak the Model Context Protocol with the editor or agent that has started it."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from envelopes.limits import NAME_CHARS_MAX
from orchestrator.cli.exits import Exit
from orchestrator.cli.interrupts import loading
from orchestrator.cli.options import complain, json_option, url_option
from orchestrator.settings import Settings, SettingsError, person

INSTALL = "pip install 'buckstop[mcp]'"


@click.command()
@click.option(
    "--project",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Find the server that `buckstop up` runs in this directory or above; else the current.",
)
@click.option("--as", "name", help="The name under which you decide; yours and (mcp) else.")
@click.option("--api", metavar="URL", help="Use the HTTP API at this address instead.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="A file with the bearer token for --api.",
)
@url_option
@json_option
def mcp(
    directory: Path | None,
    name: str | None,
    api: str | None,
    token_file: Path | None,
    url: str | None,
    *,
    as_json: bool,
) -> Exit | None:
    """Serve MCP on standard input and output: an editor or an agent starts this, not a person.

    It acts at the server that --project or --url names, or with --api at an HTTP API, in the name
    of its token. /mcp of that API speaks MCP too, for clients that can send a header.
    """
    del as_json  # MCP is JSON in any case
    if find_spec("mcp") is None:
        raise SettingsError(f"MCP is an extra that is not installed; install it with: {INSTALL}")
    if (api is None) != (token_file is None):
        raise click.UsageError("--api and --token-file go together")
    if sys.stdin.isatty():
        complain("this speaks MCP, for programs; how an editor starts it: docs/how-to/mcp.md")
    with loading():
        from orchestrator.mcp import stdio  # noqa: PLC0415 -- it needs the extra, and is slow

    if api is not None and token_file is not None:
        stdio.serve_there(api, _token(token_file))
    else:
        start = directory or Path.cwd()
        stdio.serve_here(lambda: Settings.of_all(os.environ, start, url), _name(name))
    return None


def _name(given: str | None) -> str:
    """Say who decides, for the record."""
    return given or f"{person()[: NAME_CHARS_MAX - len(_BY)]}{_BY}"


_BY = " (mcp)"


def _token(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"--token-file: {file} cannot be read: {error}") from None
    if not token:
        raise SettingsError(
            f"--token-file: {file} is empty; write a token into it: buckstop token new NAME "
            f"--scope read --scope submit --scope decide > {file}"
        )
    return token
