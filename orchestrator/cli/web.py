"""Commands about the way in over HTTP: http (the process), token (who may call)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.table import Table
from rich.text import Text

from envelopes import limits
from envelopes.scripts import connect
from orchestrator.cells.facade import Cells, opened
from orchestrator.cells.shared import CellTokens
from orchestrator.cli.interrupts import loading
from orchestrator.cli.options import (
    changing,
    json_option,
    settings_of_all,
    url_option,
    write_json,
)
from orchestrator.cli.screen import console
from orchestrator.client import NotFound
from orchestrator.clock import moment
from orchestrator.tokens import Scope, Token, Tokens, id_of

_SCOPES: Final = click.Choice([each.value for each in Scope])


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8780, show_default=True, help="Port.")
@click.option("--proxy", metavar="ADDRESSES", help="Proxies whose X-Forwarded-* is believed.")
@url_option
@json_option
def http(host: str, port: int, proxy: str | None, url: str | None, *, as_json: bool) -> None:
    """Serve the API and the console; any number may run. Its log is JSON lines in any case.

    Without TLS: to be reached from elsewhere, put a proxy with TLS in front and name it.
    """
    del as_json
    with loading():
        from orchestrator.http.__main__ import run  # noqa: PLC0415 -- it imports FastAPI: slow

    run(settings_of_all(url), host, port, proxy)


@click.group()
@url_option
@click.pass_context
def token(ctx: click.Context, url: str | None) -> None:
    """Make, list and revoke bearer tokens."""
    ctx.obj = url


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=_SCOPES,
    help="What it may do; may be said again. admin is everything.",
)
@click.option("--tenant", help="It sees and touches this tenant's only.")
@click.option("--days", type=int, help="How long it is good for; else for ever.")
@click.option(
    "--per-minute",
    type=int,
    help=f"Calls in a minute; {limits.TOKEN_PER_MINUTE} else. As many, but no more than "
    f"{limits.TOKEN_BURST}, may come at once.",
)
@click.option(
    "--from-file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the token's text from a secret that was made beforehand; it is not shown.",
)
@json_option
@click.pass_obj
def new(
    url: str | None,
    name: str,
    *,
    scopes: tuple[str, ...],
    tenant: str | None,
    days: int | None,
    per_minute: int | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Make a token for NAME, and show it: this once and never again.

    With --from-file it is known already, and is made as often as you like: for whoever starts a
    deployment. NAME stands in the record of whatever is decided with it.
    """  # fmt: skip
    known = None if file is None else file.read_text(encoding="utf-8").strip()
    with issuing(url) as tokens:
        text = tokens.new(
            name,
            list(map(Scope, scopes)),
            tenant=tenant,
            days=days,
            per_minute=per_minute,
            text=known,
        )
    if file is not None:
        write_json({"id": id_of(text)}) if as_json else print(f"{id_of(text)}: the token in {file}")
    elif as_json:
        write_json({"id": id_of(text), "token": text})
    else:
        print(text)


@token.command("list")
@json_option
@click.pass_obj
def list_(url: str | None, *, as_json: bool) -> None:
    """List tokens, the newest first; their secrets are known to nobody."""
    with issuing(url) as tokens:
        found = tokens.list()
    if as_json:
        write_json([one.as_json() for one in found])
    elif found:
        console().print(_table(found))
    else:
        print("there is no token; make one with: buckstop token new NAME --scope read")


@token.command()
@click.argument("token_id", metavar="ID")
@json_option
@click.pass_obj
def revoke(url: str | None, token_id: str, *, as_json: bool) -> None:
    """Revoke a token, and end every session that was opened with it."""
    with issuing(url) as tokens:
        if not tokens.revoke(token_id):
            raise NotFound(f"no token {token_id!r}; see which there are: buckstop token list")
    write_json({"id": token_id, "revoked": True}) if as_json else print(f"{token_id}: revoked")


def _table(tokens: Iterable[Token]) -> Table:
    table = Table("id", "name", "scopes", "tenant", "a minute", "made", "good until", box=None)
    for one in tokens:
        until = "for ever" if one.expires_ms is None else moment(one.expires_ms)
        scopes, made = ", ".join(one.scopes), moment(one.created_ms)
        minute, tenant = f"{one.per_minute:,}", one.tenant or "all"
        table.add_row(one.id, Text(one.name), scopes, tenant, minute, made, until)
    return table


@contextmanager
def issuing(url: str | None) -> Iterator[Tokens | CellTokens]:
    """Open the tokens of the server that is meant, or of all cells."""
    with opened(url) as deployment, changing():
        if isinstance(deployment, Cells):
            yield deployment.tokens
            return
    with connect(deployment.settings.url) as client:
        yield Tokens(client, deployment.settings.keys)
