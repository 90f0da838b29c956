"""Follow one accepted task, from an asynchronous program.

What following.py is to plain programs: the same names, with `await` and `async for`. Nobody who
waits holds a thread; an announcement wakes whoever it concerns (announcements.py), and the task
itself is what is read. Made by AsyncBuckstop (aio.py).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, TypeVar

from envelopes import limits
from orchestrator.answers import Result, Story, TaskEvent
from orchestrator.following import AWAY, GATHER_S, REREAD_S, TaskHandle
from orchestrator.view import TaskView

if TYPE_CHECKING:
    from orchestrator.aio import AsyncBuckstop

T = TypeVar("T")


class AsyncTaskHandle:
    """One accepted task."""

    def __init__(self, buckstop: "AsyncBuckstop", task: TaskHandle) -> None:
        self.id = task.id
        self.created = task.created
        """False where an idempotency key named a task that was there before."""
        self._buckstop, self._task = buckstop, task

    async def status(self) -> TaskView:
        """Return the task as it is now, or raise NotFound."""
        return await self._buckstop.call(self._task.status, self.id)

    async def result(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109 -- as Buckstop
        """Wait until the task has ended and return how, or raise TimedOut; the task goes on."""
        last: TaskView | None = None
        async for now in self._looks(timeout, only_the_end=True):
            last = now
        return Result.of(self.id, last, timeout)

    wait = result

    async def watch(self, timeout: float | None = None) -> AsyncIterator[TaskView]:  # noqa: ASYNC109 -- as Buckstop
        """Yield the task as it is, and again after each change, until it has ended.

        It leaves early, without a word, when the time given has passed. A server that restarts
        meanwhile is waited for, WATCH_AWAY_S at most.
        """
        seen = -1
        async for now in self._looks(timeout):
            if now.version != seen:
                seen = now.version
                yield now

    async def events(
        self,
        after: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- as Buckstop
    ) -> AsyncIterator[TaskEvent]:
        """Yield each line of the task's journal, live, until it has ended and all are told.

        Whoever keeps the `place` of the last one and gives it as `after` goes on behind it. It
        leaves early, without a word, when the time given has passed.
        """
        async for _ in self.watch(timeout):
            while lines := await self._calm(partial(self._task.read_events, after)):
                for line in lines:
                    yield line
                    after = line.place

    async def cancel(self, why: str = "", by: str = "client") -> bool:
        """Ask the owner to stop the task; False where it has ended already.

        What was produced by then is in `result().kept`.
        """
        return await self._buckstop.call(partial(self._task.cancel, why, by), self.id)

    async def show(self) -> Story:
        """Return the task with its history."""
        return await self._buckstop.call(self._task.show, self.id)

    async def _looks(
        self,
        timeout: float | None,  # noqa: ASYNC109 -- as Buckstop
        *,
        only_the_end: bool = False,
    ) -> AsyncIterator[TaskView]:
        """Read the task whenever it may have changed, until it has ended or time is up."""
        clock = asyncio.get_running_loop().time
        give_up = inf if timeout is None else clock() + timeout
        find = partial(self._buckstop.announcements_of, self.id)
        announcements = await patiently(find, give_up)
        with announcements.of(self.id, only_the_end=only_the_end) as ear:
            await ear.rings(min(give_up, clock() + limits.SOCKET_TIMEOUT_S))
            while True:
                yield (now := await self._calm(self._task.status, give_up))
                if now.final or clock() >= give_up:
                    return
                if await ear.rings(min(give_up, clock() + limits.LIVE_REREAD_S)):
                    await asyncio.sleep(0 if only_the_end else GATHER_S)

    async def _calm(self, read: Callable[[], T], give_up: float = inf) -> T:
        return await patiently(partial(self._buckstop.call, read, self.id), give_up)


async def patiently(read: Callable[[], Awaitable[T]], give_up: float = inf) -> T:
    """Read, and wait for a server that went away, WATCH_AWAY_S at most, or until time is up."""
    clock = asyncio.get_running_loop().time
    give_up = min(give_up, clock() + limits.WATCH_AWAY_S)
    while True:
        try:
            return await read()
        except AWAY:
            if clock() > give_up:
                raise
        await asyncio.sleep(REREAD_S)
