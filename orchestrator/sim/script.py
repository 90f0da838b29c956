"""What an agent of the simulated worlds is: a script.

Given what it was asked and the dice, a script says what its agent will do: which calls it will pay
for, how long it takes, and what it hands back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from envelopes import Delegate, Envelope, Handoff, Question, Replan, Status
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
    skills: tuple[str, ...] = ()
    in_flight_max: int | None = None


def result_of(order: Order, **more: Any) -> dict[str, Any]:
    """Make a result that says who made it: the auditor follows results from step to step."""
    return {"by": order.subtask, "ok": True, **more}


def success(order: Order, confidence: float, **more: Any) -> bytes:
    """Write that the agent is done, and how sure it is."""
    return text_of(Envelope.success(result_of(order, **more), round(confidence, 2)))


def text_of(envelope: Envelope) -> bytes:
    """Write an envelope as a worker hands it in."""
    return envelope.model_dump_json().encode()


def calls(random: Random, most: int = 3) -> tuple[Call, ...]:
    """Draw a few paid calls."""
    return tuple(call(random) for _ in range(random.randint(0, most)))


def call(random: Random) -> Call:
    """Draw a call. Its real cost is below its worst, but for a provider that lies now and then."""
    tokens, usd = random.randint(1, 400), random.randint(1, 900)
    share = random.choice((0.0, 0.3, 1.0, random.random(), random.random()))
    if happens(random, 0.02):
        share = 1.5
    real = int(tokens * share), int(usd * share), 1
    return Call((tokens, usd, 1), real, random.randint(20, 3000))


def asking(random: Random, ask: Handoff | Delegate | Replan | Question, **more: Any) -> Act:
    """Ask the owner for something."""
    asked = Envelope(status=Status.PARTIAL, reason="this is what comes next", ask=ask, **more)
    return Act(calls(random, 1), text_of(asked))
