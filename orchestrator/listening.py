"""Listen to the server until told to leave: through its outages, and with two loops at once.

Hub and announcements are listeners (http/hub.py, announcements.py). What is hard about it stands
here: an event loop's cancellation can be lost, since `wait_for` of Python 3.11, inside the library,
drops one that meets a reply. So nobody relies on one alone. The two loops on a subscription look
whether it still is the one in use, and both end when either does; and whoever leaves says so first.
"""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, Final

from redis.exceptions import RedisError

from envelopes import limits

_WORLD: Final = (RedisError, OSError)
_FIRST_PAUSE_S: Final = 0.05


class Listener(ABC):
    """Hears in a task of its own, from `_begin` to `_leave`."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._hearing: Any = None
        """The subscription in use; a loop on it goes on while it is this one."""
        self._failures = 0
        self._leaving = False
        self._listening: asyncio.Task[None] | None = None

    @abstractmethod
    async def _hear(self) -> None:
        """Subscribe, and hear with `_both` until the server is away."""

    @abstractmethod
    def _lost(self) -> None:
        """Hear that nothing is heard any more, before the pause and the next attempt."""

    def _begin(self) -> None:
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    async def _leave(self) -> None:
        self._leaving = True
        self._hang_up()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        while not self._leaving:
            try:
                await self._hear()
            except* _WORLD as gone:
                self._log.warning("the server is away", extra={"why": repr(gone.exceptions[0])})
            except* Exception as bug:  # noqa: BLE001 -- logged; the next line may be understood
                self._log.error("what was heard was not understood", exc_info=bug)
            if not self._leaving:
                self._lost()
                await asyncio.sleep(self._pause_s())

    async def _both(self, pubsub: Any, *loops: Coroutine[Any, Any, None]) -> None:
        """Run loops until one ends; one that is alone would be as good as none."""
        self._hearing = None if self._leaving else pubsub
        async with asyncio.TaskGroup() as all_of_them:
            for loop in loops:
                all_of_them.create_task(loop).add_done_callback(lambda _: self._hang_up())

    def _hang_up(self) -> None:
        """Let the loops on the subscription end at their next look."""
        self._hearing = None

    def _pause_s(self) -> float:
        self._failures += 1
        longest = min(float(limits.LIVE_BACKOFF_MAX_S), _FIRST_PAUSE_S * 2.0**self._failures)
        return longest * random.uniform(0.5, 1)  # noqa: S311 -- no secret
