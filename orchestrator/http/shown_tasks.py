"""What a task looks like over HTTP."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from envelopes import Ledger
from orchestrator.http.models import CellOf, Out, Page, shallow
from orchestrator.view import KeptView, State, StepView, TaskView

_ID = Annotated[str, Field(examples=["88b127b7749f9c1e04f2"])]
_MS = Annotated[int, Field(ge=0, examples=[1795242195089])]


class TaskSummary(Out):
    """A task in a list."""

    id: _ID
    state: State
    goal: Annotated[str, Field(examples=["compare three vendors"])]
    tenant: str
    labels: Mapping[str, str]
    accepted_ms: _MS
    """When it was accepted, by the server's clock."""
    deadline_ms: _MS
    hop: int
    hops_max: int
    ledger: Ledger
    """Ceiling, spent and reserved, in tokens, micro-dollars and calls."""
    steps: int
    """Of the plan in force."""
    steps_done: int
    letter: str | None
    """The open request for a person."""
    stop_reason: str | None
    confidence: float | None
    cell: CellOf


class TaskOut(Out):
    """Everything about a task but its history."""

    model_config = ConfigDict(use_attribute_docstrings=True)  # for StepView, which is no model

    id: _ID
    version: int
    """Rises with every change."""
    state: State
    goal: str
    tenant: str
    labels: Mapping[str, str]
    accepted_ms: _MS
    deadline_ms: _MS
    hop: int
    hops_max: int
    subtasks: int
    subtasks_max: int
    replans: int
    plan_number: int
    ledger: Ledger
    steps: list[StepView]
    kept: Mapping[str, KeptView]
    """By step: the best that was produced."""
    at_work: bool
    """Whether it has a place among its tenant's tasks; what has none waits for one."""
    rooms: list[str]
    """Agents that have no room for a step of it now, or whose breaker is open."""
    letter: str | None
    """The open request for a person."""
    stop_reason: str | None
    result: Any
    confidence: float | None
    cell: CellOf
    request: dict[str, Any]
    """What was submitted."""
    waits: list[str]
    """What it waits for that it cannot bring about itself, in sentences."""


class Cancelled(Out):
    """What became of a wish to stop."""

    asked: bool
    """False where the task had ended already."""
    state: State


class NoteOut(Out):
    """One line of a task's journal: what was decided, and why."""

    model_config = ConfigDict(extra="allow")

    n: Annotated[int, Field(ge=0)]
    """Its place, which it keeps."""
    why: str
    """The rule that led to it."""


class Journal(Out):
    """A piece of a journal, the oldest line in front."""

    items: list[NoteOut]
    next: int | None
    """Pass it as `after` for what follows; null where there is no more by now."""


def summary(task: TaskView) -> TaskSummary:
    """Return a task as a list shows it."""
    done = sum(step.id in task.kept and task.kept[step.id].final for step in task.steps)
    known = shallow(task)
    known = {name: known[name] for name in TaskSummary.model_fields if name in known}
    return TaskSummary(**{**known, "steps": len(task.steps), "steps_done": done})


def whole(task: TaskView, request: dict[str, Any], waits: list[str]) -> TaskOut:
    """Return all of a task."""
    known = shallow(task)
    return TaskOut(
        **{**known, "steps": list(task.steps), "rooms": list(task.rooms)},
        request=request,
        waits=waits,
    )


TaskPage = Page[TaskSummary]
