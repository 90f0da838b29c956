"""Hear what happens: one listener for the whole process, however many clients follow.

It reads the stream of news from where it last was, so that an outage of the server loses none, and
hears what each commit announces. An announcement is a hint: it says "look". Some are lost while the
server is away, and whoever follows a task then looks by itself. So of many hints about one task
only the last counts, and it is told four times a second at most.

    async with Hub(where, keys, follows) as hub:    within the app's lifespan
        hub.ring                                    what it has heard, for whoever listens
        hub.away                                    whether the server is

Where a deployment has several cells, there is one for each, and all tell into one ring (hubs.py).

Everything here runs in the event loop and waits for nobody but the server.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes import limits
from envelopes.connection import connect_async
from envelopes.keys import Keys
from orchestrator.http.ring import EVERYBODY, ONE, Item, Ring, frame
from orchestrator.listening import Listener
from orchestrator.news import START, Line, news_of, place

HINT: Final = "task"
"""The event that says only: this task has changed."""
_GLOB: Final = str.maketrans({each: f"\\{each}" for each in "*?[]^\\"})


def connect(url: str) -> Redis:
    """Make a client for the event loop that says at once when the server is away."""
    # a listener that reconnects unseen loses hints unseen
    return connect_async(url, retry=Retry(NoBackoff(), 0))


class Ear(Protocol):
    """Whoever looks at tasks by itself."""

    def hint(self, task: str) -> None:
        """Hear that a task has changed."""

    def turn(self, *, away: bool) -> None:
        """Hear that the server is away, or back; hints may have been lost."""


class Hub(Listener):
    """Listens, as long as its `async with` block lasts."""

    def __init__(
        self,
        where: Callable[[], str],
        keys: Keys,
        ear: Ear,
        ring: Ring | None = None,
        cell: str = ONE,
    ) -> None:
        """Listen to the server whose URL `where` says, and tell into the ring."""
        super().__init__(logging.getLogger("buckstop.http.hub"))
        self.ring = ring or Ring(limits.LIVE_KEPT)
        self.cell = cell
        self.away = False
        self.last: str | None = None
        """The last news that was heard; None until the server has been reached once."""
        self._keys, self._ear = keys, ear
        self._where, self._url = where, ""
        self._connected: Redis | None = None
        self._known = asyncio.Event()
        """Set once the server was reached, or found to be away."""
        self._readers = asyncio.Semaphore(limits.LIVE_READERS)
        self._hints = Hints(self._tell_hint)

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave()
        self._hints.close()
        if self._connected is not None:
            await self._connected.aclose()

    async def begun(self) -> None:
        """Wait until whatever happens from now on is heard, or nobody can be heard.

        A stream that began before would have no place, and miss what happens meanwhile.
        """
        await self._known.wait()

    async def read(self, after: str, count: int) -> list[Item]:
        """Read news that are kept, oldest first; for whoever resumes."""
        async with self._readers:
            found: Any = await self._client.xrange(self._keys.news, f"({after}", "+", count)
        return [_item(line, self.cell) for line in found]

    async def has_gap(self, after: str) -> bool:
        """Say whether news behind this place may be gone."""
        async with self._readers:
            found: Any = await self._client.xrange(self._keys.news, "-", "+", 1)
        return after != START and bool(found) and place(found[0][0].decode()) > place(after)

    @property
    def parts(self) -> "Mapping[str, Hub]":
        """Return the hub of each cell: where there is one server, itself."""
        return {self.cell: self}

    @property
    def _client(self) -> Redis:
        if self._connected is None:
            raise RedisConnectionError("the server has not been found yet")
        return self._connected

    # --- listening ------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Connect to where the server is said to be by now; it raises OSError where it is not."""
        if (url := self._where()) == self._url:
            return
        before, self._connected, self._url = self._connected, connect(url), url
        if before is not None:
            await before.aclose()

    async def _hear(self) -> None:
        await self._connect()
        async with self._client.pubsub() as pubsub:
            await pubsub.psubscribe(self._keys.events("").translate(_GLOB) + "*")
            if await pubsub.get_message(timeout=limits.SOCKET_TIMEOUT_S) is None:
                raise RedisTimeoutError("the server did not confirm a subscription")
            last = await self._find_place()
            self._turn(away=False)
            await self._both(pubsub, self._hear_news(pubsub, last), self._hear_hints(pubsub))

    async def _find_place(self) -> str:
        """Begin at the end, and after an outage where it was."""
        if self.last is None:
            newest: Any = await self._client.xrevrange(self._keys.news, "+", "-", 1)
            self.last = newest[0][0].decode() if newest else START
        elif await self.has_gap(self.last):
            self.ring.add(gap(self.last, self.cell))
        return self.last

    def _lost(self) -> None:
        self._turn(away=True)

    def _turn(self, *, away: bool) -> None:
        if not away:
            self._failures = 0
        if away != self.away:
            self.away = away
            self._ear.turn(away=away)
            self.ring.told.call()
        self._known.set()

    async def _hear_news(self, pubsub: Any, last: str) -> None:
        while self._hearing is pubsub:
            found: Any = await self._client.xread(
                {self._keys.news: last}, limits.LIVE_PAGE, limits.WAIT_MS_MAX
            )
            for line in (line for _, lines in found or () for line in lines):
                self.last = last = line[0].decode()
                self.ring.add(_item(line, self.cell))

    async def _hear_hints(self, pubsub: Any) -> None:
        beginning = len(self._keys.events(""))
        while self._hearing is pubsub:
            said = await pubsub.get_message(
                ignore_subscribe_messages=True, timeout=limits.WAIT_MS_MAX / 1000
            )
            if said is not None:
                self._hints.hear(said["channel"].decode()[beginning:], said["data"])

    def _tell_hint(self, task: str, line: bytes) -> None:
        said = json.loads(line)
        hint = {"task": task, "version": said.get("version"), "state": said.get("state")}
        hint |= _named(self.cell)
        self.ring.add(Item(HINT, said.get("tenant", ""), None, frame(HINT, hint), self.cell))
        self._ear.hint(task)


class Hints:
    """Of each task the first at once, and then the last of each quarter of a second."""

    def __init__(self, tell: Callable[[str, bytes], None]) -> None:
        self._tell = tell
        self._held: dict[str, bytes | None] = {}
        """Tasks that were told lately, and what was heard of them since."""
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def hear(self, task: str, line: bytes) -> None:
        """Tell this now, or soon, unless another one follows it."""
        if task in self._held:
            self._held[task] = line
        else:
            self._say(task, line)

    def close(self) -> None:
        """Say no more."""
        for timer in self._timers.values():
            timer.cancel()

    def _say(self, task: str, line: bytes) -> None:
        self._held[task] = None
        later = asyncio.get_running_loop().call_later
        self._timers[task] = later(limits.LIVE_HINT_S, self._pass_on, task)
        self._tell(task, line)

    def _pass_on(self, task: str) -> None:
        line = self._held.pop(task)
        del self._timers[task]
        if line is not None:
            self._say(task, line)


def gap(after: str, cell: str = ONE) -> Item:
    """Tell everybody that news behind this place may have been missed."""
    return Item("gap", EVERYBODY, None, frame("gap", {"after": after}), cell)


def _item(line: Line, cell: str) -> Item:
    """Lay out one line; of several cells, each client writes a place of its own before it."""
    news = news_of(line)
    about = {name: _figure(name, value) for name, value in news.fields.items()} | _named(cell)
    text = frame(news.event, about, news.id if cell == ONE else None)
    return Item(news.event, about.get("tenant", ""), news.id, text, cell)


def _named(cell: str) -> dict[str, str]:
    return {} if cell == ONE else {"cell": cell}


def _figure(name: str, value: str) -> Any:
    return int(value) if name.endswith("_ms") and value.isdecimal() else value
