"""What somebody wants to see or to decide, and where a list of it goes on.

A list is read page by page, the newest in front. Where the next page begins is a place: the moment
and the id of the last one shown. Things come and go between two pages, and still none is shown
twice and none that was there all the time is left out, which no offset can promise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from envelopes.letter import Facet
from envelopes.strict import Refused

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one thing stands in a list: by its moment, and among equals by its id."""

    ms: int
    id: str


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A piece of a list, the newest in front."""

    items: list[Item]
    next: Place | None
    """What comes after is what stands before this place; None where nothing does."""


class Stage(StrEnum):
    """How far a task has come, as far as it is found by that."""

    OPEN = "open"
    """Accepted, and neither over nor on the desk."""
    ON_DESK = "on_desk"
    COMPLETED = "completed"
    PARTIAL = "partial"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class TasksWanted:
    """Tasks at this stage, of this tenant; nothing said is no condition."""

    stage: Stage | None = None
    tenant: str | None = None
    cell: str | None = None
    """Of several cells, in this one only."""


ALL_TASKS = TasksWanted()
"""Every task whose record is kept."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Open letters with these facets that have waited this long; nothing said is no condition."""

    kind: str | None = None
    reason: str | None = None
    agent: str | None = None
    tenant: str | None = None
    least_age_ms: int | None = None
    cell: str | None = None
    """Of several cells, in this one only."""

    def facets(self) -> Iterator[tuple[Facet, str]]:
        """Yield each facet that matters, and the value it must have."""
        for facet in Facet:
            if (value := getattr(self, facet)) is not None:
                yield facet, value

    def fits(self, letter: Mapping[str, bytes], now_ms: int) -> bool:
        """Say whether a letter, as it is stored, is one of them."""
        waited_ms = now_ms - int(letter["filed_ms"])
        return waited_ms >= (self.least_age_ms or 0) and all(
            letter.get(facet, b"").decode() == value for facet, value in self.facets()
        )


ALL = Wanted()
"""Every open letter."""


def require_no_cell(wanted: TasksWanted | Wanted) -> None:
    """Raise Refused where a cell is named and there is one server: its name may be a mistake."""
    if wanted.cell is not None:
        raise no_cells(wanted.cell)


def no_cells(name: str) -> Refused:
    """Say that there is one server where a cell is named."""
    return Refused("cell", f"one server is asked, and no cells such as {name!r}")


def most_first(counted: Mapping[str, int]) -> dict[str, int]:
    """Put the values that most letters have in front, equals by name."""
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))


def page_of(found: Sequence[Place], count: int) -> tuple[list[str], Place | None]:
    """Say what is on a page of a list that was asked for one more, and where the next begins."""
    more = len(found) > count > 0
    return [each.id for each in found[:count]], found[count - 1] if more else None
