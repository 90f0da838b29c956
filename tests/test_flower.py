"""A real Flower beside real workers and orchestrators: what it shows, and what it can do."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from envelopes import Envelope, Fault, Limits
from envelopes.envelope import Usage
from envelopes.keys import Keys
from orchestrator import flower
from orchestrator.client import Buckstop
from orchestrator.embedded import EmbeddedServer, free_port
from orchestrator.leash import leashed
from tests import acl
from tests.fleet import ROOT, Fleet
from workers.outcome import event_of, outcome_line

KEYS = Keys()
SECRET = "correct horse battery staple"
READY_S = 40
PATIENCE_S = 20


@dataclass(frozen=True)
class Garden:
    """A deployment in which Flower has only the rights that deploy/redis/users.acl gives it."""

    buckstop: Buckstop
    server: Redis
    fleet: Fleet
    api: httpx.Client
    log: Path

    def get(self, path: str) -> Any:
        return self.api.get(path).json()

    def send(self, name: str, path: str = "send-task", **options: Any) -> httpx.Response:
        return self.api.post(f"/api/task/{path}/{name}", json=options)

    def task(self, subtask: str) -> dict[str, Any]:
        """Return what Flower shows of a subtask, empty where it shows nothing yet."""
        return self.get("/api/tasks").get(subtask, {})

    def ended(self, subtask: str) -> dict[str, Any]:
        return until(lambda: (t := self.task(subtask)).get("runtime") and t, "its end is shown")

    def ask(self, agent: str, given: Any, **more: Any) -> str:
        """Submit a task of one step; return the id of its subtask."""
        asked = {"goal": "light the lamp", "agent": agent, "input": given, **BOUNDS, **more}
        return f"{self.buckstop.submit(asked).id}/1"

    def letters(self) -> list[Any]:
        """Return the letters of messages that could not be delivered."""
        return [one for one in self.buckstop.letters().items if not one.get("task")]


BOUNDS = {
    "budget": {"tokens": 1_000, "calls": 10},
    "timeout": 60,
    "until": {"kind": "plan_done"},
    "confidence_min": 0.3,
}


def until(look: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Wait for something to be there; return it."""
    ends = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < ends, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Garden]:
    """Start a server, an orchestrator, two workers and Flower."""
    folder = tmp_path_factory.mktemp("garden")
    with EmbeddedServer(folder / "server") as server, Redis.from_url(server.url) as client:
        fleet = Fleet(folder, server.url, KEYS.prefix, "tests.shown_agents")
        fleet.orchestrator("orchestrator")
        fleet.worker("threads", "threads", 2)
        fleet.worker("prefork", "prefork", 2)
        client.execute_command("ACL", "SETUSER", "flower", ">secret", *acl.rules()["flower"])
        url = f"redis://flower:secret@127.0.0.1:{server.port}/0"
        log = folder / "flower.log"
        settings = flower.Flower(free_port(), flower.ensure_login(folder))
        process = started(settings, url, log)
        user, _, password = settings.login.partition(":")
        try:
            with (
                httpx.Client(base_url=settings.url, auth=(user, password), timeout=30) as api,
                Buckstop(server.url) as buckstop,
            ):
                here = Garden(buckstop, client, fleet, api, log)
                until(lambda: follows(here), f"Flower follows the worker, see {log}", READY_S)
                yield here
        finally:
            process.terminate()
            process.wait(10)
            fleet.stop()


def started(settings: flower.Flower, url: str, log: Path) -> "subprocess.Popen[bytes]":
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "BUCKSTOP_URL": url}
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "flower"]
    with log.open("wb") as said:
        return subprocess.Popen(
            leashed(command), env=settings.environ(environ), stdout=said, stderr=said, cwd=ROOT
        )


def follows(garden: Garden) -> bool:
    """Say whether Flower answers, and has asked the worker for events by now."""
    try:
        garden.ask("says", "well")
        return bool(garden.get("/api/workers?refresh=1") and garden.get("/api/tasks"))
    except httpx.TransportError:
        return False


# --- what it shows -------------------------------------------------------------------------------


def test_a_subtask_is_readable(garden: Garden) -> None:
    """Issue 5: «agent name, goal, hop, spend and outcome in what Flower shows»."""
    shown = garden.ended(garden.ask("says", "well", tenant="acme"))
    assert (shown["name"], shown["args"]) == ("agent.says", "light the lamp")
    assert shown["state"] == "SUCCESS"
    for part in ("hop 1/12", "step only", "subtask 1", "tenant acme", "900 tokens, 9 calls"):
        assert part in shown["kwargs"]
    assert shown["result"] == "success 0.90; 30 of 900 tokens, 1 of 9 calls"
    assert shown["received"]
    assert shown["started"]


def test_workers_of_either_pool_tell_the_same(garden: Garden) -> None:
    """A child of a prefork pool has no line to Flower; its parent tells what came of its work."""
    told: dict[str, str] = {}

    def both() -> bool:
        shown = garden.ended(garden.ask("says", "raise"))
        told[shown["worker"].partition("@")[0]] = f"{shown['state']} {shown['result']}"
        return len(told) == 2

    until(both, "each of the workers had one")
    assert told["prefork"] == told["threads"]
    assert told["threads"].startswith("FAILURE failed, raised; 30 of 900")


@pytest.mark.parametrize(
    ("given", "state", "said"),
    [
        (
            "partial",
            "SUCCESS",
            "partial 0.40; 30 of 900 tokens, 1 of 9 calls: the other half is missing",
        ),
        (
            "ask",
            "SUCCESS",
            "partial, asks for question; 30 of 900 tokens, 1 of 9 calls: which one?",
        ),
        (
            "raise",
            "FAILURE",
            "failed, raised; 30 of 900 tokens, 1 of 9 calls: RuntimeError: the lamp is out",
        ),
    ],
)
def test_each_outcome_is_told_with_its_reason(
    garden: Garden, given: str, state: str, said: str
) -> None:
    """A failed envelope is a failure to Flower, with its reason; a partial one is none."""
    shown = garden.ended(garden.ask("says", given))
    assert shown["state"] == state
    assert shown["result"].startswith(said)
    assert (shown["exception"] or "").startswith(said if state == "FAILURE" else "")


def test_what_takes_its_time_is_shown_while_it_runs(garden: Garden) -> None:
    """Events are sparse, and a person sees what runs all the same."""
    subtask = garden.ask("sleeps", 3)
    shown = until(lambda: garden.task(subtask), "it is shown")
    assert (shown["state"], shown["args"]) == ("STARTED", "light the lamp")
    assert garden.ended(subtask)["result"].startswith("success 1.00")


def test_flower_sees_neither_what_an_agent_is_given_nor_what_it_made(garden: Garden) -> None:
    """Never secrets or whole payloads: of a payload Flower sees the goal, shortened."""
    subtask = garden.ask("sleeps", 3, goal="x" * 500, labels={"note": SECRET})
    until(lambda: garden.task(subtask), "it is shown")
    garden.ended(garden.ask("says", SECRET))
    pages = ["/api/tasks", "/tasks"]
    for name in garden.get("/api/workers"):
        pages += [f"/api/workers?refresh=1&workername={name}", f"/worker/{name}"]
    said = "".join(garden.api.get(page).text for page in pages)
    assert "light the lamp" in said
    assert SECRET not in said
    assert "s3cret" not in said
    assert "x" * 121 not in said
    garden.ended(subtask)


def test_queues_have_their_depth(garden: Garden) -> None:
    """Issue 5: «depth per agent queue and of dead-letters through its API»; tenants' lanes too."""
    lane = KEYS.queue("says", "acme")
    garden.server.zadd(KEYS.lanes(KEYS.queue("sleeps")), {lane: 1})
    garden.server.lpush(KEYS.dead_letters, "a")
    garden.api.get("/api/workers?refresh=1")
    found = garden.get("/api/queues/length")["active_queues"]
    depths = {each["name"]: each["messages"] for each in found}
    assert depths[KEYS.dead_letters] >= 1
    assert {KEYS.queue("says"), KEYS.queue("sleeps"), KEYS.submissions, lane} <= depths.keys()
    assert depths[KEYS.queue("says")] == 0


def test_its_metrics_can_be_scraped(garden: Garden) -> None:
    """Issue 5: «its metrics scraped»."""
    garden.ended(garden.ask("says", "well"))
    said = httpx.get(garden.api.base_url.join("/metrics")).text
    assert 'type="task-succeeded"' in said
    assert 'task="agent.says"' in said
    assert "flower_worker_online" in said


def test_without_the_login_nothing_is_shown_but_health_and_metrics(garden: Garden) -> None:
    """Issue 5: «Flower with authentication»."""
    for path in ("", "tasks", "api/tasks", "api/queues/length", "broker"):
        assert httpx.get(garden.api.base_url.join(f"/{path}")).status_code == 401
    sent = httpx.post(garden.api.base_url.join("/api/task/send-task/buckstop.submit"), json={})
    assert sent.status_code == 401


# --- what it can do ------------------------------------------------------------------------------

ASKED = {"goal": "from Flower", "agent": "says", "input": "well", **BOUNDS}
SOMEWHERE = {
    "nowhere in particular": {},
    "a queue that nobody reads": {"queue": "nobody"},
    "the agent's own queue": {"queue": KEYS.queue("says")},
    "an exchange": {"exchange": "letters", "routing_key": "says", "exchange_type": "topic"},
    "a priority": {"priority": 9},
}


@pytest.mark.parametrize("options", SOMEWHERE.values(), ids=SOMEWHERE.keys())
def test_a_task_sent_from_flower_is_accepted(garden: Garden, options: dict[str, Any]) -> None:
    """Issue 5: «A task sent from Flower's own API is accepted ...», wherever it was to go."""
    key = json.dumps(options)
    sent = garden.send("buckstop.submit", kwargs={**ASKED, "labels": {"to": key[:60]}}, **options)
    assert sent.status_code == 200
    accepted = until(
        lambda: [t for t in garden.buckstop.tasks().items if t.labels.get("to") == key[:60]],
        "accepted",
    )
    assert len(accepted) == 1


@pytest.mark.parametrize("options", SOMEWHERE.values(), ids=SOMEWHERE.keys())
def test_anything_else_sent_from_flower_becomes_a_letter(
    garden: Garden, options: dict[str, Any]
) -> None:
    """Issue 5: «... or dead-lettered, never half-run»."""
    before = {one["id"] for one in garden.letters()}
    ran = garden.get("/api/tasks").keys()
    sent = garden.send("agent.says", kwargs={"payload": '{"goal": "x"}'}, **options)
    assert sent.status_code == 200
    message = sent.json()["task-id"]
    filed = until(lambda: [o for o in garden.letters() if o["id"] not in before], "a letter")
    assert message in filed[0]["why"]
    assert message not in garden.get("/api/tasks").keys() - ran


@pytest.mark.parametrize("path", ["apply", "async-apply"])
def test_flower_can_call_no_agent_as_a_function(garden: Garden, path: str) -> None:
    """Flower knows no task of a worker's by its code, so there is none that it could half run."""
    before = garden.server.dbsize()
    refused = garden.send("agent.says", path, args=[1])
    assert refused.status_code == 404
    assert "Unknown task 'agent.says'" in refused.text
    assert garden.server.dbsize() <= before + 1


def test_the_server_lets_flower_knock_at_the_door_and_no_more(garden: Garden) -> None:
    """deploy/redis/users.acl: at the door; onto no other queue, and take none."""
    port = garden.server.connection_pool.connection_kwargs["port"]
    url = f"redis://flower:secret@127.0.0.1:{port}/0"
    with Redis.from_url(url) as stranger:
        for command in (
            *(("LPUSH", KEYS.queue("says"), "x"), ("RPOP", KEYS.submissions)),
            *(("DEL", KEYS.submissions), ("LTRIM", KEYS.dead_letters, 1, 0)),
            *(("LPUSH", KEYS.submissions_held, "x"), ("HGETALL", KEYS.task("x"))),
        ):
            with pytest.raises(Exception, match=r"NOPERM|[Nn]o permissions"):
                stranger.execute_command(*command)


# --- the line of an outcome ----------------------------------------------------------------------


def test_a_line_says_what_celery_makes_of_it() -> None:
    """What crosses from a pool's child to its parent is text, and tells which event it is."""
    usage = Usage(tokens=1_200, usd_micros=12_300, calls=2)
    allowance = Limits(tokens=5_000, usd_micros=50_000)
    for envelope, event, line in (
        (Envelope.success(1, 0.9), "task-succeeded", "success 0.90; {}"),
        (Envelope.failed("no\nlight", Fault.LOST), "task-failed", "failed, lost; {}: no light"),
        (None, "task-revoked", "taken away by its owner; {}"),
    ):
        text = repr(outcome_line(envelope, usage, allowance))
        assert text == line.format("1,200 of 5,000 tokens, 2 calls, $0.0123 of $0.0500")
        assert event_of(text)[0] == event
    assert len(repr(outcome_line(Envelope.failed("x" * 900), usage, allowance))) < 200
