"""One real server for each test process, and an empty corner of it for each test."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import settings
from redis import Redis

from envelopes import limits
from envelopes.keys import Keys
from orchestrator.embedded import EmbeddedServer
from tests.until import PATIENCE_S
from workers.agent import registry

if TYPE_CHECKING:
    from tests.editor import Place
    from tests.several import Several
    from tests.ward import Ward

os.environ.pop("COLUMNS", None)  # xdist says 80 for want of a terminal; a pipe says nothing
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
settings.load_profile("ci")
"""The same examples in each run, and no clock: --hypothesis-profile=default looks for new ones."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flag that writes expected texts anew; what it wrote is reviewed as prose."""
    parser.addoption("--rewrite", action="store_true", help="write golden files anew")


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Say whether golden files (scenarios, schemas, diagrams) are to be written anew."""
    return bool(request.config.getoption("--rewrite"))


@dataclass(frozen=True)
class Fresh:
    """An empty server: where it is, a client, and names that no other test uses."""

    url: str
    client: Redis
    keys: Keys


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Run one embedded server for the session (for each worker process under xdist)."""
    with EmbeddedServer(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def fresh(server: EmbeddedServer) -> Iterator[Fresh]:
    """Empty the server and hand it out; a test that killed it leaves it to be started again."""
    if not server.alive:
        server.restart()
    with Redis.from_url(server.url, socket_timeout=PATIENCE_S) as client:
        client.execute_command("FLUSHALL", "SYNC")  # else its memory is freed beside the test
        client.config_set("appendonly", "yes")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 0)
        yield Fresh(server.url, client, Keys(f"t{uuid4().hex[:8]}:"))


@pytest.fixture
def own_registry() -> Iterator[None]:
    """Let what a test declares as agents be declared for that test only."""
    before = dict(registry)
    yield
    registry.clear()
    registry.update(before)


@pytest.fixture
def client(fresh: Fresh) -> Redis:
    """Give a client of the emptied server."""
    return fresh.client


@pytest.fixture
def ward(fresh: Fresh) -> Iterator["Ward"]:
    """Hand out a deployment in which everything is well."""
    from tests.ward import Ward  # only who asks for it waits for what a deployment needs

    made = Ward(fresh)
    made.worker("w1", "a")
    made.turn()
    yield made
    made.buckstop.close()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Place"]:
    """Run `buckstop up` with some agents for the session; it takes seconds to start."""
    from tests.editor import up  # only who asks for it waits for what an editor needs

    with up(tmp_path_factory.mktemp("place")) as running:
        yield running


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Several"]:
    """Run three servers for the tests of a module that is about cells."""
    from tests.several import Several  # only who asks for it waits for what a deployment needs

    several = Several(tmp_path_factory.mktemp("cells"))
    for name in ("east", "west", "north"):
        several.add(name)
    yield several
    several.stop()


@pytest.fixture
def several(servers: "Several", monkeypatch: pytest.MonkeyPatch) -> "Several":
    """Give three empty servers, two of them listed as cells; none is away for being slow."""
    monkeypatch.setattr(limits, "CELL_ASK_S", PATIENCE_S)
    servers.empty()
    servers.add("east")
    servers.add("west")
    return servers
