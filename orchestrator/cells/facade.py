"""Submit tasks and follow them, where a deployment has several cells.

    from orchestrator.cells.facade import Cells

    with Cells.read(Path("cells.yaml")) as buckstop:
        task = buckstop.submit(goal="compare three vendors", tenant="acme", ...)
        print(task.result().result)

Cells is used as Buckstop is (orchestrator/client.py): what it is asked, it asks where that is, or
everywhere. `opened` gives the one or the other, by what the environment says; the command line and
the API begin with it.

A cell that is away raises CellAway, naming it, for whatever is in it; lists leave it out, and
`noting` says so (where.py).
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Self

from envelopes.strict import Refused
from orchestrator.answers import none_or_several
from orchestrator.cells import ranking
from orchestrator.cells.cell import Cell, CellAway, ask_each
from orchestrator.cells.file import CellsFile
from orchestrator.cells.opened import Opened
from orchestrator.cells.records import CellRecords
from orchestrator.cells.reservations import Reserved
from orchestrator.cells.shared import CellSubscriptions, CellTokens, aligned
from orchestrator.cells.state import CellState, states
from orchestrator.cells.waits import CellWaits
from orchestrator.client import Buckstop, TaskHandle, agents_now
from orchestrator.settings import Settings
from orchestrator.store import Submission
from orchestrator.view import AgentView


class Cells(Buckstop):
    """Connections to all cells of a deployment. Safe to share between threads."""

    store: CellRecords

    def __init__(self, file: CellsFile, settings: Settings) -> None:
        """Connect to each cell when it is first asked; `settings` say what is the same in all."""
        self.file = file
        self.settings = settings
        self.cells = {one.name: Cell(one, settings) for one in file.cells}
        self.store = CellRecords(list(self.cells.values()))

    @classmethod
    def read(cls, path: Path, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the file with the cells, or raise CellsFileError."""
        return cls(CellsFile.read(path), Settings.of_cells(environ, path))

    @cached_property
    def tokens(self) -> CellTokens:
        """Return the bearer tokens of the deployment."""
        return CellTokens(list(self.cells.values()))

    @cached_property
    def subscriptions(self) -> CellSubscriptions:
        """Return who is told of its news."""
        return CellSubscriptions(list(self.cells.values()))

    @cached_property
    def waits(self) -> CellWaits:
        """Return its addresses at which questions are answered."""
        return CellWaits(list(self.cells.values()), self.store.at_task)

    @property
    def home(self) -> Cell:
        """Return the cell in which tokens are looked up: the first in the file."""
        return self.cells[self.file.cells[0].name]

    def accept(self, checked: Submission) -> TaskHandle:
        """Submit to its cell what was checked before; or raise CellAway where that one is away.

        An idempotency key stands for one task, in whichever cell: also after cells were added.
        """
        way, cell = ranking.way(self._key_of(checked), self.file.cells), self.cell_for(checked)
        if checked.idempotency_key is None or way == (cell,):
            return self._put(checked, cell)
        return self._put_once(checked, way, cell)

    def cell_for(self, s: Submission) -> str:
        """Return the cell to which this goes, unless its key went to another one before."""
        return ranking.target(self._key_of(s), self.file.cells)

    def cell(self, name: str) -> Buckstop:
        """Return one cell by its name, or raise CellAway or CellsFileError."""
        if name not in self.cells:
            self.file.find(name)
        return self.cells[name].ask(lambda one: one.buckstop)

    def align(self, name: str) -> dict[str, int]:
        """Make a cell's tokens, subscriptions and caps as they are at home; count what home has."""
        self.file.find(name)
        return aligned(self.home, self.cells[name])

    def states(self) -> list[CellState]:
        """Say of each cell how it is."""
        return states(self.cells.values())

    def target_of(self, tenant: str) -> str | None:
        """Return the cell to which new tasks of a tenant go; None where they are spread."""
        return None if tenant in self.file.spread else ranking.target(tenant, self.file.cells)

    def cell_of(self, task_id: str) -> Buckstop:
        """Return the cell that a task is in, or raise NotFound."""
        if (cell := self.store.at_task(task_id)) is None:
            raise none_or_several(task_id)
        return cell.ask(lambda one: one.buckstop)

    def close(self) -> None:
        """Close all connections."""
        for cell in self.cells.values():
            cell.end()

    # --- submitting -----------------------------------------------------------------------------

    def _key_of(self, s: Submission) -> str:
        """Return by what the cell of a task is chosen: its tenant, or what names itself."""
        spread = s.tenant in self.file.spread
        return f"{s.tenant}/{s.idempotency_key or s.task_id}" if spread else s.tenant

    def _put(self, s: Submission, name: str) -> TaskHandle:
        """Submit to this cell, and find the task where a key stands for an earlier one."""
        try:
            handle = self._named(name).ask(lambda one: one.buckstop.accept(s))
        except Refused as wrong:
            if wrong.field != "task_id":
                raise
            return TaskHandle(self, s.task_id, created=False)  # somebody was first by this moment
        if handle.created:
            self.store.remember(name, [handle.id])
            return TaskHandle(self, handle.id)
        if self.store.task(handle.id) is None:
            return self._put_as_reserved(s, name)
        return TaskHandle(self, handle.id, created=False)

    def _put_once(self, s: Submission, way: tuple[str, ...], cell: str) -> TaskHandle:
        """Submit to this cell, unless the key went to another one, or is on its way there."""
        reserved = self._reserve(s, way, Reserved(s.task_id, cell))
        is_ours = reserved.task_id == s.task_id
        # Where it was is remembered, and says nothing of whether it still is: it may be purged.
        if not is_ours and self.store.task(reserved.task_id) is not None:
            return TaskHandle(self, reserved.task_id, created=False)
        return self._put(replace(s, task_id=reserved.task_id), reserved.cell)

    def _put_as_reserved(self, s: Submission, name: str) -> TaskHandle:
        """Submit what somebody has reserved here and not submitted: they died in between."""
        tenant, key = _key(s)
        reserved = self._named(name).ask(lambda one: one.reservations.find(tenant, key, name))
        wish = reserved or Reserved(s.task_id, name)
        return self._put(replace(s, task_id=wish.task_id), wish.cell)

    def _reserve(self, s: Submission, way: tuple[str, ...], wish: Reserved) -> Reserved:
        """Return what a key stands for, in the cell on which all lists agree; this, if nothing."""
        (tenant, key), kept_ms = _key(s), s.timeout_ms + s.retention_ms
        oldest, *later = map(self._named, way)
        looked = ask_each((c, partial(_find, tenant, key, c.name)) for c in later)
        known = next(filter(None, looked.require_all("looked").values()), wish)
        return oldest.ask(
            lambda one: one.reservations.make(tenant, key, known, kept_ms, oldest.name)
        )

    def _named(self, name: str) -> Cell:
        """Return a cell that a reservation names; an old list may lack it."""
        if name not in self.cells:
            raise CellAway([name], f"{self.file.path} does not have it; is that an old one?")
        return self.cells[name]


def opened(
    url: str | None = None, environ: Mapping[str, str] = os.environ, start: Path | None = None
) -> Buckstop:
    """Connect to what the environment names: all cells of a deployment, or its one server."""
    return deployed(Settings.of_all(environ, start, url))


def deployed(settings: Settings) -> Buckstop:
    """Connect to what the settings name."""
    if settings.cells is not None:
        return Cells(CellsFile.read(settings.cells), settings)
    return Buckstop(settings=settings)


def agents_of(buckstop: Buckstop, task_id: str) -> list[AgentView]:
    """Return the agents that a task may wait for: those of its cell, as they are now."""
    here = buckstop.cell_of(task_id) if isinstance(buckstop, Cells) else buckstop
    return agents_now(here.store)


def _key(s: Submission) -> tuple[str, str]:
    assert s.idempotency_key is not None, "without a key nothing is looked for"
    return s.tenant, s.idempotency_key


def _find(tenant: str, key: str, name: str, one: Opened) -> Reserved | None:
    return one.reservations.find(tenant, key, name)
