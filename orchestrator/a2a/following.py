"""Wait for a task, and tell it as a stream of updates.

Whoever waits shares the process's one reader of the task (http/follow.py), and a stream is written
as all are (http/stream.py). A stream ends where the protocol says: when the task has ended, or is
interrupted, for then it is the client's turn. The task itself needs nobody who waits: whoever was
cut off subscribes again, to any process, and is told how it is now.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self

from orchestrator.a2a import shown
from orchestrator.client import NotFound
from orchestrator.http.follow import NONE, Follow
from orchestrator.http.live import Live
from orchestrator.http.problems import Problem
from orchestrator.view import State, TaskView

LetterOf = Callable[[TaskView], Awaitable[shown.Letter | None]]
_ALIVE: Final = b": alive\n\n"


class Following:
    """One task, followed while the block lasts."""

    def __init__(self, live: Live, task: str) -> None:
        self._live, self._task = live, task
        self._follow: Follow

    async def __aenter__(self) -> Self:
        await self._live.hub.begun()
        self._follow = self._live.follows.take(self._task)
        self._follow.hint()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._live.follows.give_back(self._follow)

    async def after(self, version: int) -> TaskView:
        """Wait until the task is newer than this; Redis may be away meanwhile."""
        while True:
            coming = self._follow.told.next
            seen = self._follow.seen
            if seen is not None and seen.version > version:
                return seen.view
            if self._follow.gone:
                raise NotFound(f"no task {self._task!r}; its record may have expired")
            if self._follow.over:
                raise Problem("bug", "the task cannot be followed; this was logged, with its cause")
            await coming.wait()

    async def until_final(self, seconds: float, after: int = NONE) -> TaskView:
        """Return the task once it has ended, or as it is when the time is over."""
        return await self._until(lambda task: task.final, seconds, after)

    async def until_our_turn(self, seconds: float, after: int = NONE) -> TaskView:
        """Return the task once it has ended or waits for a person, or when the time is over."""
        return await self._until(is_over, seconds, after)

    async def _until(
        self, enough: Callable[[TaskView], bool], seconds: float, after: int
    ) -> TaskView:
        task = await self.after(after)
        try:
            async with asyncio.timeout(seconds):
                while not enough(task):
                    task = await self.after(task.version)
        except TimeoutError:
            pass  # as it is, then; it goes on
        return task


def is_over(task: TaskView) -> bool:
    """Say whether a stream ends here: nothing comes by itself any more."""
    return task.final or task.state is State.ON_DESK


class Updates:
    """What a stream tells of one task (a Source of http/stream.py)."""

    def __init__(
        self,
        following: Following,
        letter_of: LetterOf,
        write: Callable[[shown.Shown], bytes],
        *,
        after: int = NONE,
        stays: bool = False,
    ) -> None:
        self._following, self._letter_of, self._write = following, letter_of, write
        self._version = after
        self._before: TaskView | None = None
        self._stays = stays
        """Whether it goes on though the task waits for a person at its beginning."""
        self._ended = False

    async def __aenter__(self) -> Self:
        await self._following.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._following.__aexit__(kind, error, trace)

    async def chunk(self) -> bytes | None:
        """Wait for what the task does next; None once it is the client's turn."""
        while not self._ended:
            task = await self._following.after(self._version)
            told = await self._told(task)
            first, self._before, self._version = self._before is None, task, task.version
            self._ended = is_over(task) and not (first and self._stays and not task.final)
            if told:
                return b"".join(map(self._write, told))
        return None

    def alive(self) -> bytes:
        """Say that nothing has come."""
        return _ALIVE

    async def _told(self, task: TaskView) -> list[shown.Shown]:
        """Return what is new: first all of it, then what has changed."""
        letter = await self._letter_of(task)
        if self._before is None:
            return [{"task": shown.whole(task, letter)}]
        if shown.figures(task) == shown.figures(self._before):
            return []
        brought = [shown.artifact_update(task, each) for each in shown.artifacts(task)]
        return [*brought, shown.status_update(task, letter)]


def event(data: Any) -> bytes:
    """Write one server-sent event."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n".encode()
