"""Commands about cells: which there are and how they are, and to make one as home is."""

from collections.abc import Iterable

import click
from rich.table import Table
from rich.text import Text

from envelopes.counted import counted
from orchestrator.cells.facade import Cells, opened
from orchestrator.cells.state import CellState
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import json_option, write_json
from orchestrator.cli.screen import console
from orchestrator.settings import SettingsError


@click.group(invoke_without_command=True)
@click.option("--tenant", help="Say where new tasks of this tenant go.")
@json_option
@click.pass_context
def cells(ctx: click.Context, tenant: str | None, *, as_json: bool) -> Exit:
    """List the cells in the file BUCKSTOP_CELLS: there or away, and what they have to do."""
    if ctx.invoked_subcommand is not None:
        return Exit.OK
    with _opened() as deployment:
        if tenant is not None:
            _tell_target(deployment, tenant, as_json=as_json)
            return Exit.OK
        found = deployment.states()
    write_json([one.as_json() for one in found]) if as_json else console().print(_table(found))
    return Exit.NO_SERVER if any(one.away for one in found) else Exit.OK


@cells.command()
@click.argument("name")
@json_option
def align(name: str, *, as_json: bool) -> None:
    """Make the tokens, subscriptions and caps of cell NAME as they are in the first one, home.

    For a cell that is new, or was away while something was changed.
    """
    with _opened() as deployment:
        done = deployment.align(name)
    if as_json:
        write_json({"cell": name, **done})
    else:
        told = ", ".join(counted(count, what[:-1]) for what, count in done.items())
        print(f"{name}: as home is now: {told}")


def _opened() -> Cells:
    deployment = opened()
    if not isinstance(deployment, Cells):
        deployment.close()
        raise SettingsError(
            "one server is meant here, and no cells; set BUCKSTOP_CELLS to the file that lists "
            "them, and neither BUCKSTOP_URL nor BUCKSTOP_CELL"
        )
    return deployment


def _tell_target(deployment: Cells, tenant: str, *, as_json: bool) -> None:
    where = deployment.target_of(tenant)
    if as_json:
        write_json({"tenant": tenant, "cell": where})
    else:
        print(where or f"tasks of {tenant} are spread over all cells that do not drain")


def _table(states: Iterable[CellState]) -> Table:
    table = Table(
        *("cell", "state", "open", "on desk", "kept", "letters", "waiting", "workers"), box=None
    )
    for one in states:
        figures = (one.open, one.on_desk, one.kept, one.letters, one.waiting, one.workers)
        table.add_row(one.cell, _said(one), *("" if n is None else f"{n:,}" for n in figures))
    return table


def _said(one: CellState) -> Text:
    """Say in a few words how a cell is."""
    if one.away is not None:
        return Text(f"away: {one.away}", style="red")
    words = ["home"] if one.home else []
    if one.done:
        words.append(f"drained{'; its results are kept' if one.kept else ''}")
    elif one.draining:
        words.append("draining")
    if not one.serving:
        return Text(", ".join([*words, "no orchestrator"]), style="yellow")
    return Text(", ".join([*words, "serving"]), style="green")
