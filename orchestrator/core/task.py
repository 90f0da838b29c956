"""A task as the core sees it: what was agreed, and what has happened so far.

`Terms` is what was agreed at submit and never changes. `Task` is everything else: a small head and
one `StepState` per step of the plan in force. All of it is immutable; a decision makes new values
and shares what it did not touch, so the shell finds what changed by identity and writes only that.

Payloads (goals, inputs, results) travel as JSON text. The core never looks inside them; it joins
them into messages and hashes them for fingerprints.
"""

from enum import StrEnum

import msgspec

from envelopes import AtCap, Compose, FinishLine, Predicate, Step, TaskRequest
from envelopes.decision import Verb
from envelopes.envelope import Fault
from envelopes.ledger import Amounts, Ledger, Limits
from envelopes.strict import compact


class Record(msgspec.Struct, frozen=True, gc=False):
    """An immutable value of the core that can be written as JSON."""


class Role(StrEnum):
    """What a step is for."""

    WORK = "work"
    """A step of a plan."""
    DELEGATED = "delegated"
    """A step that a manager asked for."""
    SYNTHESIS = "synthesis"
    """Makes one result of what the last steps produced."""
    PLANNER = "planner"
    MANAGER = "manager"
    PREDICATE = "predicate"
    """Says whether what is there is enough."""
    VALIDATOR = "validator"
    OWNER = "owner"

    @property
    def makes_the_result(self) -> bool:
        """Say whether what it produces is part of the result; all other roles serve the owner."""
        return self in _MAKERS

    @property
    def serves_the_ending(self) -> bool:
        """Say whether it may use what is held back for the ending."""
        return self in _ENDING

    @property
    def judges(self) -> bool:
        """Say whether it judges what others make: its word is its own, and nobody stands in."""
        return self in _JUDGES


SYNTHESIS = "_synthesis"
"""The step that the owner adds; no caller's step begins with the mark."""
_MAKERS = {Role.WORK, Role.DELEGATED, Role.SYNTHESIS}
_JUDGES = {Role.PREDICATE, Role.VALIDATOR, Role.OWNER}
_ENDING = {Role.SYNTHESIS, *_JUDGES}


class PlanStep(Record, frozen=True, omit_defaults=True):
    """A step as it was planned."""

    id: str
    agent: str
    """Empty where anybody with the skill may do it."""
    goal: str
    input: str
    """JSON text."""
    needs: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    optional: bool = False
    weight: int = 1
    allowance: Limits | None = None
    timeout_ms: int = 0
    skill: str = ""
    role: Role = Role.WORK


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
    goal: str = ""
    input: str = "null"
    """JSON text."""
    planner: str | None = None
    manager: str | None = None
    owner: str | None = None
    validators: tuple[str, ...] = ()
    predicates: tuple[Predicate, ...] = ()
    compose: Compose = Compose.WEAKEST
    synthesis: str | None = None
    repeat_max: int = 0
    holders_window: int = 0
    holders_min: int = 0
    stalls_max: int = 0


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


class Handover(Record, frozen=True, tag=True):
    """An agent's wish that another one goes on."""

    to: str
    goal: str | None
    input: str
    """JSON text."""
    reason: str


class Asked(Record, frozen=True, tag=True):
    """An agent's question to a person."""

    text: str
    choices: tuple[str, ...] = ()


class Planned(Record, frozen=True, tag=True):
    """A manager's wish that these steps are done."""

    steps: Plan
    instead: bool
    """Whether what is not done yet is given up for them."""
    fault: str | None = None
    """Why it cannot be done as it stands."""


class Answered(Record, frozen=True):
    """What a person said to an agent's question."""

    question: str
    answer: str


class Composed(Record, frozen=True):
    """A result that could be delivered."""

    result: str
    """JSON text."""
    confidence: float
    whole: bool
    """Whether every last step is in it, and nothing of the plan is left to do."""
    by: tuple[str, ...] = ()
    """Who made it, once the steps that would say so are gone."""


class StepState(Record, frozen=True, omit_defaults=True):
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
    """Its messages and its agents' answers as "hop:fingerprint", one per hop, oldest first."""
    holders: tuple[str, ...] = ()
    """Who has held it, the last ones only."""
    answers: tuple[Answered, ...] = ()
    ask: Handover | Asked | Planned | None = None
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
    answer: str | None = None
    agent: str | None = None
    decided_as: str = ""
    """The decision's fingerprint."""


class Received(Record, frozen=True):
    """An envelope, in short: what a person or an owner agent is told of how it came to this."""

    step: str
    agent: str
    hop: int
    status: str
    confidence: float | None
    reason: str


class Verdict(Record, frozen=True):
    """What an agent said of a result that it was shown."""

    by: str
    role: Role
    about: str
    """The fingerprint of that result."""
    ok: bool
    confidence: float
    """Of the judge, in its own judgement."""
    reason: str
    given: bool = True
    """False where it gave none: it failed, was late, or made no sense."""


class Word(StrEnum):
    """What an owner agent can say of a task that cannot go on."""

    COMPLETE = "complete"
    ESCALATE = "escalate"
    ABORT = "abort"


class Ending(Record, frozen=True):
    """A cap was hit, and the owner is making up its mind."""

    why: str
    text: str
    due_ms: int
    """Then a person is asked, whatever the owner agent and the judges have or have not said."""
    word: Word | None = None
    """What the owner agent said; None where there is none, or it has not said it yet."""


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
    rounds: int = 0
    """How often the manager has answered."""
    satisfied: bool = False
    """Whether the manager says that all is done."""
    answer: Composed | None = None
    """What the manager calls the answer so far."""
    advice: str = ""
    """What planner or manager are told when they are asked again."""
    stalls: int = 0
    circling: str | None = None
    """Which answer has come too often."""
    unstuck: bool = False
    """Whether the plan was changed because of stalls; the next time the owner judges."""
    asked: int = 0
    """How many questions the owner itself has put to agents."""
    verdicts: tuple[Verdict, ...] = ()
    received: tuple[Received, ...] = ()
    """The last envelopes, oldest first; all of them are in the journal."""
    ending: Ending | None = None
    rooms: tuple[str, ...] = ()
    """Agents that have no room for a step of this task now; it is woken when they do."""
    layout: int = 0
    """Raised whenever steps come or go."""
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
        plans=tuple(_whole(plan, request) for plan in request.plans),
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
        goal=request.goal,
        input=compact(request.input),
        planner=request.planner,
        manager=request.manager,
        owner=request.owner,
        validators=request.validators,
        predicates=request.predicates,
        compose=request.compose,
        synthesis=request.synthesis,
        repeat_max=request.repeat_max,
        holders_window=request.holders_window,
        holders_min=request.holders_min,
        stalls_max=request.stalls_max,
    )


def _whole(plan: tuple[Step, ...], request: TaskRequest) -> Plan:
    context = request.goal, compact(request.input)
    return with_synthesis(
        tuple(planned(step, *context) for step in plan), request.synthesis, *context
    )


def planned(step: Step, goal: str, given: str, role: Role = Role.WORK) -> PlanStep:
    """Put a step into the core's own units; without a goal or input of its own it has these."""
    return PlanStep(
        id=step.id,
        agent=step.agent or "",
        goal=step.goal or goal,
        input=given if step.input is None else compact(step.input),
        needs=step.needs,
        fallbacks=step.fallbacks,
        optional=step.optional,
        weight=step.weight,
        allowance=None if step.allowance is None else step.allowance.limits(),
        timeout_ms=int(step.timeout * 1000),
        skill=step.skill or "",
        role=role,
    )


def with_synthesis(plan: Plan, agent: str | None, goal: str, given: str) -> Plan:
    """Let one more step make one result of what the last ones produce."""
    if agent is None or not plan:
        return plan
    needed = {need for step in plan for need in step.needs}
    last = tuple(step.id for step in plan if step.id not in needed)
    timeout_ms = max(step.timeout_ms for step in plan)
    step = PlanStep(
        SYNTHESIS, agent, goal, given, needs=last, timeout_ms=timeout_ms, role=Role.SYNTHESIS
    )
    return (*plan, step)
