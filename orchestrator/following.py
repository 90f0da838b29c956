"""Follow one accepted task: look at it, wait for its end, read what happens to it, stop it.

Announcements wake whoever watches; the task itself is what is read, so nothing depends on an
announcement that may be lost. A server that restarts meanwhile is waited for.

    task.result(timeout=60)     how it ended
    task.watch()                the task as it is, and again after each change
    task.events(after=7)        each line of its journal, live, from a place on
    task.cancel("no longer")    ask its owner to stop it

Made by Buckstop (client.py). The same without a thread for each who waits: aio.py.
"""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelopes import limits
from envelopes.decision import Cancellation
from envelopes.scripts import new_op
from orchestrator.answers import Result, Story, TaskEvent, none_or_several
from orchestrator.store import Events
from orchestrator.view import TaskView, view

if TYPE_CHECKING:
    from orchestrator.client import Buckstop

T = TypeVar("T")
REREAD_S = 1.0
"""A watcher looks at the task itself this often, in case an announcement was lost."""
GATHER_S = 0.1
"""Announcements that come this close together are one change: a wide task makes hundreds."""
AWAY: Final = (RedisConnectionError, RedisTimeoutError)
"""What a server raises that is away, and may come back."""


class TaskHandle:
    """One accepted task."""

    def __init__(self, buckstop: "Buckstop", task_id: str, *, created: bool = True) -> None:
        self.id = task_id
        self.created = created
        """False where an idempotency key named a task that was there before."""
        self._store = buckstop.store

    def status(self) -> TaskView:
        """Return the task as it is now, or raise NotFound."""
        stored = self._store.task(self.id)
        if stored is None:
            raise none_or_several(self.id)
        return view(self.id, stored)

    def result(self, timeout: float | None = None) -> Result:
        """Wait until the task has ended and return how, or raise TimedOut; the task goes on."""
        last: TaskView | None = None
        for now in self.watch(timeout):
            last = now
        return Result.of(self.id, last, timeout)

    wait = result

    def watch(self, timeout: float | None = None) -> Iterator[TaskView]:
        """Yield the task as it is, and again after each change, until it has ended.

        It leaves early, without a word, when the time given has passed. A server that restarts
        meanwhile is waited for, WATCH_AWAY_S at most, and until that time.
        """
        give_up = inf if timeout is None else time.monotonic() + timeout
        seen, heard = -1, time.monotonic()
        while True:
            try:
                for now in self._changes(give_up):
                    heard = time.monotonic()
                    if now.version != seen:
                        seen = now.version
                        yield now
            except AWAY:
                if time.monotonic() > min(give_up, heard + limits.WATCH_AWAY_S):
                    raise
                time.sleep(REREAD_S)
            else:
                return

    def events(self, after: int | None = None, timeout: float | None = None) -> Iterator[TaskEvent]:
        """Yield each line of the task's journal, live, until it has ended and all are told.

        Whoever keeps the `place` of the last one and gives it as `after` goes on behind it. It
        leaves early, without a word, when the time given has passed.
        """
        for _ in self.watch(timeout):
            while lines := patiently(partial(self.read_events, after)):
                yield from lines
                after = lines[-1].place

    def read_events(self, after: int | None = None) -> list[TaskEvent]:
        """Return the next lines of the journal behind a place, LIVE_PAGE at most."""
        lines, _ = self._store.journal_from(self.id, after, limits.LIVE_PAGE)
        return [TaskEvent.read(place, line) for place, line in lines]

    def cancel(self, why: str = "", by: str = "client") -> bool:
        """Ask the owner to stop the task; False where it has ended already.

        What was produced by then is in `result().kept`.
        """
        wish = Cancellation(by=by, why=why)
        text = f"cancel\n{wish.model_dump_json()}".encode()
        return self._store.post(self.id, text, new_op())

    def show(self) -> Story:
        """Return the task with its history."""
        lines = self._store.journal(self.id)
        return Story(self.status(), tuple(json.loads(line) for line in lines))

    def _changes(self, give_up: float) -> Iterator[TaskView]:
        """Read the task at every announcement and once a second, until it ends or time is up."""
        with self._store.events(self.id) as events:
            while True:
                yield (now := self.status())
                left = min(REREAD_S, give_up - time.monotonic())
                if now.final or left <= 0:
                    return
                if events.get(left) is not None:
                    gather(events)


def patiently(read: Callable[[], T]) -> T:
    """Read, and wait for a server that went away, WATCH_AWAY_S at most."""
    give_up = time.monotonic() + limits.WATCH_AWAY_S
    while True:
        try:
            return read()
        except AWAY:
            if time.monotonic() > give_up:
                raise
        time.sleep(REREAD_S)


def gather(events: Events) -> None:
    """Let announcements that come in a burst pass; one look at the task covers them all."""
    until = time.monotonic() + GATHER_S
    while (left := until - time.monotonic()) > 0:
        events.get(left)
