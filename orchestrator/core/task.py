"""A task as the core sees it: what was agreed, and what has happened so far.

`Terms` is what was agreed at submit and never changes. `Task` is everything else: a small head and
one `StepState` per step of the plan in force. All of it is immutable; a decision makes new values
and shares what it did not touch, so the shell finds what changed by identity and writes only that.

Payloads (goals, inputs, results) travel as JSON text. The core never looks inside them; it joins
them into messages and hashes them for fingerprints.
"""

from enum import StrEnum

import msgspec

from envelopes import AtCap, FinishLine, Step, TaskRequest
from envelopes.decision import Verb
from envelopes.envelope import Fault
from envelopes.ledger import Amounts, Ledger, Limits
from envelopes.strict import compact


class Record(msgspec.Struct, frozen=True, gc=False):
    """An immutable value of the core that can be written as JSON."""


class PlanStep(Record, frozen=True):
    """A step as it was planned."""

    id: str
    agent: str
    goal: str
    input: str
    """JSON text."""
    needs: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    optional: bool = False
    weight: int = 1
    allowance: Limits | None = None
    timeout_ms: int = 0


Plan = tuple[PlanStep, ...]


class Terms(Record, frozen=True):
    """What caller and owner agreed on at submit."""

    tenant: str
    until: FinishLine
    plans: tuple[Plan, ...]
    """The plan in force at first, then the fallback plans in order."""
    hops_max: int
    subtasks_max: int
    replans_max: int
    confidence_min: float
    result_schema: str | None
    at_cap: AtCap
    desk_timeout_ms: int
    desk_default: str
    traceparent: str | None
    timeout_ms: int


class StepPhase(StrEnum):
    """Where a step stands."""

    WAITING = "waiting"
    """Its needs are not there yet, or no budget is free for it."""
    OPEN = "open"
    """A message is out and not answered."""
    ASKING = "asking"
    """Its agent asked to hand it over, and the owner has not decided."""
    DONE = "done"
    BROKEN = "broken"
    """Its last subtask failed or gave only a part; a re-plan or the owner must act."""
    DROPPED = "dropped"
    """Optional, and given up."""


class Open(Record, frozen=True):
    """A published subtask that is not settled yet. Its allowance is reserved."""

    subtask: int
    allowance: Limits
    published_ms: int


class Kept(Record, frozen=True):
    """The best that a step has produced; what was paid for is never thrown away."""

    subtask: int
    agent: str
    result: str
    """JSON text."""
    confidence: float
    final: bool
    """Whether the agent called it a success."""


class Handover(Record, frozen=True):
    """An agent's wish that another one goes on."""

    to: str
    goal: str | None
    input: str
    """JSON text."""
    reason: str


class Composed(Record, frozen=True):
    """A result that could be delivered."""

    result: str
    """JSON text."""
    confidence: float
    whole: bool
    """Whether every last step is in it, and nothing of the plan is left to do."""


class StepState(Record, frozen=True):
    """A step and all that has happened to it under the plan in force."""

    plan: PlanStep
    phase: StepPhase = StepPhase.WAITING
    agent: str = ""
    """Who holds it: the planned agent, a fallback, or whom it was handed to."""
    goal: str = ""
    input: str = "null"
    hop: int = 0
    """The hop of its last message."""
    next_hop: int = 0
    """The least hop its next message can have: one more than the hop of what caused it."""
    attempt: int = 0
    lost: int = 0
    tried: tuple[str, ...] = ()
    trail: tuple[str, ...] = ()
    """Its messages as "hop:fingerprint", one per hop, oldest first."""
    ask: Handover | None = None
    open: Open | None = None
    kept: Kept | None = None
    reason: str | None = None
    fault: Fault | None = None


class Phase(StrEnum):
    """Where a task stands."""

    WORKING = "working"
    ON_DESK = "on_desk"
    DONE = "done"


class Outcome(StrEnum):
    """How a task ended."""

    COMPLETED = "completed"
    PARTIAL = "partial"
    ABORTED = "aborted"


class Letter(Record, frozen=True):
    """The open request for a person."""

    id: str
    why: str
    filed_ms: int
    """The desk's time is not the task's: the deadline stands still from here on."""
    due_ms: int


class Decided(Record, frozen=True):
    """What a person said to the open letter, in the core's own units."""

    letter: str
    verb: Verb
    by: str
    why: str
    result: str | None
    """JSON text."""
    more: Amounts
    hops: int
    time_ms: int


class Task(Record, frozen=True):
    """One task, between two decisions."""

    id: str
    terms: Terms
    accepted_ms: int
    deadline_ms: int
    hops_max: int
    """The terms' cap, and what a person has added to it."""
    ledger: Ledger
    phase: Phase = Phase.WORKING
    steps: tuple[StepState, ...] = ()
    plan_number: int = 0
    plan_fingerprints: tuple[str, ...] = ()
    replans: int = 0
    subtasks: int = 0
    """How many were ever published; the next one's number is one more."""
    hop: int = 0
    """The highest hop so far."""
    past: tuple[str, ...] = ()
    """Trails of earlier plans."""
    earlier: Composed | None = None
    """The best that plans which gave way have produced."""
    look_ms: int = 0
    """When the claims of open subtasks must be looked at again."""
    letter: Letter | None = None
    letters: int = 0
    cancelled: str | None = None
    """Who wished to stop, and why."""
    decision: Decided | None = None
    """What a person said to the open letter, not acted on yet."""
    outcome: Outcome | None = None
    stop_reason: str | None = None
    result: str | None = None
    """JSON text."""
    confidence: float | None = None


def terms_of(request: TaskRequest) -> Terms:
    """Put a request into the core's own units."""
    return Terms(
        tenant=request.tenant,
        until=request.until,
        plans=tuple(tuple(_planned(step, request) for step in plan) for plan in request.plans),
        hops_max=request.hops_max,
        subtasks_max=request.subtasks_max,
        replans_max=request.replans_max,
        confidence_min=request.confidence_min,
        result_schema=None if request.result_schema is None else compact(request.result_schema),
        at_cap=request.at_cap,
        desk_timeout_ms=int(request.desk_timeout * 1000),
        desk_default=request.desk_default,
        traceparent=request.traceparent,
        timeout_ms=int(request.timeout * 1000),
    )


def _planned(step: Step, request: TaskRequest) -> PlanStep:
    return PlanStep(
        id=step.id,
        agent=step.agent,
        goal=step.goal or request.goal,
        input=compact(request.input if step.input is None else step.input),
        needs=step.needs,
        fallbacks=step.fallbacks,
        optional=step.optional,
        weight=step.weight,
        allowance=None if step.allowance is None else step.allowance.limits(),
        timeout_ms=int(step.timeout * 1000),
    )
