"""Callers and the people at the desk.

A caller submits until it is told that the task was accepted, sometimes twice, sometimes dies before
it hears; some wish to stop. People decide at random: soon, late, twice, wrongly, or not at all; and
what they put back on a queue may come to the desk again.
"""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from envelopes import Refused, TaskRequest, limits
from envelopes.decision import Verb
from orchestrator import intake
from orchestrator.sim.asks import ask
from orchestrator.sim.dice import happens
from orchestrator.store import MessageDecision, Submission

if TYPE_CHECKING:
    from orchestrator.sim.world import World

_ROUNDS_MAX: Final = 3
"""Letters of one task after which people stop granting more."""
_NOBODY: Final = 0.3
"""The share of letters that nobody looks at."""


class People:
    """Everybody outside."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.attempted: set[str] = set()
        self.acknowledged: set[str] = set()
        self.cancelled: dict[str, int] = {}
        self.silent = 0
        """Callers who died before they heard anything."""

    # --- callers ---------------------------------------------------------------------------------

    def submits(self, number: int) -> Iterator[int]:
        """Submit one task and follow its caller's whims; yields how long each pause is."""
        world, random = self._world, self._world.random
        request = intake.read(self._asked(number))
        task_id = f"t{number}"
        yield random.randint(0, world.arrivals_ms)
        self.attempted.add(task_id)
        if happens(random, 0.02):
            yield from self._submit_and_die(task_id, request)
            return
        yield from self._submit(task_id, request)
        if happens(random, 0.1):
            yield random.randint(1, 2_000)
            yield from self._submit_again(task_id, request)
        if happens(random, 0.08):
            yield random.randint(0, int(request.timeout * 700))
            yield from self._cancel(task_id)

    def _asked(self, number: int) -> dict[str, Any]:
        """Draw a task that its own budget can hold; intake refuses the others, as it should."""
        while True:
            asked = ask(self._world.random, self._world.moods)
            asked["idempotency_key"] = f"key{number}"
            try:
                intake.read(asked)
            except ValueError:
                continue
            return asked

    def _submit_and_die(self, task_id: str, request: TaskRequest) -> Iterator[int]:
        """Die before the answer: nobody knows whether the task was accepted."""
        self.silent += 1
        if happens(self._world.random, 0.5):
            try:
                self._world.server.submit(_submission(task_id, request))
            except RedisError:
                return
        yield 1

    def _submit(self, task_id: str, request: TaskRequest) -> Iterator[int]:
        while task_id not in self.acknowledged:
            try:
                answer = self._world.server.submit(_submission(task_id, request))
            except RedisError:
                yield 100
            else:
                self.acknowledged.add(answer.task_id)

    def _submit_again(self, task_id: str, request: TaskRequest) -> Iterator[int]:
        """Click twice: the same key under another id must give the same task."""
        self.attempted.add(task_id)
        try:
            answer = self._world.server.submit(_submission(f"{task_id}-twice", request))
        except RedisError:
            yield 1
        else:
            self.acknowledged.add(answer.task_id)

    def _cancel(self, task_id: str) -> Iterator[int]:
        letter = b"cancel\n" + json.dumps({"by": "caller", "why": "never mind"}).encode()
        for _ in range(5):
            try:
                posted = self._world.server.post(task_id, letter, f"cancel-{task_id}")
            except RedisError:
                yield 100
                continue
            if posted:
                self.cancelled.setdefault(task_id, self._world.now_ms)
            return

    # --- the desk --------------------------------------------------------------------------------

    def letter_filed(self, letter: str, task_id: str) -> None:
        """Let somebody read a letter, or nobody."""
        random = self._world.random
        if happens(random, _NOBODY):
            return
        for person in ("ann", "bob")[: 1 + happens(random, 0.4)]:
            self._world.begin(self._decides(person, letter, task_id))

    def _decides(self, person: str, letter: str, task_id: str) -> Iterator[int]:
        random = self._world.random
        yield random.randint(50, 60_000)
        decision = {"letter": letter, "by": person, **self._said(letter)}
        op = f"{person}-{letter}"
        for _ in range(1 + happens(random, 0.2)):
            try:
                self._world.server.post(task_id, b"decide\n" + json.dumps(decision).encode(), op)
            except RedisError:
                yield 100
            yield random.randint(1, 500)

    def message_set_aside(self, letter: str) -> None:
        """Let somebody look at a message that was set aside, or nobody."""
        if not happens(self._world.random, _NOBODY):
            self._world.begin(self._clears(letter))

    def _clears(self, letter: str) -> Iterator[int]:
        """Put a message back on its queue or let it go, sometimes twice and in two ways."""
        random = self._world.random
        yield random.randint(50, 60_000)
        for attempt in range(1 + happens(random, 0.2)):
            verb = random.choice((Verb.REPLAY, Verb.DISCARD, Verb.DISCARD))
            said = MessageDecision(letter, verb, random.choice(("ann", "bob")), "seen")
            try:
                self._world.server.settle_message(said, f"clear{attempt}-{letter}")
            except RedisError:
                yield 100
            except Refused:  # half a message is not replayed
                yield 1
            yield random.randint(1, 500)

    def _said(self, letter: str) -> dict[str, Any]:
        """Draw what a person says: to a question mostly an answer, and that may be a wrong one."""
        random, fields = self._world.random, self._world.server.letter(letter)
        question = None if fields is None else json.loads(fields["story"]).get("question")
        if question is None or happens(random, 0.2):
            return self._verb(int(letter.rpartition(".")[2]))
        return {"verb": "answer", "answer": random.choice((*question["choices"], "perhaps"))}

    def _verb(self, round_number: int) -> dict[str, Any]:
        random = self._world.random
        if round_number > _ROUNDS_MAX:
            return {"verb": "abort", "why": "enough"}
        return random.choice(
            (
                {"verb": "approve"},
                {"verb": "abort", "why": "no use"},
                {"verb": "amend", "result": {"by": "desk", "ok": True}},
                {"verb": "amend", "result": "text"},
                {"verb": "answer", "answer": "to nobody's question"},
                {"verb": "retry"},
                {"verb": "retry", "budget": {"tokens": 3000, "usd": "0.01", "calls": 20}},
                {"verb": "retry", "hops": 3, "time": 60, "budget": {"calls": 9}},
            )
        )


def _submission(task_id: str, request: TaskRequest) -> Submission:
    return Submission(
        task_id=task_id,
        request=request.model_dump_json().encode(),
        fields={},
        tenant=request.tenant,
        idempotency_key=request.idempotency_key,
        retention_ms=limits.RETENTION_S * 1000,
        timeout_ms=int(request.timeout * 1000),
    )
