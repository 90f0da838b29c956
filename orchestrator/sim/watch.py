"""What the auditor wants to know of breakers, caps and tenants, and no key holds afterwards.

Written down at every call of a process: what each commit sent and settled, and who was let in.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from envelopes import limits
from orchestrator.sim.evidence import Admission, Move
from orchestrator.sim.server import Server
from orchestrator.store import Commit

if TYPE_CHECKING:
    from orchestrator.sim.world import World

Reply = TypeVar("Reply")
_LETS_IN: Final = frozenset(("submit", "commit", "set_cap"))
"""Scripts after which a task may have got its place."""


class WatchedServer(Server):
    """The server, and a list of who came and went."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.moves: list[Move] = []
        self.admissions: list[Admission] = []
        self._places: dict[str, bytes] = {}

    def send(self, script: str, body: Callable[[], Reply]) -> Reply:
        """Run a script, and look at once who was let in: its caller may be dead a moment later."""

        def watched() -> Reply:
            reply = body()
            if script in _LETS_IN:
                self._note_admissions()
            return reply

        return super().send(script, watched)

    def _note_admissions(self) -> None:
        now = {task_id: record.get("place", b"") for task_id, record in self.records.items()}
        let_in = [i for i, p in now.items() if p == b"work" and _outside(self._places.get(i))]
        self._places = now
        for task_id in let_in:
            tenant = self.records[task_id]["tenant"]
            at_work = sum(
                place == b"work" and self.records[other]["tenant"] == tenant
                for other, place in now.items()
            )
            name = tenant.decode()
            most = self.bulkheads.caps.get(f"tenant:{name}", limits.TENANT_TASKS_MAX)
            self.admissions.append(Admission(task_id, name, at_work, most))

    def rouse(self, task_id: str) -> None:
        """Wake a task because something came free for it, which is news."""
        super().rouse(task_id)
        self._alarms[task_id] = 0

    def _commit(self, c: Commit) -> bool:
        record, heads = self.records.get(c.task_id, {}), self.bulkheads
        again = record.get("op") == c.op.encode()
        waiting = record.get("place") == b"waiting"
        if heads.rooms_of(c.task_id) or c.task_id in heads.calls:
            self._alarms[c.task_id] = 0  # whether there is room now is no fact of its own
        roused = c.task_id in self.recalled
        done = super()._commit(c)
        if roused:
            self._alarms[c.task_id] = 0  # what came free meanwhile is seen by the next decision
        if done and not again:
            self.moves.append(_move(c, self.clock(), waiting=waiting))
        return done


def _outside(place: bytes | None) -> bool:
    return place is None or place == b"waiting"


def _move(c: Commit, now_ms: int, *, waiting: bool) -> Move:
    return Move(
        task=c.task_id,
        at_ms=now_ms,
        sent=tuple((each.subtask, each.agent) for each in c.publish),
        settled=tuple((each.subtask, each.agent, each.verdict) for each in c.settled),
        waiting=waiting,
    )
