"""Decisions wait for an orchestrator; where none comes, no more of them wait than may."""

from types import SimpleNamespace

import anyio
import pytest

from envelopes import limits
from orchestrator.http.letters import in_patience
from orchestrator.http.problems import Problem


def test_who_would_wait_in_vain_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes from outside is bounded; without an orchestrator, no queue is without end."""
    monkeypatch.setattr(limits, "DECIDING_MAX", 1)
    monkeypatch.setattr(limits, "DECIDING_WAIT_MAX", 2)
    assert anyio.run(five_decisions_with_one_place) == ["full", "full", "done", "done", "done"]


async def five_decisions_with_one_place() -> list[str]:
    state, said = SimpleNamespace(patience=anyio.CapacityLimiter(1), deciding=0), []
    http = SimpleNamespace(app=SimpleNamespace(state=state))

    async def decide() -> None:
        try:
            said.append(await in_patience(http, lambda: "done"))
        except Problem as problem:
            said.append(problem.slug)

    await state.patience.acquire_on_behalf_of("somebody who holds the one place meanwhile")
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(decide)
        await anyio.wait_all_tasks_blocked()
        state.patience.release_on_behalf_of("somebody who holds the one place meanwhile")
    return said
