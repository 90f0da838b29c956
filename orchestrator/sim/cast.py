"""The agents of the simulated worlds, each with one habit.

An agent is a script: given what it was asked and the dice, it says what it will do. Its name is its
character, so a plan reads like a story: `steady` does the work, `ping` and `pong` hand the same
thing to each other for ever, `deadly` takes its worker with it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from envelopes import Envelope, Fault, Handoff, Status, limits
from orchestrator.sim.dice import happens
from orchestrator.sim.evidence import Bound, Json, Sum


@dataclass(frozen=True, slots=True)
class Order:
    """What an agent is asked."""

    subtask: str
    payload: Json
    allowance: Bound


@dataclass(frozen=True, slots=True)
class Call:
    """One paid call: booked at its worst, then made."""

    worst: Sum
    real: Sum
    lasts_ms: int


@dataclass(frozen=True, slots=True)
class Act:
    """What an agent will do."""

    calls: tuple[Call, ...]
    answer: bytes
    """The envelope, or what it hands back instead of one."""
    thinks_ms: int = 20
    hangs: bool = False
    kills: bool = False
    """It takes its whole worker process with it."""


Script = Callable[[Random, Order], Act]


@dataclass(frozen=True, slots=True)
class Character:
    """One agent."""

    plays: Script
    handoffs: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)


def _result(order: Order, **more: Any) -> dict[str, Any]:
    """Make a result that says who made it: the auditor follows results from step to step."""
    return {"by": order.subtask, "ok": True, **more}


def _success(order: Order, confidence: float, **more: Any) -> bytes:
    return _text(Envelope.success(_result(order, **more), round(confidence, 2)))


def _text(envelope: Envelope) -> bytes:
    return envelope.model_dump_json().encode()


def _calls(random: Random, most: int = 3) -> tuple[Call, ...]:
    return tuple(_call(random) for _ in range(random.randint(0, most)))


def _call(random: Random) -> Call:
    """Draw a call. Its real cost is below its worst, but for a provider that lies now and then."""
    tokens, usd = random.randint(1, 400), random.randint(1, 900)
    share = random.choice((0.0, 0.3, 1.0, random.random(), random.random()))
    if happens(random, 0.02):
        share = 1.5
    real = int(tokens * share), int(usd * share), 1
    return Call((tokens, usd, 1), real, random.randint(20, 3000))


# --- the scripts ---------------------------------------------------------------------------------


def _steady(random: Random, order: Order) -> Act:
    return Act(_calls(random), _success(order, random.uniform(0.75, 1)))


def _brisk(_random: Random, order: Order) -> Act:
    return Act((), _success(order, 0.95), thinks_ms=1)


def _slow(random: Random, order: Order) -> Act:
    return Act(_calls(random), _success(order, 0.9), thinks_ms=random.randint(5_000, 60_000))


def _unsure(random: Random, order: Order) -> Act:
    return Act(_calls(random), _success(order, random.uniform(0, 0.6)))


def _halfway(random: Random, order: Order) -> Act:
    part = Envelope.partial(_result(order), round(random.uniform(0.3, 1), 2), "no time for more")
    return Act(_calls(random), _text(part))


def _failing(random: Random, _order: Order) -> Act:
    return Act(_calls(random), _text(Envelope.failed("it cannot be done")))


def _shaky(random: Random, order: Order) -> Act:
    scripts = (_steady, _steady, _steady, _failing, _halfway, _unsure, _raising)
    return random.choice(scripts)(random, order)


def _raising(random: Random, _order: Order) -> Act:
    return Act(_calls(random), _text(Envelope.failed("ValueError: no", Fault.RAISED)))


def _garbled(random: Random, _order: Order) -> Act:
    """Answer with what is no envelope; a worker that breaks the contract is not believed."""
    kinds = (b"done, it went well", b"{}", b'{"status":"success","confidence":NaN}', b"[1,")
    return Act(_calls(random), random.choice(kinds))


def _wrong(random: Random, order: Order) -> Act:
    """Be sure of a result that breaks every schema there is."""
    return Act(_calls(random), _text(Envelope.success({"by": order.subtask}, 0.99)))


def _greedy(random: Random, _order: Order) -> Act:
    """Spend until refused."""
    return Act(
        tuple(_call(random) for _ in range(40)),
        _text(Envelope.failed("the budget is used up", Fault.BUDGET)),
    )


def _hung(random: Random, order: Order) -> Act:
    return Act(_calls(random), _success(order, 1), hangs=True)


def _deadly(random: Random, order: Order) -> Act:
    return Act(_calls(random), _success(order, 1), kills=True)


def _bulky(_random: Random, order: Order) -> Act:
    """Answer so much that two of these do not fit one message."""
    return Act((), _success(order, 0.9, pad="x" * (limits.PAYLOAD_BYTES_MAX * 3 // 5)))


def _asking(random: Random, to: str, given: Any, goal: str | None = None) -> Act:
    ask = Handoff(to=to, goal=goal, input=given)
    asked = Envelope(status=Status.PARTIAL, reason=f"this is for {to}", ask=ask)
    return Act(_calls(random, 1), _text(asked))


def _passer(random: Random, order: Order) -> Act:
    return _asking(random, "steady", {"from": order.subtask})


def _ping(random: Random, order: Order) -> Act:
    return _asking(random, "pong", order.payload["input"])


def _pong(random: Random, order: Order) -> Act:
    return _asking(random, "ping", order.payload["input"])


def _relay(random: Random, order: Order) -> Act:
    """Never be satisfied, and never ask twice for the same."""
    return _asking(random, "relay", {"after": order.subtask}, goal=f"go on from {order.subtask}")


def _pushy(random: Random, order: Order) -> Act:
    return _asking(random, random.choice(("steady", "nobody")), order.payload["input"])


CAST: Final[Mapping[str, Character]] = {
    "steady": Character(_steady),
    "brisk": Character(_brisk),
    "slow": Character(_slow),
    "shaky": Character(_shaky),
    "unsure": Character(_unsure),
    "halfway": Character(_halfway),
    "failing": Character(_failing),
    "garbled": Character(_garbled),
    "wrong": Character(_wrong),
    "greedy": Character(_greedy),
    "hung": Character(_hung),
    "deadly": Character(_deadly),
    "bulky": Character(_bulky),
    "passer": Character(_passer, handoffs=("steady",)),
    "ping": Character(_ping, handoffs=("pong",)),
    "pong": Character(_pong, handoffs=("ping",)),
    "relay": Character(_relay, handoffs=("relay",)),
    "pushy": Character(_pushy, handoffs=("brisk",)),
}


def about() -> dict[str, dict[str, Any]]:
    """Say of every agent what its worker registers."""
    return {name: {"handoffs": list(one.handoffs), "price": None} for name, one in CAST.items()}


def opened(payload: str) -> Json:
    """Read a payload as an agent sees it."""
    read: Json = json.loads(payload)
    return read
