"""The commands that look at a server, or at a whole deployment: check, doctor.

Where several cells are meant, each is looked at by itself, and doctor compares them too.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes.address import Sentinels
from envelopes.scripts import connect
from orchestrator import checks
from orchestrator.cells.facade import Cells
from orchestrator.cells.file import CellsFile
from orchestrator.cells.state import CellState
from orchestrator.checks import Finding, Verdict
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import json_option, settings_of_all, url_option, write_json
from orchestrator.doctor import BAD, Deployment, examine, fit
from orchestrator.doctor.between import agree
from orchestrator.doctor.rights import ROLES
from orchestrator.log import without_password
from orchestrator.settings import NoServer, Settings
from orchestrator.store import Store

Findings = tuple[Finding, ...]
Look = Callable[[Settings], Findings]
Compare = Callable[[Cells, Sequence[CellState]], Findings]
_AWAY_FIX = "start it, or mend what the file says of it; cells that answer go on without it"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found at one server, or between several."""

    title: str
    findings: Findings
    of: dict[str, str | None]
    """Its cell, as JSON says it; nothing where there is one server."""


@click.command()
@url_option
@json_option
def check(url: str | None, *, as_json: bool) -> Exit:
    """Look whether the server can keep what Buckstop promises; each complaint names its fix.

    Where several cells are meant, look at each.
    """
    reports = [*_looked(settings_of_all(url), _fitness)]
    write_json([*_fields(reports)]) if as_json else _print(reports)
    refused = any(one.verdict is Verdict.REFUSED for one in _all(reports))
    return Exit.NO_SERVER if refused else Exit.OK


@click.command()
@click.option("--role", type=click.Choice(ROLES), help="Whose rights the present user must have.")
@url_option
@json_option
def doctor(role: str | None, url: str | None, *, as_json: bool) -> Exit:
    """Look at a running deployment; each complaint names its fix.

    Looks at what `buckstop check` looks at, and at rights, clocks, orchestrators, workers, queues,
    late work, receivers of news, and a sample of tasks; of several cells at each, and at what must
    agree between them. Changes nothing. The role is the name of the URL's user where that is one,
    else front: whoever gives commands.
    """
    reports = [*_looked(settings_of_all(url), partial(_examined, role), agree)]
    found = _all(reports)
    if as_json:
        write_json({"fit": fit(found), "findings": [*_fields(reports)]})
    else:
        _print(reports)
        print(_summary(found))
    return _exit(found)


def _looked(chosen: Settings, look: Look, compare: Compare | None = None) -> Iterator[Report]:
    """Look at the one server that is meant; or at each cell, and then compare them."""
    if chosen.cells is None:
        yield Report(_title(chosen), look(chosen), {})
        return
    with Cells(CellsFile.read(chosen.cells), chosen) as cells:
        states = cells.states()
        for one in states:
            yield _of_cell(one, look)
        if compare is not None:
            yield Report("between cells", compare(cells, states), {"cell": None})


def _of_cell(state: CellState, look: Look) -> Report:
    """Look at one cell; that it is away is a finding like others."""
    of: dict[str, str | None] = {"cell": state.cell}
    if state.away is not None:
        return Report(f"cell {state.cell}", _away(state.away), of)
    try:
        chosen = Settings.read({**os.environ, "BUCKSTOP_CELL": state.cell}, Path.cwd())
        return Report(_title(chosen), look(chosen), of)
    except (NoServer, RedisConnectionError, RedisTimeoutError) as gone:
        return Report(f"cell {state.cell}", _away(str(gone)), of)


def _away(why: str) -> Findings:
    return (Finding("server", Verdict.REFUSED, f"it is away: {why}", _AWAY_FIX),)


def _fitness(chosen: Settings) -> Findings:
    with connect(chosen.url) as client:
        desk = checks.desk(Store(client, chosen.keys).count_letters())
        return (*checks.inspect(client), desk)


def _examined(role: str | None, chosen: Settings) -> Findings:
    with connect(chosen.url) as client:
        mine, kept = role or _role(chosen.url), Sentinels.of(chosen.url)
        return examine(Deployment.of(client, chosen.keys, mine, chosen.signing_key, kept))


def _role(url: str) -> str:
    user = unquote(urlsplit(url).username or "")
    return user if user in ROLES else "front"


def _title(chosen: Settings) -> str:
    return f"{without_password(chosen.url)} (from {chosen.found_in})"


def _print(reports: Sequence[Report]) -> None:
    for report in reports:
        print(report.title)
        for one in report.findings:
            print(f"  {one.verdict:8} {one}")


def _all(reports: Sequence[Report]) -> Findings:
    return tuple(one for report in reports for one in report.findings)


def _fields(reports: Sequence[Report]) -> Iterator[dict[str, str | None]]:
    for report in reports:
        for one in report.findings:
            said = {"check": one.check, "verdict": one.verdict, "found": one.found, "fix": one.fix}
            yield {**report.of, **said}


def _summary(findings: Findings) -> str:
    bad = sum(one.verdict in BAD for one in findings)
    return "fit" if not bad else f"not fit: {bad} of {len(findings)} findings need something done"


def _exit(findings: Findings) -> Exit:
    if any(one.verdict is Verdict.REFUSED for one in findings):
        return Exit.NO_SERVER
    return Exit.OK if fit(findings) else Exit.ENDED_BADLY
