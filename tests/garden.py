"""A deployment with a real Flower, which has only the rights that users.acl gives it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from redis import Redis

from envelopes.keys import Keys
from orchestrator import flower
from orchestrator.client import Buckstop
from orchestrator.embedded import EmbeddedServer
from orchestrator.leash import leashed
from tests import acl
from tests.fleet import ROOT, Fleet
from tests.ports import free_port
from tests.until import until

KEYS = Keys()
READY_S = 90


@dataclass(frozen=True)
class Garden:
    """A deployment in which Flower has only the rights that deploy/redis/users.acl gives it."""

    buckstop: Buckstop
    server: Redis
    fleet: Fleet
    api: httpx.Client
    log: Path

    def get(self, path: str) -> Any:
        """Ask Flower; one that cannot say, as while its server is away, is as good as away."""
        answer = self.api.get(path)
        if answer.is_server_error:
            raise httpx.TransportError(f"Flower says {answer.status_code}: {answer.text[:200]}")
        return answer.json()

    def send(self, name: str, path: str = "send-task", **options: Any) -> httpx.Response:
        return self.api.post(f"/api/task/{path}/{name}", json=options)

    def task(self, subtask: str) -> dict[str, Any]:
        """Return what Flower shows of a subtask, empty where it shows nothing yet."""
        return self.get("/api/tasks").get(subtask, {})

    def ended(self, subtask: str) -> dict[str, Any]:
        return until("its end is shown", lambda: (t := self.task(subtask)).get("runtime") and t)

    def ask(self, agent: str, given: Any, **more: Any) -> str:
        """Submit a task of one step; return the id of its subtask."""
        asked = {"goal": "light the lamp", "agent": agent, "input": given, **BOUNDS, **more}
        return f"{self.buckstop.submit(asked).id}/1"

    def depths(self) -> dict[str, int]:
        """Let Flower ask the workers anew which queues there are; return how long each is."""
        self.get("/api/workers?refresh=1")
        found = self.get("/api/queues/length")["active_queues"]
        return {each["name"]: each["messages"] for each in found}

    def letters(self) -> list[Any]:
        """Return the letters of messages that could not be delivered."""
        return [one for one in self.buckstop.letters().items if not one.get("task")]


BOUNDS = {
    "budget": {"tokens": 1_000, "calls": 10},
    "timeout": 600,
    "until": {"kind": "plan_done"},
    "confidence_min": 0.3,
}


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Give a Flower that was told to stop some time; how it stops is its own business."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def started(settings: flower.Flower, url: str, log: Path) -> "subprocess.Popen[bytes]":
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "BUCKSTOP_URL": url}
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "flower"]
    with log.open("wb") as said:
        return subprocess.Popen(
            leashed(command), env=settings.environ(environ), stdout=said, stderr=said, cwd=ROOT
        )


def follows(garden: Garden, workers: Sequence[str]) -> bool:
    """Say whether Flower has asked each worker for events by now: before, it hears of no task."""
    garden.ask("says", "well")
    garden.get("/api/workers?refresh=1")
    heard = {each["worker"] for each in garden.get("/api/tasks").values() if each["worker"]}
    return {name.partition("@")[0] for name in heard} >= set(workers)


@contextmanager
def planted(folder: Path) -> Iterator[Garden]:
    """Start a server, an orchestrator, two workers and Flower."""
    with EmbeddedServer(folder / "server") as server, Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "flower", ">secret", *acl.rules()["flower"])
        url = f"redis://flower:secret@127.0.0.1:{server.port}/0"
        with growing(folder, server.url, client, url, pools=("threads", "prefork")) as garden:
            yield garden


@contextmanager
def growing(
    folder: Path, url: str, client: Redis, flowers: str, pools: Sequence[str] = ("threads",)
) -> Iterator[Garden]:
    """Start an orchestrator, workers and Flower on a server; `flowers` is how Flower reaches it."""
    fleet = Fleet(folder, url, KEYS.prefix, "tests.shown_agents")
    fleet.orchestrator("orchestrator")
    for pool in pools:
        fleet.worker(pool, pool, 2)
    log = folder / "flower.log"
    settings = flower.Flower(free_port(), flower.ensure_login(folder))
    process = started(settings, flowers, log)
    user, _, password = settings.login.partition(":")
    try:
        with (
            httpx.Client(base_url=settings.url, auth=(user, password), timeout=60) as api,
            Buckstop(url) as buckstop,
        ):
            here = Garden(buckstop, client, fleet, api, log)
            until(f"Flower follows the workers, see {log}", lambda: follows(here, pools), READY_S)
            yield here
    finally:
        process.terminate()
        _ended(process)
        fleet.stop()
