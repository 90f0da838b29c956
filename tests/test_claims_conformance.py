"""The simulated store and the real one keep the same contract: the worker's side.

Every test here runs twice, as in test_store_conformance.py.
"""

from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest

from envelopes import Amounts, Limits, limits
from envelopes.claims import Fetched
from orchestrator.core.facts import ClaimState
from tests.worlds import (
    KINDS,
    NOTHING,
    RealWorld,
    SimWorld,
    World,
    commit,
    fetch_one,
    loaded,
    look,
    make,
    message,
    nonce,
    on_desk,
    once,
    outgoing,
    publish,
    refuses,
    running,
    settled,
    submission,
)

UNBOUNDED = Limits()


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    """Give an empty world of each kind."""
    return make(request)


# --- fetch ------------------------------------------------------------------------------------


def test_a_fetch_takes_the_claim_with_the_message(world: World) -> None:
    """Nothing can fall between pop and record."""
    publish(world, 1)
    now_ms, [fetched] = world.worker("w").fetch([world.keys.queue("a")], 5)
    assert (fetched.state, fetched.subtask) == ("claimed", "t1/1")
    assert (fetched.queue, fetched.raw) == (world.keys.queue("a"), message("t1", 1))
    assert fetched.token
    claim = look(world)
    assert (claim.state, claim.charged) == (ClaimState.CLAIMED, NOTHING)
    assert claim.since_ms == claim.beat_ms == now_ms
    stats = world.store.stats()
    assert (stats["claims"], stats["fetched"]) == (1, 1)
    assert stats["fetched_bytes"] == stats["pushed_bytes"]


def test_a_fetch_whose_reply_is_lost_gets_the_same_messages(world: World) -> None:
    """No message disappears silently, not even one that is not ours."""
    publish(world, 1, 2)
    world.push(world.keys.queue("a"), b"garbage")
    _, fetched = once(world, lambda: world.worker("w").fetch([world.keys.queue("a")], 10))
    assert [one.state for one in fetched] == ["claimed", "claimed", "foreign"]
    assert world.store.stats()["fetched"] == 3
    assert world.worker("w").charge("t1/1", fetched[0].token, "c", NOTHING, []) == "ok"


def test_a_forged_nonce_cannot_block_the_real_message(world: World) -> None:
    """A claim needs the nonce that COMMIT issued with the message."""
    world.push(world.keys.queue("a"), message("t1", 1, nonce_of=666))
    publish(world, 1)
    _, [forged, real] = world.worker("w").fetch([world.keys.queue("a")], 10)
    assert (forged.state, forged.subtask, forged.token) == ("foreign", "", "")
    assert (real.state, real.subtask) == ("claimed", "t1/1")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff\xfe\x00",
        b'{"headers": {}}',
        b'{"headers": {"buckstop_claim": 5}}',
        b'{"headers": {"buckstop_claim": "t1/1"}}',
        b'{"headers": {"buckstop_claim": "t 1/1:00"}}',
        b'{"headers": {"note": "\\"buckstop_claim\\": \\"t1/1:' + nonce(1).encode() + b'\\""}}',
    ],
)
def test_a_message_without_a_claim_is_foreign_and_touches_none(world: World, raw: bytes) -> None:
    publish(world, 1)
    fetch_one(world)
    world.push(world.keys.queue("a"), raw)
    f = fetch_one(world)
    assert f == Fetched(world.keys.queue("a"), raw, "foreign", "", "", f.letter)


def test_a_copy_of_a_message_runs_never(world: World) -> None:
    """A subtask id runs at most once."""
    worker, token = running(world)
    world.push(world.keys.queue("a"), message("t1", 1))
    copy = fetch_one(world, "other")
    assert (copy.state, copy.subtask, copy.token) == ("replayed", "t1/1", "")
    worker.report("t1/1", token, [], b"{}")
    world.push(world.keys.queue("a"), message("t1", 1))
    assert fetch_one(world).state == "replayed"
    assert world.store.stats()["replayed"] == 2


def test_a_message_whose_claim_was_taken_away_is_revoked(world: World) -> None:
    publish(world, 1)
    world.push(world.keys.queue("a"), message("t1", 1))
    world.store.look("t1", [], [1])
    taken = fetch_one(world)
    assert (taken.state, taken.subtask, taken.token) == ("revoked", "t1/1", "")
    world.store.commit([commit(2, "op2", settled=settled(1))])
    assert fetch_one(world).state == "revoked"
    assert world.store.stats()["revoked_dropped"] == 2
    assert "claims" not in world.store.stats()


def test_a_wrong_nonce_on_a_revoked_claim_is_foreign(world: World) -> None:
    publish(world, 1)
    fetch_one(world)
    world.store.look("t1", [], [1])
    world.push(world.keys.queue("a"), message("t1", 1, nonce_of=666))
    assert fetch_one(world).state == "foreign"


def test_a_fetch_takes_no_more_than_asked(world: World) -> None:
    publish(world, *range(1, 11))
    _, fetched = world.worker("w").fetch([world.keys.queue("a")], 4)
    assert [one.subtask for one in fetched] == ["t1/1", "t1/2", "t1/3", "t1/4"]
    assert world.worker("w").fetch([world.keys.queue("a")], 0)[1] == []
    assert world.store.queue_depth("a") == 6


def test_a_deep_queue_does_not_starve_the_next(world: World) -> None:
    """One queue per agent is a bulkhead; one worker may serve several."""
    for agent, depth in (("a", 20), ("b", 3), ("c", 20)):
        for _ in range(depth):
            world.push(world.keys.queue(agent), b"x")
    queues = [world.keys.queue(agent) for agent in ("a", "b", "c")]
    _, fetched = world.worker("w").fetch(queues, 12)
    assert [sum(one.queue == queue for one in fetched) for queue in queues] == [5, 3, 4]
    _, rest = world.worker("w").fetch(queues[2:], 1)
    assert [one.queue for one in rest] == queues[2:]


def test_one_fetch_carries_a_bounded_size(world: World) -> None:
    large = b"x" * limits.MESSAGE_BYTES_MAX
    for _ in range(20):
        world.push(world.keys.queue("a"), large)
    _, fetched = world.worker("w").fetch([world.keys.queue("a")], 20)
    assert len(fetched) == limits.FETCH_BYTES_MAX // limits.MESSAGE_BYTES_MAX


@pytest.mark.parametrize("count", [-1, limits.FETCH_MAX + 1, float("nan")])
def test_a_fetch_asks_for_a_sound_number(world: World, count: Any) -> None:
    publish(world, 1)
    refuses(world, lambda: world.worker("w").fetch([world.keys.queue("a")], count))


def test_a_message_too_large_to_carry_becomes_a_letter(world: World) -> None:
    """Oversize: refused where it lies, with its origin and its first bytes."""
    large = b'{"x": "' + b"y" * limits.MESSAGE_BYTES_MAX
    publish(world, 1)
    world.push(world.keys.queue("a"), large)
    _, fetched = once(world, lambda: world.worker("w").fetch([world.keys.queue("a")], 10))
    assert [one.state for one in fetched] == ["claimed"]
    [letter_id] = on_desk(world.store)
    letter = world.store.letter(letter_id) or {}
    assert (letter["kind"], letter["reason"]) == (b"oversize", b"oversize")
    assert letter["queue"] == world.keys.queue("a").encode()
    assert letter["size"] == b"%d" % len(large)
    assert letter["bytes"] == large[: limits.LETTER_BYTES_MAX]
    assert letter["why"] == b"%d bytes; at most 262144 are fetched" % len(large)
    stats = world.store.stats()
    assert (stats["quarantined"], stats["quarantined_bytes"]) == (1, len(large))
    assert stats["fetched"] == 2


def test_a_queues_bell_is_silent_once_the_queue_is_empty(world: World) -> None:
    bell = world.keys.queue_bell(world.keys.queue("a"))
    publish(world, 1, 2)
    world.worker("w").fetch([world.keys.queue("a")], 1)
    assert world.strokes(bell) == 2
    world.worker("w").fetch([world.keys.queue("a")], 1)
    assert world.strokes(bell) == 0


def test_a_fetch_that_finds_nothing_writes_nothing(world: World) -> None:
    world.store.submit(submission())
    before = world.snapshot()
    assert world.worker("w").fetch([world.keys.queue("a"), world.keys.queue("b")], 5)[1] == []
    assert world.snapshot() == before


def test_two_workers_never_get_the_same_claim(world: World) -> None:
    publish(world, *range(1, 5))
    one, other = world.worker("one"), world.worker("other")
    queue = [world.keys.queue("a")]
    fetched = [*one.fetch(queue, 2)[1], *other.fetch(queue, 2)[1]]
    assert len({f.subtask for f in fetched}) == len({f.token for f in fetched}) == 4


# --- hand back --------------------------------------------------------------------------------


def test_a_subtask_handed_back_is_the_next_one_fetched(world: World) -> None:
    """SIGTERM: stop taking, hand back what has not been started."""
    publish(world, 1, 2)
    fetched = fetch_one(world)
    bell = world.keys.queue_bell(fetched.queue)
    strokes = world.strokes(bell)
    assert world.worker("w").hand_back("t1/1", fetched.token, fetched.queue, fetched.raw)
    claim = look(world)
    assert (claim.state, claim.since_ms) == (ClaimState.ISSUED, 0)
    assert world.strokes(bell) == strokes + 1
    again = fetch_one(world, "other")
    assert (again.state, again.subtask) == ("claimed", "t1/1")
    assert again.token != fetched.token
    stats = world.store.stats()
    assert (stats["handed_back"], stats["handed_back_bytes"]) == (1, len(fetched.raw))


def test_a_hand_back_whose_reply_is_lost_pushes_one_message(world: World) -> None:
    publish(world, 1)
    f = fetch_one(world)
    assert once(world, lambda: world.worker("w").hand_back("t1/1", f.token, f.queue, f.raw))
    assert world.store.queue_depth("a") == 1
    assert world.store.stats()["handed_back"] == 1


def test_a_late_retry_of_a_hand_back_does_not_disturb_the_next_worker(world: World) -> None:
    publish(world, 1)
    f = fetch_one(world)
    world.worker("w").hand_back("t1/1", f.token, f.queue, f.raw)
    fetch_one(world, "other")
    assert world.worker("w").hand_back("t1/1", f.token, f.queue, f.raw)
    assert look(world).state is ClaimState.CLAIMED
    assert world.store.queue_depth("a") == 0


def test_the_token_that_was_handed_back_is_worth_nothing(world: World) -> None:
    publish(world, 1)
    f = fetch_one(world)
    world.worker("w").hand_back("t1/1", f.token, f.queue, None)
    assert world.store.queue_depth("a") == 0
    assert world.worker("w").charge("t1/1", f.token, "c", NOTHING, []) == "revoked"


@pytest.mark.parametrize("token", ["", "another"])
def test_what_is_not_ours_is_not_handed_back(world: World, token: str) -> None:
    publish(world, 1)
    raw = fetch_one(world).raw
    before = world.snapshot()
    queue = world.keys.queue("a")
    assert not world.worker("w").hand_back("t1/1", token, queue, raw)
    assert not world.worker("w").hand_back("t1/9", token, queue, raw)
    assert world.snapshot() == before


def test_a_revoked_subtask_is_not_handed_back(world: World) -> None:
    publish(world, 1)
    f = fetch_one(world)
    world.store.look("t1", [], [1])
    assert not world.worker("w").hand_back("t1/1", f.token, f.queue, f.raw)
    assert world.store.queue_depth("a") == 0


# --- charge -----------------------------------------------------------------------------------

ALLOWANCE = Limits(100, 1000, 3)


@pytest.mark.parametrize(
    ("worst", "answer"),
    [
        (Amounts(100, 1000, 3), "ok"),
        (Amounts(101, 0, 0), "exhausted"),
        (Amounts(0, 1001, 0), "exhausted"),
        (Amounts(0, 0, 4), "exhausted"),
    ],
)
def test_a_charge_may_use_the_allowance_to_the_last_and_not_beyond(
    world: World, worst: Amounts, answer: str
) -> None:
    """A call that could overrun its allowance is not made."""
    worker, token = running(world, allowance=ALLOWANCE)
    assert worker.charge("t1/1", token, "c1", worst, []) == answer
    assert look(world).charged == (worst if answer == "ok" else NOTHING)
    counter = "charges" if answer == "ok" else "refused_charges"
    assert world.store.stats()[counter] == 1


def test_where_one_dimension_fails_no_dimension_is_booked(world: World) -> None:
    worker, token = running(world, allowance=ALLOWANCE)
    before = world.snapshot()
    assert worker.charge("t1/1", token, "c1", Amounts(5, 1001, 1), []) == "exhausted"
    assert world.snapshot() == before


def test_charges_add_up(world: World) -> None:
    worker, token = running(world, allowance=Limits(100, None, None))
    assert worker.charge("t1/1", token, "c1", Amounts(60, 7, 1), []) == "ok"
    assert worker.charge("t1/1", token, "c2", Amounts(41, 0, 0), []) == "exhausted"
    assert worker.charge("t1/1", token, "c3", Amounts(40, 7, 1), []) == "ok"
    assert look(world).charged == Amounts(100, 14, 2)


def test_an_unbounded_dimension_takes_any_sound_figure(world: World) -> None:
    """Unbounded still has a bound: the largest figure that anybody may book."""
    worker, token = running(world, allowance=UNBOUNDED)
    most = limits.AMOUNT_CEILING
    assert worker.charge("t1/1", token, "c1", Amounts(most, 0, 7), []) == "ok"
    assert worker.charge("t1/1", token, "c2", Amounts(1, 0, 0), []) == "exhausted"
    assert look(world).charged == Amounts(most, 0, 7)


def test_an_allowance_of_nothing_holds_nothing(world: World) -> None:
    worker, token = running(world, allowance=Limits(0, None, None))
    assert worker.charge("t1/1", token, "c1", Amounts(1, 0, 0), []) == "exhausted"
    assert worker.charge("t1/1", token, "c2", Amounts(0, 1, 1), []) == "ok"


@pytest.mark.parametrize(
    "figure", [-1, float("nan"), float("inf"), 1.0, 10**15, True, None, "", "1e3", "0x10", " 1"]
)
def test_a_figure_that_is_no_figure_is_refused_before_any_write(world: World, figure: Any) -> None:
    """A NaN passes `n > ceiling`, a minus sign is a gift; neither is only digits."""
    worker, token = running(world, allowance=UNBOUNDED)
    worker.charge("t1/1", token, "c1", Amounts(5, 5, 1), [])
    good = ("c1", Amounts(1, 1, 1))
    for name in ("tokens", "usd_micros", "calls"):
        wrong = replace(Amounts(1, 1, 1), **{name: figure})
        ended = [good, ("c1", wrong)]
        refuses(world, partial(worker.charge, "t1/1", token, "c2", wrong, [good]))
        refuses(world, partial(worker.charge, "t1/1", token, "c2", NOTHING, ended))
        refuses(world, partial(worker.report, "t1/1", token, ended, b"{}"))


def test_a_charge_whose_reply_is_lost_is_booked_once(world: World) -> None:
    """A lost reply plus a client's retry must not repeat a charge."""
    worker, token = running(world)
    charge = partial(worker.charge, "t1/1", token, "c1", Amounts(60, 0, 1), [])
    assert once(world, charge) == "ok"
    assert look(world).charged == Amounts(60, 0, 1)
    assert world.store.stats()["charges"] == 1


def test_a_settlement_whose_reply_is_lost_is_settled_once(world: World) -> None:
    worker, token = running(world)
    worker.charge("t1/1", token, "c1", Amounts(60, 0, 1), [])
    ended = [("c1", Amounts(10, 0, 1))]
    charge = partial(worker.charge, "t1/1", token, "c2", Amounts(20, 0, 1), ended)
    assert once(world, charge) == "ok"
    assert look(world).charged == Amounts(30, 0, 2)


def test_an_ended_call_makes_room_for_the_next(world: World) -> None:
    """After the call it settles to the real usage."""
    worker, token = running(world, allowance=Limits(100, None, None))
    worker.charge("t1/1", token, "c1", Amounts(90, 0, 0), [])
    ended = [("c1", Amounts(30, 0, 0))]
    assert worker.charge("t1/1", token, "c2", Amounts(70, 0, 0), ended) == "ok"
    assert look(world).charged == Amounts(100, 0, 0)


def test_a_refused_charge_still_settles_what_has_ended(world: World) -> None:
    worker, token = running(world, allowance=Limits(100, None, None))
    worker.charge("t1/1", token, "c1", Amounts(90, 0, 0), [])
    ended = [("c1", Amounts(30, 0, 0))]
    assert worker.charge("t1/1", token, "c2", Amounts(71, 0, 0), ended) == "exhausted"
    assert look(world).charged == Amounts(30, 0, 0)


def test_a_call_is_settled_once_and_an_unknown_one_never(world: World) -> None:
    worker, token = running(world)
    worker.charge("t1/1", token, "c1", Amounts(50, 5, 1), [])
    ended = [("c1", Amounts(10, 1, 1)), ("c1", Amounts(0, 0, 0)), ("c9", Amounts(0, 0, 0))]
    worker.charge("t1/1", token, "c2", NOTHING, ended)
    assert look(world).charged == Amounts(10, 1, 1)


def test_an_op_is_not_mistaken_for_another_that_ends_like_it(world: World) -> None:
    worker, token = running(world)
    worker.charge("t1/1", token, "xc1", Amounts(50, 0, 1), [])
    worker.charge("t1/1", token, "c2", Amounts(1, 0, 1), [("c1", NOTHING)])
    assert look(world).charged == Amounts(51, 0, 2)
    assert worker.charge("t1/1", token, "c1", Amounts(1, 0, 1), []) == "ok"
    assert look(world).charged == Amounts(52, 0, 3)


def test_real_usage_above_the_worst_case_is_booked_as_far_as_the_allowance_holds(
    world: World,
) -> None:
    """Spent + reserved <= ceiling at every moment, whatever a model reports."""
    worker, token = running(world, allowance=Limits(100, None, None))
    worker.charge("t1/1", token, "c1", Amounts(50, 0, 0), [])
    worker.charge("t1/1", token, "c2", Amounts(10, 0, 0), [("c1", Amounts(80, 0, 0))])
    assert look(world).charged == Amounts(90, 0, 0)
    ended = [("c2", Amounts(40, 0, 0))]
    assert worker.charge("t1/1", token, "c3", NOTHING, ended) == "exhausted"
    assert look(world).charged == Amounts(100, 0, 0)


def test_what_went_beyond_the_allowance_is_not_forgotten(world: World) -> None:
    """Dropped, it would look free once another call turns out cheaper."""
    worker, token = running(world, allowance=Limits(100, None, None))
    worker.charge("t1/1", token, "c1", Amounts(50, 0, 0), [])
    worker.charge("t1/1", token, "c2", Amounts(50, 0, 0), [])
    worker.charge("t1/1", token, "c3", NOTHING, [("c1", Amounts(80, 0, 0))])
    assert look(world).charged == Amounts(100, 0, 0)
    cheap = [("c2", Amounts(10, 0, 0))]
    assert worker.charge("t1/1", token, "c4", Amounts(11, 0, 0), cheap) == "exhausted"
    assert look(world).charged == Amounts(90, 0, 0)


def test_absurd_real_usage_exhausts_the_allowance(world: World) -> None:
    worker, token = running(world, allowance=UNBOUNDED)
    for number in range(12):
        op, absurd = f"c{number}", Amounts(10**15 - 1, 0, 0)
        worker.charge("t1/1", token, op, NOTHING, [(f"c{number - 1}", absurd)])
    assert look(world).charged == Amounts(limits.AMOUNT_CEILING, 0, 0)
    assert worker.charge("t1/1", token, "more", Amounts(1, 0, 0), []) == "exhausted"


@pytest.mark.parametrize("bound", ["timeout", "deadline"])
def test_after_its_time_a_subtask_settles_and_charges_no_more(world: World, bound: str) -> None:
    """No charge after the deadline; what is spent is spent."""
    world.store.submit(submission())
    now_ms = loaded(world).now_ms
    sent = outgoing(world, 1, timeout_ms=10_000)
    if bound == "deadline":
        sent = outgoing(world, 1, deadline_ms=now_ms + 10_000, timeout_ms=60_000)
    world.store.commit([commit(1, "op1", publish=(sent,))])
    worker, token = world.worker("w"), fetch_one(world).token
    assert worker.charge("t1/1", token, "c1", Amounts(50, 0, 1), []) == "ok"
    world.pass_time(10_001)
    ended = [("c1", Amounts(20, 0, 1))]
    assert worker.charge("t1/1", token, "c2", Amounts(1, 0, 1), ended) == "late"
    assert look(world).charged == Amounts(20, 0, 1)
    assert world.store.stats()["late_charges"] == 1
    assert worker.report("t1/1", token, [], b"{}") == "ok"


def test_a_revoked_claim_charges_and_reports_no_more(world: World) -> None:
    """No charge after a claim was revoked; a zombie is refused, and counted."""
    worker, token = running(world)
    worker.charge("t1/1", token, "c1", Amounts(50, 0, 1), [])
    assert world.store.look("t1", [], [1])[1].charged == Amounts(50, 0, 1)
    before = world.snapshot()
    ended = [("c1", NOTHING)]
    assert worker.charge("t1/1", token, "c2", Amounts(1, 0, 1), ended) == "revoked"
    assert worker.report("t1/1", token, ended, b"{}") == "revoked"
    assert world.snapshot() == before
    stats = world.store.stats()
    assert (stats["fenced_charges"], stats["fenced_reports"]) == (1, 1)


def test_a_zombie_whose_claim_is_settled_is_refused(world: World) -> None:
    """Its record is gone, and does not come back by its writing."""
    worker, token = running(world)
    world.store.look("t1", [], [1])
    world.store.commit([commit(2, "op2", settled=settled(1))])
    before = world.snapshot()
    assert worker.charge("t1/1", token, "c1", Amounts(1, 0, 1), []) == "revoked"
    assert worker.report("t1/1", token, [], b"{}") == "revoked"
    assert not worker.hand_back("t1/1", token, world.keys.queue("a"), b"raw")
    assert world.snapshot() == before
    assert worker.beat([("t1/1", token)], "{}") == ["t1/1"]
    assert look(world).state is ClaimState.ABSENT
    stats = world.store.stats()
    assert (stats["fenced_charges"], stats["fenced_reports"]) == (1, 1)


def test_a_stale_token_moves_nothing_of_the_next_worker(world: World) -> None:
    publish(world, 1)
    f = fetch_one(world, "zombie")
    world.worker("zombie").hand_back("t1/1", f.token, f.queue, f.raw)
    token = fetch_one(world, "next").token
    zombie = world.worker("zombie")
    assert zombie.charge("t1/1", f.token, "c1", Amounts(1, 0, 1), []) == "revoked"
    assert zombie.report("t1/1", f.token, [], b"{}") == "revoked"
    assert world.worker("next").charge("t1/1", token, "c1", Amounts(1, 0, 1), []) == "ok"
    assert look(world).charged == Amounts(1, 0, 1)


# --- report -----------------------------------------------------------------------------------


def test_a_report_is_mail_and_wakes_the_task(world: World) -> None:
    """Mail, alarm and doorbell in one step."""
    worker, token = running(world)
    world.store.claim(1)
    world.store.commit([commit(2, "op2", alarm_ms=4_000_000_000_000)])
    worker.charge("t1/1", token, "c1", Amounts(50, 5, 1), [])
    worker.charge("t1/1", token, "c2", Amounts(20, 2, 1), [])
    ended = [("c1", Amounts(30, 3, 1))]
    assert worker.report("t1/1", token, ended, b'{"status":"success"}') == "ok"
    head = f"report 1 {token} 50 5 2\n".encode()  # c2 is in flight: its worst case stands
    assert loaded(world).mail == (head + b'{"status":"success"}',)
    assert world.store.wait(0)
    assert world.store.claim(1).task_ids == ["t1"]
    claim = look(world)
    assert (claim.state, claim.charged) == (ClaimState.REPORTED, Amounts(50, 5, 2))
    assert world.store.stats()["reports"] == 1


def test_a_report_whose_reply_is_lost_is_one_letter(world: World) -> None:
    worker, token = running(world)
    worker.charge("t1/1", token, "c1", Amounts(50, 5, 1), [])
    ended = [("c1", Amounts(30, 3, 1))]
    assert once(world, lambda: worker.report("t1/1", token, ended, b"{}")) == "ok"
    assert len(loaded(world).mail) == 1
    assert look(world).charged == Amounts(30, 3, 1)
    assert world.store.stats()["reports"] == 1


def test_a_report_while_the_task_is_held_leaves_the_alarm(world: World) -> None:
    """The holder's COMMIT sees the mail; a second orchestrator would only decide the same."""
    worker, token = running(world)
    world.store.post("t1", b"letter", "p1")
    held_until_ms = world.store.claim(1).next_ms
    assert worker.report("t1/1", token, [], b"{}") == "ok"
    assert world.alarm("t1") == held_until_ms
    assert not world.store.wait(0)
    world.store.commit([commit(2, "op2", mail_read=1, alarm_ms=4_000_000_000_000)])
    assert world.store.claim(1).task_ids == ["t1"]


def test_a_report_after_the_holder_has_died_wakes_the_task(world: World) -> None:
    worker, token = running(world)
    world.store.post("t1", b"letter", "p1")
    assert world.store.claim(1).task_ids == ["t1"]
    world.pass_time(limits.WAKE_LEASE_MS + 1)
    worker.report("t1/1", token, [], b"{}")
    assert world.store.wait(0)
    assert world.store.claim(1).task_ids == ["t1"]


def test_only_the_holder_of_the_claim_reports_and_only_once(world: World) -> None:
    worker, token = running(world)
    assert worker.report("t1/1", "another", [], b"{}") == "revoked"
    assert worker.report("t1/1", token, [], b"first") == "ok"
    assert worker.report("t1/1", "another", [], b"{}") == "revoked"
    assert worker.report("t1/1", token, [], b"second") == "ok"  # taken for a retry
    assert [letter.partition(b"\n")[2] for letter in loaded(world).mail] == [b"first"]
    assert worker.charge("t1/1", token, "c1", NOTHING, []) == "revoked"


def test_an_envelope_too_large_is_refused_before_any_write(world: World) -> None:
    worker, token = running(world)
    large = b"x" * (limits.ENVELOPE_BYTES_MAX + 1)
    refuses(world, lambda: worker.report("t1/1", token, [], large))
    assert worker.report("t1/1", token, [], large[1:]) == "ok"


def test_payloads_travel_byte_for_byte(world: World) -> None:
    """Never re-encode payloads: [] is not {}, and 2**53 + 1 is a number too."""
    worker, token = running(world)
    odd = b'{"a":[],"n":9007199254740993,"u":"\xc3\xa4\x00"}'
    worker.report("t1/1", token, [], odd)
    assert loaded(world).mail[0].partition(b"\n")[2] == odd
    world.store.commit([commit(2, "op2", mail_read=1, fields={"s:a": odd}, journal=(odd,))])
    assert loaded(world).fields == {"s:a": odd}
    assert world.store.journal("t1") == [odd]


# --- beat, register, quarantine ---------------------------------------------------------------


def test_a_beat_keeps_what_is_ours_and_names_what_is_not(world: World) -> None:
    """All claims in one round trip; a revoked one is learnt of within a beat."""
    publish(world, 1, 2, 3)
    worker = world.worker("w")
    _, fetched = worker.fetch([world.keys.queue("a")], 3)
    since_ms = look(world).since_ms
    world.pass_time(3000)
    world.store.look("t1", [], [2])
    claims = [(one.subtask, one.token) for one in fetched[:2]]
    beat = partial(worker.beat, [*claims, ("t1/3", "another"), ("t9/9", "x")], '{"pid":1}')
    assert once(world, beat) == ["t1/2", "t1/3", "t9/9"]
    assert look(world).beat_ms >= since_ms + 3000
    assert look(world).since_ms == since_ms
    assert look(world, 3).beat_ms < since_ms + 3000
    assert look(world, 2).state is ClaimState.REVOKED


def test_what_workers_say_of_their_agents_is_known(world: World) -> None:
    world.worker("w").register({"research": {"handoffs": ["write"]}, "write": {}})
    world.worker("w2").register({"write": {"price": "openai:gpt-5-mini"}})
    world.worker("w3").register({})
    seen = world.store.agents()
    assert {name: each.facts for name, each in seen.items()} == {
        "research": {"handoffs": ["write"]},
        "write": {"price": "openai:gpt-5-mini"},
    }


def test_a_quarantined_message_is_a_letter_and_gives_its_claim_back(world: World) -> None:
    """No message disappears silently; an edited copy cannot block the real one."""
    publish(world, 1)
    f = fetch_one(world)
    claim = (f.subtask, f.token)
    worker = world.worker("w")
    quarantine = partial(
        worker.quarantine, "the seal does not fit", "forged", f.queue, f.raw, "edited", claim
    )
    letter_id = once(world, quarantine)
    assert on_desk(world.store) == [letter_id]
    letter = world.store.letter(letter_id) or {}
    filed_ms, due_ms = int(letter.pop("filed_ms")), int(letter.pop("due_ms"))
    assert due_ms == filed_ms + limits.MESSAGE_LETTER_MS
    assert letter == {
        "state": b"open",
        "kind": b"forged",
        "reason": b"the seal does not fit",
        "why": b"edited",
        "queue": f.queue.encode(),
        "bytes": f.raw,
        "size": b"%d" % len(f.raw),
        "sha256": sha256(f.raw).hexdigest().encode(),
        "worker": b"w",
        "task": b"t1",
        "subtask": b"t1/1",
        "agent": b"a",
        "tenant": b"default",
    }
    stats = world.store.stats()
    assert (stats["quarantined"], stats["quarantined_bytes"]) == (1, len(f.raw))
    world.push(f.queue, f.raw)
    assert fetch_one(world).state == "claimed"


@pytest.mark.parametrize("state", ["foreign", "replayed"])
def test_what_cannot_run_is_kept_before_its_worker_has_looked_at_it(
    world: World, state: str
) -> None:
    """Promise 9: «No message disappears silently», not even with the worker that fetched it."""
    publish(world, 1)
    first = fetch_one(world)
    raw = first.raw if state == "replayed" else b"garbage"
    world.push(world.keys.queue("a"), raw)
    f = fetch_one(world)
    assert f.state == state
    kept = world.store.letter(f.letter) or {}
    assert (kept["kind"], kept["reason"]) == (b"undeliverable", b"unread")
    assert (kept["bytes"], kept["state"]) == (raw, b"open")
    for _ in range(2):  # the gate's word comes later, and once
        again = world.worker("w").quarantine("why", "kind", f.queue, raw, "w", None, f.letter)
        assert again == f.letter
    told = world.store.letter(f.letter) or {}
    assert (told["kind"], told["reason"], told["filed_ms"]) == (b"kind", b"why", kept["filed_ms"])
    stats = world.store.stats()
    assert (stats["quarantined"], stats["quarantined_bytes"]) == (1, len(raw))


def test_only_the_first_bytes_of_a_quarantined_message_are_kept(world: World) -> None:
    raw = b"x" * (limits.LETTER_BYTES_MAX + 1)
    letter_id = world.worker("w").quarantine("r", "k", "q", raw, "y" * 10_000, None)
    letter = world.store.letter(letter_id) or {}
    assert letter["bytes"] == raw[:-1]
    assert letter["size"] == b"%d" % len(raw)
    assert letter["sha256"] == sha256(raw).hexdigest().encode()
    assert len(letter["why"]) == limits.REASON_CHARS_MAX
    assert letter["task"] == letter["subtask"] == b""


def test_a_full_desk_counts_what_it_cannot_keep(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits on everything: a flood of garbage does not fill the server."""
    monkeypatch.setattr(limits, "LETTERS_MAX", 2)
    for world in (SimWorld(), RealWorld(request.getfixturevalue("fresh"))):
        publish(world, 1)
        f = fetch_one(world)
        worker = world.worker("w")
        assert all(worker.quarantine("r", "k", "q", b"x", "w", None) for _ in range(2))
        assert not worker.quarantine("r", "k", "q", b"x", "w", (f.subtask, f.token))
        assert len(on_desk(world.store)) == 2
        stats = world.store.stats()
        assert (stats["quarantined"], stats["letters_not_kept"]) == (3, 1)
        assert look(world).state is ClaimState.ISSUED


# --- the books --------------------------------------------------------------------------------


def test_every_byte_that_was_pushed_is_accounted_for(world: World) -> None:
    """Bytes pushed = delivered + quarantined + still queued."""
    publish(world, *range(1, 7))
    worker = world.worker("w")
    _, fetched = worker.fetch([world.keys.queue("a")], 4)
    back, bad, *good = fetched
    worker.hand_back(back.subtask, back.token, back.queue, back.raw)
    worker.quarantine("r", "k", bad.queue, bad.raw, "w", (bad.subtask, bad.token))
    stats = world.store.stats()
    size = len(message("t1", 1))
    assert stats["pushed_bytes"] == 6 * size
    delivered = stats["fetched_bytes"] - stats["handed_back_bytes"] - stats["quarantined_bytes"]
    assert delivered == sum(len(one.raw) for one in good)
    assert world.store.queue_depth("a") * size == 3 * size
    assert stats["pushed_bytes"] == delivered + stats["quarantined_bytes"] + 3 * size
