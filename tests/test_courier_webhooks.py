"""Webhooks to a real receiver that fails, hangs, redirects, and is gone."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest
from post_office import PostOffice
from receiver import HANG, OK, Receiver, receiving
from standardwebhooks import Webhook, WebhookVerificationError

from envelopes import limits
from orchestrator.courier.box import Sent, Verb
from orchestrator.courier.subscription import Subscription
from tests.conftest import Fresh


@pytest.fixture
def office(fresh: Fresh) -> PostOffice:
    return PostOffice(fresh)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def test_a_webhook_is_signed_so_that_the_standard_library_verifies_it(
    office: PostOffice, receiver: Receiver
) -> None:
    """Issue: "Webhooks signed (Standard Webhooks)"."""
    hook = office.hook(receiver.url())
    [line] = office.tell()
    office.deliver()
    [heard] = receiver.heard
    said = Webhook(hook.secret).verify(heard.body, heard.headers)
    assert said == {
        "type": "letter.filed",
        "timestamp": "2096-10-02T07:06:40.000Z",
        "data": {
            "news": line,
            "letter": "t1.1",
            "task": "t1",
            "tenant": "default",
            "kind": "escalation",
            "reason": "hop_cap",
            "agent": "write",
            "why": "hop cap 12 reached",
        },
    }
    assert heard.headers["content-type"] == "application/json"
    assert office.states(hook) == ["done"]


def test_a_forged_body_or_another_secret_is_not_verified(
    office: PostOffice, receiver: Receiver
) -> None:
    """The check above can fail."""
    hook, other = office.hook(receiver.url("/a")), office.hook(receiver.url("/b"))
    office.tell()
    office.deliver()
    heard = next(one for one in receiver.heard if one.path == "/a")
    with pytest.raises(WebhookVerificationError):
        Webhook(other.secret).verify(heard.body, heard.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook.secret).verify(heard.body.replace(b"write", b"wrote"), heard.headers)


def test_while_a_secret_is_replaced_both_sign(office: PostOffice, receiver: Receiver) -> None:
    """Two secrets valid for a day: two signatures; then the old one is worth nothing."""
    old = office.hook(receiver.url())
    new = office.subscriptions.rotate(old.id)
    assert new.secret != old.secret
    office.tell()
    office.deliver()
    first = receiver.heard[0]
    for secret in (old.secret, new.secret):
        Webhook(secret).verify(first.body, first.headers)
    office.catch_up()  # the end of the old one is set by whoever replaces it
    office.pass_time(limits.HOOK_ROTATION_MS)
    office.tell()
    office.deliver()
    assert len(receiver.heard[1].headers["webhook-signature"].split()) == 1


def test_a_failed_webhook_is_sent_again_under_the_same_id(
    office: PostOffice, receiver: Receiver
) -> None:
    """500, then 200: the same id and the same body, so that a receiver can tell."""
    receiver.answers["/"] = [500, 503, OK]
    hook = office.hook(receiver.url())
    office.tell()
    office.deliver()
    assert [one.answered for one in receiver.heard] == [500, 503, OK]
    assert len({(one.id, one.body) for one in receiver.heard}) == 1
    [delivery] = office.subscriptions.deliveries(hook.id, 10)
    assert (delivery.state, delivery.attempts, delivery.status) == ("done", 3, OK)
    assert office.subscriptions.find(hook.id).failing_ms is None


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_success(office: PostOffice, receiver: Receiver, status: int) -> None:
    receiver.answers["/"] = [status]
    hook = office.hook(receiver.url())
    office.tell()
    office.deliver()
    assert office.states(hook) == ["done"]


def test_after_the_last_attempt_it_is_given_up_and_counted(
    office: PostOffice, receiver: Receiver
) -> None:
    """Contract: "then given up and counted"; here after three more attempts."""
    receiver.answers["/"] = [500]
    hook = office.hook(receiver.url())
    office.tell()
    office.deliver()
    [delivery] = office.subscriptions.deliveries(hook.id, 10)
    assert (delivery.state, delivery.attempts) == ("given_up", 4)
    assert delivery.why == "it answered 500"
    assert office.store.stats()["deliveries_given_up"] == 1
    assert office.subscriptions.find(hook.id).failing_ms is not None


def test_redirects_are_not_followed(office: PostOffice, receiver: Receiver) -> None:
    """A redirect would lead past the guard."""
    receiver.answers["/"], receiver.headers["location"] = [307], receiver.url("/elsewhere")
    hook = office.hook(receiver.url())
    office.tell()
    office.deliver()
    assert {one.path for one in receiver.heard} == {"/"}
    [delivery] = office.subscriptions.deliveries(hook.id, 10)
    assert delivery.status == 307
    assert "redirects are not followed" in delivery.why


def test_410_disables_the_receiver_and_says_so(office: PostOffice, receiver: Receiver) -> None:
    """Standard Webhooks: 410 Gone means that nobody is to send there any more."""
    receiver.answers["/"] = [410]
    gone, other = office.hook(receiver.url()), office.hook(receiver.url("/other"))
    told = office.hook(receiver.url("/told"), events=("subscription.disabled",))
    office.tell(count=3)
    office.deliver()
    found = office.subscriptions.find(gone.id)
    assert found.disabled_ms is not None
    assert "410" in found.why
    assert office.states(other) == ["done"] * 3
    before = len(receiver.heard)
    office.tell()
    office.deliver()
    later = [one for one in receiver.heard[before:] if one.path != "/other"]
    assert [one.path for one in later] == ["/told"]
    assert json.loads(later[0].body)["data"]["subscription"] == gone.id
    assert office.states(told) == ["done"]


def test_a_receiver_that_takes_nothing_for_days_is_disabled(
    office: PostOffice, receiver: Receiver
) -> None:
    """Contract: "endpoint disabled after 5 days of nothing but failure"; one success ends that."""
    receiver.answers["/"] = [500]
    hook = office.hook(receiver.url())
    for days in (0, 4):
        office.pass_time(days * 24 * 3_600_000)
        office.tell()
        office.deliver()
    assert office.subscriptions.find(hook.id).disabled_ms is None
    office.pass_time(24 * 3_600_000)
    office.tell(count=10)
    office.deliver()
    found = office.subscriptions.find(hook.id)
    assert found.disabled_ms is not None
    assert "it answered 500" in found.why
    assert office.client.zcard(office.keys.outbox(hook.id)) == 0


def test_one_success_ends_the_days_of_failure(office: PostOffice, receiver: Receiver) -> None:
    receiver.answers["/"] = [500, 500, 500, 500, OK, 500]
    hook = office.hook(receiver.url())
    for _ in range(3):
        office.tell()
        office.deliver()
        office.pass_time(limits.DELIVERY_DISABLE_MS // 2)
    assert office.subscriptions.find(hook.id).disabled_ms is None


def test_a_disabled_receiver_can_be_tried_and_enabled(
    office: PostOffice, receiver: Receiver
) -> None:
    receiver.answers["/"] = [410, OK]
    hook = office.hook(receiver.url())
    office.tell()
    office.deliver()
    office.subscriptions.test(hook.id)
    office.deliver()
    assert [json.loads(one.body)["type"] for one in receiver.heard] == [
        "letter.filed",
        "subscription.test",
    ]
    assert office.subscriptions.find(hook.id).disabled_ms is not None
    assert office.subscriptions.enable(hook.id).disabled_ms is None
    office.tell()
    office.deliver()
    assert len(receiver.heard) == 3


def test_a_busy_receiver_is_left_alone_for_as_long_as_it_asks(
    office: PostOffice, receiver: Receiver
) -> None:
    """429 and Retry-After: no earlier, and bounded."""
    receiver.answers["/"], receiver.headers["retry-after"] = [429, OK], "120"
    hook = office.hook(receiver.url())
    office.tell()
    office.deliver()
    office.pass_time(119_000)
    office.deliver()
    assert office.states(hook) == ["waiting"]
    office.pass_time(2_000)
    office.deliver()
    assert office.states(hook) == ["done"]


def test_a_receiver_that_hangs_delays_nobody_and_is_not_flooded(
    office: PostOffice, receiver: Receiver
) -> None:
    """One slow endpoint never delays others: it has a bounded number under way, others theirs."""
    receiver.answers["/slow"] = [HANG]
    slow, quick = office.hook(receiver.url("/slow")), office.hook(receiver.url("/quick"))
    office.tell(count=20)
    office.expand()
    first = office.box.claim()
    assert len(first.claimed) == 2 * limits.DELIVERIES_AT_ONCE
    for claimed in first.claimed:
        assert claimed.attempt == 1
    by_hand = office.another_box()
    assert by_hand.claim().claimed == ()
    office.pass_time(limits.DELIVERY_LEASE_MS)
    asyncio.run(delivered(office, quick, receiver))
    assert list(receiver.taken("/quick").values()) == [1] * 20
    flood = sum(one.path == "/slow" for one in receiver.heard)
    assert flood <= limits.DELIVERIES_AT_ONCE
    assert "done" not in office.states(slow)


async def delivered(office: PostOffice, quick: Subscription, receiver: Receiver) -> None:
    """Deliver all to one receiver while another hangs, which is let go of only then."""
    with ThreadPoolExecutor(16) as threads:
        async with aclosing(office.webhooks(threads)) as webhooks:
            courier = office.courier(webhooks, threads)
            while set(office.states(quick)) != {"done"}:
                await courier.turn()
                await asyncio.sleep(0.01)
            receiver.let_go.set()
            await courier.drain()


def test_a_receiver_that_drips_its_answer_is_cut_off_in_time(office: PostOffice) -> None:
    """10 s are for all of it: a byte now and then does not make it longer, or this never ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        over = threading.Event()

        def drip() -> None:
            with listening.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.05):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        hook = office.hook(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        office.tell()
        office.deliver(timeout_s=0.5, turns=1)
        over.set()
        thread.join()
    [delivery] = office.subscriptions.deliveries(hook.id, 1)
    assert delivery.why == "no answer within 0.5 s"


def test_nobody_there_is_a_failure_with_a_reason(office: PostOffice) -> None:
    hook = office.hook("http://127.0.0.1:9/")
    office.tell()
    office.deliver()
    [delivery] = office.subscriptions.deliveries(hook.id, 1)
    assert delivery.state == "given_up"
    assert delivery.why.startswith("no answer: ")


def test_deliveries_are_begun_in_the_order_of_the_news(
    office: PostOffice, receiver: Receiver
) -> None:
    """The courier: "Deliveries of one subscription are begun in the order of the news"."""
    hook = office.hook(receiver.url())
    told = office.tell(count=50)
    office.expand()
    begun = []
    while claimed := office.box.claim().claimed:
        begun += [json.loads(one.body)["data"]["news"] for one in claimed]
        for one in claimed:
            office.box.settle(one, Sent(Verb.DONE), 0)
    assert begun == told
    assert office.states(hook) == ["done"] * 50


def test_no_secret_is_in_what_is_logged_listed_or_kept_of_a_delivery(
    office: PostOffice, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Secrets never appear in logs, news or list output: shown once, masked afterwards."""
    caplog.set_level("DEBUG")
    url = receiver.url("/in?token=s3cret-in-the-query")
    hook = office.hook(url)
    receiver.answers["/in?token=s3cret-in-the-query"] = [500, 307, 410]
    office.tell()
    office.deliver()
    news = office.client.xrange(office.keys.news)
    shown = (hook.as_json(), repr(hook), office.subscriptions.deliveries(hook.id, 9), news)
    for text in (caplog.text, *map(repr, shown)):
        assert "s3cret" not in text
        assert hook.secret not in text
        assert hook.secret.removeprefix("whsec_") not in text
    assert hook.shown_once()["secret"] == hook.secret
