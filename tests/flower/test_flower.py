"""A real Flower beside real workers and orchestrators: what it shows, and what it can do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from envelopes import Envelope, Fault, Limits
from envelopes.envelope import Usage
from tests.garden import BOUNDS, KEYS, Garden, planted
from tests.until import until
from workers.outcome import event_of, outcome_line

pytestmark = pytest.mark.timeout(400)
SECRET = "correct horse battery staple"


@pytest.fixture(scope="module")
def garden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Garden]:
    """Plant one garden for all."""
    with planted(tmp_path_factory.mktemp("garden")) as garden:
        yield garden


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

    until("each of the workers had one", both)
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


def test_what_takes_its_time_is_shown_while_it_runs(garden: Garden, tmp_path: Path) -> None:
    """Events are sparse, and a person sees what runs all the same."""
    subtask = garden.ask("waits", str(tmp_path / "enough"))
    shown = until(
        "it is shown as begun",
        lambda: garden.task(subtask),
        good=lambda shown: shown.get("state") == "STARTED",
    )
    assert shown["args"] == "light the lamp"
    (tmp_path / "enough").touch()
    assert garden.ended(subtask)["result"].startswith("success 1.00")


def test_flower_sees_neither_what_an_agent_is_given_nor_what_it_made(
    garden: Garden, tmp_path: Path
) -> None:
    """Never secrets or whole payloads: of a payload Flower sees the goal, shortened."""
    subtask = garden.ask("waits", str(tmp_path / SECRET), goal="x" * 500)
    until("it is shown", lambda: garden.task(subtask))
    garden.ended(garden.ask("says", SECRET))
    pages = ["/api/tasks", "/tasks"]
    for name in garden.get("/api/workers"):
        pages += [f"/api/workers?refresh=1&workername={name}", f"/worker/{name}"]
    said = "".join(garden.api.get(page).text for page in pages)
    (tmp_path / SECRET).touch()
    assert "light the lamp" in said
    assert "x" * 117 in said
    assert SECRET not in said
    assert "s3cret" not in said
    assert "x" * 121 not in said
    garden.ended(subtask)


def test_queues_have_their_depth(garden: Garden) -> None:
    """Issue 5: «depth per agent queue and of dead-letters through its API»; tenants' lanes too."""
    lane = KEYS.queue("says", "acme")
    garden.server.zadd(KEYS.lanes(KEYS.queue("waits")), {lane: 1})
    garden.server.lpush(KEYS.dead_letters, "a")
    names = {KEYS.queue("says"), KEYS.queue("waits"), KEYS.submissions, KEYS.dead_letters, lane}
    shown = until("each is shown", garden.depths, good=names.issubset)
    assert shown[KEYS.dead_letters] >= 1
    says = KEYS.queue("says")
    until("nothing waits any more", garden.depths, good=lambda shown: shown.get(says) == 0)


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
        "accepted",
        lambda: [t for t in garden.buckstop.tasks().items if t.labels.get("to") == key[:60]],
    )
    assert len(accepted) == 1


@pytest.mark.parametrize("where", [name for name in SOMEWHERE if name != "a priority"])
def test_anything_else_sent_from_flower_becomes_a_letter(garden: Garden, where: str) -> None:
    """Issue 5: «... or dead-lettered, never half-run»."""
    before = {one["id"] for one in garden.letters()}
    ran = garden.get("/api/tasks").keys()
    sent = garden.send("agent.says", kwargs={"payload": '{"goal": "x"}'}, **SOMEWHERE[where])
    assert sent.status_code == 200
    message = sent.json()["task-id"]
    filed = until("a letter", lambda: [o for o in garden.letters() if o["id"] not in before])
    assert message in filed[0]["why"]
    assert message not in garden.get("/api/tasks").keys() - ran


@pytest.mark.parametrize("path", ["apply", "async-apply"])
def test_flower_can_call_no_agent_as_a_function(garden: Garden, path: str) -> None:
    """Flower knows no task of a worker's by its code, so there is none that it could half run."""
    before = garden.buckstop.store.stats()["submitted"], len(garden.letters())
    refused = garden.send("agent.says", path, args=[1])
    assert refused.status_code == 404
    assert "Unknown task 'agent.says'" in refused.text
    assert garden.server.llen(KEYS.submissions) == garden.server.llen(KEYS.queue("says")) == 0
    assert (garden.buckstop.store.stats()["submitted"], len(garden.letters())) == before


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
