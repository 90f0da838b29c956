"""Forget finished tasks before their time, in all cells; used as Purge is (orchestrator/purge.py).

A task and what mentions it are in one cell, but for its idempotency key: where cells were added
since, that is reserved in another (reservations.py), and forgotten there first. A cell that is away
is left out and noted; whoever says the same again once it is back forgets the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import TypeVar

from orchestrator.cells.cell import AllAway, Cell, CellAway
from orchestrator.cells.opened import Opened
from orchestrator.cells.where import note
from orchestrator.purge import Purge, Purged, PurgeFound, PurgeWanted

T = TypeVar("T")


class CellPurge:
    """Finds and forgets in one cell after the other, for each may take long."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = cells

    def find(self, wanted: PurgeWanted) -> PurgeFound:
        """Say what would go, and in which cell; what no cell knows that answers is unknown."""
        found = self._each(lambda one: _purge(one).find(wanted))
        unknown = set(wanted.tasks).intersection(*(each.unknown for each in found.values()))
        return PurgeFound(
            over=tuple(task for each in found.values() for task in each.over),
            open=tuple(task for each in found.values() for task in each.open),
            unknown=tuple(task for task in wanted.tasks if task in unknown),
            by_cell={name: len(each.over) for name, each in found.items()},
        )

    def run(self, tasks: Sequence[str]) -> Purged:
        """Forget these tasks where they are, and every mention of them."""
        of_keys = self._each(lambda one: _purge(one).of_keys(tasks)).values()
        standing = {key: task for each in of_keys for key, task in each.items()}
        self._each(lambda one: one.reservations.forget(standing))
        done = self._each(lambda one: _purge(one).run(tasks)).values()
        return Purged(*map(sum, zip(*map(astuple, done), strict=True)))

    def rewrite(self) -> None:
        """Let each server write its file anew, without what is gone."""
        self._each(lambda one: _purge(one).rewrite())

    def _each(self, what: Callable[[Opened], T]) -> dict[str, T]:
        """Ask each cell; note those that are away, or raise AllAway."""
        said: dict[str, T] = {}
        away: list[CellAway] = []
        for cell in self._cells:
            try:
                said[cell.name] = cell.ask(what)
            except CellAway as gone:
                away.append(gone)
        missing = [name for gone in away for name in gone.cells]
        if not said:
            raise AllAway(missing, away[0].why)
        note(missing)
        return said


def _purge(one: Opened) -> Purge:
    return Purge(one.client, one.settings.keys)
