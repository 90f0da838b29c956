"""The simulated store and the real one keep the same contract: the orchestrator's side.

Every test here runs twice: against `SimStore` and against a real server through the scripts. So
what the simulation proves of the core, it proves on a store that behaves as the real one does. The
worker's side is in test_claims_conformance.py.
"""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from envelopes import Limits, limits
from orchestrator.core.facts import ClaimState
from orchestrator.store import Commit, LetterClosed, LetterFiled, Mark
from tests.worlds import (
    KINDS,
    NOTHING,
    World,
    commit,
    fetch_one,
    loaded,
    look,
    make,
    message,
    on_desk,
    once,
    outgoing,
    publish,
    refuses,
    running,
    settled,
    submission,
)


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    """Give an empty world of each kind."""
    return make(request)


# --- submit -----------------------------------------------------------------------------------


def test_a_submitted_task_is_due_at_once_and_rings(world: World) -> None:
    """An accepted task is never lost: from the first moment it has an alarm."""
    answer = world.store.submit(submission())
    assert (answer.task_id, answer.created) == ("t1", True)
    assert world.alarm("t1") == answer.now_ms
    assert world.store.wait(0)
    task = loaded(world)
    assert (task.version, task.accepted_ms, task.retention_ms) == (1, answer.now_ms, 60_000)
    assert (task.request, task.fields, task.mail) == (b'{"goal":"x"}', {"s:a": b"1"}, ())
    assert world.store.stats() == {"submitted": 1}


def test_a_submit_whose_reply_is_lost_makes_one_task(world: World) -> None:
    """A lost reply and a retry are as if once, and the answer is the same."""
    answer = once(world, lambda: world.store.submit(submission(key="k")))
    assert answer.created
    assert world.store.stats() == {"submitted": 1}


def test_one_idempotency_key_makes_one_task(world: World) -> None:
    """Submitting twice with the same idempotency key returns the same task."""
    world.store.submit(submission(key="k"))
    before = world.snapshot()
    again = world.store.submit(submission("t2", key="k"))
    assert (again.task_id, again.created) == ("t1", False)
    assert world.snapshot() == before


def test_tenants_do_not_share_idempotency_keys(world: World) -> None:
    world.store.submit(submission(key="k"))
    other = world.store.submit(submission("t2", key="k", tenant="other"))
    assert (other.task_id, other.created) == ("t2", True)


def test_an_idempotency_key_is_free_again_once_its_task_has_expired(world: World) -> None:
    world.store.submit(submission(key="k"))
    world.store.commit([commit(1, "end", outcome="aborted", retention_ms=30)])
    world.expire(40)
    assert world.store.submit(submission("t2", key="k")).created


def test_a_task_id_stands_for_one_request(world: World) -> None:
    world.store.submit(submission())
    refuses(world, lambda: world.store.submit(submission(request=b"another")))


@pytest.mark.parametrize("retention_ms", [-1, float("nan"), 10**15])
def test_a_retention_that_is_no_figure_is_refused(world: World, retention_ms: Any) -> None:
    refuses(world, lambda: world.store.submit(submission(retention_ms=retention_ms)))


def test_the_core_cannot_name_a_field_as_the_store_does(world: World) -> None:
    with pytest.raises(AssertionError, match="version"):
        world.store.submit(submission(fields={"version": b"9"}))


# --- claim ------------------------------------------------------------------------------------


def test_a_claimed_task_is_held_for_a_lease_and_then_comes_back(world: World) -> None:
    """A killed orchestrator's tasks come back when the lease ends."""
    world.store.submit(submission())
    due = world.store.claim(10)
    assert due.task_ids == ["t1"]
    assert due.next_ms == due.now_ms + limits.WAKE_LEASE_MS == world.alarm("t1")
    assert world.store.claim(10).task_ids == []
    world.pass_time(limits.WAKE_LEASE_MS)
    assert world.store.claim(10).task_ids == ["t1"]


def test_the_longest_overdue_tasks_come_first_and_no_more_than_asked(world: World) -> None:
    for task_id in ("c", "b", "a"):
        world.store.submit(submission(task_id))
        world.pass_time(10)
    due = world.store.claim(2)
    assert due.task_ids == ["c", "b"]
    assert due.next_ms is not None
    assert due.next_ms < due.now_ms  # one is still waiting


def test_what_is_left_to_others_is_not_handed_out_and_hides_nothing(world: World) -> None:
    """An orchestrator that cannot read a task must not win the race for it again and again."""
    for task_id in ("new", "newer", "old"):
        world.store.submit(submission(task_id))
        world.pass_time(10)
    due = world.store.claim(1, left=["new", "newer"])
    assert due.task_ids == ["old"]
    assert due.next_ms == world.alarm("old"), "what is left wakes nobody who leaves it"
    assert world.store.claim(10, left=["new", "newer", "gone"]).task_ids == []
    assert world.store.wait(0), "the bell rings on for whoever can read them"
    assert world.store.claim(10).task_ids == ["new", "newer"], "whoever can read them gets them"


def test_a_claim_whose_reply_is_lost_hands_out_the_same_tasks(world: World) -> None:
    """Connections reset: progress within 2 s, so not only when the lease ends."""
    world.store.submit(submission())
    assert once(world, lambda: world.store.claim(10)).task_ids == ["t1"]
    assert world.store.claim(10).task_ids == []


def test_nothing_due_says_so(world: World) -> None:
    due = world.store.claim(10)
    assert (due.task_ids, due.next_ms) == ([], None)


def test_a_bell_is_silent_once_nothing_is_due(world: World) -> None:
    """An idle orchestrator costs nothing: strokes for work that is handed out wake nobody."""
    for task_id in ("a", "b"):
        world.store.submit(submission(task_id))
    world.store.claim(1)
    assert world.store.wait(0)
    world.store.claim(1)
    assert not world.store.wait(0)


def test_an_alarm_without_a_task_is_dropped(world: World) -> None:
    world.plant_alarm("ghost")
    due = world.store.claim(10)
    assert (due.task_ids, due.next_ms) == ([], None)
    assert world.store.task("ghost") is None


# --- load -------------------------------------------------------------------------------------


def test_a_known_version_is_not_transferred(world: World) -> None:
    """Loading a task that has not changed brings its mail and nothing else."""
    publish(world, 1)
    world.store.post("t1", b"cancel\n{}", "p1")
    current = loaded(world, known=Mark(2, "published"))
    assert (current.version, current.request, current.fields) == (2, None, None)
    assert current.mail == (b"cancel\n{}",)
    stale = loaded(world, known=Mark(1))
    assert (stale.version, stale.op, stale.fields) == (2, "published", {"s:a": b"1"})
    assert stale.request == b'{"goal":"x"}'


def test_a_state_of_the_same_version_by_another_commit_is_another_state(world: World) -> None:
    """After a fail-over the server may be a commit behind: the next makes the same version anew."""
    publish(world, 1)
    lost = Mark(2, "lost")
    assert loaded(world, known=lost).fields == {"s:a": b"1"}
    assert world.store.commit([commit(2, "on_the_lost", base="lost", alarm_ms=5)]) == [False]
    assert world.store.commit([commit(2, "on_this", base="published", alarm_ms=5)]) == [True]


def test_the_first_decision_is_fenced_like_every_other(world: World) -> None:
    """Two may have claimed a task that nobody has decided on: one of them is told."""
    world.store.submit(submission())
    assert world.store.commit([commit(1, "first", base="", alarm_ms=5)]) == [True]
    assert world.store.commit([commit(1, "stale", base="", alarm_ms=9)]) == [False]
    assert world.alarm("t1") == 5


def test_it_is_told_whether_anybody_has_decided_since_the_claim(world: World) -> None:
    world.store.submit(submission())
    assert not loaded(world).held
    world.store.claim(1)
    assert loaded(world).held
    world.store.commit([commit(1, "first", alarm_ms=5)])
    assert not loaded(world).held


def test_what_is_not_there_is_loaded_as_none_in_its_place(world: World) -> None:
    world.store.submit(submission())
    first, second = world.store.load([("nobody", None), ("t1", None)])
    assert first is None
    assert second is not None
    assert world.store.load([]) == []


def test_one_decision_takes_in_a_bounded_number_of_letters(world: World) -> None:
    """Limits on everything: the rest is left, in order, and wakes the task at once."""
    world.store.submit(submission())
    for number in range(limits.MAIL_READ_MAX + 2):
        world.store.post("t1", b"cancel\n%d" % number, f"p{number}")
    mail = loaded(world).mail
    assert mail[0] == b"cancel\n0"
    assert len(mail) == limits.MAIL_READ_MAX
    world.store.commit([commit(1, "read", mail_read=len(mail), alarm_ms=4_000_000_000_000)])
    assert loaded(world).mail == (b"cancel\n1000", b"cancel\n1001")
    assert world.store.claim(1).task_ids == ["t1"]


def test_one_decision_takes_in_a_bounded_size_of_mail(world: World) -> None:
    large = b"x" * (limits.MAIL_READ_BYTES_MAX // 4)
    world.store.submit(submission())
    for number in range(6):
        world.store.post("t1", large, f"p{number}")
    assert len(loaded(world).mail) == 4


# --- commit -----------------------------------------------------------------------------------


def full_commit(world: World, version: int, op: str) -> Commit:
    """Say everything that a commit can say."""
    return commit(
        version,
        op,
        fields={"head": b"h", "s:b": b"2"},
        dropped=("s:a",),
        alarm_ms=4_000_000_000_000,
        journal=(b"one", b"two"),
        publish=(outgoing(world, 1), outgoing(world, 2, agent="b")),
        letter=LetterFiled(
            "l1", "escalation", "hop cap", 4_000_000_000_000, b"{}", "hop_cap", "a", "only", 12
        ),
        event=b"said",
    )


def test_a_commit_writes_everything_that_was_decided(world: World) -> None:
    """State and messages are written by one script; there is no moment between them."""
    world.store.submit(submission())
    with world.store.events("t1") as events:
        assert world.store.commit([full_commit(world, 1, "op1")]) == [True]
        assert next(iter(events)) == b"said"
        assert events.get(0.01) is None
    task = loaded(world)
    assert (task.version, task.fields) == (2, {"head": b"h", "s:b": b"2"})
    assert world.alarm("t1") == 4_000_000_000_000
    assert world.store.journal("t1") == [b"one", b"two"]
    assert (world.store.queue_depth("a"), world.store.queue_depth("b")) == (1, 1)
    assert look(world).state is ClaimState.ISSUED
    assert on_desk(world.store) == ["l1"]
    size = 2 * len(message("t1", 1))
    assert world.store.stats() == {
        "submitted": 1,
        "commits": 1,
        "escalated": 1,
        "filed:escalation:hop_cap": 1,
        "pushed": 2,
        "pushed_bytes": size,
    }


def test_a_conflict_leaves_nothing_written(world: World) -> None:
    """False: somebody else has decided meanwhile."""
    world.store.submit(submission())
    before = world.snapshot()
    for version in (0, 2):
        assert world.store.commit([full_commit(world, version, "late")]) == [False]
    assert world.snapshot() == before
    assert world.store.stats()["conflicts"] == 2


def test_a_commit_for_a_task_that_is_gone_is_a_conflict(world: World) -> None:
    before = world.snapshot()
    assert world.store.commit([full_commit(world, 1, "ghost")]) == [False]
    assert world.snapshot() == before


def test_a_commit_whose_reply_is_lost_is_written_once(world: World) -> None:
    """Same operation id: same answer, state changed once."""
    world.store.submit(submission())
    world.store.post("t1", b"read", "p1")
    world.store.post("t1", b"unread", "p2")
    decided = replace(full_commit(world, 1, "op1"), mail_read=1)
    assert once(world, lambda: world.store.commit([decided])) == [True]
    assert loaded(world).mail == (b"unread",)
    assert loaded(world).version == 2
    assert world.store.journal("t1") == [b"one", b"two"]
    assert world.store.queue_depth("a") == 1
    assert world.store.stats()["commits"] == 1


def test_commits_of_one_batch_succeed_and_fail_by_themselves(world: World) -> None:
    world.store.submit(submission("t1"))
    world.store.submit(submission("t2"))
    batch = [
        commit(9, "a", "t1", fields={"head": b"h"}),
        commit(1, "b", "t2", fields={"head": b"h"}),
    ]
    assert world.store.commit(batch) == [False, True]


def test_a_thousand_subtasks_leave_in_one_commit_in_order(world: World) -> None:
    """A commit publishes 1000 subtasks in one round trip."""
    publish(world, *range(1, 1001))
    assert world.store.queue_depth("a") == 1000
    _, fetched = world.worker("w").fetch([world.keys.queue("a")], 1000)
    assert [one.subtask for one in fetched] == [f"t1/{n}" for n in range(1, 1001)]
    assert {one.state for one in fetched} == {"claimed"}
    assert len({one.token for one in fetched}) == 1000


def test_more_than_one_commands_worth_of_everything_is_written(world: World) -> None:
    """Lua's stack ends near 8,000 arguments; a plan of 10,000 steps does not."""
    steps = {f"s:{n}": b"x" for n in range(10_000)}
    world.store.submit(submission(fields=steps))
    assert loaded(world).fields == steps
    lines = tuple(b"%d" % n for n in range(9_000))
    wide = commit(1, "wide", fields=steps | {"head": b"h"}, journal=lines)
    assert world.store.commit([wide]) == [True]
    assert world.store.commit([commit(2, "narrow", dropped=tuple(steps))]) == [True]
    assert loaded(world).fields == {"head": b"h"}
    assert world.store.journal("t1") == list(lines)


def test_a_journal_keeps_its_last_lines(world: World) -> None:
    world.store.submit(submission())
    lines = tuple(b"%d" % n for n in range(limits.JOURNAL_MAX + 5))
    world.store.commit([commit(1, "op1", journal=lines)])
    assert world.store.journal("t1") == list(lines[5:])


def test_a_queues_bell_keeps_a_bounded_number_of_strokes(world: World) -> None:
    bell = world.keys.queue_bell(world.keys.queue("a"))
    publish(world, 1, 2)
    assert world.strokes(bell) == 2
    more = tuple(outgoing(world, n) for n in range(3, 103))
    world.store.commit([commit(2, "more", publish=more)])
    assert world.strokes(bell) == limits.BELLS_MAX


def test_exactly_the_mail_that_was_read_is_trimmed(world: World) -> None:
    """If more came, the alarm is now: without that line a report waits for the lease."""
    world.store.submit(submission())
    world.store.claim(1)
    for number in range(3):
        world.store.post("t1", b"letter %d" % number, f"p{number}")
    decided = commit(1, "op1", mail_read=2, alarm_ms=4_000_000_000_000)
    assert world.store.commit([decided]) == [True]
    assert loaded(world).mail == (b"letter 2",)
    assert world.store.wait(0)
    assert world.store.claim(1).task_ids == ["t1"]


def test_with_all_mail_read_the_alarm_is_the_one_decided_on(world: World) -> None:
    world.store.submit(submission())
    world.store.post("t1", b"letter", "p")
    world.store.claim(1)
    world.store.commit([commit(1, "op1", mail_read=1, alarm_ms=4_000_000_000_000)])
    assert world.alarm("t1") == 4_000_000_000_000
    assert world.mail_keys() == 0
    world.store.commit([commit(2, "op2", fields={"head": b"h"})])
    assert world.alarm("t1") is None


def test_more_mail_read_than_there_is_conflicts(world: World) -> None:
    world.store.submit(submission())
    assert world.store.commit([commit(1, "op1", mail_read=1)]) == [False]


def test_a_commit_that_only_moves_the_alarm_leaves_the_version(world: World) -> None:
    """A wake without news changes nothing."""
    world.store.submit(submission())
    moved = commit(1, "op1", alarm_ms=4_000_000_000_000)
    assert not moved.raises
    assert world.store.commit([moved]) == [True]
    assert (loaded(world).version, world.alarm("t1")) == (1, 4_000_000_000_000)


def test_two_that_read_the_same_mail_do_not_both_trim_it(world: World) -> None:
    """The second would trim letters that nobody has read; so reading mail raises the version."""
    world.store.submit(submission())
    world.store.post("t1", b"old", "p1")
    first, second = commit(1, "op1", mail_read=1), commit(1, "op2", mail_read=1)
    assert first.raises
    assert world.store.commit([first]) == [True]
    world.store.post("t1", b"new", "p2")
    assert world.store.commit([second]) == [False]
    assert loaded(world).mail == (b"new",)


@pytest.mark.parametrize(
    "said",
    [
        {"fields": {"head": b"h"}},
        {"dropped": ("s:a",)},
        {"journal": (b"line",)},
        {"settled": settled(7)},
        {"letter": LetterFiled("l", "k", "w", 1, b"{}")},
        {"letter_closed": LetterClosed("l", "abort", "me", "")},
        {"outcome": "aborted"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_a_commit_that_says_anything_raises_the_version(world: World, said: Any) -> None:
    world.store.submit(submission())
    decided = commit(1, "op1", **said)
    assert decided.raises
    assert world.store.commit([decided]) == [True]
    assert loaded(world).version == 2


@pytest.mark.parametrize("taken", [False, True], ids=["issued", "claimed"])
def test_settling_a_claim_that_may_still_charge_is_a_conflict(world: World, taken: object) -> None:
    """Figures are settled when they are final, never before."""
    publish(world, 1)
    if taken:
        fetch_one(world)
    before = world.snapshot()
    settling = commit(2, "op2", settled=settled(1), fields={"head": b"h"})
    assert world.store.commit([settling]) == [False]
    assert world.snapshot() == before


@pytest.mark.parametrize("reported", [False, True], ids=["revoked", "reported"])
def test_a_claim_that_is_over_is_forgotten_when_settled(world: World, reported: object) -> None:
    worker, token = running(world)
    if reported:
        worker.report("t1/1", token, [], b"{}")
    else:
        world.store.look("t1", [], [1])
    assert world.store.commit([commit(2, "op2", settled=settled(1, 2))]) == [True]
    assert look(world).state is ClaimState.ABSENT


def test_an_outcome_is_the_end(world: World) -> None:
    """Final is final: no alarm, no mail, and nothing is written any more."""
    worker, token = running(world)
    world.store.post("t1", b"letter", "p1")
    assert world.store.commit([commit(2, "end", outcome="partial", event=b"e")]) == [True]
    assert (world.alarm("t1"), world.mail_keys()) == (None, 0)
    assert not world.store.post("t1", b"letter", "p2")
    assert worker.report("t1/1", token, [], b"{}") == "revoked"
    assert world.store.commit([commit(3, "more", fields={"head": b"h"})]) == [False]
    assert world.mail_keys() == 0
    assert world.store.stats()["concluded_partial"] == 1
    assert loaded(world).fields == {"s:a": b"1"}


def test_an_end_whose_reply_is_lost_is_one_end(world: World) -> None:
    world.store.submit(submission())
    ending = commit(1, "end", outcome="completed")
    assert once(world, lambda: world.store.commit([ending])) == [True]
    assert world.store.stats()["concluded_completed"] == 1


def test_a_finished_task_expires_after_its_retention(world: World) -> None:
    for task_id, retention_ms in (("t1", 30), ("t2", 60_000)):
        world.store.submit(submission(task_id))
        said = {"outcome": "completed", "journal": (b"x",), "retention_ms": retention_ms}
        assert world.store.commit([commit(1, "end", task_id, **said)]) == [True]
    world.expire(40)
    assert world.store.task("t1") is None
    assert world.store.journal("t1") == []
    assert world.store.load([("t1", None)]) == [None]
    assert world.store.task("t2") is not None
    assert world.store.journal("t2") == [b"x"]


def test_an_open_task_never_expires(world: World) -> None:
    world.store.submit(submission(retention_ms=1))
    world.store.commit([commit(1, "op1", fields={"head": b"h"}, retention_ms=1)])
    world.expire(10)
    assert loaded(world).version == 2


def test_a_letter_stands_on_the_desk_until_it_is_closed(world: World) -> None:
    """Letters leave only by a recorded act or their declared default."""
    world.store.submit(submission())
    world.store.commit([full_commit(world, 1, "op1")])
    letter = world.store.letter("l1")
    assert letter is not None
    assert letter.pop("filed_ms").isdigit()
    assert letter == {
        "state": b"open",
        "kind": b"escalation",
        "reason": b"hop_cap",
        "why": b"hop cap",
        "agent": b"a",
        "step": b"only",
        "hop": b"12",
        "tenant": b"default",
        "task": b"t1",
        "due_ms": b"4000000000000",
        "story": b"{}",
    }
    closed = LetterClosed("l1", "approve", "ann", "good enough", "f00d", "as it is")
    world.store.commit([commit(2, "op2", letter_closed=closed)])
    assert on_desk(world.store) == []
    decided = world.store.letter("l1") or {}
    assert (decided["state"], decided["verb"], decided["by"]) == (b"decided", b"approve", b"ann")
    assert (decided["decided_why"], decided["decided_as"]) == (b"good enough", b"f00d")
    assert decided["said"] == b"as it is"
    assert decided["why"] == b"hop cap"
    assert decided["decided_ms"].isdigit()


@pytest.mark.parametrize("figure", [-1, float("nan"), 10**15, 1.5, "1e3", ""])
def test_a_commit_with_an_unsound_figure_is_refused_before_any_write(
    world: World, figure: Any
) -> None:
    """Validate everything before the first write: there is no rollback."""
    world.store.submit(submission())
    good = outgoing(world, 1)
    wrong = [
        {"version": figure},
        {"mail_read": figure},
        {"retention_ms": figure},
        {"publish": (good, replace(good, subtask=figure))},
        {"publish": (good, replace(good, deadline_ms=figure))},
        {"publish": (good, replace(good, timeout_ms=figure))},
        {"letter": LetterFiled("l", "k", "w", figure, b"{}")},
        {"letter": LetterFiled("l", "k", "w", 1, b"{}", hop=figure)},
    ]
    if figure != "":  # empty is how an unbounded dimension and no alarm are written
        wrong += [{"alarm_ms": figure}]
        wrong += [
            {"publish": (good, replace(good, allowance=replace(Limits(1, 1, 1), **{name: figure})))}
            for name in ("tokens", "usd_micros", "calls")
        ]
    for said in wrong:
        refuses(world, partial(world.store.commit, [replace(commit(1, "op1"), **said)]))


@pytest.mark.parametrize("op", ["", "a b", "a:b", "a;b", "ä", "x" * 65])
def test_an_operation_has_a_short_plain_name(world: World, op: str) -> None:
    worker, token = running(world)
    refuses(world, lambda: world.store.commit([commit(2, op, fields={"head": b"h"})]))
    refuses(world, lambda: world.store.post("t1", b"letter", op))
    refuses(world, lambda: worker.charge("t1/1", token, op, NOTHING, []))
    refuses(world, lambda: worker.charge("t1/1", token, "a", NOTHING, [(op, NOTHING)]))
    refuses(world, lambda: worker.report("t1/1", token, [(op, NOTHING)], b"{}"))


# --- no decision can be made ------------------------------------------------------------------


def test_failures_in_a_row_are_counted_until_a_commit(world: World) -> None:
    """The count "is the same for all orchestrators", and the next commit forgets it."""
    world.store.submit(submission())
    assert once(world, lambda: world.store.fail("t1", "x")) == 1
    assert [world.store.fail("t1", op) for op in ("x", "y", "x")] == [1, 2, 3]
    world.store.commit([commit(1, "op1", fields={"head": b"h"})])
    assert world.store.fail("t1", "z") == 1
    refuses(world, lambda: world.store.fail("t1", "no op"))


def test_nothing_fails_or_rests_that_is_not_there_or_over(world: World) -> None:
    world.store.submit(submission())
    world.store.commit([commit(1, "op1", outcome="aborted")])
    for task_id in ("t1", "nobody"):
        assert world.store.fail(task_id, "x") == 0
        assert world.store.rest(task_id, 4_000_000_000_000, "x")
        assert world.alarm(task_id) is None


def test_a_task_rests_beside_its_mail_until_more_comes(world: World) -> None:
    """Mail that nobody can take in wakes nobody for ever; new mail does, once."""
    world.store.submit(submission())
    world.store.post("t1", b"letter", "p1")
    world.store.claim(1)
    assert not once(world, lambda: world.store.rest("t1", 4_000_000_000_000, "r1")), "not seen yet"
    assert world.store.wait(0)
    assert world.store.claim(1).task_ids == ["t1"], "though the reply was lost"
    assert once(world, lambda: world.store.rest("t1", 4_000_000_000_000, "r2"))
    assert world.alarm("t1") == 4_000_000_000_000
    world.store.post("t1", b"another", "p2")
    assert world.store.claim(1).task_ids == ["t1"]
    assert not world.store.rest("t1", 4_000_000_000_000, "r3")
    refuses(world, lambda: world.store.rest("t1", 4_000_000_000_000, "no op"))


# --- post -------------------------------------------------------------------------------------


def test_a_posted_letter_wakes_the_task(world: World) -> None:
    world.store.submit(submission())
    world.store.claim(1)
    world.store.commit([commit(1, "op1", alarm_ms=4_000_000_000_000)])
    assert world.store.post("t1", b"cancel\n{}", "p1")
    assert world.store.wait(0)
    assert world.store.claim(1).task_ids == ["t1"]
    assert loaded(world).mail == (b"cancel\n{}",)


def test_a_post_whose_reply_is_lost_is_one_letter(world: World) -> None:
    world.store.submit(submission())
    assert once(world, lambda: world.store.post("t1", b"cancel\n{}", "p1"))
    assert loaded(world).mail == (b"cancel\n{}",)


def test_a_post_is_known_by_its_whole_op(world: World) -> None:
    world.store.submit(submission())
    for op in ("ab", "a", "b"):
        world.store.post("t1", op.encode(), op)
    assert loaded(world).mail == (b"ab", b"a", b"b")


def test_no_mail_comes_into_being_that_nobody_will_read(world: World) -> None:
    """A finished task has neither mail, alarm, claim nor message."""
    assert not world.store.post("nobody", b"letter", "p1")
    assert (world.mail_keys(), world.alarm("nobody")) == (0, None)


def test_a_post_while_the_task_is_held_leaves_the_alarm(world: World) -> None:
    world.store.submit(submission())
    until_ms = world.store.claim(1).next_ms
    world.store.post("t1", b"letter", "p1")
    assert world.alarm("t1") == until_ms
    assert world.store.claim(1).task_ids == []


def test_mail_never_puts_an_alarm_off(world: World) -> None:
    world.store.submit(submission())
    at_ms = world.alarm("t1")
    world.pass_time(10)
    world.store.post("t1", b"letter", "p1")
    assert world.alarm("t1") == at_ms


# --- look -------------------------------------------------------------------------------------


def test_a_look_shows_what_it_is_asked_for_and_changes_nothing(world: World) -> None:
    publish(world, 1, 2)
    fetch_one(world)
    before = world.snapshot()
    seen = world.store.look("t1", [1, 2, 3], [])
    assert [seen[n].state for n in (1, 2, 3)] == [
        ClaimState.CLAIMED,
        ClaimState.ISSUED,
        ClaimState.ABSENT,
    ]
    assert world.snapshot() == before
    assert world.store.look("t1", [], []) == {}


def test_revoking_is_safe_to_repeat_and_makes_no_record(world: World) -> None:
    publish(world, 1)
    world.store.look("t1", [], [1])
    before = world.snapshot()
    again = once(world, lambda: world.store.look("t1", [1], [1, 2]))
    assert (again[1].state, again[2].state) == (ClaimState.REVOKED, ClaimState.ABSENT)
    assert world.snapshot() == before


def test_a_reported_claim_is_not_revoked(world: World) -> None:
    """Its envelope is in the mail: paid work is kept."""
    worker, token = running(world)
    worker.report("t1/1", token, [], b"{}")
    assert world.store.look("t1", [], [1])[1].state is ClaimState.REPORTED


def at_head(world: World, *waiting: bytes) -> bool:
    """Say what a look sees of a claim past its patience, with these messages on its queue."""
    publish(world, 1, message=b"its own message, which the next line loses")
    fetch_one(world)
    for raw in waiting:
        world.push(world.keys.queue("a"), raw)
    world.pass_time(limits.PATIENCE_MS + 1)
    return look(world).queued


def test_a_message_that_waits_in_a_long_backlog_is_not_called_lost(world: World) -> None:
    """A long backlog never causes duplicates."""
    publish(world, 1)
    world.pass_time(10 * limits.PATIENCE_MS)
    assert look(world).queued


def test_with_an_empty_queue_the_message_is_gone(world: World) -> None:
    assert not at_head(world)


def test_with_a_younger_message_in_front_the_message_is_gone(world: World) -> None:
    """Queues are first in, first out."""
    assert not at_head(world, message("t2", 1, issued_ms=5_000_000_000_000))


def test_with_an_older_message_in_front_the_message_may_still_come(world: World) -> None:
    older = message("t2", 1, issued_ms=1_000_000_000_000)
    assert at_head(world, older, message("t2", 2, issued_ms=5_000_000_000_000))


def test_a_message_that_names_no_time_counts_as_older(world: World) -> None:
    assert at_head(world, b"garbage")


@pytest.mark.parametrize(
    "goal", ['issued_ms": 9999999999999', '"buckstop": "issued_ms": 9999999999999']
)
def test_what_a_goal_says_of_a_time_counts_for_nothing(world: World, goal: str) -> None:
    """A caller's text stands in the message too, where Flower shows it, in front of our headers."""
    older = message("t2", 1, issued_ms=1_000_000_000_000).decode()
    shown = f'"argsrepr": {json.dumps(goal)}, "buckstop"'
    assert at_head(world, older.replace('"buckstop"', shown, 1).encode())


def test_within_its_patience_nobody_looks_for_the_message(world: World) -> None:
    publish(world, 1, message=b"lost in a moment")
    fetch_one(world)
    assert look(world).queued


# --- read -------------------------------------------------------------------------------------


def test_tasks_and_letters_are_listed_newest_first(world: World) -> None:
    for task_id in ("b", "c", "a"):
        world.store.submit(submission(task_id))
        world.worker("w").quarantine("r", task_id, "q", b"x", "w", None)
        world.pass_time(10)
    assert [place.id for place in world.store.find_tasks()] == ["a", "c", "b"]
    kinds = [(world.store.letter(i) or {})["kind"] for i in on_desk(world.store)]
    assert kinds == [b"a", b"c", b"b"]


def test_a_task_can_be_read_as_it_is_recorded(world: World) -> None:
    world.store.submit(submission(key="k"))
    record = world.store.task("t1") or {}
    assert record["version"] == b"1"
    assert record["tenant"] == b"default"
    assert record["idem"] == world.keys.idempotency("default", "k").encode()
    assert world.store.task("nobody") is None
    assert world.store.letter("nobody") is None
    assert world.store.journal("nobody") == []
    assert world.store.queue_depth("nobody") == 0
    assert world.store.agents() == {}


def test_what_was_said_before_somebody_listens_is_not_heard(world: World) -> None:
    """Read the record after entering, and nothing is missed."""
    world.store.submit(submission())
    world.store.commit([commit(1, "op1", event=b"before")])
    with world.store.events("t1") as events:
        world.store.commit([commit(1, "op2", event=b"after")])
        assert next(iter(events)) == b"after"
