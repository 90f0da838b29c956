"""Deliveries on the server: what the scripts promise, whoever dies and whichever reply is lost."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from post_office import PostOffice
from receiver import Receiver, receiving
from redis.exceptions import ConnectionError as Cut
from redis.exceptions import OutOfMemoryError
from worlds import once

from envelopes import limits
from envelopes.strict import Refused
from orchestrator.client import NotFound
from orchestrator.courier.box import Box, Claimed, Sent, Verb
from orchestrator.courier.expand import NewDelivery
from orchestrator.courier.expander import Expander
from orchestrator.courier.loop import RETRIES_MS, Courier
from orchestrator.news import START
from tests.conftest import Fresh

DONE, RETRY = Sent(Verb.DONE, 204), Sent(Verb.RETRY, 500, "it answered 500")


@pytest.fixture
def office(fresh: Fresh) -> PostOffice:
    return PostOffice(fresh)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def new(number: int, to: str, **more: Any) -> NewDelivery:
    said = {"event": "letter.filed", "about": "t1/1", "letter": "t1/1", "body": b"{}"}
    return NewDelivery(f"msg_{number:03}-{to}", to, **(said | more))


def claim_one(box: Box) -> Claimed:
    [claimed] = box.claim().claimed
    return claimed


# --- moving on -----------------------------------------------------------------------------------


def test_of_two_couriers_that_read_the_same_news_one_moves_on(office: PostOffice) -> None:
    """The courier: "Compare the position: two couriers never both expand"."""
    hook = office.hook("http://127.0.0.1:9/")
    edition, _ = office.subscriptions.edition()
    other = office.another_box()
    assert office.box.move(START, "5-0", edition, [new(1, hook.id)])
    assert not other.move(START, "5-0", edition, [new(2, hook.id)])
    assert office.box.place() == "5-0"
    assert len(office.subscriptions.deliveries(hook.id, 9)) == 1


def test_a_subscription_that_comes_meanwhile_is_not_forgotten(office: PostOffice) -> None:
    """What was read before it came is read again: it may want what is moved past."""
    seen, _ = office.subscriptions.edition()
    hook = office.hook("http://127.0.0.1:9/")
    assert not office.box.move(START, "5-0", seen, [])
    office.tell()
    assert office.expand() == 1
    assert office.states(hook) == ["waiting"]


def test_every_change_of_a_subscription_raises_the_edition(office: PostOffice) -> None:
    hook = office.hook("http://127.0.0.1:9/")
    editions = [office.subscriptions.edition()[0]]
    for change in (office.subscriptions.rotate, office.subscriptions.enable):
        change(hook.id)
        editions.append(office.subscriptions.edition()[0])
    office.subscriptions.remove(hook.id)
    editions.append(office.subscriptions.edition()[0])
    assert editions == sorted(set(editions))


def test_moving_on_twice_is_moving_on_once(office: PostOffice) -> None:
    """A lost reply: the same op again changes nothing more and answers the same."""
    hook = office.hook("http://127.0.0.1:9/")
    edition, _ = office.subscriptions.edition()
    group = [new(1, hook.id, cause="c", gather_ms=5, quiet_ms=5), new(2, hook.id, cause="c")]
    assert once(office, lambda: office.box.move(START, "5-0", edition, group))
    [delivery] = office.subscriptions.deliveries(hook.id, 9)
    assert delivery.letters == 2


def test_news_that_was_cut_off_before_it_was_read_is_said(
    office: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    """Not promised, but said: the bounded stream has gone on without us."""
    office.tell()
    office.expand()
    office.tell(count=3)
    office.client.xtrim(office.keys.news, maxlen=1, approximate=False)
    office.expand()
    assert "news was cut off" in caplog.text


def test_what_a_full_outbox_has_no_room_for_is_counted(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "DELIVERIES_MAX", 3)
    from envelopes import scripts

    scripts._words.cache_clear()
    scripts._assembled.cache_clear()
    small = office.another_box()
    monkeypatch.undo()
    scripts._words.cache_clear()
    scripts._assembled.cache_clear()
    hook = office.hook("http://127.0.0.1:9/")
    edition, _ = office.subscriptions.edition()
    small.move(START, "5-0", edition, [new(number, hook.id) for number in range(5)])
    assert len(office.subscriptions.deliveries(hook.id, 9)) == 3
    assert office.store.stats()["deliveries_not_kept"] == 2


# --- claims and leases ---------------------------------------------------------------------------


def test_what_a_killed_courier_was_sending_comes_back_in_its_place(office: PostOffice) -> None:
    """A killed courier's deliveries come back, and not behind those that came later."""
    office.hook("http://127.0.0.1:9/")
    office.tell(count=6)
    office.expand()
    first = office.box.claim()
    assert len(first.claimed) == limits.DELIVERIES_AT_ONCE
    other = office.another_box()
    assert other.claim().claimed == ()
    office.pass_time(limits.DELIVERY_LEASE_MS)
    again = other.claim()
    assert [one.id for one in again.claimed] == [one.id for one in first.claimed]
    assert {one.attempt for one in again.claimed} == {2}


def test_a_late_courier_cannot_take_back_what_is_anothers_by_now(office: PostOffice) -> None:
    """A failure that is late is nobody's; a success that is late is a success."""
    hook = office.hook("http://127.0.0.1:9/")
    office.tell()
    office.expand()
    late = claim_one(office.box)
    office.pass_time(limits.DELIVERY_LEASE_MS)
    now = claim_one(office.another_box())
    assert office.box.settle(late, RETRY, 0) == "late"
    assert office.states(hook) == ["sending"]
    assert office.box.settle(late, DONE, 0) == "settled"
    assert office.states(hook) == ["done"]
    for sent in (DONE, RETRY, Sent(Verb.GONE, 410, "gone")):
        assert office.box.settle(now, sent, 0) == "late"
    assert office.states(hook) == ["done"]
    assert office.subscriptions.find(hook.id).disabled_ms is None
    assert office.box.claim().claimed == ()


def test_a_claim_whose_reply_is_lost_is_repeated(office: PostOffice) -> None:
    office.hook("http://127.0.0.1:9/")
    office.tell(count=2)
    office.expand()
    claimed = once(office, office.box.claim).claimed
    assert [one.attempt for one in claimed] == [1, 1]


def test_a_claim_that_failed_is_repeated_by_the_next_one(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.hook("http://127.0.0.1:9/")
    office.tell()
    office.expand()
    run = office.box._scripts.run

    def cut(*call: Any) -> None:
        run(*call)
        raise Cut("after the effect")

    with monkeypatch.context() as broken:
        broken.setattr(office.box._scripts, "run", cut)
        with pytest.raises(Cut):
            office.box.claim()
    assert claim_one(office.box).attempt == 1


def test_a_claim_says_when_there_is_something_to_do_next(office: PostOffice) -> None:
    """Nobody polls: the end of a lease, or the next attempt, whichever is first."""
    assert office.box.claim().next_ms is None
    office.hook("http://127.0.0.1:9/")
    office.tell()
    office.expand()
    due = office.box.claim()
    assert due.next_ms == due.now_ms + limits.DELIVERY_LEASE_MS
    office.box.settle(due.claimed[0], RETRY, 7_000)
    later = office.box.claim()
    assert later.next_ms is not None
    assert 0 < later.next_ms - later.now_ms <= 7_000


def test_settling_twice_is_settling_once(office: PostOffice) -> None:
    hook = office.hook("http://127.0.0.1:9/")
    office.tell()
    office.expand()
    claimed = claim_one(office.box)
    once(office, lambda: office.box.settle(claimed, DONE, 0))
    assert office.states(hook) == ["done"]
    assert office.store.stats()["deliveries_done"] == 1


def test_only_the_last_deliveries_are_kept(office: PostOffice) -> None:
    """The last N deliveries of each subscription, and nothing of older ones is left behind."""
    hook = office.hook("http://127.0.0.1:9/")
    count = limits.DELIVERIES_KEPT + 5
    told = office.tell(count=count)
    office.expand()
    while claimed := office.box.claim().claimed:
        for one in claimed:
            office.box.settle(one, DONE, 0)
    found = office.subscriptions.deliveries(hook.id, count)
    assert len(found) == limits.DELIVERIES_KEPT
    assert found[0].id.startswith(f"msg_{told[-1].split('-')[0]}")
    assert len(office.client.keys(office.keys.delivery("*"))) == limits.DELIVERIES_KEPT
    assert office.client.zcard(office.keys.deliveries) == 0
    assert len(office.subscriptions.deliveries(hook.id, 3)) == 3


# --- subscriptions come and go -------------------------------------------------------------------


def test_what_is_removed_leaves_nothing_and_stops_what_is_under_way(office: PostOffice) -> None:
    hook = office.hook("http://127.0.0.1:9/")
    office.tell(count=9)
    office.expand()
    under_way = office.box.claim().claimed
    office.box.settle(under_way[0], DONE, 0)
    once(office, lambda: office.subscriptions.remove(hook.id))
    assert office.box.settle(under_way[1], RETRY, 0) == "late"
    left = {key.decode() for key in office.client.keys(f"{office.keys.prefix}*")}
    assert not [key for key in left if hook.id in key]
    assert office.client.zcard(office.keys.deliveries) == 0
    with pytest.raises(NotFound):
        office.subscriptions.remove(hook.id)


def test_there_is_room_for_a_bounded_number(office: PostOffice) -> None:
    for _ in range(limits.SUBSCRIPTIONS_MAX):
        office.hook("http://127.0.0.1:9/")
    with pytest.raises(Refused, match="remove some"):
        office.hook("http://127.0.0.1:9/")


def test_two_that_replace_a_secret_at_once_do_not_both_win(office: PostOffice) -> None:
    hook = office.hook("http://127.0.0.1:9/")
    raw = office.subscriptions._raw(hook.id)
    first = office.subscriptions.rotate(hook.id)
    with pytest.raises(Refused, match="somebody else"):
        office.subscriptions._save(hook.model_copy(update={"secret": "whsec_BBBB"}), raw)
    assert office.subscriptions.find(hook.id).secret == first.secret


def test_a_notification_has_no_secret_to_replace(office: PostOffice) -> None:
    person = office.person("json://127.0.0.1:9/")
    with pytest.raises(Refused, match="no secret"):
        office.subscriptions.rotate(person.id)


@pytest.mark.parametrize("what", ["find", "rotate", "enable", "test", "remove"])
def test_what_is_not_there_is_not_found(office: PostOffice, what: str) -> None:
    with pytest.raises(NotFound, match="buckstop hooks list"):
        getattr(office.subscriptions, what)("nobody")


# --- a full server, a server that goes away ------------------------------------------------------


def test_a_full_server_refuses_every_script_as_a_whole(office: PostOffice) -> None:
    """There is no rollback: commands that only remove are allowed, so none may come first."""
    hook = office.hook("http://127.0.0.1:9/")
    office.tell(count=9)
    office.expand()
    claimed = office.box.claim().claimed
    office.pass_time(limits.DELIVERY_LEASE_MS)
    edition, _ = office.subscriptions.edition()
    place = office.box.place()
    other = office.another_box()
    before = office.snapshot()
    office.client.config_set("maxmemory", 1)
    try:
        for call in (
            lambda: office.box.move(place, "9999999999999-0", edition, [new(1, hook.id)]),
            other.claim,
            lambda: office.box.settle(claimed[0], DONE, 0),
            lambda: office.box.settle(claimed[0], RETRY, 5),
            lambda: office.box.settle(claimed[0], Sent(Verb.GONE), 0),
            lambda: office.subscriptions.remove(hook.id),
            lambda: office.subscriptions.rotate(hook.id),
            lambda: office.hook("http://127.0.0.1:9/"),
        ):
            with pytest.raises(OutOfMemoryError):
                call()
    finally:
        office.client.config_set("maxmemory", 0)
    assert office.snapshot() == before


def test_the_couriers_limits_fit_each_other() -> None:
    """An attempt ends before its lease does; one courier has room for all; retries end first."""
    assert limits.DELIVERY_S < limits.NOTIFY_S
    assert limits.NOTIFY_S * 2_000 < limits.DELIVERY_LEASE_MS
    assert limits.SUBSCRIPTIONS_MAX * limits.DELIVERIES_AT_ONCE <= 256
    assert sum(RETRIES_MS) < limits.DELIVERY_DISABLE_MS
    assert limits.NOTIFY_GATHER_S < limits.QUIET_DEFAULT_S < limits.QUIET_MAX_S


@pytest.mark.parametrize("verb", ["", "sent", "done "])
def test_an_unknown_end_is_refused(office: PostOffice, verb: str) -> None:
    with pytest.raises(Refused, match="verb"):
        office.box._scripts.run("settle_delivery", [], ["d", "t", verb, 0, "", ""])


def test_what_was_sent_is_settled_once_the_server_is_back(
    office: PostOffice, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The courier: "What was sent is settled even if the server is away for a moment"."""
    hook = office.hook(receiver.url())
    office.tell()
    settle, failures = office.box.settle, iter([Cut("away"), Cut("away")])

    def away(*call: Any) -> str:
        for failure in failures:
            raise failure
        return settle(*call)

    monkeypatch.setattr(office.box, "settle", away)
    office.deliver(turns=1)
    assert office.states(hook) == ["done"]
    assert len(receiver.heard) == 1


def test_a_fault_of_ours_stops_one_delivery_and_no_other(
    office: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    """It counts as a failed attempt, with its trace in the log."""
    first, second = (office.hook(f"http://127.0.0.1:9/{path}") for path in "ab")
    office.tell()
    office.expand()

    class Faulty:
        async def send(self, _claimed: Claimed, to: Any, _now_ms: int) -> Sent:
            if to.id == first.id:
                raise ZeroDivisionError
            return DONE

    async def run() -> None:
        senders: Any = dict.fromkeys(("webhook", "notify"), Faulty())
        courier = Courier(office.box, office.subscriptions, senders, retries_ms=())
        await courier.turn()
        await courier.drain()

    asyncio.run(run())
    assert (office.states(first), office.states(second)) == (["given_up"], ["done"])
    [delivery] = office.subscriptions.deliveries(first.id, 1)
    assert delivery.why == "our fault: ZeroDivisionError; see the courier's log"
    assert "an attempt failed by our fault" in caplog.text


def test_a_reader_that_lost_the_server_goes_on_where_it_was(
    office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The world's fault: out of the loop, into one back-off."""
    hook = office.hook("http://127.0.0.1:9/")
    office.tell(count=3)
    expander = Expander(office.box, office.subscriptions, office.news)
    turn, failures = expander.turn, iter([Cut("away"), Cut("away")])

    def away() -> int:
        for failure in failures:
            raise failure
        return turn(0)

    monkeypatch.setattr(expander, "turn", away)

    def on_deliveries() -> None:
        raise StopIteration

    with pytest.raises(StopIteration):
        expander.run(on_deliveries)
    assert office.states(hook) == ["waiting"] * 3
