"""What this process has fetched and not ended, and how much more it may fetch.

A slow agent must not hoard work that another worker could do, so nothing is fetched without a free
slot. A quick one would then wait for a round trip after every message, so for quick agents a little
more is fetched: no more than this process has ended in the last quarter of a second.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import exp
from threading import Lock
from time import monotonic

from envelopes.keys import base_of
from envelopes.limits import AHEAD_MAX, AHEAD_MS, QUICK_MS

_NEWEST_SHARE = 0.1
"""How much the latest run counts in an agent's average."""


@dataclass(slots=True)
class Hold:
    """A subtask between fetch and end."""

    subtask: str
    token: str
    queue: str
    """The lane it came from, and goes back to."""
    raw: bytes
    begun_at: float | None = None
    pid: int = 0
    """The prefork child that runs it."""


class Held:
    """The subtasks of one process; safe to share between threads."""

    def __init__(self, slots: Callable[[], int], now: Callable[[], float] = monotonic) -> None:
        self._slots = slots
        self._now = now
        self._lock = Lock()
        self._holds: dict[str, Hold] = {}
        self._closed = False
        self._hungry = False
        self._wake: Callable[[], object] = lambda: None
        self._ended_lately = 0.0  # decays to 1/e of itself every AHEAD_MS
        self._ended_at = now()
        self._average_ms: dict[str, float] = {}

    # --- how much more ---------------------------------------------------------------------------

    def room(self, queues: Iterable[str]) -> tuple[int, int]:
        """Return how many messages may be fetched: of any agent, and of quick ones besides."""
        with self._lock:
            free, ahead = self._room()
            return free, ahead if any(map(self._is_quick, queues)) else 0

    def quick(self, queues: Iterable[str]) -> list[str]:
        """Return the queues whose agents end quickly."""
        with self._lock:
            return [queue for queue in queues if self._is_quick(queue)]

    def may_fetch(self, wake: Callable[[], object]) -> bool:
        """Say whether a fetch is worth its round trip now; if not, call back once when it is."""
        with self._lock:
            worth = self._worth_a_fetch()
            self._wake, self._hungry = wake, not worth
            return worth

    def close(self) -> None:
        """Fetch nothing from now on: the worker is being stopped."""
        self._closed = True  # no lock: a signal may have interrupted whoever holds it

    # --- the life of a subtask here --------------------------------------------------------------

    def add(self, hold: Hold) -> None:
        """Note that it was fetched."""
        with self._lock:
            self._holds[hold.subtask] = hold

    def has(self, subtask: str) -> bool:
        """Say whether it is still held."""
        return subtask in self._holds

    def begin(self, subtask: str) -> bool:
        """Say that it starts now; False where it was given back, or lost, before it could."""
        with self._lock:
            hold = self._holds.get(subtask)
            if hold is None:
                return False
            hold.begun_at = hold.begun_at or self._now()
            return True

    def place(self, subtask: str, pid: int) -> Hold | None:
        """Note which process runs it."""
        with self._lock:
            hold = self._holds.get(subtask)
            if hold is not None:
                hold.pid = pid
            return hold

    def end(self, subtask: str) -> Hold | None:
        """Note that it is over, however it ended; None where it was not held."""
        with self._lock:
            hold = self._holds.pop(subtask, None)
            if hold is None:
                return None
            self._count(hold)
            ready = self._hungry and self._worth_a_fetch()
            self._hungry = self._hungry and not ready
        if ready:
            self._wake()
        return hold

    def drop_unbegun(self, subtask: str | None = None) -> list[Hold]:
        """Let go of what has not begun, the youngest first; all of it, or this one."""
        with self._lock:
            gone = [
                hold
                for name, hold in reversed(self._holds.items())
                if hold.begun_at is None and subtask in (None, name)
            ]
            for hold in gone:
                del self._holds[hold.subtask]
        return gone

    def all(self) -> list[Hold]:
        """Return everything that is held now."""
        with self._lock:
            return list(self._holds.values())

    def __len__(self) -> int:
        return len(self._holds)

    # --- with the lock held ----------------------------------------------------------------------

    def _room(self) -> tuple[int, int]:
        if self._closed:
            return 0, 0
        free, ahead = self._slots() - len(self._holds), self._ahead()
        return max(0, free), max(0, ahead + min(0, free))

    def _ahead(self) -> int:
        if not any(map(self._is_quick, self._average_ms)):
            return 0
        return min(AHEAD_MAX, int(self._ended_lately * self._decay()))

    def _worth_a_fetch(self) -> bool:
        """With many slots free in prospect, wait for half of them: one round trip for all."""
        free, ahead = self._room()
        return free + ahead > self._ahead() // 2

    def _decay(self) -> float:
        return exp((self._ended_at - self._now()) * 1000 / AHEAD_MS)

    def _is_quick(self, queue: str) -> bool:
        return self._average_ms.get(queue, QUICK_MS) < QUICK_MS

    def _count(self, hold: Hold) -> None:
        if hold.begun_at is None:
            return
        self._ended_lately = self._ended_lately * self._decay() + 1
        self._ended_at = self._now()
        took_ms = (self._ended_at - hold.begun_at) * 1000
        queue = base_of(hold.queue)
        average_ms = self._average_ms.get(queue, took_ms)
        self._average_ms[queue] = average_ms + (took_ms - average_ms) * _NEWEST_SHARE
