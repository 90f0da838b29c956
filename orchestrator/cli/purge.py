"""The command that forgets finished tasks before their time: purge."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import click
from pydantic import TypeAdapter

from envelopes.counted import counted
from envelopes.request import Age
from envelopes.scripts import connect
from orchestrator.cells.facade import Cells
from orchestrator.cells.file import CellsFile
from orchestrator.cells.purging import CellPurge
from orchestrator.cells.where import noting
from orchestrator.cli.exits import Exit
from orchestrator.cli.options import complain, json_option, settings_of_all, url_option, write_json
from orchestrator.purge import OVER, Purge, Purged, PurgeFound, PurgeWanted
from orchestrator.wanted import Stage

_SAMPLE = 5


@click.command()
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option("--older", metavar="TIME", help="Only what ended so long ago, such as 30d.")
@click.option("--tenant", help="Only of this tenant.")
@click.option("--state", type=click.Choice([each.value for each in OVER]), help="Only these.")
@click.option("--yes", is_flag=True, help="Do it; without, only show what it would be.")
@click.option("--rewrite", is_flag=True, help="Then let the server write its file anew.")
@url_option
@json_option
def purge(
    tasks: tuple[str, ...],
    older: str | None,
    tenant: str | None,
    state: str | None,
    url: str | None,
    *,
    yes: bool,
    rewrite: bool,
    as_json: bool,
) -> Exit:
    """Forget finished tasks, and every mention of them, before their time; not to be undone.

    Each TASK by its whole id, or all that fit the options. What is not over stays: cancel it first.
    It needs a user of the server who may SCAN, such as admin; of several cells, in each.
    """
    if not (tasks or older or tenant or state):
        raise click.UsageError(
            "say which: tasks by id, --older 30d, --tenant NAME or --state STATE"
        )
    wanted = PurgeWanted(tasks, tenant, Stage(state) if state else None, _ms(older))
    with _purging(url) as purging, noting() as missing:
        found = purging.find(wanted)
        done = purging.run([*found.over, *found.unknown]) if yes else None
        if yes and rewrite:
            purging.rewrite()
    if done is None:
        _preview(found, missing, as_json=as_json)
    else:
        _tell(done, found, missing, as_json=as_json)
    for name in sorted(missing):
        complain(f"cell {name!r} is away, and not looked at; say it again once it is back")
    return Exit.NO_SERVER if missing else Exit.OK


@contextmanager
def _purging(url: str | None) -> Iterator[Purge | CellPurge]:
    """Open what forgets at the server that is meant, or in all cells."""
    chosen = settings_of_all(url)
    if chosen.cells is None:
        with connect(chosen.url) as client:
            yield Purge(client, chosen.keys)
    else:
        with Cells(CellsFile.read(chosen.cells), chosen) as cells:
            yield CellPurge(list(cells.cells.values()))


def _ms(older: str | None) -> int:
    if older is None:
        return 0
    try:
        return int(TypeAdapter(Age).validate_python(older) * 1000)
    except ValueError:
        raise click.UsageError("--older is a time, such as 12h or 30d") from None


def _preview(found: PurgeFound, missing: Collection[str], *, as_json: bool) -> None:
    if as_json:
        about = {"tasks": len(found.over), "sample": found.over[:_SAMPLE], "open": found.open}
        write_json({**about, **_cells(found, missing)})
        return
    for task in found.over[:_SAMPLE]:
        print(task)
    again = "; say it again with --yes to do it" if found.over or found.unknown else ""
    where = ", ".join(f"{count:,} in {name}" for name, count in found.by_cell.items())
    told = f"{counted(len(found.over), 'task')} would be gone for good"
    complain(told + (f" ({where})" if where else "") + again)
    _say_unknown(found)
    _say_open(found)


def _tell(done: Purged, found: PurgeFound, missing: Collection[str], *, as_json: bool) -> None:
    if as_json:
        write_json({"purged": done, "open": found.open, **_cells(found, missing)})
        return
    print(
        f"gone: {counted(done.tasks, 'task')}, {counted(done.letters, 'letter')}, "
        f"{counted(done.news, 'line of news', 'lines of news')}, "
        f"{counted(done.deliveries, 'delivery')}"
    )
    _say_open(found)


def _cells(found: PurgeFound, missing: Collection[str]) -> dict[str, Any]:
    """Say how many are in which cell, where there are several."""
    return {"cells": found.by_cell, "missing": sorted(missing)} if found.by_cell else {}


def _say_unknown(found: PurgeFound) -> None:
    if found.unknown:
        complain(
            f"there is no task {found.unknown[0]!r}: it is gone already, or that "
            "is not its whole id, which buckstop show tells; with --yes, mentions of it would go"
        )


def _say_open(found: PurgeFound) -> None:
    if found.open:
        complain(
            f"not over, so they stay: {counted(len(found.open), 'task')}; end them first, such as: "
            f"buckstop cancel {found.open[0]}"
        )
