"""How a task is written down: one field for the head, one for each step, one for their order.

What a decision did not touch is the same object before and after, so what changed is found by
identity, and a commit of a task with five thousand steps writes only the steps that moved.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from envelopes import Ledger, TaskRequest
from envelopes.versions import SCHEMA_VERSION, Newer, kept, too_new
from orchestrator.core.replan import begin_plan, plan_fingerprint
from orchestrator.core.task import StepState, Task, terms_of

HEAD: Final = "head"
STEP: Final = "s:"
ORDER: Final = "order"
UNDECIDABLE: Final = "undecidable"
"""Stands beside them where no decision can be made (undecidable/); the core never reads it."""

_KEPT_ELSEWHERE = {"id", "terms", "steps"}
_IN_HEAD = [each for each in msgspec.structs.fields(Task) if each.name not in _KEPT_ELSEWHERE]
_Head = msgspec.defstruct(
    "_Head",
    [
        (each.name, each.type) if each.required else (each.name, each.type, each.default)
        for each in _IN_HEAD
    ],
    frozen=True,
)
_read_head = msgspec.json.Decoder(_Head).decode
_read_step = msgspec.json.Decoder(StepState).decode
_read_order = msgspec.json.Decoder(tuple[str, ...]).decode
_write = msgspec.json.Encoder().encode


class _Version(msgspec.Struct, frozen=True):
    """In which schema version a head is written; one that does not say so is of the first."""

    v: int = 1


_read_version = msgspec.json.Decoder(_Version).decode


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
        plan_fingerprints=(plan_fingerprint(steps),) if steps else (),
    )


def read(task_id: str, accepted_ms: int, request: TaskRequest, fields: Mapping[str, bytes]) -> Task:
    """Read a task back from its fields."""
    if HEAD not in fields:
        return begin(task_id, request, accepted_ms)
    head = msgspec.structs.asdict(_read_head(fields[HEAD]))
    steps = tuple(_read_step(fields[STEP + name]) for name in _read_order(fields[ORDER]))
    return Task(id=task_id, terms=terms_of(request), steps=steps, **head)


def require_known(fields: Mapping[str, bytes]) -> None:
    """Raise Newer where a task was written by a version whose fields would be lost here."""
    version = _read_version(fields[HEAD]).v if HEAD in fields else SCHEMA_VERSION
    if version > SCHEMA_VERSION:
        raise Newer(f"it is written in schema version {version}; this one knows {SCHEMA_VERSION}")


def write(
    before: Task | None, after: Task, version: int = SCHEMA_VERSION
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Return the fields that changed, and those that are gone; `before` None writes all."""
    if after is before:
        return {}, ()
    named = {each.name: getattr(after, each.name) for each in _IN_HEAD}
    head = {HEAD: _write({"v": version, **kept("head", named, version)})}
    if before is not None and before.layout == after.layout:
        pairs = zip(before.steps, after.steps, strict=True)
        changed = [step for old, step in pairs if step is not old]
        return head | {STEP + step.plan.id: _write_step(step, version) for step in changed}, ()
    old = {} if before is None else {step.plan.id: step for step in before.steps}
    new = {step.plan.id: step for step in after.steps}
    steps = {
        STEP + name: _write_step(step, version)
        for name, step in new.items()
        if old.get(name) is not step
    }
    gone = tuple(STEP + name for name in old if name not in new)
    return head | {ORDER: _write(list(new))} | steps, gone


def _write_step(step: StepState, version: int) -> bytes:
    if not too_new("step", version):
        return _write(step)
    return _write(kept("step", msgspec.to_builtins(step), version))
