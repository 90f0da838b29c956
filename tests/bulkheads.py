"""Tasks that publish, settle and wait, in the words of the tests of breakers, caps and rooms.

A scene plays orchestrators without a core: it keeps each task's version and what it has open, so
that a test says only what a commit is about.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.store import LetterClosed, LetterFiled, Settled, Verdict
from tests.worlds import World, commit, message, outgoing, submission

LATER_MS = 4_000_000_000_000
"""An alarm that does not ring in any test: what wakes a task then is what the test is about."""


class Scene:
    def __init__(self, world: World) -> None:
        self.world = world
        self.versions: dict[str, int] = {}
        self.tenants: dict[str, str] = {}
        self.open: dict[str, dict[int, str]] = defaultdict(dict)
        """By task: its subtasks that are not settled, and whose they are."""
        self._numbers = self._ops = 0

    def submit(self, *tasks: str, tenant: str = "default") -> None:
        for task in tasks:
            self.world.store.submit(submission(task, tenant=tenant))
            self.versions[task], self.tenants[task] = 1, tenant
            self.commit(task)

    def commit(
        self,
        task: str,
        publish: Sequence[str] = (),
        settle: Mapping[int, Verdict] | None = None,
        **more: Any,
    ) -> bool:
        """Publish to these agents, settle these subtasks; say whether it was written."""
        numbers = range(self._numbers + 1, self._numbers + len(publish) + 1)
        self._numbers, self._ops = self._numbers + len(publish), self._ops + 1
        settle = settle or {}
        self.world.store.look(task, [], list(settle))
        agents = {n: self.open[task].get(n, "a") for n in settle}
        wish = commit(
            self.versions[task],
            f"op{self._ops}",
            task,
            settled=tuple(Settled(n, agents[n], verdict) for n, verdict in settle.items()),
            publish=tuple(
                self._outgoing(task, number, agent)
                for number, agent in zip(numbers, publish, strict=True)
            ),
            **({"alarm_ms": LATER_MS} | more),
        )
        [done] = self.world.store.commit([wish])
        if done:
            self.versions[task] += int(wish.raises)
            for number in settle:
                self.open[task].pop(number, None)
            self.open[task] |= dict(zip(numbers, publish, strict=True))
        return done

    def _outgoing(self, task: str, number: int, agent: str) -> Any:
        queue = self.world.keys.queue(agent, self.tenants[task])
        raw = message(task, number)
        return outgoing(self.world, number, agent, queue=queue, message=raw)

    def publish(self, task: str, agent: str = "a") -> int:
        """Publish one subtask, which must be let out, and return its number."""
        assert self.commit(task, [agent])
        return self._numbers

    def end(self, task: str) -> None:
        assert self.commit(task, outcome="completed", settle=dict.fromkeys(self.open[task], ""))

    def to_desk(self, task: str) -> bool:
        return self.commit(task, letter=LetterFiled(f"l-{task}", "k", "w", LATER_MS, b"{}"))

    def from_desk(self, task: str) -> bool:
        return self.commit(task, letter_closed=LetterClosed(f"l-{task}", "retry", "ann", ""))

    def faults(self, task: str, count: int, agent: str = "a") -> None:
        """Let an agent fail so many times, one after the other."""
        for _ in range(count):
            assert self.commit(task, settle={self.publish(task, agent): "fault"})

    def woken(self) -> list[str]:
        """Return the tasks that are due now."""
        now_ms = self.now_ms
        due = [task for task in self.versions if (self.world.alarm(task) or LATER_MS) <= now_ms]
        return sorted(due)

    @property
    def now_ms(self) -> int:
        return self.world.store.claim(0).now_ms

    def in_flight(self, agent: str = "a") -> int:
        seen = self.world.store.agents().get(agent)
        return 0 if seen is None else seen.in_flight

    def counted(self, counter: str) -> int:
        return self.world.store.stats().get(counter, 0)
