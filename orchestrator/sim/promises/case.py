"""What a predicate is given, and what it yields."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.sim.books import Book
from orchestrator.sim.evidence import Evidence, Json, TaskEvidence

Checks = Iterator[str | None]
"""For each thing that was checked None, or what is wrong with it."""
Predicate = Callable[["Case"], Checks | None]
"""None instead of checks says that the collector could not see what is needed."""


@dataclass(frozen=True, slots=True)
class Case:
    """Evidence, and our own books of every task in it."""

    evidence: Evidence
    books: Mapping[str, Book]

    def ended(self) -> Iterable[tuple[TaskEvidence, Book, Json]]:
        """Walk over the tasks that are over, with their last record."""
        for book in self.books.values():
            if book.task.outcome is not None and book.task.head is not None:
                yield book.task, book, book.task.head
