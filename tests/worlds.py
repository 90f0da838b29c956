"""Two worlds for the conformance tests: the simulated store, and the real one on a real server.

Both have a hand on the clock and on the wire: `pass_time` moves what the scripts take for now, and
`lose_next_reply` breaks the connection between a command's effect and its reply.
"""

from collections.abc import Callable
from dataclasses import replace
from time import sleep
from typing import Any, Protocol

import pytest
from redis import Connection, ConnectionPool, Redis
from redis.exceptions import ConnectionError as Cut

from envelopes import Amounts, Limits, Refused
from envelopes.claims import Fetched
from envelopes.keys import Keys
from envelopes.scripts import Scripts, connect
from orchestrator.core.facts import Claim
from orchestrator.sim.store import SimClaims, SimStore
from orchestrator.store import Commit, Mark, Outgoing, Settled, Store, Submission, Verdict
from orchestrator.wanted import ALL, Wanted
from tests.conftest import Fresh
from tests.until import PATIENCE_S
from workers.claims import LUA, Claims

KINDS = ("simulated", "real")
NOTHING = Amounts()


class World(Protocol):
    """A store and its workers, with a hand on the clock and on the wire."""

    keys: Keys
    store: Store

    def worker(self, name: str) -> Claims: ...
    def pass_time(self, ms: int) -> None: ...
    def expire(self, ms: int) -> None: ...
    def lose_next_reply(self) -> None: ...
    def replies_lost(self) -> int: ...
    def snapshot(self) -> object: ...
    def push(self, queue: str, raw: bytes) -> None: ...
    def strokes(self, bell: str) -> int: ...
    def plant_alarm(self, task_id: str) -> None: ...
    def alarm(self, task_id: str) -> int | None: ...
    def mail_keys(self) -> int: ...


class SimWorld:
    def __init__(self) -> None:
        self.now_ms, self._losing, self._lost = 1_800_000_000_000, False, 0
        self.keys = Keys("sim:")
        self.sim = SimStore(lambda: self.now_ms, self.keys, self._loses)
        self.store: Any = self.sim

    def _loses(self, _script: str) -> bool:
        losing, self._losing = self._losing, False
        self._lost += losing
        return losing

    def worker(self, name: str) -> Any:
        return SimClaims(self.sim, name)

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms

    expire = pass_time

    def lose_next_reply(self) -> None:
        self._losing = True

    def replies_lost(self) -> int:
        return self._lost

    def snapshot(self) -> object:
        s = self.sim
        b = s.bulkheads
        hashes = s.records, s.mail, s.journals, s.due, s.claims, s.queues, s.desk, s.beats
        heads = b.in_flight, b.caps, b.declared, b.breakers, b.rooms, b.called, b.calls
        tenants = b.at_work, b.waiting, s.lanes.turns, s.stale
        state = (*hashes, *heads, *tenants)
        kept = [{name: value for name, value in part.items() if value} for part in state]
        return repr((kept, sorted(s.recalled), s.judged, s.told_news.lines, s.day_books.days))

    def push(self, queue: str, raw: bytes) -> None:
        self.sim.queues[queue].appendleft(raw)

    def strokes(self, bell: str) -> int:
        return self.sim.bells[bell]

    def plant_alarm(self, task_id: str) -> None:
        self.sim.due[task_id] = 0

    def alarm(self, task_id: str) -> int | None:
        return self.sim.due.get(task_id)

    def mail_keys(self) -> int:
        return len(self.sim.mail)


class Wire:
    """Says when a connection is to break between a command's effect and its reply."""

    def __init__(self) -> None:
        self.breaks, self.broke = False, 0


class BreakableConnection(Connection):
    """A connection that reads one reply and then says it never came."""

    def __init__(self, wire: Wire, **more: Any) -> None:
        super().__init__(**more)  # type: ignore[no-untyped-call]
        self.wire = wire

    def read_response(self, *args: Any, **more: Any) -> Any:
        reply = super().read_response(*args, **more)
        if self.wire.breaks:
            self.wire.breaks, self.wire.broke = False, self.wire.broke + 1
            self.disconnect()  # type: ignore[no-untyped-call]
            raise Cut("the reply was lost")
        return reply


class RealWorld:
    """The real scripts on a real server, whose clock a test holds: it goes on by what is let pass.

    A clock that ran would let a lease end, or a breaker half open, wherever a machine stands still.
    """

    def __init__(self, fresh: Fresh) -> None:
        self.keys, self.wire, self.url = fresh.keys, Wire(), fresh.url
        self.client = breakable(fresh.url, self.wire)
        self._clock = f"{fresh.keys.prefix}test-clock"
        self.catch_up()
        self.store = Store(self.client, self.keys)
        self._workers = Scripts(self.client, LUA, self.keys)
        for scripts in (self.store._scripts, self._workers):
            self._hold_clock(scripts)

    def another_store(self) -> Store:
        """Make another orchestrator's store, with the same clock."""
        store = Store(connect(self.url), self.keys)
        self._hold_clock(store._scripts)
        return store

    def _hold_clock(self, scripts: Scripts) -> None:
        held = f"{{0, redis.call('GET', '{self._clock}') * 1000}}"
        for name, text in scripts._texts.items():
            scripts._texts[name] = moved = text.replace("redis.call('TIME')", held)
            scripts._shas[name] = self.client.script_load(moved)

    def worker(self, name: str) -> Claims:
        return Claims(self._workers, self.keys, name)

    def pass_time(self, ms: int) -> None:
        self.client.incrby(self._clock, ms)

    def catch_up(self) -> None:
        """Set the clock to the server's own, by which other processes live."""
        seconds, micros = self.client.time()
        self.client.set(self._clock, seconds * 1000 + micros // 1000)

    def expire(self, ms: int) -> None:
        self.pass_time(ms)
        sleep(ms / 1000)  # the server drops a key by its own clock

    def lose_next_reply(self) -> None:
        self.wire.breaks = True

    def replies_lost(self) -> int:
        return self.wire.broke

    def snapshot(self) -> object:
        skipped = {self.keys.stats.encode(), self._clock.encode()}
        return {key: self._held(key) for key in self.client.scan_iter() if key not in skipped}

    def _held(self, key: bytes) -> object:
        """Read a key; a table may lie in another order after somebody has looked into it."""
        match self.client.type(key):
            case b"hash":
                return self.client.hgetall(key)
            case b"set":
                return self.client.smembers(key)
            case _:
                return self.client.dump(key)

    def push(self, queue: str, raw: bytes) -> None:
        self.client.lpush(queue, raw)

    def strokes(self, bell: str) -> int:
        return int(self.client.llen(bell))

    def plant_alarm(self, task_id: str) -> None:
        self.client.zadd(self.keys.due, {task_id: 0})

    def alarm(self, task_id: str) -> int | None:
        at_ms = self.client.zscore(self.keys.due, task_id)
        return None if at_ms is None else int(at_ms)

    def mail_keys(self) -> int:
        return len(self.client.keys(self.keys.mail("*")))


def breakable(url: str, wire: Wire) -> Any:
    """Make a client as `connect` does, over connections that break when told to, and only then."""
    known = connect(url, socket_timeout=PATIENCE_S).connection_pool.connection_kwargs
    pool = ConnectionPool(
        connection_class=BreakableConnection,
        **(known | {"wire": wire}),
    )
    return Redis(connection_pool=pool)


def make(request: pytest.FixtureRequest) -> World:
    """Make an empty world of the kind that a fixture's parameter names."""
    return make_kind(request, request.param)


def make_kind(request: pytest.FixtureRequest, kind: str) -> World:
    """Make an empty world of this kind."""
    return SimWorld() if kind == "simulated" else RealWorld(request.getfixturevalue("fresh"))


# --- what tests say in short ------------------------------------------------------------------


def on_desk(store: Any, wanted: Wanted = ALL, count: int = 1_000) -> list[str]:
    """Name the open letters that are wanted, the newest in front."""
    return [place.id for place in store.find_letters(wanted, count)]


def submission(task_id: str = "t1", key: str | None = None, **more: Any) -> Submission:
    plain = Submission(task_id, b'{"goal":"x"}', {"s:a": b"1"}, "default", key, 60_000, 3_600_000)
    return replace(plain, **more)


def commit(version: int, op: str, task_id: str = "t1", **more: Any) -> Commit:
    plain = Commit(
        task_id=task_id,
        version=version,
        op=op,
        fields={},
        dropped=(),
        mail_read=0,
        alarm_ms=None,
        journal=(),
        settled=(),
        publish=(),
        letter=None,
        letter_closed=None,
        event=b"",
        outcome=None,
        retention_ms=60_000,
    )
    return replace(plain, **more)


def nonce(number: int) -> str:
    return f"{number:032x}"


def message(task_id: str, number: int, issued_ms: int = 1, nonce_of: int | None = None) -> bytes:
    """Write a message as it travels: the signed headers are a JSON text inside the JSON."""
    claim = f"{task_id}/{number}:{nonce(number if nonce_of is None else nonce_of)}"
    signed = f'{{\\"v\\":1,\\"issued_ms\\":{issued_ms}}}'
    return (
        f'{{"body": "QUJD", "headers": {{"task": "agent.a", "buckstop": "{signed}", '
        f'"buckstop_claim": "{claim}"}}}}'
    ).encode()


def outgoing(world: World, number: int, agent: str = "a", **more: Any) -> Outgoing:
    plain = Outgoing(
        agent=agent,
        queue=world.keys.queue(agent),
        subtask=number,
        nonce=nonce(number),
        allowance=Limits(100, 1000, 3),
        deadline_ms=4_000_000_000_000,
        timeout_ms=60_000,
        message=message("t1", number),
    )
    return replace(plain, **more)


def publish(world: World, *numbers: int, **more: Any) -> None:
    """Submit t1 and publish these subtasks; the task is at version 2 then, and nobody holds it."""
    world.store.submit(submission())
    sent = tuple(outgoing(world, number, **more) for number in numbers)
    assert world.store.commit([commit(1, "published", publish=sent)]) == [True]


def fetch_one(world: World, worker: str = "w", agent: str = "a") -> Fetched:
    _, [fetched] = world.worker(worker).fetch([world.keys.queue(agent)], 1)
    return fetched


def running(world: World, **more: Any) -> tuple[Claims, str]:
    """Publish subtask 1, fetch it, and return its worker and token."""
    publish(world, 1, **more)
    return world.worker("w"), fetch_one(world).token


def settled(*numbers: int, agent: str = "a", verdict: Verdict = "") -> tuple[Settled, ...]:
    """Settle these subtasks of an agent, all with the same verdict."""
    return tuple(Settled(number, agent, verdict) for number in numbers)


def look(world: World, number: int = 1) -> Claim:
    return world.store.look("t1", [number], [])[number]


def loaded(world: World, known: Mark | None = None) -> Any:
    [found] = world.store.load([("t1", known)])
    assert found is not None
    return found


def once(world: World, call: Callable[[], Any]) -> Any:
    """Make a call whose first reply is lost, and check that one was lost indeed."""
    before = world.replies_lost()
    world.lose_next_reply()
    answer = call()
    assert world.replies_lost() == before + 1
    return answer


def refuses(world: World, call: Callable[[], Any]) -> None:
    """Check that a call is refused and that nothing at all is written."""
    before = world.snapshot()
    with pytest.raises(Refused):
        call()
    assert world.snapshot() == before
