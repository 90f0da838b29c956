"""What is kept in all cells, asked for as if it were one store (orchestrator/records.py).

Lists and figures are asked of all cells side by side and joined (merge.py); what is about one task
or one letter is asked where that is (where.py). A record's field `cell` says where it was read.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from envelopes.letter import Facet
from orchestrator.answers import none_or_several
from orchestrator.books import Spend
from orchestrator.caps import AgentSeen, CapKind
from orchestrator.cells import merge
from orchestrator.cells.cell import Cell, ask_all, ask_each
from orchestrator.cells.news import CellNews
from orchestrator.cells.opened import Opened
from orchestrator.cells.where import CELL, note
from orchestrator.records import Numbered, Records
from orchestrator.store import (
    Events,
    MessageDecision,
    MessageSettled,
    Overview,
    Submission,
    Submitted,
)
from orchestrator.wanted import ALL, ALL_TASKS, Place, TasksWanted, Wanted, most_first

T = TypeVar("T")
Record = dict[str, bytes]


class CellRecords(CellNews):
    """All that is kept in all cells. Safe to share between threads."""

    # --- tasks ----------------------------------------------------------------------------------

    def submit(self, submission: Submission) -> Submitted:
        """Refuse: which cell a task goes to is chosen before it comes to a store (facade.py)."""
        raise AssertionError(f"{submission.task_id}: no cell was chosen")

    def task(self, task_id: str) -> Record | None:
        """Return a task's whole record."""
        return self._record(self.at_task(task_id), lambda store: store.task(task_id))

    def read_tasks(self, task_ids: Sequence[str]) -> list[Record]:
        """Return tasks' records; what has expired, or is away by now, is empty."""
        return self._records(task_ids, lambda ids, store: store.read_tasks(ids))

    def find_tasks(
        self, wanted: TasksWanted = ALL_TASKS, count: int = 20, before: Place | None = None
    ) -> list[Place]:
        """List tasks that are wanted, newest first."""
        there = replace(wanted, cell=None)
        return self._found(lambda store: store.find_tasks(there, count, before), count, wanted.cell)

    def count_tasks(self, wanted: TasksWanted = ALL_TASKS) -> int:
        """Count the tasks that are wanted."""
        there = replace(wanted, cell=None)
        return sum(self._each(lambda store: store.count_tasks(there), wanted.cell))

    def journal(self, task_id: str) -> list[bytes]:
        """Return a task's history, oldest first."""
        cell = self.at_task(task_id)
        return [] if cell is None else cell.ask(lambda one: one.store.journal(task_id))

    def journal_from(
        self, task_id: str, after: int | None, count: int
    ) -> tuple[Numbered, int | None]:
        """Return lines of a task's history behind a place."""
        cell = self.at_task(task_id)
        if cell is None:
            return [], None
        return cell.ask(lambda one: one.store.journal_from(task_id, after, count))

    def events(self, task_id: str) -> Events:
        """Listen to a task's commits, in its cell; or raise NotFound."""
        if (cell := self.at_task(task_id)) is None:
            raise none_or_several(task_id)
        return cell.ask(lambda one: one.store.events(task_id))

    def post(self, task_id: str, letter: bytes, op: str) -> bool:
        """Put a letter into a task's mail; False where there is no such open task."""
        cell = self.at_task(task_id)
        return cell is not None and cell.ask(lambda one: one.store.post(task_id, letter, op))

    # --- letters --------------------------------------------------------------------------------

    def letter(self, letter_id: str) -> Record | None:
        """Return a dead letter, open or decided."""
        return self._record(self.at_letter(letter_id), lambda store: store.letter(letter_id))

    def read_letters(self, letter_ids: Sequence[str]) -> list[Record]:
        """Return dead letters, as read_tasks does."""
        return self._records(letter_ids, lambda ids, store: store.read_letters(ids))

    def find_letters(
        self, wanted: Wanted = ALL, count: int = 20, before: Place | None = None
    ) -> list[Place]:
        """List open dead letters that are wanted, newest first."""
        there = replace(wanted, cell=None)
        return self._found(
            lambda store: store.find_letters(there, count, before), count, wanted.cell
        )

    def count_letters(self, wanted: Wanted = ALL) -> int:
        """Count the open letters that are wanted."""
        there = replace(wanted, cell=None)
        return sum(self._each(lambda store: store.count_letters(there), wanted.cell))

    def group_letters(self, facet: Facet, wanted: Wanted = ALL) -> dict[str, int]:
        """Count the open letters that are wanted by one facet of theirs, the most in front."""
        there = replace(wanted, cell=None)
        counts = self._each(lambda store: store.group_letters(facet, there), wanted.cell)
        return most_first(merge.summed(counts))

    def settle_message(self, decision: MessageDecision, op: str) -> MessageSettled | None:
        """Decide on a message that was set aside, in its cell."""
        cell = self.at_letter(decision.letter)
        return (
            None if cell is None else cell.ask(lambda one: one.store.settle_message(decision, op))
        )

    # --- agents, queues, tenants ----------------------------------------------------------------

    def overview(self) -> Overview:
        """Count what there is."""
        return merge.overview(self._each(lambda store: store.overview()))

    def agents(self) -> dict[str, AgentSeen]:
        """Return what is known of each agent; one of several cells is joined."""
        return merge.agents(self._each(lambda store: store.agents()))

    def workers(self) -> list[dict[str, Any]]:
        """Return what every worker that lives last said of itself, and its cell."""
        said = self.everywhere(lambda store: store.workers()).said
        return [{**one, CELL: name} for name, some in said.items() for one in some]

    def tenants(self) -> dict[str, dict[str, int]]:
        """Return how many tasks each tenant has at work, may have there, and has waiting."""
        return merge.tenants(self._each(lambda store: store.tenants()))

    def caps(self) -> dict[str, int]:
        """Return the caps that operators have set; they are the same in each cell."""
        return {
            name: cap for caps in self._each(lambda one: one.caps()) for name, cap in caps.items()
        }

    def queue_depth(self, agent: str) -> int:
        """Count the messages that wait for an agent."""
        return sum(self._each(lambda store: store.queue_depth(agent)))

    def queues(self) -> list[tuple[str, str, int]]:
        """Return queues and lanes with their depths: agent, name, depth."""
        found = (dict(_depths(some)) for some in self._each(lambda store: store.queues()))
        return [(*each, depth) for each, depth in sorted(merge.summed(found).items())]

    def dead_letters(self) -> tuple[str, int]:
        """Return the name of the queue that tells of letters, and its depth."""
        found = self._each(lambda store: store.dead_letters())
        return found[0][0], sum(depth for _, depth in found)

    def submissions(self) -> tuple[str, int]:
        """Return the name of the queue on which others put requests, and its depth."""
        found = self._each(lambda store: store.submissions())
        return found[0][0], sum(depth for _, depth in found)

    def set_cap(self, kind: CapKind, name: str, cap: int | None) -> None:
        """Bound an agent or a tenant in each cell; raise CellAway where one does not hear it."""
        answers = ask_all(self.cells.values(), lambda one: one.store.set_cap(kind, name, cap))
        answers.require_all("the cap is set")

    def reset_breaker(self, agent: str) -> bool:
        """Close an agent's breaker in each cell, as set_cap does."""
        answers = ask_all(self.cells.values(), lambda one: one.store.reset_breaker(agent))
        return any(answers.require_all("the breaker is closed").values())

    def spend(self, days: int) -> list[Spend]:
        """Return what was spent today and on the days before it."""
        return merge.spend(row for rows in self._each(lambda one: one.spend(days)) for row in rows)

    def calibration(self) -> list[bytes]:
        """Return what people thought of results that agents were sure of."""
        return [line for lines in self._each(lambda one: one.calibration()) for line in lines]

    def stats(self) -> dict[str, int]:
        """Return all counters that have counted anything."""
        return merge.summed(self._each(lambda store: store.stats()))

    def serving(self) -> bool:
        """Say whether an orchestrator has looked for work lately, in any cell."""
        return any(self._each(lambda store: store.serving()))

    # --- asking ---------------------------------------------------------------------------------

    def _each(self, what: Callable[[Records], T], only: str | None = None) -> list[T]:
        return list(self.everywhere(what, only).said.values())

    def _found(
        self, what: Callable[[Records], list[Place]], count: int, only: str | None
    ) -> list[Place]:
        said = self.everywhere(what, only).said
        for name, some in said.items():
            self.remember(name, (each.id for each in some))
        return merge.newest(said.values(), count)

    def _record(self, cell: Cell | None, read: Callable[[Records], Record | None]) -> Record | None:
        if cell is None:
            return None
        found = cell.ask(lambda one: read(one.store))
        return None if found is None else {**found, CELL: cell.name.encode()}

    def _records(
        self, ids: Sequence[str], read: Callable[[Sequence[str], Records], list[Record]]
    ) -> list[Record]:
        """Read records that a list has named, each where it was found."""
        here: dict[str, list[str]] = {}
        for each in ids:
            if (name := self.known(each)) is not None:
                here.setdefault(name, []).append(each)
        answers = ask_each((self.cells[n], partial(_read, read, some)) for n, some in here.items())
        note(answers.missing)
        found = {
            each: {**record, CELL: name.encode()}
            for name, records in answers.said.items()
            for each, record in zip(here[name], records, strict=True)
            if record
        }
        return [found.get(each, {}) for each in ids]


def _read(
    read: Callable[[Sequence[str], Records], list[Record]], ids: Sequence[str], one: Opened
) -> list[Record]:
    return read(ids, one.store)


def _depths(queues: list[tuple[str, str, int]]) -> Iterator[tuple[tuple[str, str], int]]:
    return (((agent, name), depth) for agent, name, depth in queues)
