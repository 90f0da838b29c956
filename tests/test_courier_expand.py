"""Who is told what: a pure function, tested by itself; and how a webhook is signed."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from envelopes.letter import LetterKind
from orchestrator.courier.delivery import delivery_id
from orchestrator.courier.expand import expand
from orchestrator.courier.signing import new_secret, signed
from orchestrator.courier.subscription import TEST, Subscription, SubscriptionKind, Told
from orchestrator.news import News


def hook(**more: Any) -> Subscription:
    plain: dict[str, Any] = {
        "id": "h1", "kind": SubscriptionKind.WEBHOOK, "url": "https://x.example/",
        "events": (Told.TASK_ENDED, Told.LETTER_FILED), "kinds": None, "tenant": None,
        "quiet_s": 60, "allow_private": False, "created_ms": 1_000, "secret": "whsec_AAAA",
    }  # fmt: skip
    return Subscription(**(plain | more))


def person(**more: Any) -> Subscription:
    return hook(**({"id": "p1", "kind": SubscriptionKind.NOTIFY, "url": "json://x"} | more))


def news(event: str = "letter.filed", line: str = "2000-0", **fields: str) -> News:
    plain = {"at_ms": "2000", "task": "t1", "tenant": "acme", "letter": "t1/1", "kind": "question"}
    return News(line, event, plain | fields)


def told(line: News, *subscriptions: Subscription) -> list[str]:
    return [one.subscription for one in expand([line], subscriptions)]


# --- who -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subscription", "line", "is_told"),
    [
        (hook(), news(), True),
        (hook(), news("task.ended"), True),
        (hook(), news("task.accepted"), False),
        (hook(), news("letter.decided"), False),
        (hook(), news("letter.refiled"), True),
        (hook(events=(Told.TASK_ENDED,)), news("letter.refiled"), False),
        (hook(), news("something.new"), False),
        (hook(tenant="acme"), news(), True),
        (hook(tenant="other"), news(), False),
        (hook(kinds=(LetterKind.QUESTION,)), news(), True),
        (hook(kinds=(LetterKind.POISON,)), news(), False),
        (hook(kinds=(LetterKind.POISON,)), news("task.ended", kind=""), True),
        (hook(created_ms=2_000), news(), True),
        (hook(created_ms=2_001), news(), False),
        (hook(disabled_ms=1_500), news(), False),
        (hook(), news(TEST, subscription="h1"), True),
        (hook(disabled_ms=1_500), news(TEST, subscription="h1"), True),
        (hook(), news(TEST, subscription="h2"), False),
    ],
)
def test_a_subscription_is_told_what_it_asked_for_and_nothing_else(
    subscription: Subscription,
    line: News,
    is_told: bool,  # noqa: FBT001 -- a column of the table
) -> None:
    assert told(line, subscription) == (["h1"] if is_told else [])


def test_deliveries_come_in_the_order_of_the_news() -> None:
    lines = [news(line=f"2000-{number}") for number in range(12)]
    found = expand(lines, [hook(), person()])
    assert [json.loads(one.body)["data"]["news"] for one in found[::2]] == [n.id for n in lines]
    assert [one.id for one in found[::2]] == sorted(one.id for one in found[::2])


@settings(deadline=None)
@given(st.integers(0, 2**48), st.integers(0, 10**6 - 1))
def test_the_same_news_is_always_the_same_delivery(at_ms: int, number: int) -> None:
    """`webhook-id` is stable, whoever expands the news, and how often."""
    line = f"{at_ms}-{number}"
    assert delivery_id(line, "h1") == delivery_id(line, "h1") != delivery_id(line, "h2")
    assert "." not in delivery_id(line, "h1")


# --- what ----------------------------------------------------------------------------------------


def test_a_payload_has_type_timestamp_and_data_and_only_what_applies() -> None:
    """Standard Webhooks: {type, timestamp, data}; small: ids and facts."""
    [delivery] = expand([news(why="", reason="asks")], [hook()])
    assert json.loads(delivery.body) == {
        "type": "letter.filed",
        "timestamp": "1970-01-01T00:00:02.000Z",
        "data": {
            "news": "2000-0",
            "task": "t1",
            "tenant": "acme",
            "letter": "t1/1",
            "kind": "question",
            "reason": "asks",
        },
    }
    assert (delivery.about, delivery.letter) == ("t1/1", "t1/1")


def test_people_are_told_by_cause_and_programs_of_each() -> None:
    of_hook, of_person = expand([news()], [hook(), person()])
    assert (of_hook.cause, of_hook.gather_ms, of_hook.quiet_ms) == ("", 0, 0)
    assert of_person.cause
    assert of_person.quiet_ms == 60_000
    [test] = expand([news(TEST, subscription="p1")], [person()])
    assert test.cause == ""


@settings(deadline=None)
@given(st.text(), st.text())
def test_a_strangers_text_is_told_as_it_is_and_groups_by_itself(one: str, other: str) -> None:
    lines = [news(reason=one), news(reason=other)]
    first, second = expand(lines, [person()])
    assert (first.cause == second.cause) == (one == other)
    assert json.loads(first.body)["data"].get("reason", "") == one


# --- signing -------------------------------------------------------------------------------------


def test_a_signature_is_the_one_of_the_specification() -> None:
    """The example that Standard Webhooks' libraries are tested with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330_000, body, [secret])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secrets_are_never_the_same_and_verify() -> None:
    secrets = {new_secret() for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        headers = signed("msg_1", int(time.time() * 1000), b"{}", [secret])
        Webhook(secret).verify(b"{}", dict(headers))
