"""Who may do what on the server: deploy/redis/users.acl gives enough, and no more.

Runs last, after everything else has been done with these rights.
"""

import httpx
import pytest

from tests.compose.engine import Deployment, over, until

ITSELF = "http://http:8780/healthz"
"""An address to deliver to; that it takes none is as good for these tests."""
DESK = ("--tokens", "1000", "--timeout", "5m", "--until", "plan_done")


@pytest.mark.parametrize("user", ["worker", "flower"])
@pytest.mark.parametrize("command", ["HSET", "DEL", "EXPIRE", "RENAME"])
def test_a_worker_cannot_write_a_task(deployed: Deployment, user: str, command: str) -> None:
    """The promise: "Workers' Redis user may write claims, mail and alarms, never `task:*`"."""
    more = {"HSET": ("spent", "0"), "DEL": (), "EXPIRE": ("1",), "RENAME": ("buckstop:bell",)}
    said = deployed.redis(user, command, "buckstop:task:x", *more[command])
    assert said.startswith("NOPERM"), said


def test_a_script_gives_a_worker_no_more_rights(deployed: Deployment) -> None:
    """A script runs with the rights of whoever calls it."""
    script = "return redis.call('HSET', 'buckstop:task:x', 'spent', '0')"
    sha = deployed.redis("worker", "SCRIPT", "LOAD", script)
    said = deployed.redis("worker", "EVALSHA", sha, "0")
    assert "NOPERM" in said or "can't access at least one of the keys" in said, said
    assert deployed.redis("admin", "EXISTS", "buckstop:task:x") == "0"


def test_nobody_gets_in_without_a_password(deployed: Deployment) -> None:
    """The promise: "ACL users, password by secret"; "Flower with authentication"."""
    said = deployed.compose("exec", "--no-TTY", "redis", "redis-cli", "DBSIZE")
    assert said.startswith("NOAUTH"), said
    flower = f"http://127.0.0.1:{deployed.flower_port}"
    login, password = (deployed.secrets / "flower_login").read_text().strip().split(":")
    for path in ("/", "/api/workers", "/api/queues/length"):
        assert httpx.get(flower + path).status_code == 401
        assert httpx.get(flower + path, auth=(login, password)).status_code == 200


def test_the_front_can_do_all_that_people_and_programs_ask_of_it(deployed: Deployment) -> None:
    """The ways in see everything; they submit, decide, cap and tell."""
    for path in ("agents", "queues", "workers", "tenants", "spend", "tasks", "letters"):
        answer = deployed.client.get(f"/v1/{path}")
        assert answer.is_success, answer.text
    for words in (
        *(("agents",), ("tenants",), ("letters",), ("tasks",), ("calibration",), ("token", "list")),
        *(("agents", "cap", "nap", "2"), ("tenants", "cap", "acme", "1"), ("console",), ("check",)),
        ("hooks", "new", "webhook", ITSELF, "--event", "task.ended", "--allow-private"),
    ):
        deployed.buckstop(*words)
    crowd = [
        deployed.buckstop("submit", "--goal", "0.3", "--agent", "nap", "--tenant", "acme", *DESK)
        for _ in range(3)
    ]
    deployed.results([each["task"] for each in crowd])
    deployed.results(deployed.submit(6, 0.3))
    [hook] = deployed.buckstop("hooks", "list")
    look = lambda: deployed.buckstop("hooks", "deliveries", hook["id"])  # noqa: E731
    assert until("the courier has tried", look, lambda all_: any(one["attempts"] for one in all_))
    deployed.buckstop("hooks", "remove", hook["id"])


def test_a_letter_is_filed_and_decided_with_these_rights(deployed: Deployment) -> None:
    """A person's answer gets through, and so does the end of a message that could not run."""
    asked = deployed.buckstop("submit", "--goal", "x", "--agent", "asks", *DESK)["task"]
    letter = until("a letter is filed", lambda: deployed.task(asked)["letter"])
    deployed.buckstop("decide", letter, "answer", "--answer", "yes")
    assert until("it goes on", lambda: deployed.task(asked), lambda t: t["state"] == "completed")
    deployed.redis("admin", "LPUSH", "buckstop:agent.nap", "no message")
    [found] = until("it is set aside", lambda: deployed.client.get("/v1/letters").json()["items"])
    deployed.buckstop("decide", found["id"], "discard")
    stopped = deployed.submit(1, 20.0)[0]
    next(deployed.running([stopped]))
    deployed.buckstop("cancel", stopped)
    assert until("it ends", lambda: deployed.task(stopped), lambda t: t["state"] == "aborted")


def test_a_breaker_is_closed_with_these_rights(deployed: Deployment) -> None:
    """`agents reset NAME` forgets what is held against an agent."""
    failed = deployed.buckstop("submit", "--goal", "no number", "--agent", "nap", *DESK)["task"]
    until("it is over", lambda: deployed.task(failed), over)
    deployed.buckstop("agents", "reset", "nap")


def test_nobody_was_refused_what_they_needed(deployed: Deployment) -> None:
    """Least rights, and no less: the server's log of refusals has only what these tests tried."""
    lines = deployed.redis("admin", "ACL", "LOG").split("\n")
    refused = {
        (lines[at + 3], lines[at + 1])
        for at, line in enumerate(lines[:-3])
        if line == "object" and lines[at + 2] == "username"
    }
    tried = {"buckstop:task:x", "rename", "hset"}
    assert not {(user, what) for user, what in refused if what not in tried}
