"""An editor's side of MCP: the official client, over each way that it can come in."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from envelopes.keys import Keys
from envelopes.scripts import connect
from orchestrator.running import DIRECTORY, Running
from orchestrator.tokens import Scope, Tokens
from tests.pages import block
from tests.until import PATIENCE_S

T = TypeVar("T")
BUCKSTOP = str(Path(sys.executable).parent / "buckstop")
AGENTS = """
from pathlib import Path


@agent("greet")
def greet(ctx: Context, goal: str, inputs: dict) -> Envelope:
    return Envelope.success({"said": f"hello: {goal}"}, 0.9)


@agent("paint")
def paint(ctx: Context, goal: str, answers: list) -> Envelope:
    if not answers:
        return ctx.question("which colour?", choices=["red", "blue"])
    return Envelope.success({"painted": answers[-1]["answer"]}, 0.9)


@agent("interview")
def interview(ctx: Context, goal: str, answers: list) -> Envelope:
    if len(answers) < 2:
        return ctx.question(f"question {len(answers) + 1}?")
    return Envelope.success([one["answer"] for one in answers], 0.9)


@agent("patient")
def patient(ctx: Context, goal: str, inputs: dict) -> Envelope:
    while not Path(goal).exists() and not ctx.cancelled.wait(0.02):
        pass
    return Envelope.success("it was there", 0.9)


@agent("half")
def half(ctx: Context, goal: str, inputs: dict) -> Envelope:
    return Envelope.partial("half of it", 0.8, "the other half is missing")


@agent("unsure")
def unsure(ctx: Context, goal: str, inputs: dict) -> Envelope:
    return Envelope.success("perhaps", 0.1)
"""
"""Run beside the first agents of the README, which the pages ask for."""
PAGE = "docs/how-to/mcp.md"
STDIO = (
    '{\n  "mcpServers": {\n    "buckstop": {\n      "command": "buckstop",\n      "args": ["mcp", '
)
"""How the page's files for editors begin that start a process."""


@dataclass(frozen=True)
class Place:
    """A running deployment."""

    folder: Path
    api: str

    def token(self, name: str, *scopes: str, tenant: str | None = None) -> str:
        """Make a token, as `buckstop token new` does."""
        note = Running.read(self.folder / DIRECTORY)
        assert note is not None
        with connect(note.url) as client:
            return Tokens(client, Keys()).new(name, list(map(Scope, scopes)), tenant=tenant)

    def kill(self, name: str) -> None:
        """End a process of it at once; `up` starts it again."""
        note = Running.read(self.folder / DIRECTORY)
        assert note is not None
        os.kill(note.pids[name], signal.SIGKILL)

    def call(self, *words: str) -> str:
        """Run a command there."""
        done = subprocess.run(
            [BUCKSTOP, *words], cwd=self.folder, capture_output=True, text=True, check=True
        )
        return done.stdout


@contextmanager
def up(folder: Path, agents: str = AGENTS) -> Iterator[Place]:
    """Run `buckstop up` with these agents until the block ends."""
    (folder / "my_agents.py").write_text(block("README.md", "# my_agents.py") + agents)
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [
                BUCKSTOP,
                "up",
                "my_agents",
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        give_up = time.monotonic() + 60
        while "console: " not in (said := (folder / "up.log").read_text()):
            assert process.poll() is None, said
            assert time.monotonic() < give_up, said
            time.sleep(0.05)
        note = Running.read(folder / DIRECTORY)
        assert note is not None
        assert note.console is not None
        yield Place(folder, note.console.rstrip("/"))
    finally:
        process.terminate()
        process.wait(60)


@asynccontextmanager
async def editor(place: Place, way: str, token: str, mode: str = "auto") -> AsyncIterator[Client]:
    """Connect as an editor does, by one of the ways."""
    if way == "http":
        async with httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, timeout=60
        ) as http:
            transport = streamable_http_client(f"{place.api}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                yield client
        return
    async with Client(_as_the_page_says(place, way, token), mode=mode) as client:
        yield client


def _as_the_page_says(place: Place, way: str, token: str) -> StdioServerParameters:
    """Read the file that the page gives to editors, with the places put in."""
    (place.folder / "token").write_text(token)
    begins = f'{STDIO}"--project"' if way == "stdio" else f'{STDIO}"--api"'
    file = block(PAGE, begins).replace("/home/ada/.buckstop-token", str(place.folder / "token"))
    file = file.replace("/home/ada/project", str(place.folder))
    server = json.loads(file.replace("https://buckstop.example.com", place.api))
    started = server["mcpServers"]["buckstop"]
    by = ["--as", "ada"] if way == "stdio" else []
    return StdioServerParameters(command=started["command"], args=[*started["args"], *by])


def run(act: Callable[[], Awaitable[T]]) -> T:
    """Run what an editor does; it takes a fraction of the time that it has."""

    async def bounded() -> T:
        async with asyncio.timeout(3 * PATIENCE_S):
            return await act()

    return asyncio.run(bounded())


async def told(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool, and return what it says, be it a refusal."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result.structured_content, dict)
    return result.structured_content
