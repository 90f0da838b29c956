"""Tasks: submit, list, look, cancel, and read what was decided about them."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from envelopes import TaskRequest, limits
from envelopes.strict import Refused
from orchestrator.cells.facade import agents_of
from orchestrator.client import Buckstop, NotFound, TaskHandle
from orchestrator.http.access import Caller, Client, Reads, Submits
from orchestrator.http.bodies import json_body, takes
from orchestrator.http.models import (
    CellQuery,
    Cursor,
    Id,
    Limit,
    Page,
    TenantQuery,
    Why,
    cursor_of,
    place_of,
)
from orchestrator.http.openapi import links, problems
from orchestrator.http.problems import Problem
from orchestrator.http.shown_tasks import (
    Cancelled,
    Journal,
    NoteOut,
    TaskOut,
    TaskSummary,
    summary,
    whole,
)
from orchestrator.standstill import waits
from orchestrator.unstaffed import beginners
from orchestrator.view import State, TaskView, view
from orchestrator.wanted import Stage, TasksWanted

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

_OPEN = {"submitted", "working"}
"""States that are one stage to the index."""
KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=limits.KEY_CHARS_MAX,
        pattern=r"^[\x21-\x7e]+$",
        description="Names this submission: with it, sent twice is submitted once.",
    ),
]
StateQuery = Annotated[
    str | None,
    Query(
        pattern="^(open|submitted|working|on_desk|completed|partial|aborted)$",
        description="How far: `open` is neither over nor on the desk.",
    ),
]


@router.post(
    "",
    operation_id="submit",
    status_code=201,
    openapi_extra=takes("TaskRequest"),
    responses={
        200: {"model": TaskOut, "description": "The key was used before, for this request."},
        201: {
            **links(
                ("get_task", "task_id"), ("get_journal", "task_id"), ("cancel_task", "task_id")
            ),
            "headers": {
                "Location": {"description": "Where the task is.", "schema": {"type": "string"}}
            },
        },
        **problems("idempotency-mismatch", "unfit"),
    },
)
def submit(
    response: Response,
    buckstop: Client,
    caller: Submits,
    given: Annotated[TaskRequest, json_body(TaskRequest, limits.REQUEST_BYTES_MAX)],
    key: KeyHeader = None,
) -> TaskOut:
    """Submit a task. Once this has answered, the task ends in exactly one outcome."""
    request = _as_asked(given, caller, key)
    handle = buckstop.submit(request)
    stored = _stored(buckstop, handle.id)
    if not handle.created:
        _require_same(request, stored)
        response.status_code = 200
    response.headers["Location"] = f"/v1/tasks/{handle.id}"
    return _shown(buckstop, handle.id, stored)


@router.get("", operation_id="list_tasks")
def list_tasks(
    buckstop: Client,
    caller: Reads,
    *,
    state: StateQuery = None,
    tenant: TenantQuery = None,
    cell: CellQuery = None,
    limit: Limit = limits.PAGE_DEFAULT,
    cursor: Cursor = None,
) -> Page[TaskSummary]:
    """List tasks, newest first."""
    stage = None if state is None else Stage("open" if state in _OPEN else state)
    wanted = TasksWanted(stage, caller.only(tenant), cell)
    found = buckstop.tasks(limit, place_of(cursor), wanted)
    return Page(items=list(map(summary, found.items)), next=cursor_of(found.next))


@router.get("/{task_id}", operation_id="get_task", responses=problems("not-found"))
def get_task(task_id: Id, buckstop: Client, caller: Reads) -> TaskOut:
    """Return a task: state, ledger, steps, what is kept, and what it waits for."""
    return _shown(buckstop, task_id, _visible(buckstop, caller, task_id))


@router.post(
    "/{task_id}/cancel",
    operation_id="cancel_task",
    status_code=202,
    openapi_extra=takes("Why", required=False),
    responses=problems("not-found"),
)
def cancel_task(
    task_id: Id, buckstop: Client, caller: Submits, given: Annotated[Why, json_body(Why)]
) -> Cancelled:
    """Ask the owner of a task to stop it; what is kept is kept."""
    found = visible(buckstop, caller, task_id)
    asked = TaskHandle(buckstop, task_id).cancel(given.why, caller.name)
    return Cancelled(asked=asked, state=found.state)


@router.get("/{task_id}/journal", operation_id="get_journal", responses=problems("not-found"))
def get_journal(
    task_id: Id,
    buckstop: Client,
    caller: Reads,
    after: Annotated[
        int | None, Query(ge=0, le=limits.AMOUNT_CEILING, description="Lines behind this place.")
    ] = None,
    limit: Limit = limits.PAGE_DEFAULT,
) -> Journal:
    """Return what was decided about a task, and why, oldest first."""
    visible(buckstop, caller, task_id)
    lines, next_ = buckstop.store.journal_from(task_id, after, limit)
    return Journal(items=[NoteOut(**json.loads(line), n=n) for n, line in lines], next=next_)


def visible(buckstop: Buckstop, caller: Caller, task_id: str) -> TaskView:
    """Return a task that the caller may see, or raise NotFound."""
    return view(task_id, _visible(buckstop, caller, task_id))


def _visible(buckstop: Buckstop, caller: Caller, task_id: str) -> dict[str, bytes]:
    stored = _stored(buckstop, task_id)
    caller.require_tenant(stored["tenant"].decode(), _none(task_id))
    return stored


def _stored(buckstop: Buckstop, task_id: str) -> dict[str, bytes]:
    if (stored := buckstop.store.task(task_id)) is None:
        raise NotFound(f"no {_none(task_id)}")
    return stored


def _none(task_id: str) -> str:
    return f"task {task_id!r}; GET /v1/tasks lists those there are"


def _shown(buckstop: Buckstop, task_id: str, stored: dict[str, bytes]) -> TaskOut:
    found = view(task_id, stored)
    new = found.state is State.SUBMITTED
    first = beginners(TaskRequest.model_validate_json(stored["request"])) if new else ()
    waiting = waits(found, () if found.final else agents_of(buckstop, task_id), first)
    request: dict[str, Any] = json.loads(stored["request"])
    return whole(found, request, waiting)


def _as_asked(given: TaskRequest, caller: Caller, key: str | None) -> TaskRequest:
    """Put in what the body does not say: the key of the header, the tenant of the token."""
    if key is not None and given.idempotency_key not in {None, key}:
        raise Refused("idempotency_key", "the header Idempotency-Key says another one")
    tenant = given.tenant
    if caller.tenant is not None:
        if "tenant" in given.model_fields_set and tenant != caller.tenant:
            raise Problem(
                "forbidden",
                f"tenant: this token submits for {caller.tenant!r} only",
                field="tenant",
            )
        tenant = caller.tenant
    return given.model_copy(
        update={"tenant": tenant, "idempotency_key": key or given.idempotency_key}
    )


def _require_same(request: TaskRequest, stored: dict[str, bytes]) -> None:
    """Raise Problem where the key stands for another request; where a trace began is no part."""
    before = TaskRequest.model_validate_json(stored["request"])
    if before.model_dump(exclude={"traceparent"}) != request.model_dump(exclude={"traceparent"}):
        raise Problem(
            "idempotency-mismatch",
            f"the key {request.idempotency_key!r} was used for another request; use a new one",
            field="Idempotency-Key",
        )
