"""What is in flight, who waits for it, and who is called in: the fragments of COMMIT, in Python.

Asks the store to wake tasks. State lies open for auditors to read: what each agent has in flight,
its breaker and its room, and each tenant's tasks at work and waiting.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from envelopes import limits
from orchestrator.sim.store.breakers import SimBreaker, closed


class Wakes(Protocol):
    """What a store does for those who wait."""

    counters: Counter[str]
    records: dict[str, dict[str, bytes]]
    clock: Callable[[], int]

    def rouse(self, task_id: str) -> None:
        """Wake a task because something has come free for it."""
        ...

    def wake_by(self, task_id: str, at_ms: int) -> None:
        """Wake a task at this time, if nothing wakes it before."""
        ...


@dataclass(slots=True)
class SimRoom:
    """Where tasks wait for an agent; tenants take turns."""

    turns: dict[str, int] = field(default_factory=dict)
    """Task by its turn."""
    clock: int = 0
    last: Counter[str] = field(default_factory=Counter)
    prober: str = ""
    """The task whose alarm is set to the next probe."""

    def enter(self, task_id: str, tenant: str) -> None:
        """Take a place behind the tenant's last task; a task that is here keeps its own."""
        if task_id not in self.turns:
            self.last[tenant] = max(self.clock, self.last[tenant]) + 1
            self.turns[task_id] = self.last[tenant]

    def in_turn(self) -> list[str]:
        """Return who waits here, the first one first."""
        return sorted(self.turns, key=lambda task_id: (self.turns[task_id], task_id))

    def the_prober(self) -> str:
        """Return who is to probe: whoever was set to, or the first one."""
        if self.prober not in self.turns:
            self.prober = self.in_turn()[0]
        return self.prober


class SimBulkheads:
    """All agents and tenants of one store."""

    def __init__(self, store: Wakes) -> None:
        self._store = store
        self.in_flight: Counter[str] = Counter()
        self.caps: dict[str, int] = {}
        self.declared: dict[str, int] = {}
        self.breakers: dict[str, SimBreaker] = {}
        self.rooms: dict[str, SimRoom] = {}
        self.called: dict[str, dict[str, int]] = defaultdict(dict)
        """By agent: tasks called in from its room that have not committed since, by when."""
        self.calls: dict[str, list[str]] = defaultdict(list)
        """The same by task."""
        self.at_work: Counter[str] = Counter()
        self.waiting: dict[str, list[str]] = defaultdict(list)

    # --- agents ----------------------------------------------------------------------------------

    def cap_of(self, agent: str) -> int | None:
        """Return how much an agent may have in flight; None for any amount."""
        return self.caps.get(f"agent:{agent}", self.declared.get(agent))

    def declare(self, agent: str, cap: int | None) -> None:
        """Note what its workers say it may have in flight."""
        self.declared.pop(agent, None)
        if cap is not None:
            self.declared[agent] = cap

    def breaker(self, agent: str) -> SimBreaker:
        """Return an agent's breaker, which is kept only if it ever had a fault."""
        return self.breakers.get(agent) or closed(self._store.clock())

    def count(self, agent: str, by: int) -> None:
        """Count messages in flight."""
        self.in_flight[agent] += by
        if self.in_flight[agent] <= 0:
            del self.in_flight[agent]

    def note_probe(self, agent: str, subtask: str) -> None:
        """Make a published subtask the probe, if its agent's breaker is open."""
        breaker = self.breaker(agent)
        if breaker.is_open and breaker.lets_out(self._store.clock()):
            breaker.probe = subtask
            self._store.counters["breaker_probes"] += 1

    def enter(self, agent: str, task_id: str, tenant: str) -> None:
        """Let a task wait for an agent."""
        self.rooms.setdefault(agent, SimRoom()).enter(task_id, tenant)

    def return_to(self, agent: str, task_id: str) -> None:
        """Put a task whose turn had come before all whose turn has not."""
        self.rooms.setdefault(agent, SimRoom()).turns[task_id] = 0

    def leave(self, agent: str, task_id: str) -> None:
        """Let a task wait no more."""
        if room := self.rooms.get(agent):
            room.turns.pop(task_id, None)
            if not room.turns:
                del self.rooms[agent]

    def rooms_of(self, task_id: str) -> list[str]:
        """Return the agents in whose rooms a task is."""
        return [agent for agent, room in self.rooms.items() if task_id in room.turns]

    def answer_calls(self, task_id: str) -> list[str]:
        """Forget that a task was called in: it has used its places or not."""
        agents = self.calls.pop(task_id, [])
        for agent in agents:
            self.called[agent].pop(task_id, None)
        return agents

    def serve(self, agents: Iterable[str]) -> None:
        """Call in as many as each agent has places for, or see to the next probe."""
        for agent in agents:
            room, breaker = self.rooms.get(agent), self.breaker(agent)
            if room is None:
                continue
            if not breaker.is_open:
                self._call_next(agent, room)
            elif not breaker.probe:
                self._set_prober(room, breaker.opens_ms)

    def _call_next(self, agent: str, room: SimRoom) -> None:
        now_ms, cap, called = self._store.clock(), self.cap_of(agent), self.called[agent]
        for task_id in [i for i, at in called.items() if at <= now_ms - limits.CALL_KEPT_MS]:
            del called[task_id]
        most = limits.ROOM_WAKE_MAX
        free = most if cap is None else min(cap - self.in_flight[agent], most)
        for task_id in room.in_turn()[: max(0, free - len(called))]:
            room.clock = max(room.clock, room.turns[task_id])
            self.leave(agent, task_id)
            called[task_id] = now_ms
            if agent not in self.calls[task_id]:
                self.calls[task_id].append(agent)
            self._store.rouse(task_id)

    def _set_prober(self, room: SimRoom, at_ms: int) -> None:
        if at_ms <= self._store.clock():
            self._store.rouse(room.the_prober())
        else:
            self._store.wake_by(room.the_prober(), at_ms)

    # --- tenants ---------------------------------------------------------------------------------

    def has_place(self, tenant: str) -> bool:
        """Say whether one more task of a tenant may be at work."""
        return self.at_work[tenant] < self._places_of(tenant)

    def count_at_work(self, tenant: str, by: int) -> None:
        """Count tasks at work."""
        self.at_work[tenant] += by
        if not self.at_work[tenant]:
            del self.at_work[tenant]

    def admit(self, tenant: str) -> None:
        """Give places that are free to those who wait, in the order of their arrival."""
        free = max(0, self._places_of(tenant) - self.at_work[tenant])
        admitted = self.waiting[tenant][:free]
        del self.waiting[tenant][:free]
        for task_id in admitted:
            self._store.records[task_id]["place"] = b"work"
            self.count_at_work(tenant, 1)
            self._store.rouse(task_id)

    def _places_of(self, tenant: str) -> int:
        return self.caps.get(f"tenant:{tenant}", limits.TENANT_TASKS_MAX)
