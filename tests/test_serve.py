"""The loop on a real server: claim, load, decide, commit."""

import json
import logging
import os
import time

import pytest

from envelopes import Amounts, Envelope, Handoff, limits
from envelopes.decision import Cancellation
from envelopes.keys import Keys
from envelopes.seal import Signer
from orchestrator import intake
from orchestrator.serve import Orchestrator
from orchestrator.store import Store
from orchestrator.view import TaskView  # noqa: F401
from orchestrator.wire import Wire
from tests.hands import Hand
from tests.worlds import commit

PRIVATE = os.urandom(32)


@pytest.fixture
def store(fresh):
    return Store(fresh.client, fresh.keys)


@pytest.fixture
def loop(fresh, store):
    return Orchestrator(store, Wire(Signer(PRIVATE), fresh.keys))


def submit(store, **more):
    fields = {
        "goal": "g",
        "budget": {"tokens": 10_000},
        "timeout": 60,
        "until": {"kind": "plan_done"},
        **more,
    }
    return store.submit(intake.submission(fields)).task_id


def settle(loop):
    """Decide until nothing is due."""
    for _ in range(50):
        if not loop.turn(idle_ms_max=1):
            return
    raise AssertionError("something is always due")


def head(store, task_id):
    return json.loads(store.task(task_id)["head"])


def test_a_plan_runs_in_parallel_stages_and_completes(fresh, store, loop):
    """README: «independent steps run in parallel; a step's inputs are its needs' results»."""
    task_id = submit(
        store,
        plan=[
            {"id": "a", "agent": "research"},
            {"id": "b", "agent": "research"},
            {"id": "c", "agent": "write", "needs": ["a", "b"]},
        ],
    )
    hand = Hand(fresh.client, fresh.keys, "research", "write")
    settle(loop)
    first = hand.take()
    assert {job.headers.step for job in first} == {"a", "b"}
    for job in first:
        assert hand.answer(job, Envelope.success(job.headers.step, 0.9), Amounts(10, 0, 1)) == "ok"
    settle(loop)
    (last,) = hand.take()
    assert last.payload["inputs"] == {"a": "a", "b": "b"}
    assert last.headers.hop == 2
    hand.answer(last, Envelope.success({"text": "done"}, 0.8), Amounts(100, 0, 1))
    settle(loop)
    done = head(store, task_id)
    assert (done["outcome"], done["stop_reason"]) == ("completed", "plan_done")
    assert done["ledger"]["spent"] == {"tokens": 120, "usd_micros": 0, "calls": 3}
    assert done["ledger"]["reserved"] == {"tokens": 0, "usd_micros": 0, "calls": 0}
    keys = {key.decode().removeprefix(fresh.keys.prefix) for key in fresh.client.keys("*")}
    assert not [key for key in keys if key.startswith(("mail:", "claim:"))]
    assert fresh.client.zcard(fresh.keys.due) == 0


def test_another_orchestrator_goes_on_where_one_stopped(fresh, store):
    """Promise 1: «the task ends in exactly one outcome, whatever process dies»."""
    task_id = submit(
        store,
        plan=[{"id": "a", "agent": "research"}, {"id": "b", "agent": "research", "needs": ["a"]}],
    )
    hand = Hand(fresh.client, fresh.keys, "research")
    for _ in range(4):  # every decision is made by an orchestrator that has never seen the task
        settle(Orchestrator(store, Wire(Signer(PRIVATE), fresh.keys)))
        for job in hand.take():
            hand.answer(job, Envelope.success(1, 0.9))
    assert head(store, task_id)["outcome"] == "completed"


def test_who_loads_a_task_only_after_another_has_decided_leaves_it(fresh, store, loop, monkeypatch):
    """Nobody holds it then: what comes free for it would wake it, and our alarm let it sleep on."""
    task_id = submit(store, agent="a")
    other = Orchestrator(Store(fresh.client, fresh.keys), Wire(Signer(PRIVATE), fresh.keys))
    load, commits = store.load, []

    def late(wanted):
        fresh.client.zadd(fresh.keys.due, {task_id: 0})  # as if the lease had run out
        assert other.turn() == 1
        return load(wanted)

    monkeypatch.setattr(store, "load", late)
    monkeypatch.setattr(store, "commit", lambda given: commits.extend(given) or [])
    assert loop.turn() == 1
    assert not commits


def test_told_to_stop_twice_while_it_sleeps_it_leaves_all_the_same(store, loop, monkeypatch):
    monkeypatch.setattr(store, "wait", lambda _: loop.stop_now())
    monkeypatch.setattr(store, "ring", loop.stop_now)
    loop.run()
    monkeypatch.undo()
    submit(store, agent="a")
    assert loop.turn() == 1, "its batch in hand is what it leaves behind, and no trace"


def test_a_cancelled_task_takes_its_claims_away(fresh, store, loop):
    """Fault matrix: a revoked worker's later writes are refused."""
    task_id = submit(store, agent="research")
    hand = Hand(fresh.client, fresh.keys, "research")
    settle(loop)
    (job,) = hand.take()
    assert hand.claims.charge(job.id, job.token, "op", Amounts(50, 0, 1), []) == "ok"
    wish = Cancellation(by="me", why="enough")
    assert store.post(task_id, b"cancel\n" + wish.model_dump_json().encode(), "op")
    settle(loop)
    done = head(store, task_id)
    assert (done["outcome"], done["stop_reason"]) == ("aborted", "cancelled")
    assert done["ledger"]["spent"]["tokens"] == 50, "a call in flight counts at its worst case"
    assert hand.claims.charge(job.id, job.token, "op2", Amounts(1, 0, 1), []) == "revoked"
    assert hand.answer(job, Envelope.success(1, 0.9)) == "revoked"


def test_a_ping_pong_stops_at_the_twelfth_hop_and_delivers_its_partial(fresh, store, loop):
    """Box 2: «global hop counter with hard cap, 12»."""
    task_id = submit(store, agent="a", holders_min=0)
    hand = Hand(fresh.client, fresh.keys, "a", "b", handoffs={"a": ["b"], "b": ["a"]})
    hops = []
    settle(loop)
    while jobs := hand.take():
        (job,) = jobs
        hops.append(job.headers.hop)
        other = "b" if job.headers.agent == "a" else "a"
        ask = Handoff(to=other, goal=f"take {len(hops)}")
        part = Envelope.partial(f"part {len(hops)}", 0.8, "not mine", ask=ask)
        hand.answer(job, part)
        settle(loop)
    assert hops == list(range(1, 13))
    done = head(store, task_id)
    assert (done["outcome"], done["stop_reason"]) == ("partial", "hop_cap")
    assert done["result"] is not None


def test_a_thousand_subtasks_go_out_in_one_commit(fresh, store, loop):
    """Issue: «a commit publishes 1000 subtasks in one round trip»."""
    plan = [{"id": f"s{n}", "agent": "research"} for n in range(1000)]
    submit(store, plan=plan, subtasks_max=1000, budget={"tokens": 10**9})
    assert loop.turn() == 1
    assert store.queue_depth("research") == 1000
    assert store.stats()["commits"] == 1


def test_a_regular_look_lets_go_of_messages_and_forgets_expired_tasks(
    fresh, store, loop, monkeypatch, caplog
):
    """The issue: "Letters never expire unseen"; and no index grows for ever."""
    caplog.set_level(logging.WARNING, "buckstop.serve")
    monkeypatch.setattr(limits, "MESSAGE_LETTER_MS", 1)
    monkeypatch.setattr(limits, "DISCARD_MAX", 2)
    monkeypatch.setattr(limits, "PRUNE_MAX", 1)
    keys = Keys(f"{fresh.keys.prefix}soon:")
    store = Store(fresh.client, keys)
    claims = Hand(fresh.client, keys, "a").claims
    for _ in range(3):
        claims.quarantine("shape", "undeliverable", keys.queue("a"), b"raw", "why", None)
    for _ in range(2):
        task_id = submit(store, agent="a")
        ended = commit(1, "end", task_id, outcome="aborted", retention_ms=1)
        assert store.commit([ended]) == [True]
    time.sleep(0.005)  # all of it is due, and both records have expired
    loop = Orchestrator(store, Wire(Signer(PRIVATE), keys))
    for _ in range(3):
        loop.turn(idle_ms_max=1)
    assert store.count_letters() == store.count_tasks() == 0
    said = [r.letters for r in caplog.records if "nobody decided" in r.getMessage()]
    assert said == [2, 1]


def test_every_commit_says_which_task_of_whom_is_where_by_now(fresh, store, loop):
    """Who only forwards what is announced need not read the task: version, state and tenant."""
    task_id = submit(store, agent="research", tenant="acme")
    hand = Hand(fresh.client, fresh.keys, "research")
    with store.events(task_id) as events:
        settle(loop)
        (job,) = hand.take()
        hand.answer(job, Envelope.success(1, 0.9))
        settle(loop)
        said: list[dict] = []
        for line in events:
            said.append(json.loads(line))
            if said[-1]["state"] == "completed":
                break
    assert [(line["task"], line["tenant"]) for line in said] == [(task_id, "acme")] * len(said)
    assert [line["version"] for line in said] == list(range(2, len(said) + 2))
    assert said[0]["state"] == "working"
    assert int(store.task(task_id)["version"]) == said[-1]["version"]
