"""The auditor's own books of one task: what went out, what came of it, what was decided.

Filled line by line by reader.py, and read by the predicates. Nothing here calls the core.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from orchestrator.sim.evidence import Bound, Json, Sum, TaskEvidence
from orchestrator.sim.plans import MAKERS, PlanStep
from orchestrator.sim.sums import NOTHING

CAPS: Final = frozenset(
    (
        *("deadline", "gate", "hop_cap", "subtask_cap", "replan_cap", "repetition", "budget"),
        *("no_plan_left", "plan_exhausted", "same_answer", "stalled", "ping_pong"),
    )
)
"""Lines that say why the owner has to judge."""


@dataclass(slots=True)
class StepBook:
    """What is known of one step of the plan in force."""

    plan: PlanStep
    agent: str
    state: str = "waiting"
    hop: int = 0
    next_hop: int = 1
    tried: list[str] = field(default_factory=list)
    """Who has held it, as far as a re-plan is concerned."""
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that went out."""

    subtask: int
    step: str
    role: str
    needs: tuple[str, ...]
    agent: str
    meant_for: frozenset[str]
    """Who may do the step, by then."""
    hop: int
    hop_expected: int
    hops_max: int
    at_ms: int
    deadline_ms: int
    timeout_ms: int
    allowance: Bound
    answers: tuple[str, ...]
    fits: bool
    """Whether the ceiling held it, and left what is kept back for the ending."""
    ready: bool
    """Whether the step was waiting and all its needs were there."""
    ending: bool
    """Whether a cap had been hit and the owner was making up its mind."""


@dataclass(frozen=True, slots=True)
class Settled:
    """One subtask that is over."""

    why: str
    text: str
    fault: str | None
    at_ms: int
    agent: str
    allowance: Bound
    booked: Sum


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal beside what our own books said at that moment."""

    line: Json
    spent: Sum
    reserved: Sum
    ceiling: Bound


@dataclass(frozen=True, slots=True)
class Replan:
    """One new plan, or one that was asked for and refused."""

    number: int
    """How many there have been since the task began or a person let it go on."""
    repeats: bool
    in_force: bool = True


@dataclass(slots=True)
class Ending:
    """What became of a cap."""

    why: str
    at_ms: int
    word: str | None = None
    """What the owner agent said, as the journal has it."""
    asked: str | None = None
    """The step that asked it."""
    end: Json | None = None
    """The line that ended it: a letter, or the task's end."""


@dataclass(slots=True)
class Book:
    """One task's history, accounted for."""

    task: TaskEvidence
    agents: Mapping[str, Json]
    ceiling: Bound
    ending: Sum
    hops_max: int
    deadline_ms: int
    spent: Sum = NOTHING
    reserved: Sum = NOTHING
    hop: int = 0
    """The highest so far."""
    open: dict[int, Sent] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    settled: dict[int, Settled] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    replans: list[Replan] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    rounds: int = 0
    verdicts: list[Json] = field(default_factory=list)
    """Lines that say what a judge has said."""
    escalated: list[Json] = field(default_factory=list)
    decided: list[Json] = field(default_factory=list)
    answered: list[Json] = field(default_factory=list)
    concluded: list[Json] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    """Lines that make no sense in this history."""
    makers: dict[str, set[str]] = field(default_factory=dict)
    """Which subtasks worked on each step, by step id."""
    dropped: set[str] = field(default_factory=set)
    """Steps that were ever given up."""
    steps: dict[str, StepBook] = field(default_factory=dict)
    in_force: list[object] = field(default_factory=list)
    since_granted: int = 0
    replanned: bool = False
    """Whether a re-plan is being written down, and not judged yet."""

    def states(self) -> dict[str, str]:
        """Say where each step of the plan in force stands."""
        return {step.plan.id: step.state for step in self.working()}

    def working(self) -> list[StepBook]:
        """List the steps that make the result."""
        return [step for step in self.steps.values() if step.plan.role in MAKERS]

    def last_sent(self, step: str) -> Sent | None:
        """Return the last message that went out for a step."""
        return next((sent for sent in reversed(self.sent) if sent.step == step), None)

    @property
    def judging(self) -> Ending | None:
        """Return the cap that the owner is making up its mind about."""
        last = self.endings[-1] if self.endings else None
        return last if last is not None and last.end is None else None
