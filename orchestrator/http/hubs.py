"""Hear what happens in several cells: a listener for each, who tell into one ring.

Used as one Hub is (hub.py). A cell that is away is silent for that time; what happened in it
meanwhile is told once it is back, and the others are heard all the time.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from envelopes import limits
from envelopes.keys import Keys
from orchestrator.cells.cell import Cell
from orchestrator.http.hub import Ear, Hub
from orchestrator.http.ring import Ring


class Hubs:
    """Listens to all cells, as long as its `async with` block lasts."""

    def __init__(self, cells: Sequence[Cell], keys: Keys, ear: Ear) -> None:
        self.ring = Ring(limits.LIVE_KEPT)
        self.parts: Mapping[str, Hub] = {
            cell.name: Hub(cell.listed.where, keys, _EarOfOne(cell, ear), self.ring, cell.name)
            for cell in cells
        }
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for hub in self.parts.values():
            await self._running.enter_async_context(hub)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._running.aclose()

    async def begun(self) -> None:
        """Wait until each cell is heard, or known to be away."""
        for hub in self.parts.values():
            await hub.begun()


class _EarOfOne:
    """Passes on what is heard of one cell, and lets it be asked again as soon as it is back."""

    def __init__(self, cell: Cell, ear: Ear) -> None:
        self._cell, self._ear = cell, ear

    def hint(self, task: str) -> None:
        """Hear that a task has changed."""
        self._ear.hint(task)

    def turn(self, *, away: bool) -> None:
        """Hear that the cell is away, or back: whoever reads on that word must be answered."""
        if not away:
            self._cell.note_back()
        self._ear.turn(away=away)
