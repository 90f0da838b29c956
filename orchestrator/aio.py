"""Submit tasks and follow them, from an asynchronous program.

    from orchestrator.aio import AsyncBuckstop

    async with AsyncBuckstop() as buckstop:
        task = await buckstop.submit(
            goal="compare three vendors", agent="research",
            budget={"tokens": 20_000}, timeout="5m", until={"kind": "plan_done"},
        )
        async for view in task.watch():
            print(view.state, view.ledger.spent)
        print((await task.result()).result)

The same names, answers and errors as Buckstop (client.py), with `await` before what is one call and
`async for` where there is more to come. It belongs to one event loop.

Calls that last one round trip are made by that very client, in ASYNC_CALLS_MAX threads at most.
Nobody who *waits* holds a thread: all waits of a process share one connection (announcements.py).
A coroutine that is cancelled stops waiting at once; a submission or a decision that was under way
may have been taken all the same, so give what must not happen twice an idempotency key.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Self, TypeVar

from anyio import CapacityLimiter, to_thread

from envelopes import limits
from envelopes.connection import connect_async
from envelopes.decision import Decision
from envelopes.letter import Facet
from orchestrator.announcements import Announcements
from orchestrator.answers import DecidedAll, DecidedLetter, Result, Story, TaskEvent
from orchestrator.client import Buckstop
from orchestrator.desk import DECIDED_WITHIN_S
from orchestrator.following import AWAY, GATHER_S, REREAD_S, TaskHandle
from orchestrator.indexes import Overview
from orchestrator.intake import RequestLike
from orchestrator.news import GAP, News, news_of
from orchestrator.settings import Settings
from orchestrator.view import AgentView, TaskView
from orchestrator.wanted import ALL, ALL_TASKS, Page, Place, TasksWanted, Wanted

T = TypeVar("T")


class AsyncBuckstop:
    """One connection to a deployment, for one event loop."""

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        """Connect to the URL, else to BUCKSTOP_URL, else to what `buckstop up` started here."""
        self._buckstop = Buckstop(url, settings=settings)
        self.settings = self._buckstop.settings
        self.announcements = Announcements(self.settings.url, self.settings.keys)
        self._client: Any = connect_async(self.settings.url)  # half of its methods have no types
        self._calls = CapacityLimiter(limits.ASYNC_CALLS_MAX)
        self._decisions = CapacityLimiter(limits.ASYNC_CALLS_MAX)
        """Apart, for each waits until an orchestrator has acted, and nothing else may wait so."""

    async def submit(self, request: RequestLike = b"", /, **fields: object) -> "AsyncTaskHandle":
        """Submit a task, given as fields, as a request or as its JSON; or raise Refused or Unfit.

        With an idempotency key that was used before, return the task it was used for.
        """
        submit = partial(self._buckstop.submit, request, **fields)
        return AsyncTaskHandle(self, await self.call(submit))

    async def task(self, task_id: str) -> "AsyncTaskHandle":
        """Return a task by its id or by an unambiguous beginning of it, or raise NotFound."""
        return AsyncTaskHandle(self, await self.call(partial(self._buckstop.task, task_id)))

    async def tasks(
        self, count: int = 20, before: Place | None = None, wanted: TasksWanted = ALL_TASKS
    ) -> Page[TaskView]:
        """Return tasks that are wanted, newest first; `before` is the `next` of the page before."""
        return await self.call(partial(self._buckstop.tasks, count, before, wanted))

    async def letters(
        self, count: int = 20, before: Place | None = None, wanted: Wanted = ALL
    ) -> Page[dict[str, Any]]:
        """Return open letters that are wanted, newest first, as `tasks` does."""
        return await self.call(partial(self._buckstop.letters, count, before, wanted))

    async def overview(self) -> Overview:
        """Return everything in a few figures, as of one moment and at the cost of one call."""
        return await self.call(self._buckstop.overview)

    async def news(self, after: str | None = None) -> AsyncIterator[News]:
        """Yield what happens to tasks and letters, from now on, or behind news seen before.

        It never ends, and holds a connection of its own. What is said of `Buckstop.news` holds.
        """
        store = self._buckstop.store
        place = await self.call(store.last_news) if after is None else after
        if await self.call(partial(store.news_gap, place)):
            yield News(place, GAP, {})
        while True:
            for news in await patiently(partial(self._read_news, place)):
                yield news
                place = news.id

    async def letter_counts(self, facet: Facet, wanted: Wanted = ALL) -> dict[str, int]:
        """Count open letters that are wanted by kind, reason, agent or tenant, the most in front.

        What many letters have in common is one cause.
        """
        return await self.call(partial(self._buckstop.letter_counts, facet, wanted))

    async def letter(self, letter_id: str) -> dict[str, Any]:
        """Return one letter, open or decided, or raise NotFound."""
        return await self.call(partial(self._buckstop.letter, letter_id))

    async def check_amendment(self, letter_id: str, result: Any) -> list[tuple[str, str]]:
        """Say where (as a JSON pointer) and why a result would be refused as an amendment.

        An empty list means that it would be delivered. Nothing is decided.
        """
        return await self.call(partial(self._buckstop.check_amendment, letter_id, result))

    async def agents(self) -> list[AgentView]:
        """Return every agent that a worker runs or a message was sent to, by name."""
        return await self.call(self._buckstop.agents)

    async def decide(
        self,
        decision: Decision,
        timeout: float = DECIDED_WITHIN_S,  # noqa: ASYNC109 -- as Buckstop
    ) -> DecidedLetter:
        """Decide a letter and wait until an orchestrator has acted on it.

        The first decision wins: `first` says whether this one was it, and the rest whose was.
        Raise TimedOut where no orchestrator is at work; the decision is kept for when one is.
        """
        decide = partial(self._buckstop.decide, decision, timeout)
        return await _in_thread(decide, self._decisions)

    async def decide_all(
        self,
        wanted: Wanted,
        decision: Decision,
        timeout: float = DECIDED_WITHIN_S,  # noqa: ASYNC109 -- as Buckstop
    ) -> DecidedAll:
        """Decide every open letter that is wanted alike; which one the decision names is ignored.

        Each is a decision of its own, recorded with its task. Raise TimedOut where no orchestrator
        is at work; what was decided until then stays so, and saying it again does the rest.
        """
        decide = partial(self._buckstop.decide_all, wanted, decision, timeout)
        return await _in_thread(decide, self._decisions)

    async def close(self) -> None:
        """Close all connections."""
        await self.announcements.close()
        await self._client.aclose()
        self._buckstop.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def call(self, do: Callable[[], T]) -> T:
        """Do what lasts one round trip, in a thread of our own few."""
        return await _in_thread(do, self._calls)

    async def _read_news(self, after: str) -> list[News]:
        """Wait for news behind a place, WAIT_MS_MAX at most."""
        found = await self._client.xread(
            {self.settings.keys.news: after}, limits.LIVE_PAGE, limits.WAIT_MS_MAX
        )
        return [news_of(line) for _, lines in found or () for line in lines]


class AsyncTaskHandle:
    """One accepted task."""

    def __init__(self, buckstop: AsyncBuckstop, task: TaskHandle) -> None:
        self.id = task.id
        self.created = task.created
        """False where an idempotency key named a task that was there before."""
        self._buckstop, self._task = buckstop, task

    async def status(self) -> TaskView:
        """Return the task as it is now, or raise NotFound."""
        return await self._buckstop.call(self._task.status)

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
        return await self._buckstop.call(partial(self._task.cancel, why, by))

    async def show(self) -> Story:
        """Return the task with its history."""
        return await self._buckstop.call(self._task.show)

    async def _looks(
        self,
        timeout: float | None,  # noqa: ASYNC109 -- as Buckstop
        *,
        only_the_end: bool = False,
    ) -> AsyncIterator[TaskView]:
        """Read the task whenever it may have changed, until it has ended or time is up."""
        clock = asyncio.get_running_loop().time
        give_up = inf if timeout is None else clock() + timeout
        with self._buckstop.announcements.of(self.id, only_the_end=only_the_end) as ear:
            await ear.rings(min(give_up, clock() + limits.SOCKET_TIMEOUT_S))
            while True:
                yield (now := await self._calm(self._task.status, give_up))
                if now.final or clock() >= give_up:
                    return
                if await ear.rings(min(give_up, clock() + limits.LIVE_REREAD_S)):
                    await asyncio.sleep(0 if only_the_end else GATHER_S)

    async def _calm(self, read: Callable[[], T], give_up: float = inf) -> T:
        return await patiently(partial(self._buckstop.call, read), give_up)


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


async def _in_thread(do: Callable[[], T], limiter: CapacityLimiter) -> T:
    return await to_thread.run_sync(do, limiter=limiter, abandon_on_cancel=True)
