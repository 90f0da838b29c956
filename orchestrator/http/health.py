"""Is it alive, and is it ready? For whoever starts and stops it; no token is asked for.

Alive says only that the process answers: an outage of Redis is no reason to kill it. Ready says
that what is sent here now will be done.
"""

from typing import Literal

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from redis import Redis
from redis.exceptions import RedisError

from envelopes import limits
from orchestrator import checks
from orchestrator.cells.facade import Cells
from orchestrator.cells.state import CellState
from orchestrator.checks import Verdict
from orchestrator.client import Buckstop
from orchestrator.http.asked import Asked
from orchestrator.http.models import Out
from orchestrator.http.openapi import problems
from orchestrator.http.problems import Problem

router = APIRouter(tags=["health"])

_NOBODY = "no orchestrator has looked for work lately; start one with: buckstop serve"


class Healthy(Out):
    """It answers."""

    status: Literal["alive"] = "alive"


class Ready(Out):
    """What is sent here now will be done."""

    status: Literal["ready"] = "ready"
    notes: list[str]
    """What somebody should know all the same."""


@router.get("/healthz", operation_id="healthz")
async def healthz() -> Healthy:
    """Say that this process answers."""
    return Healthy()


@router.get("/readyz", operation_id="readyz", responses=problems("not-ready"))
async def readyz(request: Request) -> Ready:
    """Say whether the server is there and fit, and an orchestrator looks for work."""
    with anyio.move_on_after(limits.READY_S):
        return await anyio.to_thread.run_sync(_looked, request, abandon_on_cancel=True)
    raise _not_ready([f"Redis has not answered within {limits.READY_S} s; see whether it hangs"])


def _looked(request: Request) -> Ready:
    everything: Asked = request.app.state.asked
    if isinstance(everything.buckstop, Cells):
        return _of_cells(everything.buckstop.states())
    assert everything.client is not None
    return _of_one(everything.buckstop, everything.client)


def _of_one(buckstop: Buckstop, client: Redis) -> Ready:
    try:
        findings = [*checks.inspect(client), checks.desk(buckstop.store.count_letters())]
        serving = buckstop.store.serving()
    except RedisError:
        raise _not_ready(["Redis cannot be reached, or is just starting"]) from None
    reasons = [str(one) for one in findings if one.verdict is Verdict.REFUSED]
    if reasons or not serving:
        raise _not_ready(reasons if serving else [*reasons, _NOBODY])
    return Ready(notes=[str(one) for one in findings if one.verdict is not Verdict.GOOD])


def _of_cells(states: list[CellState]) -> Ready:
    """Be ready while one cell is: what is for another is refused, and says which that is."""
    troubles = [f"cell {one.cell}: {one.away or _NOBODY}" for one in states if not one.serving]
    if len(troubles) == len(states):
        raise _not_ready(troubles)
    return Ready(notes=troubles)


def _not_ready(reasons: list[str]) -> Problem:
    return Problem("not-ready", "; ".join(reasons), {"Retry-After": "5"}, reasons=reasons)
