"""Follow a task: read once for everybody who does.

However many clients look at one task, its record and its journal are read by one reader, when
something has happened to it, four times a second at most; each client takes from what was read
what it has not had. A client that comes with an old place, or late, reads by itself what is not
held here any more.

The record is read before the journal. So once the record says that the task has ended, the lines
read after it are all there will ever be.

Not here: when something has happened (hub.py), how it is written to a client (stream.py).
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread
from redis.exceptions import RedisError

from envelopes import limits
from orchestrator.http.ring import Signal, frame
from orchestrator.records import Records
from orchestrator.view import TaskView, view

T = TypeVar("T")
NONE: Final = -1
"""The place before a journal's first line."""
_log = logging.getLogger("buckstop.http.follow")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a journal, as it goes to a client."""

    place: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """A task's record as of one moment."""

    version: int
    tenant: str
    final: bool
    frame: bytes
    view: TaskView


class Reader:
    """Reads the store in threads of its own number, so that no reading holds up the loop."""

    def __init__(self, store: Records) -> None:
        self._store = store
        self._threads = CapacityLimiter(limits.LIVE_READERS)

    async def task(self, task: str) -> Seen | None:
        """Read a task's record; None where there is none."""
        return await self._run(lambda: self._task(task))

    async def lines(self, task: str, after: int) -> list[Line]:
        """Read a page of a journal behind a place; empty where nothing is."""
        return await self._run(lambda: self._lines(task, after))

    async def _run(self, read: Callable[[], T]) -> T:
        return await to_thread.run_sync(read, limiter=self._threads)

    def _task(self, task: str) -> Seen | None:
        stored = self._store.task(task)
        return None if stored is None else _seen(view(task, stored))

    def _lines(self, task: str, after: int) -> list[Line]:
        found, _ = self._store.journal_from(task, after, limits.LIVE_PAGE)
        return [_line(place, line) for place, line in found]


class Follow:
    """One task, and what was read of it last."""

    def __init__(self, task: str, reader: Reader) -> None:
        self.task = task
        self.told = Signal()
        """Called when there is something new."""
        self.seen: Seen | None = None
        self.gone = False
        """There is no such task, or none any more."""
        self.trouble: RedisError | None = None
        """Why it could not be read the last time."""
        self.followers = 0
        self._reader = reader
        self._lines: deque[Line] = deque()
        self._held_bytes = 0
        self._last = NONE
        self._hinted = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(self._ended)

    @property
    def over(self) -> bool:
        """Say whether nothing will come any more."""
        return self.gone or (self.seen is not None and self.seen.final) or self._reading.done()

    @property
    def last(self) -> int:
        """Return the place of the last line that was read."""
        return self._last

    def hint(self) -> None:
        """Look at the task, soon."""
        self._hinted.set()

    async def stop(self) -> None:
        """Read no more."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def lines_after(self, place: int) -> list[Line]:
        """Return the next lines behind a place: from here, or from the store where they are old."""
        if place >= self._last:
            return []
        if place + 1 >= self._lines[0].place:
            return [line for line in self._lines if line.place > place]
        return await self._reader.lines(self.task, place)

    def _ended(self, reading: asyncio.Task[None]) -> None:
        """Let the followers go; only a bug of ours ends the reading before the task."""
        if not reading.cancelled() and (bug := reading.exception()):
            _log.error("a task can no longer be followed", extra={"task": self.task}, exc_info=bug)
        self.told.call()

    async def _read(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            self._hinted.clear()
            try:
                await self._look()
                self.trouble = None
            except RedisError as away:
                self.trouble = away
                self.told.call()
            if self.over:
                return
            took = now() - began
            await asyncio.sleep(max(limits.LIVE_HINT_S, took * limits.LIVE_REST))
            await self._wait()

    async def _wait(self) -> None:
        """Wait for a hint; look from time to time without one, for hints may be lost."""
        try:
            async with asyncio.timeout(limits.LIVE_REREAD_S):
                await self._hinted.wait()
        except TimeoutError:
            return

    async def _look(self) -> None:
        seen = await self._reader.task(self.task)
        while lines := await self._reader.lines(self.task, self._last):
            self._hold(lines)
            self.told.call()
        if seen is None:
            self.gone = True
        elif self.seen is None or seen.version != self.seen.version:
            self.seen = seen
        self.told.call()

    def _hold(self, lines: list[Line]) -> None:
        """Keep the last lines, so many bytes of them."""
        self._lines.extend(lines)
        self._last = lines[-1].place
        self._held_bytes += sum(len(line.frame) for line in lines)
        while self._held_bytes > limits.LIVE_FOLLOW_BYTES and len(self._lines) > 1:
            self._held_bytes -= len(self._lines.popleft().frame)


class Follows:
    """The tasks that somebody follows now."""

    def __init__(self, store: Records) -> None:
        self._reader = Reader(store)
        self._follows: dict[str, Follow] = {}

    def take(self, task: str) -> Follow:
        """Follow a task; give it back when that is over."""
        follow = self._follows.get(task)
        if follow is None:
            follow = self._follows[task] = Follow(task, self._reader)
        follow.followers += 1
        return follow

    async def give_back(self, follow: Follow) -> None:
        """Follow no more; with the last one the reading ends."""
        follow.followers -= 1
        if follow.followers == 0:
            del self._follows[follow.task]
            await follow.stop()

    def hint(self, task: str) -> None:
        """Have a task looked at, if anybody follows it."""
        if task in self._follows:
            self._follows[task].hint()

    def turn(self, *, away: bool) -> None:
        """Tell all that the server is away; look at everything once it is back."""
        for follow in self._follows.values():
            follow.told.call()
            if not away:
                follow.hint()


def _seen(task: TaskView) -> Seen:
    return Seen(task.version, task.tenant, task.final, frame("task", task.as_json()), task)


def _line(place: int, text: bytes) -> Line:
    return Line(place, frame("note", {**json.loads(text), "n": place}, place))
