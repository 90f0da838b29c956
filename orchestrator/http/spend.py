"""What was spent: by day, tenant, agent and model."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from envelopes import limits
from orchestrator.books import Spend
from orchestrator.client import Buckstop
from orchestrator.http.access import Client, Reads
from orchestrator.http.models import Out, Partial, shallow

router = APIRouter(prefix="/v1", tags=["spend"])

_DAYS_DEFAULT = 30


class Figures(Out):
    """What work has cost, and how it went."""

    tokens: int = 0
    usd_micros: int = 0
    calls: int = 0
    ok: int = 0
    """Subtasks of which something came."""
    fault: int = 0
    """Subtasks that failed by the agent's own fault."""
    other: int = 0
    """Subtasks that were taken away, or stopped by their budget."""


class SpendRow(Figures):
    """What a tenant's subtasks at one agent have cost on a day, by one model."""

    day: Annotated[str, Field(examples=["2026-07-19"])]
    tenant: str
    agent: str
    model: str
    """Empty where the agent has named none."""


class SpendOut(Partial):
    """The books."""

    days: list[str]
    """Days on which something was spent, by UTC, oldest first."""
    items: list[SpendRow]


@router.get("/spend", operation_id="spend")
def spend(
    buckstop: Client,
    caller: Reads,
    days: Annotated[
        int, Query(ge=1, le=limits.SPEND_DAYS_MAX, description="Today and those before it.")
    ] = _DAYS_DEFAULT,
) -> SpendOut:
    """Return what was spent, by day, tenant, agent and model. All rows are all ledgers together."""
    rows = _rows(buckstop, caller.tenant, days)
    items = [SpendRow(**shallow(row)) for row in rows]
    return SpendOut(days=sorted({row.day for row in rows}), items=items)


def summed(
    buckstop: Buckstop, tenant: str | None, days: int, by: Callable[[Spend], str]
) -> dict[str, Figures]:
    """Add up the last days by something that rows share."""
    sums: dict[str, dict[str, int]] = {}
    for row in _rows(buckstop, tenant, days):
        figures = sums.setdefault(by(row), dict.fromkeys(Figures.model_fields, 0))
        for name in figures:
            figures[name] += getattr(row, name)
    return {name: Figures(**figures) for name, figures in sums.items()}


def _rows(buckstop: Buckstop, tenant: str | None, days: int) -> list[Spend]:
    return [row for row in buckstop.store.spend(days) if tenant in {None, row.tenant}]
