"""How a task is written down: one field for the head, one for each step.

What a decision did not touch is the same object before and after, so what changed is found by
identity, and a commit of a task with five thousand steps writes only the steps that moved.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from envelopes import Ledger, TaskRequest
from orchestrator.core.replan import begin_plan, plan_fingerprint
from orchestrator.core.task import StepState, Task, terms_of

HEAD: Final = "head"
STEP: Final = "s:"
_KEPT_ELSEWHERE = {"id", "terms", "steps"}
_ORDER = "order"

_Head = msgspec.defstruct(
    "_Head",
    [
        (field.name, field.type, field.default)
        if field.default is not msgspec.NODEFAULT
        else (field.name, field.type)
        for field in msgspec.structs.fields(Task)
        if field.name not in _KEPT_ELSEWHERE
    ]
    + [(_ORDER, tuple[str, ...], ())],
    frozen=True,
)
_read_head = msgspec.json.Decoder(_Head).decode
_read_step = msgspec.json.Decoder(StepState).decode
_write = msgspec.json.Encoder().encode


def begin(task_id: str, request: TaskRequest, accepted_ms: int) -> Task:
    """Open the books of a task that was just accepted."""
    terms = terms_of(request)
    steps = begin_plan(terms.plans[0])
    return Task(
        id=task_id,
        terms=terms,
        accepted_ms=accepted_ms,
        deadline_ms=accepted_ms + terms.timeout_ms,
        hops_max=terms.hops_max,
        ledger=Ledger.opened(request.budget.limits(), request.budget.ending_share),
        steps=steps,
        plan_fingerprints=(plan_fingerprint(steps),),
    )


def read(task_id: str, accepted_ms: int, request: TaskRequest, fields: Mapping[str, bytes]) -> Task:
    """Read a task back from its fields."""
    raw = fields.get(HEAD)
    if raw is None:
        return begin(task_id, request, accepted_ms)
    head = msgspec.structs.asdict(_read_head(raw))
    steps = tuple(_read_step(fields[STEP + name]) for name in head.pop(_ORDER))
    return Task(id=task_id, terms=terms_of(request), steps=steps, **head)


def write(before: Task | None, after: Task) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the fields that changed, and those that are gone; `before` None writes all."""
    if after is before:
        return {}, ()
    old = {} if before is None else {step.plan.id: step for step in before.steps}
    fields = {
        STEP + step.plan.id: _write(step)
        for step in after.steps
        if old.pop(step.plan.id, None) is not step
    }
    fields[HEAD] = _write(_head(after))
    return fields, tuple(STEP + name for name in old)


def _head(task: Task) -> dict[str, object]:
    head = {name: getattr(task, name) for name in _HEAD_FIELDS}
    head[_ORDER] = [step.plan.id for step in task.steps]
    return head


_HEAD_FIELDS: Final = tuple(
    field.name for field in msgspec.structs.fields(Task) if field.name not in _KEPT_ELSEWHERE
)
