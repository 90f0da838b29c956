"""What lies on the server, open for auditors to read, and what stands in for the server itself.

Every part of the simulated store works on this, as the scripts work on one server's keys.

`loses` is asked once for each call, by the script's name. Where it says yes the reply is lost: the
same call runs again, with the same operation id, and the caller gets the second reply.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable
from heapq import heappop
from itertools import count as numbers_from
from typing import Any, TypeVar

from envelopes import limits
from envelopes.keys import Keys
from orchestrator.sim.store.bulkheads import SimBulkheads
from orchestrator.sim.store.claim import SimClaim
from orchestrator.sim.store.lanes import SimLanes
from orchestrator.sim.store.news import SimNews
from orchestrator.sim.store.spend import SimSpend

Reply = TypeVar("Reply")


class SimPart:
    """One part; a SimStore is all of them."""

    def __init__(
        self,
        clock: Callable[[], int],
        keys: Keys | None = None,
        loses: Callable[[str], bool] = lambda _script: False,
    ) -> None:
        self.clock = clock
        self.keys = keys or Keys()
        self.loses = loses
        self.records: dict[str, dict[str, bytes]] = {}
        self.mail: dict[str, list[bytes]] = defaultdict(list)
        self.journals: dict[str, list[bytes]] = defaultdict(list)
        self.due: dict[str, int] = {}
        self.claims: dict[str, SimClaim] = {}
        self.queues: dict[str, deque[bytes]] = defaultdict(deque)
        self.stale: dict[str, dict[str, str]] = defaultdict(dict)
        """By queue: subtask and digest of messages whose claims were settled before any fetch."""
        self.desk: dict[str, dict[str, bytes]] = {}
        self.told: list[str] = []
        """Letters that the queue `dead-letters` tells of, oldest first."""
        self.said: dict[str, list[bytes]] = defaultdict(list)
        self.registered: dict[str, str] = {}
        self.beats: dict[str, tuple[int, str]] = {}
        self.counters: Counter[str] = Counter()
        self.bells: Counter[str] = Counter()
        self.lanes = SimLanes()
        self.bulkheads = SimBulkheads(self)
        self.judged: list[bytes] = []
        self.told_news = SimNews(clock)
        self.day_books = SimSpend(clock)
        self.recalled: set[str] = set()
        """Tasks for which something came free while they were held."""
        self._idempotency: dict[str, str] = {}
        self._expiry: list[tuple[int, str, str]] = []
        self._last: dict[str, tuple[str, Any, int]] = {}
        self._numbers = numbers_from(1)
        self._name = self.new_op()

    def new_op(self) -> str:
        """Name one operation; the same run gives the same names."""
        return f"op{next(self._numbers)}"

    def send(self, script: str, body: Callable[[], Reply]) -> Reply:
        """Run a script's body, twice where the first reply is lost."""
        self._expire()
        if self.loses(script):
            body()
        return body()

    def ring(self, bell: str, strokes: int = 1) -> None:
        """Ring a bell; it keeps a bounded number of strokes."""
        self.bells[bell] = min(self.bells[bell] + strokes, limits.BELLS_MAX)

    def wake(self, task_id: str) -> None:
        """Wake a task because mail has come, unless an orchestrator holds it."""
        now_ms = self.clock()
        if int(self.records[task_id].get("held_until", b"0")) > now_ms:
            return
        self.due[task_id] = min(self.due.get(task_id, now_ms), now_ms)
        self.ring(self.keys.bell)

    def rouse(self, task_id: str) -> None:
        """Wake a task because something came free; whoever has claimed it is told at its COMMIT."""
        if "held_until" in self.records[task_id]:
            self.recalled.add(task_id)
        self.wake(task_id)

    def wake_by(self, task_id: str, at_ms: int) -> None:
        """Wake a task at this time, if nothing wakes it before."""
        self.due[task_id] = min(self.due.get(task_id, at_ms), at_ms)

    def is_open(self, task_id: str) -> bool:
        """Say whether there is such a task and it is not over."""
        return "outcome" not in self.records.get(task_id, {"outcome": b""})

    def last(self, caller: str, op: str) -> Any:
        """Return what was handed out to a caller under this op, or None."""
        known, reply, until_ms = self._last.get(caller, ("", None, 0))
        return reply if known == op and until_ms > self.clock() else None

    def keep_last(self, caller: str, op: str, reply: object) -> None:
        """Keep what is handed out, should the reply be lost."""
        self._last[caller] = (op, reply, self.clock() + limits.REPLY_KEPT_MS)

    def _expire(self) -> None:
        while self._expiry and self._expiry[0][0] <= self.clock():
            _, kind, name = heappop(self._expiry)
            if kind == "task":
                self.records.pop(name, None)
                self.journals.pop(name, None)
            elif kind == "letter":
                self.desk.pop(name, None)
            else:
                self._idempotency.pop(name, None)


def digits(figure: int) -> bytes:
    """Spell a figure as a hash holds it."""
    return str(figure).encode()
