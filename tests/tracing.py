"""What tests of traces begin with: a collector, a model, a fleet that exports, ways to look."""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from envelopes.trace import Place
from orchestrator.client import Buckstop
from orchestrator.settings import Settings
from orchestrator.tokens import Scope
from tests.fleet import Fleet
from tests.front import Front
from tests.llm_server import ModelServer
from tests.otlp import Collector, Seen

PAGE = "docs/how-to/traces.md"
CALLER = Place("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
GOAL = "the planted goal nobody outside may read"
PLANTED = (GOAL, "sk-planted-secret", "planted answer")
TASK = {
    "goal": GOAL,
    "budget": {"tokens": 20_000},
    "timeout": "10m",
    "until": {"kind": "plan_done"},
    "replans_max": 0,
}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer([]) as running:
        yield running


@pytest.fixture
def fleet(fresh, tmp_path, collector, model, monkeypatch) -> Iterator[Fleet]:
    """Give a fleet that exports to the collector; nothing is started yet."""
    for name, value in (
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        ("MODEL_URL", model.url),
    ):
        monkeypatch.setenv(name, value)
    fleet = Fleet(tmp_path, fresh.url, fresh.keys.prefix, "tests.traced_agents")
    try:
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def buckstop(fresh) -> Iterator[Buckstop]:
    with Buckstop(settings=Settings(fresh.url, "the test", fresh.keys.prefix)) as client:
        yield client


def parent_of(spans: list[Seen], one: Seen) -> Seen:
    (found,) = [each for each in spans if each.id == one.parent]
    return found


def path(spans: list[Seen], one: Seen) -> list[str]:
    """Return the names from the trace's beginning to this span."""
    known = {each.id: each for each in spans}
    names = [one.name]
    while one.parent in known:
        one = known[one.parent]
        names.append(one.name)
    return names[::-1]


def submit_over_http(front: Front, **more: object) -> str:
    token = front.new_token(None, Scope.READ, Scope.SUBMIT)
    request = urllib.request.Request(
        f"http://127.0.0.1:{front.port}/v1/tasks?",
        json.dumps({**TASK, **more}).encode(),
        {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "traceparent": CALLER.traceparent,
        },
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["id"]


def started(fleet: Fleet, pool: str = "threads") -> None:
    fleet.orchestrator("o")
    fleet.worker("w", pool, 2)
