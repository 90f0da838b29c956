"""What nobody has to wait for while nothing is wrong.

In the liveness phase every process lives and answers, so whatever is left lying is left by a bug:
mail that nobody reads, a dead worker's claim that nobody takes away, a message that is gone and
that nobody sends again, a task that waits for a place that is free. A task would still end, by its
deadline; late is wrong all the same.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from envelopes import limits
from orchestrator.core.facts import ClaimState

if TYPE_CHECKING:
    from orchestrator.sim.world import World

_MAIL_MS: Final = 4_000
"""Nobody holds a task for longer than a blink, so its mail is read at once."""
_LOST_MS: Final = limits.LEASE_MS + 2_000
"""A step whose worker died runs again elsewhere by then."""
_PLACE_MS: Final = 4_000
"""Whoever waits for a place is called in by whoever leaves it, or by the next alarm."""
_ENDED_MS: Final = limits.LAST_WORDS_MS + 10_000
"""After its deadline a task gets as much for its last words, and a few wakes to be late."""
_IDLE_MS: Final = limits.PATIENCE_MS + 5_000
"""A task that waits for an agent that nobody runs yet has patience; no other one waits so long."""
_NEW: Final = json.dumps({"phase": "working", "deadline_ms": limits.TIME_MS_CEILING, "rooms": []})
"""What there is to know of a task that nobody has decided on yet."""
_GONE_MS: Final = limits.PATIENCE_MS + limits.LEASE_MS + 2_000


class Vigil:
    """Looks at the server every few seconds."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._since: dict[str, int] = {}
        self.neglected: list[str] = []

    def look(self) -> None:
        """Note what has been left lying for too long."""
        now_ms, since = self._world.now_ms, self._since
        found = dict(self._lying())
        self._since = {what: since.get(what, now_ms) for what in found}
        for what, patience_ms in found.items():
            if now_ms - self._since[what] >= patience_ms:
                self.neglected.append(what)

    def _lying(self) -> Iterator[tuple[str, int]]:
        """Name everything that somebody ought to do something about, and how soon."""
        server, now_ms = self._world.server, self._world.now_ms
        for task_id, letters in server.mail.items():
            if letters:
                yield f"{task_id} has mail that nobody reads: {letters[0][:40]!r}", _MAIL_MS
        for subtask, claim in server.claims.items():
            silent = claim.state is ClaimState.CLAIMED and now_ms >= claim.beat_ms + _LOST_MS
            if silent:
                yield f"{subtask} waits for a worker that is silent", 0
            gone = claim.state is ClaimState.ISSUED and now_ms >= claim.published_ms + _GONE_MS
            if gone and not server.queues[claim.queue]:
                yield f"{subtask} waits for a message that is gone", _LOST_MS
        yield from self._waiting()
        yield from self._late()

    def _waiting(self) -> Iterator[tuple[str, int]]:
        """Name who waits for a place while there is one."""
        server, now_ms = self._world.server, self._world.now_ms
        heads = server.bulkheads
        for agent, room in heads.rooms.items():
            breaker, cap = heads.breaker(agent), heads.cap_of(agent)
            taken = heads.in_flight[agent] + len(heads.called[agent])
            if breaker.lets_out(now_ms) and (cap is None or taken < cap):
                for task_id in room.turns if not breaker.is_open else [room.the_prober()]:
                    yield f"{task_id} waits for {agent}, which is free", _PLACE_MS
        for tenant, waiting in heads.waiting.items():
            if heads.has_place(tenant):
                yield from ((f"{task_id} waits for a place that is free", 0) for task_id in waiting)

    def _late(self) -> Iterator[tuple[str, int]]:
        """Name who ought to have ended or to be at work, and who has nothing to wait for."""
        server, heads = self._world.server, self._world.server.bulkheads
        for task_id, record in server.records.items():
            head = json.loads(record.get("head", _NEW)) if server.is_open(task_id) else {}
            if head.get("phase") != "working":
                continue
            if self._world.now_ms >= head["deadline_ms"] + _ENDED_MS:
                yield f"{task_id} is at work long after its deadline", 0
            waits = {*heads.rooms_of(task_id), *heads.calls.get(task_id, ())}
            if not waits.issuperset(head["rooms"]):
                yield f"{task_id} waits in no room for {head['rooms']}", _PLACE_MS
            busy = any(name.startswith(f"{task_id}/") for name in server.claims)
            if record.get("place") == b"work" and not busy and not waits:
                yield f"{task_id} waits for nothing", _IDLE_MS
