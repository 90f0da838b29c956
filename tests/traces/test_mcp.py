"""Each call of an MCP tool is a span, over each way in: official client, real processes."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from orchestrator.tokens import Scope
from tests.conftest import Fresh
from tests.front import Front
from tests.otlp import ERROR, Collector
from tests.tracing import CALLER, PLANTED, TASK, path
from tests.until import until

BUCKSTOP = str(Path(sys.executable).parent / "buckstop")
SAYS = {"traceparent": CALLER.traceparent}
SERVER = 2
WAYS = ("stdio", "stdio to an API", "http")


class Deployment:
    """A server, an API in front of it where one is asked for, and ways in by MCP."""

    def __init__(self, fresh: Fresh, folder: Path, front: ExitStack) -> None:
        self._fresh, self._folder, self._front = fresh, folder, front

    @asynccontextmanager
    async def client(self, way: str) -> AsyncIterator[Client]:
        """Connect by one of the ways."""
        if way == "http":
            api, token = self._api()
            shown = {"Authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(headers=shown, timeout=60) as http:
                transport = streamable_http_client(f"{api}/mcp", http_client=http)
                async with Client(transport) as client:
                    yield client
            return
        chosen = self._there() if way == "stdio to an API" else ["--url", self._fresh.url]
        named = {"BUCKSTOP_PREFIX": self._fresh.keys.prefix}
        started = StdioServerParameters(
            command=BUCKSTOP, args=["mcp", *chosen], env={**os.environ, **named}
        )
        async with Client(started) as client:
            yield client

    def _there(self) -> list[str]:
        api, token = self._api()
        (self._folder / "token").write_text(token)
        return ["--api", api, "--token-file", str(self._folder / "token")]

    def _api(self) -> tuple[str, str]:
        f = self._fresh
        front = self._front.enter_context(Front(f.url, f.client, f.keys, self._folder / "http.log"))
        token = front.new_token(None, Scope.READ, Scope.SUBMIT)
        return f"http://127.0.0.1:{front.port}", token


@pytest.fixture
def exporting(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "500")


@pytest.fixture
def deployment(fresh: Fresh, tmp_path: Path) -> Iterator[Deployment]:
    with ExitStack() as front:
        yield Deployment(fresh, tmp_path, front)


def submit(deployment: Deployment, way: str) -> str:
    """Submit by MCP, as a client that has a trace of its own; then do two things that fail."""

    async def act() -> str:
        async with asyncio.timeout(120), deployment.client(way) as client:
            made = await client.call_tool("submit", {**TASK, "agent": "a"}, meta=SAYS)
            await client.call_tool("status", {"task": "sk-planted-secret"})
            with pytest.raises(MCPError):
                await client.call_tool("sk-planted-secret", {})
            assert made.structured_content is not None, made
            return made.structured_content["task"]

    return asyncio.run(act())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("exporting")
def test_a_call_of_a_tool_is_a_span_of_its_clients_trace(
    way: str, collector: Collector, deployment: Deployment
) -> None:
    """The brief: "each MCP tool call too over stdio as over HTTP"; OpenTelemetry's conventions."""
    task = submit(deployment, way)
    (called,) = collector.wait("tools/call submit")
    (submitted,) = collector.wait("buckstop.submit")
    collector.wait("POST /v1/tasks")  # of which the submit is a part, and so over before it
    assert (called.kind, called.status, called.parent) == (SERVER, 0, CALLER.span)
    assert called.trace == submitted.trace == CALLER.trace
    assert submitted.told["buckstop.task"] == task
    found = path(collector.of(CALLER.trace), submitted)
    assert found == ["tools/call submit", "POST /v1/tasks", "buckstop.submit"]
    assert called.told == {
        "mcp.method.name": "tools/call",
        "mcp.protocol.version": called.told["mcp.protocol.version"],
        "network.transport": "tcp" if way == "http" else "pipe",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "submit",
    }
    assert called.service == ("buckstop.http" if way == "http" else "buckstop.mcp")
    assert bool(called.links) == (way == "http"), "the HTTP request that carried it is linked"
    failed_as_told(collector)
    counted_as_told(collector)


def failed_as_told(collector: Collector) -> None:
    """A tool that fails answers; what is no tool is refused. Neither's words are told."""
    (failed,) = collector.wait("tools/call status")
    assert (failed.status, failed.told["error.type"]) == (ERROR, "tool_error")
    (unknown,) = collector.wait("tools/call _OTHER")
    assert (unknown.status, unknown.told["error.type"]) == (ERROR, "-32602")
    told = [each for each in collector.spans if "url.path" not in each.told]
    assert not [each for each in PLANTED if each in repr(told)]


def counted_as_told(collector: Collector) -> None:
    """OpenTelemetry: "mcp.server.operation.duration"; its labels are of a known set."""
    found = collector.figures["mcp.server.operation.duration"]
    until(
        "figures, which a process sends as it ends",
        lambda: {each.get("gen_ai.tool.name") for each in found[:]},
        good={"submit", "status", "_OTHER"}.issubset,
    )
    assert not [each for each in PLANTED if each in repr(found)]


@pytest.mark.parametrize("way", WAYS)
def test_where_nothing_is_exported_the_clients_trace_goes_on_to_the_task(
    way: str, fresh: Fresh, deployment: Deployment
) -> None:
    """W3C: whoever takes no part in a trace passes it on unchanged."""
    task = submit(deployment, way)
    stored = fresh.client.hget(fresh.keys.task(task), "request")
    assert stored is not None
    assert CALLER.traceparent.encode() in stored


@pytest.mark.usefixtures("exporting")
def test_a_client_that_traces_nothing_has_a_trace_from_its_call_on(
    collector: Collector, deployment: Deployment
) -> None:
    """Without a context of the client's the call of the tool is the trace's beginning."""

    async def act() -> str:
        async with asyncio.timeout(120), deployment.client("stdio") as client:
            said = {"traceparent": "no context at all"}
            made = await client.call_tool("submit", {**TASK, "agent": "a"}, meta=said)
            assert made.structured_content is not None
            return made.structured_content["task"]

    task = asyncio.run(act())
    (called,) = collector.wait("tools/call submit")
    (submitted,) = collector.wait("buckstop.submit")
    assert (called.parent, submitted.trace) == ("", called.trace)
    assert submitted.told["buckstop.task"] == task
