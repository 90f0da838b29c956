"""A task on which no decision can be made ends on a person's desk, and nowhere else."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError

from envelopes import Amounts, Envelope, Refused, limits
from envelopes.decision import Decision, Verb
from envelopes.scripts import new_op
from envelopes.seal import Signer
from orchestrator import serve
from orchestrator.client import Buckstop
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.hands import Hand

REQUEST: dict[str, Any] = {
    "goal": "g",
    "budget": {"tokens": 10_000},
    "timeout": 60,
    "until": {"kind": "plan_done"},
}
PLAN = [
    {"id": "a", "agent": "research"},
    {"id": "b", "agent": "research"},
    {"id": "c", "agent": "write", "needs": ["a", "b"]},
]


@pytest.fixture
def buckstop(fresh: Fresh) -> Iterator[Buckstop]:
    settings = Settings(fresh.url, "the test", fresh.keys.prefix)
    with Buckstop(settings=settings) as connected:
        yield connected


@pytest.fixture
def loop(fresh: Fresh) -> Orchestrator:
    return orchestrator(fresh)


def orchestrator(fresh: Fresh) -> Orchestrator:
    return Orchestrator(Store(fresh.client, fresh.keys), Wire(Signer(b"k" * 32), fresh.keys))


def settle(loop: Orchestrator) -> None:
    """Decide until nothing is due; a task that is due for ever is found by the bound."""
    for _ in range(50):
        if not loop.turn(idle_ms_max=1):
            return
    raise AssertionError("something is always due")


def let_it_fail(fresh: Fresh, task_id: str, times: int = limits.UNDECIDED_MAX) -> None:
    """Let orchestrators find the task, one after the other, as its lease runs out."""
    for _ in range(times):
        fresh.client.zadd(fresh.keys.due, {task_id: 1})
        orchestrator(fresh).turn(idle_ms_max=1)


def seed_a_bug(monkeypatch: pytest.MonkeyPatch, task_id: str) -> Callable[[], None]:
    """Let every decision of one task raise, as a failing assertion in a rule does; or heal it."""
    true = serve.decide

    def broken(task: Any, *args: Any) -> Any:
        assert task.id != task_id, "a seeded bug"
        return true(task, *args)

    monkeypatch.setattr(serve, "decide", broken)
    return lambda: monkeypatch.setattr(serve, "decide", true)


def say(buckstop: Buckstop, letter: str, verb: Verb, **more: Any) -> None:
    decision = Decision(letter=letter, verb=verb, by="ann", **more)
    mail = b"decide\n" + decision.model_dump_json().encode()
    assert buckstop.store.post(letter.partition(".")[0], mail, new_op())


def at_work(buckstop: Buckstop, loop: Orchestrator, hand: Hand) -> Any:
    """Bring a task to where one step is done, one has reported, and one is being worked on."""
    task = buckstop.submit(REQUEST, plan=[*PLAN, {"id": "d", "agent": "research"}])
    settle(loop)
    done, reporting, working = hand.take()
    assert hand.answer(done, Envelope.success("paid for", 0.9), Amounts(10, 0, 1)) == "ok"
    settle(loop)
    assert hand.answer(reporting, Envelope.success("too", 0.9), Amounts(20, 0, 1)) == "ok"
    assert hand.claims.charge(working.id, working.token, "op", Amounts(50, 0, 1), []) == "ok"
    return task, working


def left_over(fresh: Fresh) -> set[str]:
    """Return what is still counted or waiting for somebody."""
    keys = {key.decode().removeprefix(fresh.keys.prefix) for key in fresh.client.keys("*")}
    gone = ("mail:", "claim:", "due", "inflight", "atwork", "room:", "called:", "letters")
    return {key for key in keys if key.startswith(gone) and key != "letters_values"}


def test_a_task_whose_decision_always_raises_becomes_a_letter(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any, caplog: Any
) -> None:
    """DESIGN 1.3, 1.10: «it always stops»; «a person has the last word»."""
    task = buckstop.submit(REQUEST, agent="research")
    seed_a_bug(monkeypatch, task.id)
    with caplog.at_level(logging.WARNING):
        let_it_fail(fresh, task.id, limits.UNDECIDED_MAX - 1)
        assert buckstop.letters().items == []
        let_it_fail(fresh, task.id, 1)
    [listed] = buckstop.letters().items
    letter = buckstop.letter(listed["id"])
    assert (letter["kind"], letter["reason"], letter["task"]) == ("poison", "undecidable", task.id)
    assert "AssertionError: a seeded bug" in letter["why"]
    assert "Retry after a fix" in letter["why"]
    assert (letter["allowed"], letter["if_nobody_decides"]) == (["retry", "abort"], "abort")
    assert task.status().state == "on_desk"
    assert task.status().letter == letter["id"]
    assert [r.message for r in caplog.records].count("a decision failed") == limits.UNDECIDED_MAX
    settle(loop)  # nobody is busy with it while a person thinks
    assert fresh.client.zscore(fresh.keys.due, task.id) == letter["due_ms"]


def test_a_person_ends_it_with_what_is_kept_and_the_books_are_exact(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any
) -> None:
    """DESIGN 1.7: «paid work is kept»; and what a claim had charged is booked, not guessed."""
    hand = Hand(fresh.client, fresh.keys, "research", "write")
    task, working = at_work(buckstop, loop, hand)
    seed_a_bug(monkeypatch, task.id)
    let_it_fail(fresh, task.id)
    charge = hand.claims.charge(working.id, working.token, "op2", Amounts(1, 0, 1), [])
    assert charge == "revoked", "nobody works on while a person thinks"
    assert fresh.client.hget(fresh.keys.inflight, "research") == b"1", "one waits in the mail"
    settle(loop)
    say(buckstop, task.status().letter, Verb.ABORT, why="enough")
    settle(loop)
    done = task.status()
    assert (done.state, done.stop_reason) == ("aborted", "decided: abort by ann")
    assert done.result == {"a": "paid for"}
    assert done.ledger.spent == Amounts(80, 0, 3)
    assert done.ledger.reserved == Amounts()
    assert sum(row.tokens for row in buckstop.store.spend(2)) == 80, "though a day ends"
    assert left_over(fresh) == set()
    letter = buckstop.letter(f"{task.id}.1")
    assert (letter["state"], letter["verb"], letter["by"]) == ("decided", "abort", "ann")


def test_a_retry_after_a_fix_goes_on_where_it_stood(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any
) -> None:
    """What had been done stays done, what had been reported is taken in, the rest runs again."""
    hand = Hand(fresh.client, fresh.keys, "research", "write")
    task, _ = at_work(buckstop, loop, hand)
    heal = seed_a_bug(monkeypatch, task.id)
    let_it_fail(fresh, task.id)
    heal()
    before = task.status()
    say(buckstop, before.letter, Verb.RETRY, why="upgraded", time=100, budget={"tokens": 500})
    settle(loop)
    granted = task.status()
    assert granted.state == "working"
    assert granted.deadline_ms > before.deadline_ms
    assert granted.ledger.ceiling.tokens == 10_500
    for _ in range(3):
        for job in hand.take():
            assert (
                hand.answer(job, Envelope.success(job.headers.step, 0.9), Amounts(1, 0, 1)) == "ok"
            )
        settle(loop)
    done = task.status()
    assert (done.state, done.result) == ("completed", {"c": "c", "d": "d"})
    assert done.ledger.spent == Amounts(82, 0, 5)
    assert left_over(fresh) == set()
    assert not fresh.client.hexists(fresh.keys.task(task.id), "undecidable")


def test_a_decision_in_between_begins_the_count_anew(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any
) -> None:
    """Failures in a row: what fails now and then goes on."""
    task = buckstop.submit(REQUEST, agent="research")
    heal = seed_a_bug(monkeypatch, task.id)
    let_it_fail(fresh, task.id, limits.UNDECIDED_MAX - 1)
    heal()
    let_it_fail(fresh, task.id, 1)
    seed_a_bug(monkeypatch, task.id)
    let_it_fail(fresh, task.id, limits.UNDECIDED_MAX - 1)
    assert buckstop.letters().items == []


def test_a_server_that_was_full_for_a_moment_is_no_task_s_fault(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any
) -> None:
    """«A server that takes no writes … no task is to blame», even if it takes the next one."""
    task = buckstop.submit(REQUEST, agent="research")
    commit = Store.commit

    def full(store: Store, commits: Any) -> Any:
        fresh.client.config_set("maxmemory", 1)
        try:
            return commit(store, commits)
        finally:
            fresh.client.config_set("maxmemory", 0)

    monkeypatch.setattr(Store, "commit", full)
    for _ in range(limits.UNDECIDED_MAX):
        with pytest.raises(OutOfMemoryError):  # at which the loop backs off
            let_it_fail(fresh, task.id, 1)
    assert buckstop.letters().items == []
    monkeypatch.setattr(Store, "commit", commit)
    let_it_fail(fresh, task.id, 1)
    assert task.status().state == "working"


def test_a_lost_reply_does_not_count_twice(fresh: Fresh, buckstop: Buckstop) -> None:
    """Each script is retry-safe by its op; a task that is not there has no failures."""
    task = buckstop.submit(REQUEST, agent="research")
    assert [buckstop.store.fail(task.id, op) for op in ("x", "x", "y")] == [1, 1, 2]
    assert buckstop.store.fail("nobody", "x") == 0
    with pytest.raises(Refused, match="op"):
        buckstop.store.fail(task.id, "no op")


def test_what_makes_no_sense_is_refused_and_said_to_be(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any
) -> None:
    """«The second gets told»: who decides hears why not, and the letter stays."""
    task = buckstop.submit(REQUEST, agent="research")
    seed_a_bug(monkeypatch, task.id)
    let_it_fail(fresh, task.id)
    letter = task.status().letter
    say(buckstop, letter, Verb.APPROVE)
    settle(loop)
    refused = [n["text"] for n in task.show().journal if n["why"] == "refused_decision"]
    assert refused == ["approve by ann: no decision can be made about this task; retry, or abort"]
    say(buckstop, letter, Verb.ABORT)
    settle(loop)
    assert task.status().state == "aborted"


def test_its_caller_can_still_cancel_it(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any
) -> None:
    task = buckstop.submit(REQUEST, agent="research")
    seed_a_bug(monkeypatch, task.id)
    let_it_fail(fresh, task.id)
    buckstop.store.post(task.id, b'cancel\n{"by":"me","why":"enough"}', new_op())
    settle(loop)
    assert (task.status().state, task.status().stop_reason) == ("aborted", "cancelled")
    assert left_over(fresh) == set()


def test_nobody_s_decision_ends_it_at_the_due_time(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any
) -> None:
    """«Letters never expire unseen: at the due time the declared default applies»."""
    task = buckstop.submit(REQUEST, agent="research", desk_timeout=0.001)
    seed_a_bug(monkeypatch, task.id)
    let_it_fail(fresh, task.id)
    while not task.status().final:
        loop.turn(idle_ms_max=5)
    assert task.status().stop_reason == "nobody_decided"
    assert buckstop.letter(f"{task.id}.1")["by"] == "nobody"


BREAKS: dict[str, Callable[[Fresh, str], object]] = {
    "a head that is cut off": lambda f, t: f.client.hset(f.keys.task(t), "head", b'{"v":1,"ph'),
    "a head with nonsense": lambda f, t: f.client.hset(f.keys.task(t), "head", b'{"v":1}'),
    "a head of other things": lambda f, t: f.client.hset(
        f.keys.task(t),
        "head",
        b'{"letters":"x","rooms":5,"hop":[],"ledger":7,"hops_max":true,"received":1}',
    ),
    "a head that is a list": lambda f, t: f.client.hset(f.keys.task(t), "head", b"[]"),
    "a step with an id that is none": lambda f, t: f.client.hset(
        f.keys.task(t), "s:a", b'{"open":{"subtask":-1},"agent":[]}'
    ),
    "a step that is cut off": lambda f, t: f.client.hset(f.keys.task(t), "s:a", b'{"plan":'),
    "no order of steps": lambda f, t: f.client.hdel(f.keys.task(t), "order"),
    "mail that nobody writes": lambda f, t: f.client.rpush(f.keys.mail(t), b"hello\nworld"),
    "mail of half a report": lambda f, t: f.client.rpush(f.keys.mail(t), b"report 1\n{}"),
    "a letter of bytes": lambda f, t: f.client.rpush(f.keys.mail(t), b"\xff\xfe"),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_record_is_a_person_s_to_end(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, broken: str
) -> None:
    """Whatever fails: reading the state, the mail, or deciding. The others go on meanwhile."""
    hand = Hand(fresh.client, fresh.keys, "research", "write")
    task = buckstop.submit(REQUEST, plan=PLAN)
    settle(loop)
    other = buckstop.submit(REQUEST, agent="write")
    BREAKS[broken](fresh, task.id)
    let_it_fail(fresh, task.id)
    [listed] = buckstop.letters().items
    assert listed["reason"] == "undecidable"
    settle(loop)
    assert (task.status().state, task.status().letter) == ("on_desk", listed["id"])
    assert {each.id for each in buckstop.tasks().items} == {task.id, other.id}
    with pytest.raises(Refused, match=r"takes no result; say retry\|abort"):
        buckstop.check_amendment(listed["id"], 1)
    say(buckstop, listed["id"], Verb.ABORT)
    settle(loop)
    assert (task.status().state, task.status().letter) == ("aborted", None)
    assert buckstop.letter(listed["id"])["state"] == "decided"
    [job] = [job for job in hand.take() if job.headers.agent == "write"]
    hand.answer(job, Envelope.success(1, 0.9))
    settle(loop)
    assert other.status().state == "completed"
    assert fresh.client.zcard(fresh.keys.due) == 0
    assert fresh.client.exists(fresh.keys.mail(task.id)) == 0


def test_a_commit_that_the_server_refuses_stops_nobody_else(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator
) -> None:
    """One task's senseless commit ended the process, and the next one's, for ever."""
    good, bad = (buckstop.submit(REQUEST, agent="research") for _ in range(2))
    settle(loop)
    hand = Hand(fresh.client, fresh.keys, "research")
    for job in hand.take():
        assert hand.answer(job, Envelope.success(1, 0.9), Amounts(10, 0, 1)) == "ok"
    fresh.client.hset(fresh.keys.claim(f"{bad.id}/1"), "agent", "somebody else")
    loop.turn(idle_ms_max=1)
    assert good.status().state == "completed"
    let_it_fail(fresh, bad.id)
    [listed] = buckstop.letters().items
    assert "a claim is of another agent" in buckstop.letter(listed["id"])["why"]
    say(buckstop, listed["id"], Verb.ABORT)
    settle(loop)
    assert bad.status().state == "aborted"


def test_journal_lines_of_the_fallback_are_like_all_others(
    fresh: Fresh, buckstop: Buckstop, loop: Orchestrator, monkeypatch: Any
) -> None:
    task = buckstop.submit(REQUEST, agent="research")
    settle(loop)
    seed_a_bug(monkeypatch, task.id)
    let_it_fail(fresh, task.id)
    first, *_, last = [json.loads(line) for line in buckstop.store.journal(task.id)]
    assert set(first) == set(last)
