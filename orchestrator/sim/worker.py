"""A simulated worker process: fetch, check, charge, call, settle, report, beat.

It does what workers/ does, as steps that the world can stop between any two of them, and what a
worker must never do: it goes on after its claim was taken away, and tries to charge, settle and
report. All of that must be refused.
"""

import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from envelopes import Amounts, limits
from envelopes.claims import Charged, Fetched
from envelopes.seal import Forged
from orchestrator.sim.cast import CAST
from orchestrator.sim.dice import happens
from orchestrator.sim.evidence import Effect, Inputs, bounds
from orchestrator.sim.script import Act, Call, Order
from orchestrator.sim.server import Crash
from orchestrator.sim.store import SimClaims

if TYPE_CHECKING:
    from orchestrator.sim.world import World

_LOOK_MS: Final = 3_000
"""The longest sleep on an empty queue."""
_STUBBORN: Final = 0.5
"""The share of runs that go on after they have lost their claim."""
_MODELS: Final = ("", "small", "large")
"""By whose name calls are booked."""


@dataclass(slots=True)
class Booked:
    """One paid call, as the worker knows it; the auditor's `Effect` is made from it."""

    subtask: str
    token: str
    op: str
    call: Call
    at_ms: int
    made: bool = False
    settled: bool = False

    def effect(self) -> Effect:
        """Say what really happened."""
        real = self.call.real if self.made else None
        return Effect(
            self.subtask, self.token, self.op, self.call.worst, real, self.at_ms, self.settled
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A message that has passed the gate."""

    agent: str
    deadline_ms: int
    order: Order


class Worker:
    """One process. When it dies, everything in it is gone."""

    def __init__(self, world: "World", name: str) -> None:
        self._world = world
        self.name = name
        self.claims = SimClaims(world.server, name)
        self.queues = [world.server.keys.queue(agent) for agent in CAST]
        self.slots = world.random.randint(2, 12)
        self.alive = True
        self.leaving = False
        self.holds: dict[str, str] = {}
        """Token by subtask: what this process beats for."""
        self.lost: set[str] = set()
        """Tokens that were taken away."""
        self._busy = 0
        self._waiting: list[Fetched] = []

    # --- the process -----------------------------------------------------------------------------

    def fetches(self) -> Iterator[int]:
        """Take messages as long as there are hands for them."""
        while not self.leaving:
            free = self.slots - self._busy
            if free <= 0:
                yield 200
                continue
            self._world.random.shuffle(self.queues)
            try:
                now_ms, fetched = self.claims.fetch(self.queues, free + 1)
            except RedisError:
                yield self._world.random.randint(50, 500)
                continue
            for one in fetched:
                self._receive(one, now_ms)
            yield 1 if fetched else -_LOOK_MS

    def _receive(self, one: Fetched, now_ms: int) -> None:
        if one.state == "claimed":
            self.holds[one.subtask] = one.token
        if self._busy >= self.slots and one.state == "claimed":
            self._waiting.append(one)
            return
        self._start(one, now_ms)

    def _start(self, one: Fetched, now_ms: int) -> None:
        self._busy += 1
        self._world.begin(self._handles(one, now_ms), self)

    def _handles(self, one: Fetched, now_ms: int) -> Iterator[int]:
        """Handle one message from the gate to the report."""
        try:
            yield self._world.random.randint(0, 5)
            opened = yield from self._gate(one, now_ms)
            if opened is not None:
                yield from self._run(one, opened)
        finally:
            self.holds.pop(one.subtask, None)
            self._busy -= 1
            if self._waiting and self.alive and not self.leaving:
                self._start(self._waiting.pop(), now_ms)

    def beats(self) -> Iterator[int]:
        """Say that the process lives, for all its claims at once."""
        while True:
            if self.holds:
                try:
                    lost = self.claims.beat(list(self.holds.items()), "{}")
                except RedisError:
                    lost = []
                self.lost.update(
                    self.holds.pop(subtask) for subtask in lost if subtask in self.holds
                )
            yield limits.BEAT_MS

    def goes(self) -> Iterator[int]:
        """Leave as SIGTERM asks: hand back what was not started, report the rest as stopped."""
        self.leaving = True
        while self._waiting:
            one = self._waiting.pop()
            self._world.handed_back.add(one.token)
            yield from self._surely(
                lambda one=one: self.claims.hand_back(one.subtask, one.token, one.queue, one.raw)
            )
            self.holds.pop(one.subtask, None)
        yield self._world.random.randint(0, 4_000)
        stopped = json.dumps({"status": "failed", "reason": "told to stop", "fault": "stopped"})
        for subtask, token in list(self.holds.items()):
            yield from self._surely(
                lambda s=subtask, t=token: self.claims.report(s, t, (), stopped.encode())
            )
        raise Crash  # its runs end with it

    def _surely(self, call: Any) -> Any:
        """Make a call until the line holds."""
        while True:
            try:
                return call()
            except RedisError:
                yield self._world.random.randint(20, 300)

    # --- one message -----------------------------------------------------------------------------

    def _gate(self, one: Fetched, now_ms: int) -> Any:
        """Refuse what no orchestrator has signed; drop what was taken away in the meantime."""
        if one.state == "revoked":
            return None
        refusal = "no claim to take" if one.state in {"foreign", "replayed"} else None
        try:
            opened = None if refusal else self._opened(one)
        except (Forged, ValueError, KeyError) as wrong:
            opened, refusal = None, str(wrong)
        if opened is not None and now_ms > opened.deadline_ms:
            opened, refusal = None, "expired"
        if refusal is None:
            return opened
        claim = (one.subtask, one.token) if one.subtask else None
        self._world.handed_back.add(one.token)
        yield from self._surely(
            lambda: self.claims.quarantine(
                "forged", "forged", one.queue, one.raw, refusal or "", claim, one.letter
            )
        )
        return None

    def _opened(self, one: Fetched) -> Opened:
        message = json.loads(one.raw)
        text = message["headers"]["buckstop"]
        self._world.verifier.check(text.encode(), message["headers"]["buckstop_seal"])
        signed = json.loads(text)
        if sha256(message["body"].encode()).hexdigest() != signed["body_sha256"]:
            raise Forged("the body was edited")
        claim = f"{signed['task']}/{signed['subtask']}:{signed['nonce']}"
        if message["headers"]["buckstop_claim"] != claim:
            raise Forged("the claim is another's")
        payload = json.loads(json.loads(b64decode(message["body"]))[1]["payload"])
        order = Order(one.subtask, payload, bounds(signed["allowance"]))
        return Opened(signed["agent"], signed["deadline_ms"], order)

    def _run(self, one: Fetched, opened: Opened) -> Iterator[int]:
        self._world.started.append(one.token)
        act = CAST[opened.agent].plays(self._world.random, opened.order)
        place = len(self._world.inputs)
        self._world.inputs.append(_given(opened.order))
        yield act.thinks_ms
        if act.kills:
            raise Crash
        answer = yield from self._spend(one, act)
        if answer is None:
            return
        while act.hangs:
            if one.token in self.lost:
                return
            yield 1_000
        ended = self._unsettled(one.token)
        reported = yield from self._surely(
            lambda: self.claims.report(one.subtask, one.token, _ended(ended), answer)
        )
        _settle(ended, heard=reported == "ok")
        said = replace(self._world.inputs[place], said=answer.decode(errors="replace"))
        self._world.inputs[place] = said

    def _spend(self, one: Fetched, act: Act) -> Any:
        """Make the paid calls; return the answer, or None where there is nothing left to say."""
        for call in act.calls:
            if one.token in self.lost and not self._is_stubborn():
                return None
            charged = yield from self._charge(one, call)
            if charged == "revoked" and not self._is_stubborn():
                return None
            if charged != "ok":
                break
            yield call.lasts_ms
        return act.answer

    def _charge(self, one: Fetched, call: Call) -> Any:
        ended = self._unsettled(one.token)
        booked = Booked(
            one.subtask, one.token, self._world.server.new_op(), call, self._world.now_ms
        )
        self._world.booked.setdefault(one.token, []).append(booked)
        worst = Amounts(*call.worst)
        charged: Charged = yield from self._surely(
            lambda: self.claims.charge(
                one.subtask, one.token, booked.op, worst, _ended(ended), _model_of(call)
            )
        )
        _settle(ended, heard=charged != "revoked")
        booked.made = charged == "ok"
        return charged

    def _is_stubborn(self) -> bool:
        return happens(self._world.random, _STUBBORN)

    def _unsettled(self, token: str) -> list[Booked]:
        return [b for b in self._world.booked.get(token, ()) if b.made and not b.settled]


def _model_of(call: Call) -> str:
    """Name the model that is called, without asking the dice: some calls name none."""
    return _MODELS[call.lasts_ms % len(_MODELS)]


def _given(order: Order) -> Inputs:
    """Take down what an agent was given."""
    payload = order.payload
    makers = {need: _maker(result) for need, result in payload["inputs"].items()}
    asked = payload["input"]
    judges = isinstance(asked, dict) and "result_schema" in asked
    return Inputs(
        order.subtask,
        makers,
        answers=tuple(each["answer"] for each in payload.get("answers", ())),
        shown=json.dumps(asked["result"]) if judges else None,
    )


def _maker(result: Any) -> str | None:
    """Return which subtask says that it made a result; a judge's word names nobody."""
    if result is None:
        return None
    return str(result["by"]) if isinstance(result, dict) and "by" in result else "somebody"


def _ended(booked: list[Booked]) -> list[tuple[str, Amounts]]:
    return [(each.op, Amounts(*each.call.real)) for each in booked]


def _settle(booked: list[Booked], *, heard: bool) -> None:
    for each in booked:
        each.settled = heard
