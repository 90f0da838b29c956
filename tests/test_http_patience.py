"""Decisions wait for an orchestrator; where none comes, no more of them wait than may."""

from types import SimpleNamespace

import anyio
import anyio.lowlevel
import pytest

from envelopes import limits
from orchestrator.http.letters import in_patience
from orchestrator.http.problems import Problem


def test_who_would_wait_in_vain_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """STYLE: what comes from outside is bounded: without an orchestrator, no queue without end."""
    monkeypatch.setattr(limits, "DECIDING_WAIT_MAX", 2)
    said = anyio.run(_five_decisions_with_one_place)
    assert sorted(said) == ["done", "done", "full", "full", "full"]


async def _five_decisions_with_one_place() -> list[str]:
    limiter, said = anyio.CapacityLimiter(1), []
    http = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(patience=limiter)))
    nobody_else = object()  # holds the one place until all have come

    async def decide() -> None:
        try:
            said.append(await in_patience(http, lambda: "done"))
        except Problem as problem:
            said.append(problem.slug)

    await limiter.acquire_on_behalf_of(nobody_else)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(decide)
        while len(said) < 3 or limiter.statistics().tasks_waiting < 2:
            await anyio.lowlevel.checkpoint()
        limiter.release_on_behalf_of(nobody_else)
    return said
