"""Existing agents in a real worker process, on tasks of a real orchestrator."""

import pytest

from envelopes.keys import Keys
from orchestrator.client import Buckstop, Result
from orchestrator.embedded import EmbeddedServer
from orchestrator.settings import Settings
from tests.fleet import Fleet
from tests.openai_server import Calls, OpenAIServer, Says
from tests.until import until

KEYS = Keys("adapt:")
AGENTS = ("pydantic", "openai", "graph", "shout")
SCRIPT = [
    answer
    for name in AGENTS[:-1]
    for answer in (Calls("look_up", {"what": name}), Says(f"{name} says 42"))
]
SPENT = 6 * 47 + 100
"""Six requests at what the server says they used, and the function at its declared worst case."""
BOUNDS = {"goal": "What is x?", "timeout": 600, "until": {"kind": "plan_done"}}


@pytest.fixture(scope="module")
def server():
    with OpenAIServer(*SCRIPT) as server:
        yield server


@pytest.fixture(scope="module")
def buckstop(server, tmp_path_factory):
    """Start an orchestrator and a worker with all the agents; return a client."""
    folder = tmp_path_factory.mktemp("adapted")
    with EmbeddedServer(folder / "server") as redis, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADAPTED_URL", server.url)
        fleet = Fleet(folder, redis.url, KEYS.prefix, "tests.adapted_agents")
        settings = Settings(redis.url, "the test", KEYS.prefix)
        try:
            fleet.orchestrator("orchestrator", LEASE_MS=60_000)  # nobody dies here
            fleet.worker("worker")
            with Buckstop(settings=settings) as buckstop:
                until("agents", lambda: len(buckstop.agents()) == len(AGENTS), 60)
                yield buckstop
        finally:
            fleet.stop()


def ended(buckstop: Buckstop, **wish) -> Result:
    return buckstop.submit(**(BOUNDS | wish)).wait(timeout=100)


@pytest.mark.timeout(180)
def test_agents_of_all_frameworks_work_on_one_task_and_its_books_are_true(server, buckstop):
    """Issue: "each tested with the real framework and a local scripted server"."""
    needs = (None, *AGENTS)
    plan = [
        {"id": name, "agent": name, "needs": [need] if need else []}
        for name, need in zip(AGENTS, needs, strict=False)
    ]
    budget = {"tokens": 200_000, "usd": "1", "calls": 50}
    result = ended(buckstop, plan=plan, budget=budget)
    assert result.outcome == "completed"
    assert "GRAPH SAYS 42" in str(result.result)
    assert result.confidence == 0.9, "the weakest link"
    assert len(server.requests) == len(SCRIPT)
    assert "pydantic says 42" in str(server.requests[2]), "results of earlier steps are handed on"
    assert (result.ledger.spent.tokens, result.ledger.spent.calls) == (SPENT, 7)
    assert 1_000 < result.ledger.spent.usd_micros < 2_000


@pytest.mark.timeout(180)
@pytest.mark.parametrize("agent", AGENTS)
def test_what_does_not_fit_the_budget_is_not_asked_for(server, buckstop, agent):
    """DESIGN: "It never overspends"."""
    before = len(server.requests)
    result = ended(buckstop, agent=agent, budget={"tokens": 60, "calls": 9}, at_cap="abort")
    assert result.outcome != "completed"
    assert len(server.requests) == before
    assert result.ledger.spent.tokens == 0
