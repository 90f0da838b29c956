"""Hear what commits announce about the tasks that somebody follows, over one connection.

Thousands may wait in one event loop: each is an `Ear`, and a channel is subscribed to once for all
who follow its task. An announcement says only "look", and may be lost while the server is away. So
every subscription that the server confirms, the first and each one after an outage, rings too:
whoever takes an ear before looking, and looks whenever it has rung, misses nothing.

    with announcements.of(task_id) as ear:      leaving needs no await, so a cancellation can do it
        await ear.rings(until)                  the first time: the subscription is in force
        ...look at the task...

Used by aio_servers.py. Not here: what every process of the API hears, which is everything
(http/hub.py).
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from envelopes import limits
from envelopes.keys import Keys
from orchestrator.listening import Listener


class Ear:
    """Rings when the task that it is for may have changed, or only when it may have ended."""

    def __init__(self, *, only_the_end: bool) -> None:
        self._only_the_end = only_the_end
        self._rung = asyncio.Event()

    def ring(self, *, at_the_end: bool) -> None:
        """Wake whoever waits, if this is what they wait for."""
        if at_the_end or not self._only_the_end:
            self._rung.set()

    async def rings(self, until: float) -> bool:
        """Wait for it, until this moment of the loop's clock, and say whether it came."""
        try:
            async with asyncio.timeout_at(until):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class Announcements(Listener):
    """All ears of one event loop, and the connection behind them; begun with the first ear."""

    def __init__(self, connected: Callable[[], Awaitable[Any]], keys: Keys) -> None:
        """Listen through the client that `connected` gives; after an outage it is asked again."""
        super().__init__(logging.getLogger("buckstop.announcements"))
        self._keys = keys
        self._connected = connected
        self._ears: dict[str, set[Ear]] = {}
        """By task."""
        self._confirmed: set[str] = set()
        """Tasks whose channel is subscribed to."""
        self._changed = asyncio.Event()
        """Set when there are ears for other tasks than a moment ago."""

    @contextmanager
    def of(self, task: str, *, only_the_end: bool = False) -> Iterator[Ear]:
        """Listen for a task, as long as the block lasts."""
        self._begin()
        ear = Ear(only_the_end=only_the_end)
        self._ears.setdefault(task, set()).add(ear)
        self._changed.set()
        if task in self._confirmed:
            ear.ring(at_the_end=True)
        try:
            yield ear
        finally:
            self._ears[task].remove(ear)
            if not self._ears[task]:
                del self._ears[task]
                self._changed.set()

    async def close(self) -> None:
        """Hear no more."""
        await self._leave()

    async def _hear(self) -> None:
        async with (await self._connected()).pubsub() as pubsub:
            await pubsub.subscribe(self._keys.events(""))  # nobody's, so that there always is one
            await self._both(pubsub, self._subscribe(pubsub), self._take(pubsub))

    def _lost(self) -> None:
        self._confirmed.clear()

    def _hang_up(self) -> None:
        super()._hang_up()
        self._changed.set()

    async def _subscribe(self, pubsub: Any) -> None:
        """Keep what is subscribed to at what there are ears for; many changes are one command."""
        asked = set[str]()
        while self._hearing is pubsub:
            self._changed.clear()
            wanted = set(self._ears)
            if new := wanted - asked:
                await pubsub.subscribe(*map(self._keys.events, new))
            if gone := asked - wanted:
                self._confirmed -= gone
                await pubsub.unsubscribe(*map(self._keys.events, gone))
            asked = wanted
            await self._changed.wait()

    async def _take(self, pubsub: Any) -> None:
        beginning = len(self._keys.events(""))
        while self._hearing is pubsub:
            said = await pubsub.get_message(timeout=limits.WAIT_MS_MAX / 1000)
            if said is None or said["type"] not in {"message", "subscribe"}:
                continue
            self._failures = 0
            task = said["channel"].decode()[beginning:]
            if said["type"] == "subscribe":
                self._confirmed.add(task)
            self._ring(task, at_the_end=said["type"] == "subscribe" or _is_over(said["data"]))

    def _ring(self, task: str, *, at_the_end: bool) -> None:
        for ear in self._ears.get(task, ()):
            ear.ring(at_the_end=at_the_end)


def _is_over(line: bytes) -> bool:
    return json.loads(line).get("outcome") is not None
