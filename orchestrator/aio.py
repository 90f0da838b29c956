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
`async for` where there is more to come. It belongs to one event loop. Where BUCKSTOP_CELLS names
several cells it speaks with all of them, as Cells does (cells/facade.py).

Calls that last one round trip are made by that very client, in ASYNC_CALLS_MAX threads at most.
Nobody who *waits* holds a thread: all who wait for one server share a connection (aio_servers.py).
A coroutine that is cancelled stops waiting at once; a submission or a decision that was under way
may have been taken all the same, so give what must not happen twice an idempotency key.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from envelopes.decision import Decision, Verb
from envelopes.letter import Facet
from orchestrator import intake
from orchestrator.aio_following import AsyncTaskHandle
from orchestrator.announcements import Announcements
from orchestrator.answers import DecidedAll, DecidedLetter, Preview
from orchestrator.cells.aio import servers_of
from orchestrator.cells.facade import deployed
from orchestrator.desk import DECIDED_WITHIN_S
from orchestrator.intake import RequestLike
from orchestrator.news import GAP, News
from orchestrator.settings import Settings
from orchestrator.store import Overview
from orchestrator.view import AgentView, TaskView
from orchestrator.wanted import ALL, ALL_TASKS, Page, Place, TasksWanted, Wanted

__all__ = ["AsyncBuckstop", "AsyncTaskHandle"]

T = TypeVar("T")


class AsyncBuckstop:
    """Connections to a deployment, for one event loop."""

    def __init__(
        self,
        url: str | None = None,
        *,
        cells: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Connect to the URL, or to all cells of that file; else to what the environment names.

        That is BUCKSTOP_URL, or BUCKSTOP_CELLS, or what `buckstop up` started here.
        """
        if cells is not None:
            settings = Settings.of_cells(os.environ, cells)
        self.settings = settings or Settings.of_all(os.environ, Path.cwd(), url)
        self._buckstop = deployed(self.settings)
        self._servers = servers_of(self._buckstop)

    async def submit(self, request: RequestLike = b"", /, **fields: object) -> AsyncTaskHandle:
        """Submit a task, given as fields, as a request or as its JSON; or raise Refused or Unfit.

        With an idempotency key that was used before, return the task it was used for.
        """
        checked = await self.call(partial(intake.submission, request or {}, **fields))
        accept = partial(self._buckstop.accept, checked)
        return AsyncTaskHandle(self, await self._servers.rooms_for(checked).call(accept))

    async def task(self, task_id: str) -> AsyncTaskHandle:
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
        async with aclosing(self._servers.news(place)) as behind:
            async for news in behind:
                yield news

    async def letter_counts(self, facet: Facet, wanted: Wanted = ALL) -> dict[str, int]:
        """Count open letters that are wanted by kind, reason, agent or tenant, the most in front.

        What many letters have in common is one cause.
        """
        return await self.call(partial(self._buckstop.letter_counts, facet, wanted))

    async def letter(self, letter_id: str) -> dict[str, Any]:
        """Return one letter, open or decided, or raise NotFound."""
        return await self.call(partial(self._buckstop.letter, letter_id), letter_id)

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
        rooms = await self._servers.rooms_of_letter(decision.letter)
        return await rooms.decide(partial(self._buckstop.decide, decision, timeout))

    async def preview(self, wanted: Wanted, verb: Verb) -> Preview:
        """Say what a decision on every open letter that is wanted would be about."""
        return await self.call(partial(self._buckstop.preview, wanted, verb))

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
        decide_all = partial(self._buckstop.decide_all, wanted, decision, timeout)
        return await self._servers.rooms_of().decide(decide_all)

    async def close(self) -> None:
        """Close all connections."""
        await self._servers.close()
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

    async def call(self, do: Callable[[], T], about: str = "") -> T:
        """Do what lasts one round trip, in a thread of our own few."""
        return await self._servers.rooms_of(about).call(do)

    async def announcements_of(self, task: str) -> Announcements:
        """Return who tells of a task; for whoever waits for it."""
        return await self._servers.announcements_of(task)
