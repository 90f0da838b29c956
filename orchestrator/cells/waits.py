"""Addresses at which one question is answered, in the cell of the question.

An address says nothing of its cell, so whoever comes with one is looked for in all, one after the
other; each counts the look.
"""

from collections.abc import Callable, Sequence

from envelopes.decision import Decision
from orchestrator.answers import NotFound
from orchestrator.cells.cell import Cell, CellAway
from orchestrator.wait_tokens import Looked


class CellWaits:
    """The addresses of a deployment; used as WaitTokens is (orchestrator/wait_tokens.py)."""

    def __init__(self, cells: Sequence[Cell], at_task: Callable[[str], Cell | None]) -> None:
        self._cells, self._at_task = cells, at_task

    def new(self, letter: str, task: str, by: str, ttl_s: int, due_ms: int) -> tuple[str, int]:
        """Make an address for a letter; return its secret, and when it is over."""
        return self._of(task).ask(lambda one: one.waits.new(letter, task, by, ttl_s, due_ms))

    def look(self, token: str, address: str) -> Looked:
        """Look what is there; raise CellAway where it is in no cell that answers."""
        nothing, away = Looked(None, 0), list[str]()
        for cell in self._cells:
            try:
                looked = cell.ask(lambda one: one.waits.look(token, address))
            except CellAway as gone:
                away += gone.cells
                continue
            if looked.wait is not None or looked.wait_ms:
                return looked
        if away:
            raise CellAway(away, "the address may be there")
        return nothing

    def answer(self, token: str, task: str, decision: Decision) -> bool:
        """Post the one answer to its task; False where there was one, or it comes too late."""
        return self._of(task).ask(lambda one: one.waits.answer(token, task, decision))

    def _of(self, task: str) -> Cell:
        if (cell := self._at_task(task)) is None:
            raise NotFound(f"no task {task!r}")
        return cell
