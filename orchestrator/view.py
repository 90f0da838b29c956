"""A task as the outside sees it: one immutable snapshot, in the words of the outside.

Made from the fields of a task's hash. Nothing here decides anything; what a state means is in
core/task.py.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from msgspec import MsgspecError

from envelopes import Ledger, Limits, TaskRequest, limits
from envelopes.shortened import shortened
from orchestrator.caps import AgentSeen
from orchestrator.core import state
from orchestrator.core.task import Outcome, Phase, StepPhase, StepState, Task

CANNOT_BE_READ: Final = (ValueError, LookupError, TypeError, MsgspecError)
"""What reading a record raises that is broken, or of a newer version."""


class State(StrEnum):
    """Where a task is, in one word."""

    SUBMITTED = "submitted"
    """Accepted, and no orchestrator has looked at it yet."""
    WORKING = "working"
    ON_DESK = "on_desk"
    """It waits for a person."""
    COMPLETED = "completed"
    PARTIAL = "partial"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        """Say whether nothing comes after it."""
        return self in {State.COMPLETED, State.PARTIAL, State.ABORTED}


@dataclass(frozen=True, slots=True)
class StepView:
    """A step of the plan in force."""

    id: str
    agent: str
    phase: StepPhase
    attempt: int
    hop: int
    subtask: int | None
    """The open subtask's number, or of what is kept."""
    confidence: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class KeptView:
    """The best that a step has produced."""

    agent: str
    result: Any
    confidence: float
    final: bool


@dataclass(frozen=True, slots=True)
class TaskView:
    """Everything about a task but its history."""

    id: str
    version: int
    state: State
    goal: str
    tenant: str
    labels: Mapping[str, str]
    accepted_ms: int
    deadline_ms: int
    hop: int
    hops_max: int
    subtasks: int
    subtasks_max: int
    replans: int
    plan_number: int
    ledger: Ledger
    steps: tuple[StepView, ...]
    kept: Mapping[str, KeptView]
    at_work: bool
    """Whether it has a place among its tenant's tasks; what has none waits for one."""
    rooms: tuple[str, ...]
    """Agents that have no room for a step of it now, or whose breaker is open."""
    letter: str | None
    """The open request for a person."""
    stop_reason: str | None
    result: Any
    confidence: float | None
    cell: str | None = None
    """Where it is, where a deployment has several cells."""

    @property
    def final(self) -> bool:
        """Say whether the task has ended."""
        return self.state.final

    def count(self, *phases: StepPhase) -> int:
        """Count the steps in any of these phases."""
        return sum(step.phase in phases for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot as a JSON object; `cell` only where there are several."""
        snapshot = asdict(self)
        if self.cell is None:
            del snapshot["cell"]
        return snapshot


class Unreadable(TaskView):
    """A task whose record cannot be read here: its result and its ledger are not known, not empty.

    Its stop reason says why.
    """


@dataclass(frozen=True, slots=True)
class AgentView:
    """One agent, and what it has to do."""

    name: str
    known: bool
    """Whether a worker has ever said that it runs it."""
    workers: int
    """How many processes that run it live now."""
    skills: tuple[str, ...]
    handoffs: tuple[str, ...]
    waiting: int
    """Messages that nobody has fetched."""
    in_flight: int
    """Messages that are not settled, those that wait among them."""
    cap: int | None
    breaker_open: bool
    opens_ms: int
    """When the breaker lets one message through; 0 while it is closed."""
    probing: bool
    retired: bool = False
    """No worker runs it, it has nothing to do, and it has done nothing today or yesterday."""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def agent_view(name: str, seen: AgentSeen, waiting: int, workers: int) -> AgentView:
    """Read what is known of an agent, but for what it has done lately."""
    return AgentView(
        name=name,
        known=bool(seen.facts),
        workers=workers,
        skills=tuple(seen.facts.get("skills", ())),
        handoffs=tuple(seen.facts.get("handoffs", ())),
        waiting=waiting,
        in_flight=seen.in_flight,
        cap=seen.cap,
        breaker_open=seen.breaker.open,
        opens_ms=seen.breaker.opens_ms,
        probing=seen.breaker.probe,
    )


def view(task_id: str, stored: Mapping[str, bytes]) -> TaskView:
    """Read a task's hash; of one that cannot be read, what is known all the same.

    One broken record, or one of a newer version, must not keep anybody from seeing the others.
    """
    try:
        return _view(task_id, stored)
    except CANNOT_BE_READ as wrong:
        return _unreadable(task_id, stored, wrong)


def _view(task_id: str, stored: Mapping[str, bytes]) -> TaskView:
    request = TaskRequest.model_validate_json(stored["request"])
    task = state.read(task_id, int(stored["accepted_ms"]), request, stored)
    return TaskView(
        id=task_id,
        version=int(stored.get("version", b"0")),
        state=state_of(task) if state.HEAD in stored else State.SUBMITTED,
        goal=request.goal,
        tenant=request.tenant,
        labels=request.labels,
        accepted_ms=task.accepted_ms,
        deadline_ms=task.deadline_ms,
        hop=task.hop,
        hops_max=task.hops_max,
        subtasks=task.subtasks,
        subtasks_max=task.terms.subtasks_max,
        replans=task.replans,
        plan_number=task.plan_number,
        ledger=task.ledger,
        steps=tuple(map(_step, task.steps)),
        kept=_kept(task),
        at_work=stored.get("place") != b"waiting",
        rooms=task.rooms,
        letter=task.letter.id if task.letter else None,
        stop_reason=task.stop_reason,
        result=_result(task),
        confidence=task.confidence,
        cell=stored["cell"].decode() if "cell" in stored else None,
    )


def _unreadable(task_id: str, stored: Mapping[str, bytes], wrong: Exception) -> Unreadable:
    """Tell what the store's own scripts have written of a task, and what its caller has."""
    asked, accepted_ms = _object(stored.get("request")), int(stored.get("accepted_ms", b"0"))
    why = shortened(" ".join(str(wrong).split()), limits.FIELD_CHARS_MAX)
    return Unreadable(
        id=task_id,
        version=int(stored.get("version", b"0")),
        state=_stage(stored),
        goal=str(asked.get("goal", "")),
        tenant=stored.get("tenant", b"").decode(),
        labels={},
        accepted_ms=accepted_ms,
        deadline_ms=accepted_ms,
        hop=0,
        hops_max=0,
        subtasks=0,
        subtasks_max=0,
        replans=0,
        plan_number=0,
        ledger=Ledger(Limits()),
        steps=(),
        kept={},
        at_work=stored.get("place") != b"waiting",
        rooms=(),
        letter=_letter(stored),
        stop_reason=f"its record cannot be read here: {type(wrong).__name__}: {why}",
        result=None,
        confidence=None,
        cell=stored["cell"].decode() if "cell" in stored else None,
    )


def _letter(stored: Mapping[str, bytes]) -> str | None:
    """Name the open letter, as either record has it."""
    asked = _object(stored.get(state.HEAD)).get("letter")
    known = asked.get("id") if isinstance(asked, dict) else None
    return _object(stored.get(state.UNDECIDABLE)).get("letter") or known


def _stage(stored: Mapping[str, bytes]) -> State:
    if "outcome" in stored:
        return State(stored["outcome"].decode())
    return State.ON_DESK if stored.get("place") == b"desk" else State.WORKING


def _object(text: bytes | None) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(text or b"{}")
        return found if isinstance(found, dict) else {}
    return {}


def state_of(task: Task) -> State:
    """Say in one word where a task is that somebody has decided on."""
    match task.phase, task.outcome:
        case Phase.DONE, Outcome() as outcome:
            return State(outcome.value)
        case Phase.ON_DESK, _:
            return State.ON_DESK
        case _:
            return State.WORKING


def _step(step: StepState) -> StepView:
    at = step.open or step.kept
    return StepView(
        id=step.plan.id,
        agent=step.agent or step.plan.agent,
        phase=step.phase,
        attempt=step.attempt,
        hop=step.hop,
        subtask=at.subtask if at else None,
        confidence=step.kept.confidence if step.kept else None,
        reason=step.reason,
    )


def _kept(task: Task) -> dict[str, KeptView]:
    return {
        step.plan.id: KeptView(
            step.kept.agent, json.loads(step.kept.result), step.kept.confidence, step.kept.final
        )
        for step in task.steps
        if step.kept is not None
    }


def _result(task: Task) -> Any:
    return None if task.result is None else json.loads(task.result)
