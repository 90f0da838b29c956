"""What a stream tells: all news, or one task.

    NewsSource   event: task.accepted ...   what has happened; id: its place in the news
                 event: task                a hint: this task has changed
                 event: gap                 news before here are gone: read the lists anew
    TaskSource   event: note                a line of the journal; id: its place there
                 event: task                the task as it is now
                 event: gap                 lines before here are gone
                 event: end                 the task is over, and this was all
    both         event: away                Redis is; what happens meanwhile is told later
                 event: back

Each is asked for chunk after chunk by one stream (stream.py). Between two chunks it is only a
place: in the ring, or in the journal.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Self

from redis.exceptions import RedisError

from envelopes import limits
from orchestrator.cells.places import UNKNOWN, is_behind, read, written
from orchestrator.cells.where import no_such_cell
from orchestrator.client import NotFound
from orchestrator.http.access import Caller
from orchestrator.http.follow import NONE, Follow, Follows, Line
from orchestrator.http.hub import Hub, gap
from orchestrator.http.hubs import Hubs
from orchestrator.http.problems import Problem
from orchestrator.http.ring import ONE, Item, frame
from orchestrator.news import after_of
from orchestrator.wanted import no_cells

AnyHub = Hub | Hubs


class Presence:
    """Says once that a server is away, and once that it is back."""

    def __init__(self, parts: Mapping[str, Hub]) -> None:
        """Speak of these cells."""
        self._parts = parts
        self._away: frozenset[str] = frozenset()

    def frames(self) -> list[bytes]:
        """Return what is to be said now."""
        before, now = self._away, self._now()
        self._away = now
        said = (("away", now - before), ("back", before - now))
        return [frame(event, _of_cells(cells)) for event, cells in said if cells]

    def _now(self) -> frozenset[str]:
        return frozenset(cell for cell, hub in self._parts.items() if hub.away)


class NewsSource:
    """All news that a caller may see, from now on or from where they left.

    A place is one line in the news of each cell that was asked for. What was told before the stream
    began is read from the cells themselves (`_behind`); one that is away is read when it is back.
    """

    def __init__(
        self,
        hub: AnyHub,
        caller: Caller,
        kinds: frozenset[str] | None = None,
        after: str | None = None,
        cell: str | None = None,
    ) -> None:
        self._hub, self._tenant, self._kinds = hub, caller.tenant, kinds
        self._parts = _parts(hub, cell)
        self._presence = Presence(self._parts)
        self._after = {} if after is None else places_of(self._parts, after)
        """By cell, the last news that this caller needs no more."""
        self._behind = {cell for cell, line in self._after.items() if line != UNKNOWN}
        self._place = 0
        self._first: list[bytes] = []

    async def __aenter__(self) -> Self:
        self._place = self._hub.ring.end
        begins = {cell: hub.last for cell, hub in self._parts.items()}
        known = {cell: line or UNKNOWN for cell, line in begins.items()}
        self._after = known | {c: line for c, line in self._after.items() if line != UNKNOWN}
        self._first = [_opening(self._text())]
        for cell in sorted(self._behind):
            if await self._has_gap(cell):
                self._first.append(gap(self._text()).frame)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held."""

    async def chunk(self) -> bytes | None:
        """Wait for news; None for a caller that is too far behind: it comes again and resumes."""
        while True:
            coming = self._hub.ring.told.next
            items = await self._items()
            if items is None:
                return None
            told = [*self._first, *self._presence.frames(), *self._wanted(items)]
            self._first = []
            if told:
                return b"".join(told)
            if not items:
                await coming.wait()

    def alive(self) -> bytes:
        """Say that nothing has come, and up to where: what was left out is not asked for again."""
        after = self._text()
        return f"id: {after}\n: alive\n\n".encode() if after else b": alive\n\n"

    async def _items(self) -> Sequence[Item] | None:
        if there := [cell for cell in self._behind if not self._parts[cell].away]:
            return await self._all_older(there)
        items = self._hub.ring.after(self._place, limits.LIVE_PAGE)
        self._place += len(items or ())
        return items

    async def _all_older(self, cells: Sequence[str]) -> Sequence[Item]:
        """Read what was told before this stream began; the rest is in the ring by then."""
        read = [(cell, await self._older(cell)) for cell in cells]
        pages = {cell: page for cell, page in read if page is not None}
        # After the last wait: whoever is cut off while one cell is slow reads the others again.
        self._behind -= {cell for cell, page in pages.items() if len(page) < limits.LIVE_PAGE}
        return [item for page in pages.values() for item in page]

    async def _older(self, cell: str) -> Sequence[Item] | None:
        """Read a page of one cell; None where it cannot be read now."""
        try:
            return await self._parts[cell].read(self._after[cell], limits.LIVE_PAGE)
        except RedisError:
            return None  # the hub says that it is away, and calls when it is back

    async def _has_gap(self, cell: str) -> bool:
        """Say whether news may be gone; of one among several that is away, nobody can."""
        try:
            return await self._parts[cell].has_gap(self._after[cell])
        except RedisError:
            if len(self._hub.parts) == 1:
                raise
            return False

    def _wanted(self, items: Sequence[Item]) -> list[bytes]:
        asked = (item for item in items if item.cell in self._parts)
        return [self._placed(item) for item in asked if self._is_new(item) and self._concerns(item)]

    def _placed(self, item: Item) -> bytes:
        """Return an item as it is written: of several cells, with this caller's own place."""
        if item.id is None or item.cell == ONE:
            return item.frame
        return f"id: {self._text()}\n".encode() + item.frame

    def _is_new(self, item: Item) -> bool:
        if item.id is None:
            return True
        if not is_behind(self._after, item.cell, item.id):
            return False
        self._after[item.cell] = item.id
        return True

    def _concerns(self, item: Item) -> bool:
        asked = self._kinds is None or item.event in self._kinds or item.event == "gap"
        return asked and item.concerns(self._tenant)

    def _text(self) -> str:
        """Return this caller's place; empty while nobody knows it."""
        if set(self._after) == {ONE}:
            return self._after[ONE].replace(UNKNOWN, "")
        return written(self._after)


class TaskSource:
    """One task: its journal, and itself after each change, until it is over."""

    def __init__(
        self, hub: AnyHub, follows: Follows, caller: Caller, task: str, after: int
    ) -> None:
        self._hub, self._follows, self._caller, self._task = hub, follows, caller, task
        self._presence = Presence(hub.parts)
        self._after, self._version = after, NONE
        self._first = [_opening("")]
        self._ended = False
        self._follow: Follow

    async def __aenter__(self) -> Self:
        self._follow = self._follows.take(self._task)
        try:
            await self._find()
        except BaseException:
            await self._follows.give_back(self._follow)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._follows.give_back(self._follow)

    async def chunk(self) -> bytes | None:
        """Wait for what the task does next; None once it is over."""
        while not self._ended:
            coming = self._follow.told.next
            lines = await self._lines()
            told = [*self._first, *self._presence.frames(), *self._told(lines), *self._now()]
            self._first = []
            if self._follow.over and self._after >= self._follow.last:
                self._ended = True
                told.append(frame("end", {"task": self._task}))
            if told:
                return b"".join(told)
            await coming.wait()
        return None

    def alive(self) -> bytes:
        """Say that nothing has come."""
        return b": alive\n\n"

    async def _find(self) -> None:
        """Wait until the task has been read once; raise where it is not for this caller."""
        while True:
            coming = self._follow.told.next
            if self._follow.seen is not None:
                self._caller.require_tenant(self._follow.seen.tenant, f"task {self._task!r}")
                self._presence = Presence(_parts(self._hub, self._follow.seen.view.cell))
                return
            if self._follow.trouble is not None:
                raise self._follow.trouble
            if self._follow.gone:
                raise NotFound(f"no task {self._task!r}")
            if self._follow.over:
                raise Problem("bug", "the task cannot be read; this was logged, with its cause")
            await coming.wait()

    async def _lines(self) -> list[Line]:
        try:
            return await self._follow.lines_after(self._after)
        except RedisError:
            return []  # the hub says that it is away, and the follow calls when it is back

    def _told(self, lines: list[Line]) -> list[bytes]:
        if not lines:
            return []
        missing = lines[0].place > self._after + 1
        first = [frame("gap", {"after": self._after})] if missing else []
        self._after = lines[-1].place
        return [*first, *(line.frame for line in lines)]

    def _now(self) -> list[bytes]:
        seen = self._follow.seen
        if seen is None or seen.version == self._version:
            return []
        self._version = seen.version
        return [seen.frame]


def _parts(hub: AnyHub, cell: str | None) -> Mapping[str, Hub]:
    """Return who listens to the cell that is asked for, or to all; or raise Refused."""
    if cell is None:
        return hub.parts
    if set(hub.parts) == {ONE}:
        raise no_cells(cell)
    if cell not in hub.parts:
        raise no_such_cell(cell, hub.parts)
    return {cell: hub.parts[cell]}


def places_of(cells: Collection[str], after: str) -> dict[str, str]:
    """Read a place as a caller says it, or raise Refused."""
    several = set(cells) != {ONE}
    return read(after, cells) if several else {ONE: after_of(after)}


def _of_cells(cells: frozenset[str]) -> dict[str, list[str]]:
    """Name cells, where there are several."""
    return {} if cells == {ONE} else {"cells": sorted(cells)}


def _opening(after: str) -> bytes:
    """Begin: when to come again, not all at once, and from where, though nothing has come yet."""
    retry = random.randint(limits.LIVE_RETRY_MS // 2, limits.LIVE_RETRY_MS)  # noqa: S311 -- no secret
    place = f"id: {after}\n" if after else ""
    return f"retry: {retry}\n{place}: buckstop\n\n".encode()
