"""Tasks: submit, list, look, cancel."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from envelopes import TaskRequest, limits
from orchestrator.cli.waits import waits
from orchestrator.client import Buckstop, TaskHandle
from orchestrator.http.access import Caller, Client, Reads, Submits
from orchestrator.http.bodies import json_body, takes
from orchestrator.http.models import Cancelled, In, Page
from orchestrator.http.problems import Problem
from orchestrator.view import TaskView

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])


class Why(In):
    """Why something is done."""

    why: Annotated[str, Field(max_length=limits.REASON_CHARS_MAX)] = ""


@router.post("", operation_id="submit", status_code=201, openapi_extra=takes(TaskRequest))
def submit(
    http: Request,
    response: Response,
    buckstop: Client,
    caller: Submits,
    given: Annotated[TaskRequest, json_body(TaskRequest)],
) -> dict[str, Any]:
    """Submit a task."""
    tenant = _tenant_of(caller, given)
    key = http.headers.get("Idempotency-Key") or given.idempotency_key
    handle = buckstop.submit(given.model_copy(update={"tenant": tenant, "idempotency_key": key}))
    if not handle.created:
        response.status_code = 200
    response.headers["Location"] = f"/v1/tasks/{handle.id}"
    return shown(buckstop, handle.status())


@router.get("", operation_id="list_tasks")
def list_tasks(
    buckstop: Client,
    caller: Reads,
    limit: Annotated[int, Query(ge=1, le=limits.PAGE_MAX)] = limits.PAGE_DEFAULT,
) -> Page[dict[str, Any]]:
    """List tasks, newest first."""
    del caller
    return Page(items=[one.as_json() for one in buckstop.tasks(limit)])


@router.get("/{task_id}", operation_id="task")
def task(task_id: str, buckstop: Client, caller: Reads) -> dict[str, Any]:
    """Return a task."""
    return shown(buckstop, visible(buckstop, caller, task_id))


@router.post("/{task_id}/cancel", operation_id="cancel", status_code=202, openapi_extra=takes(Why))
def cancel(
    task_id: str, buckstop: Client, caller: Submits, why: Annotated[Why, json_body(Why)]
) -> Cancelled:
    """Ask the owner of a task to stop it."""
    found = visible(buckstop, caller, task_id)
    asked = TaskHandle(buckstop, found.id).cancel(why.why, caller.name)
    return Cancelled(asked=asked, state=found.state)


@router.get("/{task_id}/journal", operation_id="journal")
def journal(task_id: str, buckstop: Client, caller: Reads) -> Page[dict[str, Any]]:
    """Return what was decided about a task, and why."""
    visible(buckstop, caller, task_id)
    notes = TaskHandle(buckstop, task_id).show().journal
    return Page(items=[{**note, "n": n} for n, note in enumerate(notes)])


def visible(buckstop: Buckstop, caller: Caller, task_id: str) -> TaskView:
    """Return a task that the caller may see, or raise NotFound."""
    found = TaskHandle(buckstop, task_id).status()
    caller.require_tenant(found.tenant, f"task {task_id!r}; list yours: GET /v1/tasks")
    return found


def shown(buckstop: Buckstop, found: TaskView) -> dict[str, Any]:
    """Return a task, with what it waits for."""
    waiting = waits(found, () if found.final else buckstop.agents())
    return {**found.as_json(), "waits": waiting}


def _tenant_of(caller: Caller, given: TaskRequest) -> str:
    if caller.tenant is None:
        return given.tenant
    if "tenant" in given.model_fields_set and given.tenant != caller.tenant:
        raise Problem("forbidden", f"tenant: this token submits for tenant {caller.tenant!r} only")
    return caller.tenant
