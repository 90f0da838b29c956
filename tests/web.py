"""The app on a real socket, and callers of it."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn
from redis import Redis

from envelopes import Amounts, Envelope
from envelopes.envelope import Question, Status
from envelopes.keys import Keys
from envelopes.seal import Signer
from orchestrator.http.__main__ import configured
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.tokens import Scope, Tokens
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.hands import Hand
from tests.until import PATIENCE_S, until

TASK = {
    "goal": "say hello",
    "agent": "greet",
    "budget": {"tokens": 1000},
    "timeout": "10m",
    "until": {"kind": "plan_done"},
}
PLENTY = 600_000
"""Calls a minute, for tests that are about something else."""


@dataclass
class Web:
    """One running app."""

    url: str
    redis: Redis
    keys: Keys
    tokens: Tokens
    clients: list[httpx.Client] = field(default_factory=list)

    def token(self, *scopes: str, **more) -> str:
        """Make a token."""
        wanted = [Scope(each) for each in scopes] or list(Scope)
        return self.tokens.new(more.pop("name", "ada"), wanted, **{"per_minute": PLENTY, **more})

    def caller(self, *scopes: str, **more) -> httpx.Client:
        """Return a service that shows a token with these scopes, or all."""
        return self.client(Authorization=f"Bearer {self.token(*scopes, **more)}")

    def client(self, **headers: str) -> httpx.Client:
        """Return somebody who shows nothing of their own accord."""
        self.clients.append(httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S))
        return self.clients[-1]

    def browser(self, token: str | None = None) -> tuple[httpx.Client, str]:
        """Log in as the console does; return the client, and its CSRF word."""
        client = self.client(**{"Sec-Fetch-Site": "same-origin", "Origin": self.url})
        answer = client.post("/session", json={"token": token or self.token()})
        assert answer.status_code == 200, answer.text
        return client, answer.json()["csrf"]


@contextmanager
def running(fresh: Fresh, environ: dict[str, str] | None = None) -> Iterator[Web]:
    """Run the app in a thread until the block ends."""
    settings = Settings(fresh.url, "the test", fresh.keys.prefix, grace_s=2)
    config = configured(settings, "127.0.0.1", 0, environ=environ or {})
    server = uvicorn.Server(config)
    with config.bind_socket() as socket:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        thread.start()
        url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        web = Web(url, fresh.client, fresh.keys, Tokens(fresh.client, fresh.keys))
        try:
            with httpx.Client(base_url=url, timeout=PATIENCE_S) as knock:
                until("it answers", lambda: knock.get("/healthz").is_success)
            yield web
        finally:
            for client in web.clients:
                client.close()
            server.should_exit = True
            thread.join(PATIENCE_S)


@contextmanager
def orchestrating(fresh: Fresh) -> Iterator[Orchestrator]:
    """Run an orchestrator in a thread, with a connection of its own."""
    with Redis.from_url(fresh.url) as connection:
        store, wire = Store(connection, fresh.keys), Wire(Signer(os.urandom(32)), fresh.keys)
        loop = Orchestrator(store, wire)
        thread = threading.Thread(target=loop.run)
        thread.start()
        try:
            until("it looks for work", store.serving)
            yield loop
        finally:
            loop.stop()
            fresh.client.rpush(fresh.keys.bell, "stop")
            thread.join(PATIENCE_S)


def on_the_desk(
    fresh: Fresh, caller: httpx.Client, envelope: Envelope | None = None, **more: object
) -> str:
    """Submit a task, answer it badly by hand, and return the letter it leads to."""
    task = caller.post("/v1/tasks", json={**TASK, "at_cap": "escalate", **more})
    assert task.status_code == 201, task.text
    hand = Hand(fresh.client, fresh.keys, "greet")
    answer = envelope or Envelope.partial({"said": "h"}, 0.2, "not sure")
    jobs: Sequence = ()
    while not (jobs := hand.take()):
        time.sleep(0.01)
    hand.answer(jobs[0], answer, Amounts(7, 0, 1))
    while (letter := caller.get(f"/v1/tasks/{task.json()['id']}").json()["letter"]) is None:
        time.sleep(0.01)
    return letter


def asked(fresh: Fresh, caller: httpx.Client, *choices: str, **more: object) -> str:
    """Let an agent ask, and return the question's letter."""
    ask = Question(text="which colour?", choices=choices)
    envelope = Envelope(status=Status.PARTIAL, reason="asks", ask=ask)
    return on_the_desk(fresh, caller, envelope, **more)


def set_aside(fresh: Fresh) -> str:
    """Let a worker set a message aside, and return its letter."""
    hand, queue = Hand(fresh.client, fresh.keys, "greet"), fresh.keys.queue("greet")
    return hand.claims.quarantine("shape", "undeliverable", queue, b"raw \xff", "no body", None)
