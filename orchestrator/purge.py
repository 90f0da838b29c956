"""Forget finished tasks before their time: by age, by tenant, by outcome, or one by one.

    purge = Purge(client, keys)
    found = purge.find(PurgeWanted(tenant="acme", older_ms=30 * DAY_MS))
    done = purge.run(found.over)

What is over forgets itself after its retention; this is for whoever cannot wait. A task goes with
its journal, its letters, its idempotency key, and every mention of it: in the news, on the queue
that tells of letters, in what was and will be delivered. What is not over stays; cancel it first.

It can run at any time. A mention is only looked for once the tasks are gone, when no new one can
come. Whoever is cut off in the middle names the tasks, and says it again.

Not here: the books of the days, which are sums without tasks. What was written to disk before goes
when the server writes its file anew.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from redis import Redis

from envelopes.keys import Keys
from envelopes.limits import PURGE_MAX
from envelopes.scripts import Scripts
from orchestrator.clock import server_ms
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.lua import LUA
from orchestrator.news import START
from orchestrator.store import Store
from orchestrator.wanted import Stage

OVER: Final = (Stage.COMPLETED, Stage.PARTIAL, Stage.ABORTED)
_ID: Final = re.compile(rb'"id":"([^"]*)"')
"""The letter in a message that tells of it, which is Celery's id of the message."""


@dataclass(frozen=True, slots=True)
class PurgeWanted:
    """Which finished tasks are meant: all that fit everything said here."""

    tasks: tuple[str, ...] = ()
    """These, or any."""
    tenant: str | None = None
    stage: Stage | None = None
    older_ms: int = 0
    """Ended at least so long ago."""


@dataclass(frozen=True, slots=True)
class PurgeFound:
    """What fits."""

    over: tuple[str, ...]
    open: tuple[str, ...]
    """Tasks that fit but for not being over; they stay."""
    unknown: tuple[str, ...] = ()
    """Named tasks without a record: expired, or half purged. What mentions them still can go."""
    by_cell: Mapping[str, int] = field(default_factory=dict)
    """How many of those that are over each cell has; nothing where there is one server."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What is gone."""

    tasks: int
    letters: int
    news: int
    deliveries: int


class Purge:
    """Finds and forgets. Its user needs SCAN, which only `admin` has among those deployed."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client: Any = client
        self._keys = keys
        self._store = Store(client, keys)
        self._scripts = Scripts(client, LUA, keys)
        self._subscriptions = Subscriptions(client, keys)

    def find(self, wanted: PurgeWanted) -> PurgeFound:
        """Say what would go, and what would not because it is not over."""
        over = tuple(self._over(wanted))
        named = wanted.tasks or tuple(self._open_of(wanted.tenant))
        still = tuple(task for task in named if self._is_open(task))
        return PurgeFound(over, still, tuple(self._unknown(wanted.tasks)))

    def run(self, tasks: Sequence[str]) -> Purged:
        """Forget these tasks, where they are over, and every mention of those that are gone."""
        count = sum(len(self._forget(some)) for some in _batches(tasks))
        gone = set(self._unknown(tasks))
        letters = {letter for letter, task in self._letters() if task in gone}
        dropped = sum(
            int(self._scripts.run("purge_letters", [], some)) for some in _batches(letters)
        )
        about = gone | letters
        self._forget_copies(letters)
        return Purged(count, dropped, self._forget_news(about), self._forget_deliveries(about))

    def of_keys(self, tasks: Sequence[str]) -> dict[str, str]:
        """Return the records of idempotency keys that stand for these tasks, each with its task."""
        found: dict[str, str] = {}
        for some in _batches(tasks):
            with self._client.pipeline(transaction=False) as pipe:
                for task in some:
                    pipe.hget(self._keys.task(task), "idem")
                records = pipe.execute()
            found |= {idem.decode(): task for idem, task in zip(records, some, strict=True) if idem}
        return found

    def rewrite(self) -> None:
        """Let the server write its file anew, without what is gone."""
        self._client.bgrewriteaof()

    # --- find -----------------------------------------------------------------------------------

    def _over(self, wanted: PurgeWanted) -> Iterator[str]:
        """Yield finished tasks that fit, from the index of what expires when."""
        until_ms = server_ms(self._client) - wanted.older_ms
        lines = self._client.zscan_iter(self._keys.expiring, count=PURGE_MAX)
        found = (line.decode() for line, _ in lines)
        for some in _batches(_task_in(line) for line in found if _fits(line, wanted)):
            with self._client.pipeline(transaction=False) as pipe:
                for task in some:
                    pipe.lindex(self._keys.journal(task), -1)
                last = pipe.execute()
            for task, note in zip(some, last, strict=True):
                if note is None or json.loads(note)["at_ms"] <= until_ms:
                    yield task

    def _open_of(self, tenant: str | None) -> Iterator[str]:
        if tenant is not None:
            found = self._client.zrange(self._keys.tasks_by(f"tenant:{tenant}"), 0, -1)
            yield from (task.decode() for task in found)

    def _unknown(self, tasks: Sequence[str]) -> Iterator[str]:
        """Yield those that have no record."""
        for some in _batches(tasks):
            with self._client.pipeline(transaction=False) as pipe:
                for task in some:
                    pipe.exists(self._keys.task(task))
                known = pipe.execute()
            yield from (task for task, there in zip(some, known, strict=True) if not there)

    def _is_open(self, task: str) -> bool:
        version, outcome = self._client.hmget(self._keys.task(task), "version", "outcome")
        return version is not None and outcome is None

    # --- forget ---------------------------------------------------------------------------------

    def _forget(self, tasks: Sequence[str]) -> list[str]:
        return [task.decode() for task in self._scripts.run("purge", [], tasks)]

    def _letters(self) -> Iterator[tuple[str, str]]:
        """Yield every letter there is, open or decided, with its task."""
        stem = self._keys.letter("")
        for some in _batches(self._client.scan_iter(f"{stem}*", count=PURGE_MAX)):
            with self._client.pipeline(transaction=False) as pipe:
                for key in some:
                    pipe.hget(key, "task")
                tasks = pipe.execute()
            for key, task in zip(some, tasks, strict=True):
                if task:
                    yield key.decode().removeprefix(stem), task.decode()

    def _forget_copies(self, letters: set[str]) -> None:
        """Take messages about letters off the queue that tells of them."""
        for raw in self._client.lrange(self._keys.dead_letters, 0, -1):
            named = _ID.search(raw)
            if named and named[1].decode() in letters:
                self._client.lrem(self._keys.dead_letters, 1, raw)

    def _forget_news(self, about: set[str]) -> int:
        """Take lines about tasks and letters out of the news."""
        after, gone = START, 0
        while lines := self._store.news(after, PURGE_MAX):
            after = lines[-1].id
            named = [one.id for one in lines if _names(one.fields, about)]
            if named:
                gone += int(self._client.xdel(self._keys.news, *named))
        return gone

    def _forget_deliveries(self, about: set[str]) -> int:
        gone = 0
        for each in self._subscriptions.list():
            named = [name for name in self._deliveries(each.id) if self._is_about(name, about)]
            for some in _batches(named):
                gone += int(self._scripts.run("purge_deliveries", [], [each.id, *some]))
        return gone

    def _deliveries(self, subscription: str) -> list[str]:
        waiting = self._client.zrange(self._keys.outbox(subscription), 0, -1)
        over = self._client.lrange(self._keys.delivered(subscription), 0, -1)
        return [name.decode() for name in (*waiting, *over)]

    def _is_about(self, delivery: str, about: set[str]) -> bool:
        subject, named = self._client.hmget(self._keys.delivery(delivery), "about", "named")
        names = [(subject or b"").decode(), *(named or b"").decode().split("\n")]
        return not about.isdisjoint(names)


def _fits(line: str, wanted: PurgeWanted) -> bool:
    outcome, tenant, task = line.split(" ", 2)
    return (
        (not wanted.tasks or task in wanted.tasks)
        and wanted.tenant in {None, tenant}
        and wanted.stage in {None, outcome}
    )


def _task_in(line: str) -> str:
    return line.split(" ", 2)[2]


def _names(fields: Mapping[str, str], about: set[str]) -> bool:
    return fields.get("task") in about or fields.get("letter") in about


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    """Cut into pieces small enough for one script."""
    left = iter(items)
    while some := list(islice(left, PURGE_MAX)):
        yield some
