"""In which cell something is, and what all cells say of something.

A task or a letter is in one cell, and its id does not say in which: all are asked side by side, and
what was found is remembered. So ids need no form, a task that came by Celery into a cell is found
like any other, and a cell's name is nobody's business but ranking.py's.

A cell that is away is left out of lists and figures, and noted (`missing`). Of a task that nobody
else knows, nobody can say then that there is none: CellAway is raised.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Final, TypeVar

from envelopes import limits
from envelopes.strict import Refused
from orchestrator.cells.cell import AllAway, Answers, Cell, CellAway, ask_all
from orchestrator.records import Records

T = TypeVar("T")
CELL: Final = "cell"
"""The field that says in a record where it was read; no stored one is called so."""
_missing: ContextVar[set[str] | None] = ContextVar("missing", default=None)


@contextmanager
def noting() -> Iterator[set[str]]:
    """Note in a set which cells are left out of whatever is asked inside this block."""
    noted: set[str] = set()
    before = _missing.set(noted)
    try:
        yield noted
    finally:
        _missing.reset(before)


def missing() -> list[str]:
    """Name the cells that were left out until now of what is asked in this context."""
    return sorted(_missing.get() or ())


def note(cells: Iterable[str]) -> None:
    """Note that cells are left out, where somebody wants to know."""
    if (noted := _missing.get()) is not None:
        noted.update(cells)


class Where:
    """All cells, and where things were found. Safe to share between threads."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.cells: Mapping[str, Cell] = {cell.name: cell for cell in cells}
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = Lock()

    def at_task(self, task_id: str) -> Cell | None:
        """Return the cell that has a task, or None; raise CellAway where nobody can know."""
        return self._at(task_id, lambda store: store.task(task_id) is not None)

    def at_letter(self, letter_id: str) -> Cell | None:
        """Return the cell that has a letter, as for a task."""
        return self._at(letter_id, lambda store: store.letter(letter_id) is not None)

    def remember(self, name: str, ids: Iterable[str]) -> None:
        """Note in which cell things are; what nobody has asked for lately is forgotten."""
        with self._lock:
            for each in ids:
                self._known[each] = name
                self._known.move_to_end(each)
            while len(self._known) > limits.CELL_PLACES_MAX:
                self._known.popitem(last=False)

    def known(self, about: str) -> str | None:
        """Return where something was found before."""
        return self._known.get(about)

    def everywhere(self, what: Callable[[Records], T], only: str | None = None) -> Answers[T]:
        """Ask all cells, or one; note those that are away, or raise CellAway where all are."""
        asked = self.cells.values() if only is None else [self._named(only)]
        answers = ask_all(asked, lambda one: what(one.store))
        if not answers.said:
            none_answers = AllAway if only is None else CellAway
            raise none_answers(answers.missing, answers.away[0].why)
        note(answers.missing)
        return answers

    def _named(self, name: str) -> Cell:
        if name not in self.cells:
            raise no_such_cell(name, self.cells)
        return self.cells[name]

    def _at(self, about: str, has: Callable[[Records], bool]) -> Cell | None:
        if (name := self._known.get(about)) is not None:
            return self.cells[name]
        answers = ask_all(self.cells.values(), lambda one: has(one.store))
        for name, there in answers.said.items():
            if there:
                self.remember(name, [about])
                return self.cells[name]
        if answers.away:
            raise CellAway(answers.missing, f"{about} is in no other, so it may be there")
        return None


def no_such_cell(name: str, known: Iterable[str]) -> Refused:
    """Say which cells there are where another one is named."""
    return Refused("cell", f"there is no cell {name!r}; there are: {', '.join(known)}")
