"""Submit tasks and follow them, from any Python program.

    from orchestrator.client import Buckstop

    with Buckstop() as buckstop:
        task = buckstop.submit(
            goal="compare three vendors", agent="research",
            budget={"tokens": 20_000}, timeout="5m", until={"kind": "plan_done"},
        )
        for view in task.watch():
            print(view.state, view.ledger.spent)
        print(task.result().result)

What is wrong with a request raises Refused, naming the field; a server that cannot keep promises
raises Unfit, naming the fix. Once `submit` has returned, the task ends in exactly one outcome.

Not here: what an accepted task can be asked (following.py), the desk (desk.py), the same for
asynchronous programs (aio.py).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from envelopes.scripts import connect
from orchestrator import checks, intake
from orchestrator.answers import (
    DecidedAll,
    DecidedLetter,
    NotFound,
    Result,
    Story,
    TaskEvent,
    TimedOut,
    none_or_several,
)
from orchestrator.desk import DECIDED_WITHIN_S, Desk
from orchestrator.following import REREAD_S, TaskHandle
from orchestrator.intake import RequestLike
from orchestrator.news import News
from orchestrator.records import Records
from orchestrator.settings import Settings
from orchestrator.store import Overview, Store, Submission
from orchestrator.telemetry_submit import submitting
from orchestrator.view import AgentView, TaskView, agent_view, view
from orchestrator.wanted import ALL_TASKS, Page, Place, TasksWanted, page_of

__all__ = [
    "DECIDED_WITHIN_S",
    "PREFIX_AMONG",
    "REREAD_S",
    "Buckstop",
    "DecidedAll",
    "DecidedLetter",
    "NotFound",
    "Result",
    "Story",
    "TaskEvent",
    "TaskHandle",
    "TimedOut",
]

PREFIX_AMONG = 10_000
"""How many of the newest tasks a shortened id is looked for in."""
_LATELY_DAYS = 2
"""Today and yesterday: who did nothing in them and runs nowhere is retired."""


class Buckstop(Desk):
    """One connection to a deployment. Safe to share between threads."""

    def __init__(self, url: str | None = None, *, settings: Settings | None = None) -> None:
        """Connect to the URL, else to BUCKSTOP_URL, else to what `buckstop up` started here."""
        self.settings = settings or Settings.read(start=Path.cwd(), url=url)
        self._client = connect(self.settings.url)
        self.store: Records = Store(self._client, self.settings.keys, self.settings.replicas)
        self._fit = False

    def submit(self, request: RequestLike = b"", /, **fields: object) -> TaskHandle:
        """Submit a task, given as fields, as a request or as its JSON; or raise Refused or Unfit.

        With an idempotency key that was used before, return the task it was used for.
        """
        return self.accept(intake.submission(request or {}, **fields))

    def accept(self, checked: Submission) -> TaskHandle:
        """Submit what was checked before, under the id that it has; as submit does."""
        self._require_fit()
        with submitting(checked) as submission:
            submitted = self.store.submit(submission)
        checks.require_copies(submitted.copies, self.settings.replicas)
        return TaskHandle(self, submitted.task_id, created=submitted.created)

    def task(self, task_id: str) -> TaskHandle:
        """Return a task by its id or by an unambiguous beginning of it, or raise NotFound."""
        if task_id and self.store.task(task_id) is not None:
            return TaskHandle(self, task_id)
        newest = self.store.find_tasks(count=PREFIX_AMONG)
        found = [known.id for known in newest if known.id.startswith(task_id)]
        if len(found) != 1 or not task_id:
            raise none_or_several(task_id, found)
        return TaskHandle(self, found[0])

    def tasks(
        self, count: int = 20, before: Place | None = None, wanted: TasksWanted = ALL_TASKS
    ) -> Page[TaskView]:
        """Return tasks that are wanted, newest first; `before` is the `next` of the page before."""
        shown, next_ = page_of(self.store.find_tasks(wanted, count + 1, before), count)
        stored = zip(shown, self.store.read_tasks(shown), strict=True)
        return Page([view(each, fields) for each, fields in stored if fields], next_)

    def overview(self) -> Overview:
        """Return everything in a few figures, as of one moment and at the cost of one call."""
        return self.store.overview()

    def news(self, after: str | None = None) -> Iterator[News]:
        """Yield what happens to tasks and letters, from now on, or behind news seen before.

        It never ends. News have an id each; whoever keeps the last one misses nothing, however long
        they were away, unless `event` is "gap": then read the lists anew.
        """
        return self.store.follow_news(self.store.last_news() if after is None else after)

    def agents(self) -> list[AgentView]:
        """Return every agent that a worker ever ran or a message was sent to, by name."""
        found = agents_now(self.store)
        idle = {one.name for one in found if not (one.workers or one.waiting or one.in_flight)}
        retired = idle and idle - {row.agent for row in self.store.spend(_LATELY_DAYS)}
        return [replace(one, retired=one.name in retired) for one in found]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _require_fit(self) -> None:
        """Ask everything before the first submit, and for room before each one."""
        if self._fit:
            checks.require_room(self._client)
        else:
            checks.require_fit(self._client)
            self._fit = True
        checks.require_desk(self.store.count_letters())


def agents_now(store: Records) -> list[AgentView]:
    """Return agents as they are now: who is retired is not looked up, for the books are large."""
    at_work = Counter(name for one in store.workers() for name in one.get("agents", ()))
    return [
        agent_view(name, one, store.queue_depth(name), at_work[name])
        for name, one in sorted(store.agents().items())
    ]
