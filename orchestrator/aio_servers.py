"""What an event loop keeps for each server that it speaks with.

    Rooms         threads for calls: few, and others for decisions, which wait for an orchestrator
    AsyncServer   one connection for all who wait, and one for whoever reads the news
    Servers       what AsyncBuckstop needs to know of them: where a call goes, and who tells of it
    OneServer     ... where there is one; of several cells it is CellServers (cells/aio.py)

Each server has rooms of its own, so what hangs in one cell holds up no call to another.
"""

from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from anyio import CapacityLimiter, to_thread

from envelopes import limits
from envelopes.connection import connect_async
from envelopes.keys import Keys
from orchestrator.aio_following import patiently
from orchestrator.announcements import Announcements
from orchestrator.news import News, news_of
from orchestrator.store import Submission

T = TypeVar("T")


class Rooms:
    """How many calls may be under way at once; each has a thread for that time."""

    def __init__(self) -> None:
        self._calls = CapacityLimiter(limits.ASYNC_CALLS_MAX)
        self._decisions = CapacityLimiter(limits.ASYNC_CALLS_MAX)
        """Apart, for each waits until an orchestrator has acted, and nothing else may wait so."""

    async def call(self, do: Callable[[], T]) -> T:
        """Do what lasts one round trip."""
        return await to_thread.run_sync(do, limiter=self._calls, abandon_on_cancel=True)

    async def decide(self, do: Callable[[], T]) -> T:
        """Do what lasts until an orchestrator has acted."""
        return await to_thread.run_sync(do, limiter=self._decisions, abandon_on_cancel=True)


class AsyncServer:
    """One server, for one event loop; connected to when somebody first waits for it."""

    def __init__(self, where: Callable[[], str], keys: Keys) -> None:
        """Speak with the server whose URL `where` says; it raises OSError where nothing runs."""
        self.rooms = Rooms()
        self.announcements = Announcements(self._connected, keys)
        self._stream = keys.news
        self._where, self._url = where, ""
        self._client: Any = None  # half of its methods have no types

    async def read_news(self, after: str) -> list[News]:
        """Wait for news behind a place, WAIT_MS_MAX at most."""
        client = await self._connected()
        found = await client.xread({self._stream: after}, limits.LIVE_PAGE, limits.WAIT_MS_MAX)
        return [news_of(line) for _, lines in found or () for line in lines]

    async def close(self) -> None:
        """Close all connections."""
        await self.announcements.close()
        if self._client is not None:
            await self._client.aclose()

    async def _connected(self) -> Any:
        """Return a client of where the server is by now: an `up` started again is elsewhere."""
        if (url := self._where()) != self._url:
            before, self._client, self._url = self._client, connect_async(url), url
            if before is not None:
                await before.aclose()
        return self._client


class Servers(Protocol):
    """The server of a deployment, or those of all its cells."""

    def rooms_of(self, about: str = "") -> Rooms:
        """Return where a call about this task or letter waits; without one, about everything."""

    def rooms_for(self, submission: Submission) -> Rooms:
        """Return where a submission waits."""

    async def rooms_of_letter(self, letter: str) -> Rooms:
        """Return where a decision waits."""

    async def announcements_of(self, task: str) -> Announcements:
        """Return who tells of a task; or raise NotFound."""

    def news(self, after: str) -> AsyncGenerator[News, None]:
        """Yield news behind this place, for ever."""

    async def close(self) -> None:
        """Close all connections."""


class OneServer:
    """Servers, where there is one."""

    def __init__(self, url: str, keys: Keys) -> None:
        self._server = AsyncServer(lambda: url, keys)

    def rooms_of(self, about: str = "") -> Rooms:  # noqa: ARG002 -- there is no other
        """Return the server's."""
        return self._server.rooms

    def rooms_for(self, submission: Submission) -> Rooms:  # noqa: ARG002 -- there is no other
        """Return the server's."""
        return self._server.rooms

    async def rooms_of_letter(self, letter: str) -> Rooms:  # noqa: ARG002 -- there is no other
        """Return the server's."""
        return self._server.rooms

    async def announcements_of(self, task: str) -> Announcements:  # noqa: ARG002 -- as above
        """Return the server's."""
        return self._server.announcements

    async def news(self, after: str) -> AsyncGenerator[News, None]:
        """Yield news behind this place; an outage is waited out, WATCH_AWAY_S at most."""
        while True:
            for news in await patiently(partial(self._server.read_news, after)):
                yield news
                after = news.id

    async def close(self) -> None:
        """Close all connections."""
        await self._server.close()
