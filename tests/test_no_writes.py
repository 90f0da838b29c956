"""A server that is there and takes no writes: workers wait for it, and no task is lost."""

from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from envelopes.keys import Keys
from envelopes.scripts import connect
from orchestrator import intake
from orchestrator.embedded import EmbeddedServer
from orchestrator.store import Store
from tests.fleet import Fleet, ended
from tests.until import until

KEYS = Keys("nowrites:")
WORK = {
    "goal": "g",
    "agent": "one",
    "input": {"does": "work", "seconds": 0.01},
    "budget": {"tokens": 5_000, "calls": 50},
    "timeout": "10m",
    "until": {"kind": "plan_done"},
}
REFUSE = {"min-replicas-to-write": 1, "maxmemory": 1}
"""Alone, and full."""


@pytest.mark.timeout(600)
def test_a_worker_outlives_a_server_that_takes_no_writes(tmp_path: Path) -> None:
    """Redis full; replicas missing: "nothing lost; heals"; nobody starts anything again."""
    with EmbeddedServer(tmp_path / "server") as server, connect(server.url) as client:
        fleet = Fleet(tmp_path, server.url, KEYS.prefix, "tests.chaos_agents")
        store = Store(client, KEYS)
        try:
            fleet.orchestrator("orchestrator")
            fleet.worker("threads")
            until("agents are registered", lambda: "one" in store.agents())
            for number, (name, value) in enumerate(REFUSE.items(), start=1):
                refuse(client, store, fleet, name, value)
                until("all tasks end", lambda n=number: ended(store) == 5 * n)
            assert fleet.running["threads"].poll() is None, fleet.log("threads")[-2000:]
        finally:
            fleet.stop()


def refuse(client: Redis, store: Store, fleet: Fleet, name: str, value: int) -> None:
    """Let messages wait, and the server take no writes until the worker has noticed."""
    said = fleet.log("threads").count("takes no writes")
    fleet.freeze("threads")
    for _ in range(5):
        store.submit(intake.submission(WORK))
    until("messages wait", lambda: store.queue_depth("one") == 5)
    client.config_set(name, value)
    with pytest.raises(ResponseError):
        store.submit(intake.submission(WORK))
    fleet.thaw("threads")
    until("the worker notices", lambda: fleet.log("threads").count("takes no writes") > said)
    client.config_set(name, 0)
