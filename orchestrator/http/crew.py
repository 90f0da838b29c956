"""Agents, queues, workers and tenants: who is there, and how much they may have."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from envelopes.keys import TENANT_DEFAULT
from envelopes.letter import Facet
from orchestrator.calibration import Calibration, calibrated
from orchestrator.cells.facade import Cells
from orchestrator.client import Buckstop, NotFound
from orchestrator.http.access import Admins, Caller, Client, Reads
from orchestrator.http.bodies import json_body, takes
from orchestrator.http.models import Cap, Listed, NamePath, Out, Partial, shallow
from orchestrator.http.openapi import problems
from orchestrator.http.spend import Figures, summed
from orchestrator.view import AgentView
from orchestrator.wanted import Stage, TasksWanted, Wanted

router = APIRouter(prefix="/v1", tags=["crew"])

_PRECISION = 0.9
"""The share that should be right of what leaves without a person."""
_DAYS = 2
"""Today and yesterday: the last 24 hours are in them at any hour."""


class AgentOut(Out):
    """One agent, and what it has to do."""

    name: Annotated[str, Field(examples=["research"])]
    known: bool
    """Whether a worker has ever said that it runs it."""
    workers: int | None
    """Processes that run it and live; null for a token of one tenant."""
    skills: list[str]
    handoffs: list[str]
    waiting: int
    """Messages that nobody has fetched; for one tenant: its own."""
    in_flight: int | None
    """Messages that are not settled, those that wait among them; null for a token of one tenant."""
    cap: int | None
    """Of what is in flight; null where there is none, and for a token of one tenant."""
    breaker_open: bool
    opens_ms: int
    """When the breaker lets one message through; 0 while it is closed."""
    probing: bool
    retired: bool | None = None
    """No worker runs it, it has nothing to do, and it has done nothing today or yesterday; null for
    a token of one tenant."""
    days: Figures
    """Of today and yesterday, by UTC."""
    calibration: dict[str, Any] | None
    """What its confidence is worth, by what people decided; null for a token of one tenant."""


class QueueOut(Out):
    """One queue."""

    name: str
    agent: str | None
    """Null for the queue that tells of letters, and for the one that takes requests by Celery."""
    tenant: str | None
    depth: int


class TenantOut(Out):
    """One tenant's share."""

    name: str
    at_work: int
    cap: int
    waiting: int
    """Tasks that wait for a place at work."""


class Done(Out):
    """What is so now."""

    name: str
    cap: int | None = None


@router.get("/agents", operation_id="list_agents")
def list_agents(buckstop: Client, caller: Reads) -> Listed[AgentOut]:
    """List agents: who runs them, what waits, breaker, success, spend, calibration."""
    spent = summed(buckstop, caller.tenant, _DAYS, lambda row: row.agent)
    worth = {one.agent: one for one in calibrated(buckstop.store.calibration(), _PRECISION)}
    found = [
        _agent(one, spent.get(one.name, Figures()), worth.get(one.name))
        for one in buckstop.agents()
    ]
    return Listed(items=found if caller.tenant is None else _of_one(buckstop, caller.tenant, found))


def _of_one(buckstop: Buckstop, tenant: str, found: Iterable[AgentOut]) -> list[AgentOut]:
    """Leave out what tells of other tenants: how busy agents are, and what others thought."""
    depths = {agent: n for agent, name, n in buckstop.store.queues() if _tenant(name) == tenant}
    hidden = dict.fromkeys(("workers", "in_flight", "cap", "retired", "calibration"))
    return [
        each.model_copy(update={**hidden, "waiting": depths.get(each.name, 0)}) for each in found
    ]


def _agent(seen: AgentView, figures: Figures, worth: Calibration | None) -> AgentOut:
    known = {**shallow(seen), "skills": list(seen.skills), "handoffs": list(seen.handoffs)}
    return AgentOut(**known, days=figures, calibration=worth and worth.as_json())


@router.post(
    "/agents/{name}/cap",
    operation_id="cap_agent",
    openapi_extra=takes("Cap"),
    responses=problems("not-found"),
)
def cap_agent(
    name: NamePath, buckstop: Client, caller: Admins, given: Annotated[Cap, json_body(Cap)]
) -> Done:
    """Bound what an agent has in flight, over all workers."""
    del caller
    _require_agent(buckstop, name)
    buckstop.store.set_cap("agent", name, given.cap)
    return Done(name=name, cap=given.cap)


@router.post("/agents/{name}/reset", operation_id="reset_agent", responses=problems("not-found"))
def reset_agent(name: NamePath, buckstop: Client, caller: Admins) -> Done:
    """Close an agent's breaker and forget its faults: it is repaired."""
    del caller
    _require_agent(buckstop, name)
    buckstop.store.reset_breaker(name)
    return Done(name=name)


@router.get("/queues", operation_id="list_queues")
def list_queues(buckstop: Client, caller: Reads) -> Listed[QueueOut]:
    """List queues with their depths: of each agent, for each tenant that has messages there."""
    found = [
        QueueOut(name=name, agent=agent, tenant=_tenant(name), depth=depth)
        for agent, name, depth in buckstop.store.queues()
    ]
    if caller.tenant is not None:
        return Listed(items=[one for one in found if one.tenant == caller.tenant])
    others = (buckstop.store.dead_letters(), buckstop.store.submissions())
    return Listed(items=[*found, *(_nobodys(*one) for one in others)])


def _nobodys(name: str, depth: int) -> QueueOut:
    """Show a queue that belongs to no agent."""
    return QueueOut(name=name, agent=None, tenant=None, depth=depth)


def _tenant(lane: str) -> str:
    """Say whose lane it is: the queue itself is the default tenant's."""
    return lane.partition("@")[2] or TENANT_DEFAULT


@router.get("/workers", operation_id="list_workers")
def list_workers(buckstop: Client, caller: Reads) -> Listed[dict[str, Any]]:
    """List worker processes that live, as they last said of themselves."""
    caller.require_all_tenants()
    return Listed(items=buckstop.store.workers())


@router.get("/tenants", operation_id="list_tenants")
def list_tenants(buckstop: Client, caller: Reads) -> Listed[TenantOut]:
    """List tenants with tasks or a cap of their own: at work, waiting for a place, cap."""
    found = buckstop.store.tenants()
    mine = {name: one for name, one in found.items() if caller.tenant in {None, name}}
    return Listed(items=[TenantOut(name=name, **one) for name, one in sorted(mine.items())])


@router.post("/tenants/{name}/cap", operation_id="cap_tenant", openapi_extra=takes("Cap"))
def cap_tenant(
    name: NamePath, buckstop: Client, caller: Admins, given: Annotated[Cap, json_body(Cap)]
) -> Done:
    """Bound how many tasks of a tenant are at work; more wait for a place."""
    del caller
    buckstop.store.set_cap("tenant", name, given.cap)
    return Done(name=name, cap=given.cap)


class OverviewOut(Partial):
    """Everything in a few figures."""

    open: int
    """Tasks that are neither over nor on the desk."""
    on_desk: int
    completed: int
    partial: int
    aborted: int
    letters: int
    letters_by_kind: dict[str, int]
    waiting: int
    """Messages that nobody has fetched; for one tenant: its tasks that wait for a place."""
    agents: int
    workers: int | None
    """Processes that live; null for a token of one tenant."""
    today: Figures


class CellOut(Out):
    """One cell; where it is away, its figures are null."""

    cell: Annotated[str, Field(examples=["east"])]
    home: bool
    """Tokens and sessions are looked up there."""
    draining: bool
    """It takes no new tasks."""
    away: str | None
    """Why it does not answer, where it does not."""
    serving: bool | None
    """An orchestrator has looked for work there lately."""
    open: int | None
    on_desk: int | None
    kept: int | None
    """Tasks that are over, until their records expire."""
    letters: int | None
    waiting: int | None
    """Messages that nobody has fetched."""
    workers: int | None


@router.get("/cells", operation_id="list_cells")
def list_cells(buckstop: Client, caller: Reads) -> Listed[CellOut]:
    """List the cells of the deployment, home first; none where there is one server."""
    caller.require_all_tenants()
    found = buckstop.states() if isinstance(buckstop, Cells) else []
    return Listed(items=[CellOut(**one.as_json()) for one in found])


@router.get("/overview", operation_id="overview")
def overview(buckstop: Client, caller: Reads) -> OverviewOut:
    """Return everything in a few figures, for the head of a page."""
    today = summed(buckstop, caller.tenant, 1, lambda _: "").get("", Figures())
    seen = buckstop.overview().as_json()
    return OverviewOut(**{**seen, **_of_tenant(buckstop, caller)}, today=today)


def _of_tenant(buckstop: Buckstop, caller: Caller) -> dict[str, Any]:
    """Return what is other for a caller that sees one tenant only."""
    if (tenant := caller.tenant) is None:
        return {}
    store = buckstop.store
    kinds = store.group_letters(Facet.KIND, Wanted(tenant=tenant))
    share = store.tenants().get(tenant, Counter())
    return {
        **{each.value: store.count_tasks(TasksWanted(each, tenant)) for each in Stage},
        "letters": sum(kinds.values()),
        "letters_by_kind": kinds,
        "waiting": share["waiting"],
        "workers": None,
    }


def _require_agent(buckstop: Buckstop, name: str) -> None:
    if name not in buckstop.store.agents():
        raise NotFound(f"no agent is called {name!r}; GET /v1/agents lists those there are")
