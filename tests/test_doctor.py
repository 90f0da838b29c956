"""Each thing a deployment can have wrong is broken for real, and the doctor says what to do."""

import json
from pathlib import Path

import pytest

from envelopes import Envelope, limits
from orchestrator import keyfile
from orchestrator.checks import Verdict
from orchestrator.courier.box import Box
from orchestrator.courier.subscription import NewSubscription, SubscriptionKind
from orchestrator.courier.subscriptions import Subscriptions
from orchestrator.doctor import BAD, CHECKS, Deployment, examine, fit
from orchestrator.news import START
from tests.conftest import Fresh
from tests.pages import block, commands
from tests.reader import shell
from tests.ward import Ward

ROOT = Path(__file__).parents[1]
PAGE = "docs/how-to/doctor.md"


def test_a_healthy_deployment_is_fit(ward: Ward) -> None:
    """The issue: "`buckstop doctor` checks a deployment"; every check has something to say."""
    hand = ward.worker("w1", "a")
    done, open_ = ward.submit(), ward.submit()
    ward.turn()
    jobs = hand.take()
    hand.answer(next(job for job in jobs if done in job.id), Envelope.success("x", 0.9))
    ward.turn()
    findings = ward.examine()
    assert [str(one) for one in findings if one.verdict is not Verdict.GOOD] == []
    assert fit(findings)
    silent = set(CHECKS) - {one.check for one in findings}
    assert silent == set(), "each check reports, under its own name"
    assert "a sample of 2 tasks" in ward.finding("promises").found
    assert ward.buckstop.task(open_).status().state == "working"


# --- who is there --------------------------------------------------------------------------------


def test_no_orchestrator_and_no_worker_are_found(fresh: Fresh) -> None:
    """Orchestrators serving, workers alive."""
    ward = Ward(fresh)
    assert ward.finding("orchestrators").fix.startswith("buckstop serve")
    assert ward.finding("workers").fix.startswith("buckstop worker")
    assert not fit(ward.examine())
    ward.buckstop.close()


def test_messages_that_nobody_will_fetch_are_found(ward: Ward) -> None:
    """The issue: "queue without consumers"."""
    hand = ward.worker("w2", "b")
    ward.submit("b")
    ward.turn()
    ward.client.delete(ward.keys.worker("w2"))
    found = ward.finding("queues")
    assert found.verdict is Verdict.FAULT
    assert found.found.startswith("no living worker runs b, ")
    assert found.found.endswith(": 1 message")
    hand.take()
    assert ward.finding("queues").verdict is Verdict.GOOD


def test_an_agent_that_is_asked_for_and_not_run_is_found(ward: Ward) -> None:
    """The issue: "agents asked for but not running"."""
    task = ward.submit("nobody")
    ward.turn()
    found = ward.finding("agents")
    assert found.verdict is Verdict.FAULT
    assert "nobody is needed by 1 open task (" in found.found
    assert f"buckstop cancel {task}" in found.fix


def test_an_agent_that_is_declared_differently_is_told(ward: Ward) -> None:
    """Agents declared with different caps on different workers."""
    ward.worker("w2", "a", declares={"a": {"in_flight_max": 3}})
    found = ward.finding("declarations")
    assert found.verdict is Verdict.NOTE
    assert "in_flight_max: 3 or None" in found.found or "in_flight_max: None or 3" in found.found


def test_versions_side_by_side_are_told(ward: Ward) -> None:
    """Rolling upgrade: "side by side" is meant to work, and somebody should know."""
    ward.worker("w2", "a", version="9.9")
    found = ward.finding("versions")
    assert found.verdict is Verdict.NOTE
    assert "9.9: w2" in found.found


def test_a_worker_that_does_not_know_our_key_is_found(ward: Ward) -> None:
    """Signing keys: it would set all that we send aside as forged."""
    ward.worker("w2", "a", keys=["other"])
    found = ward.finding("keys")
    assert found.verdict is Verdict.FAULT
    assert "is not known to w2;" in found.found
    unknown = examine(Deployment.of(ward.client, ward.keys))
    assert [one.verdict for one in unknown if one.check == "keys"] == [Verdict.UNKNOWN]


# --- work ----------------------------------------------------------------------------------------


def test_a_task_that_nobody_has_looked_at_in_time_is_found(ward: Ward) -> None:
    """Overdue alarms."""
    task = ward.submit()
    seconds, _ = ward.client.time()
    late_ms = seconds * 1000 - limits.DOCTOR_LATE_MS - 1000
    ward.client.zadd(ward.keys.due, {task: late_ms})
    found = ward.finding("alarms")
    assert found.verdict is Verdict.FAULT
    assert f"{task} first" in found.found


def test_a_letter_past_its_due_time_is_found(ward: Ward) -> None:
    """Letters overdue: the declared default was not applied."""
    hand = ward.worker("w1", "a")
    task = ward.submit()
    ward.turn()
    [job] = hand.take()
    hand.answer(job, Envelope.failed("no"))
    while ward.buckstop.task(task).status().letter is None:
        ward.turn()
    assert ward.finding("letters").verdict is Verdict.GOOD
    letter = ward.buckstop.task(task).status().letter
    ward.client.zadd(ward.keys.letters_due, {letter: 1})
    found = ward.finding("letters")
    assert found.verdict is Verdict.FAULT
    assert letter in found.found


def finished(ward: Ward) -> str:
    hand = ward.worker("w1", "a")
    task = ward.submit()
    ward.turn()
    [job] = hand.take()
    hand.answer(job, Envelope.success("x", 0.9))
    ward.turn()
    assert ward.buckstop.task(task).status().final
    return task


@pytest.mark.parametrize(
    ("what", "break_it"),
    [
        ("an alarm", lambda c, k, task: c.zadd(k.due, {task: 9e15})),
        ("mail", lambda c, k, task: c.rpush(k.mail(task), "x")),
        ("a claim", lambda c, k, task: c.hset(k.claim(f"{task}/1"), "state", "claimed")),
    ],
)
def test_what_a_finished_task_has_left_behind_is_found(ward: Ward, what: str, break_it) -> None:
    """Invariant 9: "a finished one has neither mail, alarm, claim nor message"."""
    task = finished(ward)
    assert ward.finding("promises").verdict is Verdict.GOOD
    break_it(ward.client, ward.keys, task)
    found = ward.finding("promises")
    assert found.verdict is Verdict.FAULT
    assert f"it is over, and has {what}" in found.found


def test_an_unfinished_task_without_alarm_and_letter_is_found(ward: Ward) -> None:
    """Invariant 9: "an unfinished task has an alarm or a letter"."""
    task = ward.submit()
    ward.client.zrem(ward.keys.due, task)
    found = ward.finding("promises")
    assert f"task {task}: it is not over" in found.found


@pytest.mark.parametrize("what", ["spent", "reserved"])
def test_a_ledger_that_does_not_add_up_is_found(ward: Ward, what: str) -> None:
    """Invariant 3: "spent + reserved <= ceiling"; invariant 4: reserved is "zero when final"."""
    task = finished(ward)
    head = json.loads(ward.client.hget(ward.keys.task(task), "head"))
    head["ledger"][what]["calls"] = 3 if what == "reserved" else 6
    ward.client.hset(ward.keys.task(task), "head", json.dumps(head))
    found = ward.finding("promises")
    assert found.verdict is Verdict.FAULT
    assert "calls: " in found.found


# --- who is told ---------------------------------------------------------------------------------


@pytest.fixture
def told(ward: Ward) -> tuple[Ward, str]:
    """Let somebody want to be told of news."""
    new = NewSubscription(
        kind=SubscriptionKind.WEBHOOK, url="http://127.0.0.1:9/hook", allow_private=True
    )
    made = Subscriptions(ward.client, ward.keys).add(new)
    return ward, made.id


def test_news_that_no_courier_carries_is_found(told: tuple[Ward, str]) -> None:
    """Courier running where subscriptions exist."""
    ward, name = told
    raw = json.loads(ward.client.hget(ward.keys.subscriptions, name))
    ward.client.hset(ward.keys.subscriptions, name, json.dumps(raw | {"created_ms": 1}))
    ward.client.xadd(ward.keys.news, {"event": "task.accepted"}, id="1-1")
    found = ward.finding("courier")
    assert found.verdict is Verdict.FAULT
    assert found.fix == "buckstop courier"
    edition, _ = Subscriptions(ward.client, ward.keys).edition()
    assert Box(ward.client, ward.keys).move(START, "1-1", edition, [])
    assert ward.finding("courier").verdict is Verdict.GOOD


def test_deliveries_that_nobody_begins_are_found(told: tuple[Ward, str]) -> None:
    """The same where the news has become deliveries, and their courier is gone."""
    ward, name = told
    ward.client.zadd(ward.keys.deliveries, {name: 1})
    assert ward.finding("courier").verdict is Verdict.FAULT


def test_a_receiver_that_takes_nothing_is_named(told: tuple[Ward, str]) -> None:
    """Failing and disabled subscriptions, with the command that brings them back."""
    ward, name = told
    seconds, _ = ward.client.time()
    ward.client.hset(ward.keys.failing, name, (seconds - 600) * 1000)
    assert "has taken nothing for 10 minutes" in ward.finding("subscriptions").found
    ward.client.hset(ward.keys.disabled, name, f"{seconds * 1000} it is gone")
    found = ward.finding("subscriptions")
    assert found.verdict is Verdict.NOTE
    assert found.fix.endswith(f"buckstop hooks enable {name}")


# --- the command ---------------------------------------------------------------------------------


def test_the_command_says_what_to_do_and_its_exit_code_says_whether(
    fresh: Fresh, ward: Ward, tmp_path: Path
) -> None:
    """One line per finding with the fix, `--json`, and an exit code; docs/how-to/doctor.md."""
    [plain] = commands(block(PAGE, "$ buckstop doctor\n"))
    [as_json] = commands(block(PAGE, "$ buckstop doctor --json"))
    good = shell(fresh, plain, tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    assert good.stdout.splitlines()[-1] == "fit"
    ward.submit("nobody")
    ward.turn()
    bad = shell(fresh, as_json, tmp_path)
    assert bad.returncode == 1
    told = json.loads(bad.stdout)
    assert told["fit"] is False
    faults = {each["check"] for each in told["findings"] if each["verdict"] in BAD}
    assert faults == {"agents", "queues"}
    ward.client.config_set("maxmemory-policy", "allkeys-lru")
    worst = shell(fresh, plain, tmp_path)
    assert worst.returncode == 3
    assert "Fix: CONFIG SET maxmemory-policy noeviction" in worst.stdout.splitlines()[1]


def test_role_and_key_are_named_as_the_page_says(fresh: Fresh, ward: Ward, tmp_path: Path) -> None:
    """docs/how-to/doctor.md: "Rights" and "Keys"."""
    [role] = commands(block(PAGE, "$ buckstop doctor --role worker"))
    assert "this user may do all that worker needs" in shell(fresh, role, tmp_path).stdout
    keyfile.make(tmp_path)
    [with_key] = commands(block(PAGE, "$ BUCKSTOP_SIGNING_KEY_FILE"))
    said = shell(fresh, with_key, tmp_path)
    assert "is not known to w1" in said.stdout, "it was signed by another key until now"


def test_the_page_names_every_check() -> None:
    """docs/how-to/doctor.md: "What it looks at"."""
    page = (ROOT / PAGE).read_text()
    assert [name for name in CHECKS if f"`{name}`" not in page] == []
