"""A whole deployment for the browser to look at: real processes on a real server.

Server, orchestrator, worker and HTTP app run as they would for a user; people log in with tokens of
their own. Any part can be killed and started again under the same address.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from envelopes.decision import Decision, Verb
from envelopes.keys import PREFIX_DEFAULT, Keys
from envelopes.limits import TOKEN_PER_MINUTE_MAX
from orchestrator.client import Buckstop, TaskHandle
from orchestrator.embedded import EmbeddedServer
from orchestrator.settings import Settings
from orchestrator.tokens import Scope, Tokens, id_of
from tests.fleet import Fleet
from tests.ports import free_port
from tests.until import until

WITHIN_S = 90
"""What takes a task a moment where the machine has nothing else to do."""
EVERYTHING = (Scope.SUBMIT, Scope.READ, Scope.DECIDE)
"""What a tenant's own person may do."""


@dataclass(frozen=True)
class Person:
    """Somebody who may log in."""

    name: str
    token: str
    token_id: str


class Bed(Fleet):
    """A deployment that is all there."""

    def __init__(self, folder: Path) -> None:
        calm = {"appendfsync": "everysec"}  # a disk that stands still is no matter of the page's
        self.server = EmbeddedServer(folder / "server", other=calm)
        super().__init__(folder, self.server.url, PREFIX_DEFAULT, "tests.browser.cast")
        self.port = free_port()
        self.gates = folder / "gates"
        self.gates.mkdir()
        self.client = Redis.from_url(self.server.url)
        self.keys = Keys()
        self.tokens = Tokens(self.client, self.keys)
        self.buckstop = Buckstop(settings=Settings(self.server.url, "the bed"))
        self.orchestrator("orchestrator-1")
        self.worker("worker-1", concurrency=8)
        self.http()
        until("the worker has come", lambda: self.client.zcard(self.keys.workers) > 0)
        until("the page is served", self.serves)

    @property
    def url(self) -> str:
        """Return the console's address."""
        return f"http://127.0.0.1:{self.port}"

    def http(self) -> None:
        """Start the HTTP app, on the port it always has here."""
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        self._start("http-1", ["orchestrator.http", *where])

    def cut(self, name: str) -> None:
        """SIGKILL a part, and leave it dead."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def serves(self) -> bool:
        """Say whether the app answers and finds its server fit for work."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=30).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    # --- people and work -------------------------------------------------------------------------

    def person(self, name: str, *scopes: Scope, tenant: str | None = None) -> Person:
        """Give somebody a token; with every scope that a tenant can give, unless told otherwise."""
        wanted = scopes or EVERYTHING
        text = self.tokens.new(name, wanted, tenant=tenant, per_minute=TOKEN_PER_MINUTE_MAX)
        return Person(name, text, id_of(text))

    def submit(self, tenant: str, **fields: Any) -> TaskHandle:
        """Submit a task that asks a person rather than give up."""
        usual = {
            "goal": "Say what the script says",
            "agent": "write",
            "input": {},
            "budget": {"tokens": 20_000},
            "timeout": "20m",
            "until": {"kind": "plan_done"},
            "at_cap": "escalate",
        }
        return self.buckstop.submit(**{**usual, "tenant": tenant, **fields})

    def escalated(self, tenant: str, **fields: Any) -> str:
        """Submit a task whose result is below the bar; return the letter it leads to."""
        script = {"says": {"title": "A draft"}, "confidence": 0.4}
        return self.letter_of(self.submit(tenant, **{"input": script, **fields}))

    def letter_of(self, task: TaskHandle) -> str:
        """Wait until a task lies on the desk; return its letter's id."""
        until(f"{task.id} is on the desk", lambda: task.status().letter is not None)
        return str(task.status().letter)

    def decide(self, letter: str, verb: str, **more: Any) -> bool:
        """Decide a letter without the page; say whether that came first."""
        said = Decision.model_validate(
            {"letter": letter, "verb": Verb(verb), "by": "someone", **more}
        )
        return self.buckstop.decide(said).first

    def stop(self) -> None:
        """End everything."""
        super().stop()
        self.buckstop.close()
        self.client.close()
        self.server.stop()
