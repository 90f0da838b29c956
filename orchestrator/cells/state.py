"""How each cell is: there or away, whether it takes new tasks, and what it has to do."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from orchestrator.cells.cell import Cell, ask_all
from orchestrator.cells.opened import Opened

_UNKNOWN: Final[dict[str, Any]] = dict.fromkeys(
    ("serving", "open", "on_desk", "kept", "letters", "waiting", "workers")
)


@dataclass(frozen=True, slots=True)
class CellState:
    """One cell; where it is away, its figures are unknown."""

    cell: str
    home: bool
    """Whether tokens and sessions are looked up there."""
    draining: bool
    """Whether it takes no new tasks."""
    away: str | None
    """Why it does not answer, where it does not."""
    serving: bool | None
    """Whether an orchestrator has looked for work there lately."""
    open: int | None
    """Tasks that are neither over nor on the desk."""
    on_desk: int | None
    kept: int | None
    """Tasks that are over, until their records expire."""
    letters: int | None
    waiting: int | None
    """Messages that nobody has fetched."""
    workers: int | None

    @property
    def done(self) -> bool:
        """Say whether nothing in it has to be done any more: it may be taken off the list."""
        return self.draining and not any((self.open, self.on_desk, self.letters, self.away))

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def states(cells: Iterable[Cell]) -> list[CellState]:
    """Look at each cell, the first of which is home."""
    looked = list(cells)
    answers = ask_all(looked, _look)
    why = {name: one.why for one in answers.away for name in one.cells}
    return [
        CellState(
            cell=cell.name,
            home=cell is looked[0],
            draining=cell.listed.draining,
            away=why.get(cell.name),
            **answers.said.get(cell.name, _UNKNOWN),
        )
        for cell in looked
    ]


def _look(one: Opened) -> dict[str, Any]:
    seen = one.store.overview()
    return {
        "serving": one.store.serving(),
        "open": seen.open,
        "on_desk": seen.on_desk,
        "kept": seen.completed + seen.partial + seen.aborted,
        "letters": seen.letters,
        "waiting": seen.waiting,
        "workers": seen.workers,
    }
