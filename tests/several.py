"""Several cells for tests: a server each, an orchestrator in each, and hands that work there."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import yaml
from redis import Redis

from envelopes import Amounts, Envelope
from envelopes.keys import Keys
from envelopes.seal import Signer
from orchestrator.cells import ranking
from orchestrator.cells.facade import Cells
from orchestrator.cells.file import CellsFile
from orchestrator.embedded import EmbeddedServer
from orchestrator.http.__main__ import configured
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.tokens import Scope
from orchestrator.wire import Wire
from tests.hands import Hand
from tests.until import PATIENCE_S, until

TASK: dict[str, Any] = {
    "goal": "say hello",
    "agent": "greet",
    "budget": {"tokens": 1000},
    "timeout": "10m",
    "until": {"kind": "plan_done"},
}
KEYS = Keys("buckstop:")
PLENTY = 600_000
"""Calls a minute, for tests that are about something else."""
TENANTS = {
    cell: next(t for t in map(str, range(99)) if ranking.highest(t, ["east", "west"]) == cell)
    for cell in ("east", "west")
}
"""Of each of two cells, one whose tasks go there."""


@dataclass
class Several:
    """Servers by the name of their cell, and the file that lists them."""

    folder: Path
    servers: dict[str, EmbeddedServer] = field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    spread: list[str] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Return where the file is."""
        return self.folder / "cells.yaml"

    def add(self, name: str, **settings: Any) -> None:
        """Start a server, or use one that runs, and list it at the end of the file."""
        if name not in self.servers:
            self.servers[name] = EmbeddedServer(self.folder / name)
        self.list(name, **settings)

    def list(self, name: str, **settings: Any) -> None:
        """Say how a cell is listed from now on."""
        place = {} if "directory" in settings else {"url": self.servers[name].url}
        self.settings[name] = {**place, **settings}
        self._write()

    def drop(self, name: str) -> None:
        """Take a cell off the list; its server runs on."""
        del self.settings[name]
        self._write()

    def empty(self) -> None:
        """Start what was killed, forget everything, and list nobody."""
        for server in self.servers.values():
            if not server.alive:
                server.restart()
            with Redis.from_url(server.url) as client:
                client.execute_command("FLUSHALL", "SYNC")
        self.settings, self.spread = {}, []

    def client(self, name: str) -> Redis:
        """Connect to a cell's server."""
        return Redis.from_url(self.servers[name].url)

    def cells(self) -> Cells:
        """Connect to what is listed now."""
        return Cells(CellsFile.read(self.path), Settings.of_cells({}, self.path))

    def stop(self) -> None:
        """End all servers."""
        for server in self.servers.values():
            server.stop()

    def _write(self) -> None:
        self.path.write_text(
            yaml.safe_dump({"cells": self.settings, "spread": self.spread}, sort_keys=False)
        )


@contextmanager
def orchestrated(several: Several, *names: str) -> Iterator[None]:
    """Run an orchestrator in each of these cells, each in a thread."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(_orchestrator(several.servers[name].url))
        yield


@contextmanager
def _orchestrator(url: str) -> Iterator[None]:
    with Redis.from_url(url) as connection:
        store = Store(connection, KEYS)
        loop = Orchestrator(store, Wire(Signer(os.urandom(32)), KEYS))
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            until("it looks for work", store.serving)
            yield
        finally:
            loop.stop()
            with Redis.from_url(url) as bell:
                bell.rpush(KEYS.bell, "stop")
            thread.join(PATIENCE_S)


def work(several: Several, name: str, count: int = 1) -> None:
    """Do the next subtasks in a cell by hand, as an agent that is sure."""
    with several.client(name) as client:
        hand = Hand(client, KEYS, "greet")
        done = 0
        while done < count:
            for job in until("it is handed out", hand.take):
                hand.answer(job, Envelope.success({"said": name}, 0.9), Amounts(7, 0, 1))
                done += 1


@contextmanager
def served(several: Several) -> Iterator[httpx.Client]:
    """Run the app over all cells, and call it as somebody who may do everything."""
    settings = Settings.of_cells({"BUCKSTOP_GRACE": "2"}, several.path)
    config = configured(settings, "127.0.0.1", 0, environ={})
    server = uvicorn.Server(config)
    with several.cells() as cells:
        token = cells.tokens.new("ada", list(Scope), per_minute=PLENTY)
    with config.bind_socket() as socket:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        headers = {"Authorization": f"Bearer {token}"}
        try:
            with httpx.Client(base_url=url, headers=headers, timeout=PATIENCE_S) as client:
                until("it answers", lambda: client.get("/healthz").is_success)
                yield client
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
