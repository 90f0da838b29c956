"""Find and count what there is, and forget what is over: tasks, letters, messages set aside.

Every list is read through an index that fits the filter, from a place on (wanted.py), so that page
5,000 costs what the first one does. The scripts that make a task or a letter what it is keep the
indexes in the same step, so that an index never says what is not so. Only the end of a record is
nobody's step: it expires by itself. So an orchestrator looks regularly (serve.py) and forgets what
has expired, and lets go of messages that nobody has decided in time, a bounded number at each look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from envelopes import limits
from envelopes.letter import Facet, LetterKind
from envelopes.scripts import Arg
from orchestrator.store.part import Part
from orchestrator.wanted import (
    ALL,
    ALL_TASKS,
    Place,
    Stage,
    TasksWanted,
    Wanted,
    most_first,
    require_no_cell,
)

DEFAULT: Final = "default"
"""Who decides of a message when its due time has passed: the default, and no person."""
TOO_LATE: Final = "nobody had decided it by its due time"


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything in a few figures."""

    open: int
    """Tasks that are neither over nor on the desk."""
    on_desk: int
    completed: int
    """These and the next two: until their records expire."""
    partial: int
    aborted: int
    letters: int
    letters_by_kind: Mapping[str, int]
    """Of those kinds of which there are any."""
    waiting: int
    """Messages that nobody has fetched, in all queues."""
    agents: int
    workers: int
    """Processes that live."""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


class Indexes(Part):
    """Where things are found."""

    def find_tasks(
        self, wanted: TasksWanted = ALL_TASKS, count: int = 20, before: Place | None = None
    ) -> list[Place]:
        """List tasks that are wanted, newest first; the record of an old one may have expired."""
        found = self._scripts.run("find_tasks", [], ["list", *_from(count, before), *_fit(wanted)])
        return _places(found)

    def read_tasks(self, task_ids: Sequence[str]) -> list[dict[str, bytes]]:
        """Return tasks' records in one round trip; what has expired meanwhile is empty."""
        return self._read([self._keys.task(each) for each in task_ids])

    def count_tasks(self, wanted: TasksWanted = ALL_TASKS) -> int:
        """Count the tasks that are wanted."""
        found = self._scripts.run("find_tasks", [], ["count", *_from(0, None), *_fit(wanted)])
        return int(found)

    def prune_tasks(self) -> int:
        """Forget tasks whose record has expired; PRUNE_MAX at most, and then there may be more."""
        return int(self._scripts.run("prune_tasks", [], []))

    def find_letters(
        self, wanted: Wanted = ALL, count: int = 20, before: Place | None = None
    ) -> list[Place]:
        """List open dead letters that are wanted, newest first."""
        return _places(self._find_letters("list", wanted, count, before))

    def read_letters(self, letter_ids: Sequence[str]) -> list[dict[str, bytes]]:
        """Return dead letters in one round trip; what has expired meanwhile is empty."""
        return self._read([self._keys.letter(each) for each in letter_ids])

    def count_letters(self, wanted: Wanted = ALL) -> int:
        """Count the open letters that are wanted."""
        if wanted == ALL:  # asked before every submit
            return int(self._client.zcard(self._keys.letters))
        return int(self._find_letters("count", wanted))

    def group_letters(self, facet: Facet, wanted: Wanted = ALL) -> dict[str, int]:
        """Count the open letters that are wanted by one facet of theirs, the most in front."""
        flat = self._find_letters(facet, wanted)
        return most_first(dict(zip(map(bytes.decode, flat[::2]), flat[1::2], strict=True)))

    def discard_due(self) -> int:
        """Let go of messages that nobody decided in time; DISCARD_MAX at most, as for tasks."""
        kept_ms = limits.RETENTION_S * 1000
        return int(self._scripts.run("discard_due", [], [DEFAULT, TOO_LATE, kept_ms]))

    def overview(self) -> Overview:
        """Count what there is, as of one moment."""
        kinds = [kind.value for kind in LetterKind]
        counted = [int(each) for each in self._scripts.run("overview", [], kinds)]
        *stages, letters, waiting, agents, workers = counted[: -len(kinds)]
        by_kind = zip(kinds, counted[-len(kinds) :], strict=True)
        there = most_first({kind: n for kind, n in by_kind if n})
        return Overview(
            **dict(zip(map(str, Stage), stages, strict=True)),
            letters=letters,
            letters_by_kind=there,
            waiting=waiting,
            agents=agents,
            workers=workers,
        )

    def _read(self, keys: Sequence[str]) -> list[dict[str, bytes]]:
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hgetall(key)
            found = pipe.execute()
        return [{name.decode(): value for name, value in each.items()} for each in found]

    def _find_letters(
        self, what: str, wanted: Wanted, count: int = 0, before: Place | None = None
    ) -> Any:
        require_no_cell(wanted)
        age = "" if wanted.least_age_ms is None else wanted.least_age_ms
        args: list[Arg] = [what, *_from(count, before), age]
        args += [part for pair in wanted.facets() for part in pair]
        return self._scripts.run("find_letters", [], args)


def _from(count: int, before: Place | None) -> tuple[Arg, Arg, Arg]:
    return (count, "", "") if before is None else (count, before.ms, before.id)


def _fit(wanted: TasksWanted) -> tuple[Arg, Arg]:
    require_no_cell(wanted)
    return wanted.stage or "", wanted.tenant or ""


def _places(flat: list[bytes]) -> list[Place]:
    return [Place(int(ms), id_.decode()) for id_, ms in zip(flat[::2], flat[1::2], strict=True)]
