"""Notifications: one message for a cause, in words that help, with nothing hostile in them."""

import json
import logging
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from post_office import PostOffice
from receiver import HANG, OK, Receiver, receiving
from worlds import commit, submission

from envelopes import limits
from orchestrator import log
from orchestrator.courier.apprise_held import hold
from orchestrator.courier.causes import cause_of
from orchestrator.courier.wording import Occasion, message, plain
from orchestrator.news import News
from orchestrator.store import LetterFiled
from tests.conftest import Fresh

QUIET_MS = limits.QUIET_DEFAULT_S * 1000
GATHER_MS = limits.NOTIFY_GATHER_S * 1000


@pytest.fixture
def office(fresh: Fresh) -> PostOffice:
    return PostOffice(fresh)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """Log as the courier does, and more of it."""
    root, stream = logging.getLogger(), StringIO()
    before, level = list(root.handlers), root.level
    log.start(logging.DEBUG, stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def slack(receiver: Receiver) -> str:
    """Name a service that Apprise knows, and that keeps what it is told."""
    return f"json://127.0.0.1:{receiver.port}/"


def said(receiver: Receiver) -> list[tuple[str, str]]:
    told = [json.loads(one.body) for one in receiver.heard]
    return [(one["title"], one["message"]) for one in told]


def titles(receiver: Receiver) -> list[str]:
    return [title for title, _ in said(receiver)]


# --- grouping ------------------------------------------------------------------------------------


def test_500_letters_of_one_cause_are_one_message_and_at_most_one_summary(
    office: PostOffice, receiver: Receiver
) -> None:
    """Issue: "with quiet grouping: 500 letters of one cause are one message"."""
    person = office.person(slack(receiver))
    office.tell(count=500)
    office.deliver()
    assert receiver.heard == []
    office.pass_time(GATHER_MS)
    office.deliver()
    assert titles(receiver) == ["500 letters: hop_cap at write"]
    office.pass_time(10 * QUIET_MS)
    office.deliver()
    assert len(receiver.heard) == 1
    assert office.states(person) == ["done"]


def test_what_comes_after_the_message_is_summed_up_once_the_quiet_is_over(
    office: PostOffice, receiver: Receiver
) -> None:
    """Contract: one message "3 letters", then quiet, "then one 'and 497 more'"."""
    office.person(slack(receiver))
    office.tell(count=3)
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver()
    for _ in range(7):
        office.tell(count=71)
        office.deliver()
        office.pass_time(QUIET_MS // 10)
    assert titles(receiver) == ["3 letters: hop_cap at write"]
    office.pass_time(QUIET_MS)
    office.deliver()
    assert titles(receiver)[1:] == ["and 497 more letters: hop_cap at write"]
    office.pass_time(2 * QUIET_MS)
    office.tell()
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver()
    assert titles(receiver)[2:] == ["1 letter: hop_cap at write"]


def test_two_causes_are_two_messages(office: PostOffice, receiver: Receiver) -> None:
    """Kind, reason, agent and tenant tell causes apart."""
    office.person(slack(receiver))
    others: Sequence[dict[str, str]] = (
        {"reason": "deadline"},
        {"agent": "read"},
        {"kind": "question"},
        {"tenant": "acme"},
    )
    for other in ({}, *others, {}):
        office.tell(**other)
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver()
    assert sorted(titles(receiver)) == [
        "1 letter: deadline at write",
        "1 letter: hop_cap at read",
        "1 letter: hop_cap at write",
        "1 letter: hop_cap at write",
        "2 letters: hop_cap at write",
    ]


def test_a_subscription_hears_of_its_kinds_and_its_tenant_only(
    office: PostOffice, receiver: Receiver
) -> None:
    """Issue: "Notifications through Apprise ... per kind and tenant"."""
    office.person(slack(receiver), kinds=["question"], tenant="acme")
    office.tell(kind="question")
    office.tell(tenant="acme")
    office.tell(kind="question", tenant="acme", reason="asks")
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver()
    assert titles(receiver) == ["1 letter: asks at write"]


def test_while_the_service_is_away_the_message_grows(
    office: PostOffice, receiver: Receiver
) -> None:
    """A late message tells of all that has come meanwhile, and there is still one."""
    receiver.answers["/"] = [500, OK]
    person = office.person(slack(receiver))
    office.tell()
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver(turns=1)
    office.tell(count=4)
    office.deliver()
    assert titles(receiver) == ["1 letter: hop_cap at write", "5 letters: hop_cap at write"]
    [delivery] = office.subscriptions.deliveries(person.id, 9)
    assert (delivery.state, delivery.attempts, delivery.letters) == ("done", 2, 5)


def test_a_failure_names_the_status_and_no_secret(
    office: PostOffice, receiver: Receiver, logged: StringIO
) -> None:
    """What Apprise says may repeat its URL; nothing of it is kept but the status."""
    receiver.answers["/t0ken"] = [403]
    person = office.person(f"json://us3r:passw0rd@127.0.0.1:{receiver.port}/t0ken")
    office.subscriptions.test(person.id)
    office.deliver()
    [delivery] = office.subscriptions.deliveries(person.id, 9)
    assert (delivery.status, delivery.why) == (403, "it answered 403")
    assert "given_up" in logged.getvalue()
    shown = (person.as_json(), person.shown_once(), person, delivery, logged.getvalue())
    for text in map(repr, shown):
        assert not re.search("us3r|passw0rd|t0ken", text)


def test_a_service_that_hangs_is_cut_off(office: PostOffice, receiver: Receiver) -> None:
    """One slow service never delays others: an attempt has an end."""
    receiver.answers["/"] = [HANG]
    person = office.person(slack(receiver))
    office.subscriptions.test(person.id)
    office.deliver(timeout_s=0.5, turns=1)
    [delivery] = office.subscriptions.deliveries(person.id, 9)
    assert (delivery.state, delivery.why) == ("waiting", "not taken within 0.5 s")


def test_a_name_that_leads_elsewhere_once_it_was_checked_leads_nowhere(
    fresh: Fresh, receiver: Receiver
) -> None:
    """apprise_url.py: "as it is Apprise that connects then, each ... is judged once more"."""
    office = PostOffice(fresh, lambda _host, _port: ["93.184.216.34"])
    hook = office.person(f"json://localhost:{receiver.port}/", allow_private=False)
    office.subscriptions.test(hook.id)
    office.deliver()
    assert receiver.heard == []
    (delivery,) = office.subscriptions.deliveries(hook.id, 10)
    assert re.search(r"leads to (127\.0\.0\.1|::1) by now, which only we can reach", delivery.why)


def test_whoever_calls_no_held_service_connects_as_before(receiver: Receiver) -> None:
    """The guard is about notifications: Redis stands inside, and is asked by other threads."""
    held = hold(SimpleNamespace(notify=lambda: None), environ=dict)
    with socket.create_connection(("127.0.0.1", receiver.port)):
        assert held.refused is None


@pytest.mark.parametrize(
    ("proxies", "reached"), [({}, False), ({"https": "http://127.0.0.1:3128"}, True)]
)
def test_a_proxy_that_the_operator_has_named_is_asked(
    receiver: Receiver, proxies: dict[str, str], *, reached: bool
) -> None:
    """apprise_held.py: "A proxy that the environment names is let pass"."""

    def connect() -> bool:
        with suppress(ConnectionRefusedError), socket.create_connection(here):
            return True
        return False

    here = ("127.0.0.1", receiver.port)
    service = SimpleNamespace(notify=connect)
    held = hold(service, environ=lambda: proxies)
    assert service.notify() is reached
    assert (held.refused is None) is reached


def test_a_socket_of_this_machine_is_no_service(tmp_path: Path) -> None:
    """The same for whatever is no address at all."""
    name = str(tmp_path / "here")
    service = SimpleNamespace(notify=lambda: socket.socket(socket.AF_UNIX).connect(name))
    held = hold(service, environ=dict)
    with pytest.raises(ConnectionRefusedError, match="a socket of this machine"):
        service.notify()
    assert held.refused is not None


def test_redirects_of_a_service_are_not_followed(office: PostOffice, receiver: Receiver) -> None:
    """Not even where its URL asks for it."""
    receiver.answers["/"], receiver.headers["location"] = [307], receiver.url("/inside")
    person = office.person(f"{slack(receiver)}?redirect=yes")
    office.subscriptions.test(person.id)
    office.deliver()
    assert {one.path for one in receiver.heard} == {"/"}
    assert office.states(person) == ["given_up"]


# --- letters that are there ----------------------------------------------------------------------


def file_letter(office: PostOffice, number: int, **more: Any) -> int:
    """File a letter as an orchestrator does, and return when it is due."""
    task, due_ms = f"t{number}", int(time.time() * 1000) + 3_600_000 * number
    office.store.submit(submission(task))
    story = json.dumps({"if_nobody_decides": "abort"}).encode()
    plain_ = {"kind": "escalation", "why": "hop cap 12 reached", "due_ms": due_ms, "story": story}
    letter = LetterFiled(f"{task}/1", **(plain_ | {"reason": "hop_cap", "agent": "write"} | more))
    assert office.store.commit([commit(1, "filed", task, letter=letter)]) == [True]
    return due_ms


def test_a_message_says_what_why_how_many_when_and_what_to_do(
    office: PostOffice, receiver: Receiver
) -> None:
    """What happened, why, how many, due when, the command and the link."""
    office.person(slack(receiver))
    due_ms = file_letter(office, 1)
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver()
    [(title, body)] = said(receiver)
    assert title == "1 letter: hop_cap at write"
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(due_ms / 1000))
    assert body.split("\n") == [
        "1 letter waits for a person: escalation, hop_cap at write.",
        "Why: hop cap 12 reached",
        f"Due: {moment}; if nobody decides by then: abort.",
        "Look: buckstop letters show t1/1",
        "https://desk.example/desk/t1%2F1",
        "Tenant: default",
    ]


def test_a_message_of_many_says_when_the_first_is_due_and_lists_them_all(
    office: PostOffice, receiver: Receiver
) -> None:
    office.person(slack(receiver))
    first, *_ = [file_letter(office, number) for number in (1, 2, 3)]
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver()
    [(_, body)] = said(receiver)
    moment = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(first / 1000))
    assert f"Due: the first {moment}; " in body
    look = "Look: buckstop letters --kind escalation --reason hop_cap --agent write"
    assert look in body.split("\n")


def test_a_letter_filed_as_unread_is_told_of_under_its_own_reason(
    office: PostOffice, receiver: Receiver
) -> None:
    """A message that was set aside is read a moment later; nobody needs to know of both."""
    person = office.person(slack(receiver))
    more = {"letter": "m1", "kind": "undeliverable", "task": ""}
    office.tell(reason="unread", **more)
    office.client.hset(office.keys.letter("m1"), mapping={"reason": "bad_seal", "queue": "q"})
    office.tell("letter.refiled", reason="bad_seal", **more)
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver()
    assert titles(receiver) == ["1 letter: bad_seal at write"]
    assert sorted(office.states(person)) == ["done", "moot"]


# --- words ---------------------------------------------------------------------------------------


def occasion(event: str, count: int = 1, **facts: str) -> Occasion:
    return Occasion(event, facts, count, more=False, console="https://desk.example/")


@pytest.mark.parametrize(
    ("told", "title", "line"),
    [
        (occasion("task.ended", outcome="aborted", stop_reason="deadline", task="t1"),
         "1 task aborted", "https://desk.example/tasks/t1"),
        (occasion("task.accepted", count=2, task="t1"), "2 tasks accepted",
         "Look: buckstop show t1"),
        (occasion("letter.decided", verb="retry", by="ann", letter="t1/1"),
         "1 letter decided: retry by ann", "https://desk.example/desk/t1%2F1"),
        (occasion("subscription.disabled", subscription="abc", why="410"),
         "Subscription abc is disabled", "Why: 410"),
        (occasion("subscription.test"), "A test of Buckstop", None),
    ],
)  # fmt: skip
def test_every_event_has_words(told: Occasion, title: str, line: str | None) -> None:
    said = message(told)
    assert said.title == title
    assert line is None or line in said.body.split("\n")


def test_hostile_text_is_cut_and_means_nothing_to_any_service() -> None:
    """Agent text is hostile: no mention of everybody, no link, no markup, nothing unseen."""
    evil = "<!channel> @everyone [pay](https://evil.example) `x` *b* ~s~ |h| \u202eabc\x1b[31m\0 #t"
    said = plain(evil, 500)
    assert not re.search(r"[<>@`*\[\]|~#\\&]|://|[\x00-\x1f]|\u202e", said)
    assert plain("x" * 1000, 300) == "x" * 299 + "…"
    assert plain("hop_cap") == "hop_cap"


@settings(deadline=None)
@given(st.text())
def test_whatever_is_said_stays_on_one_line_within_its_bound(text: str) -> None:
    said = plain(text, 40)
    assert len(said) <= 40
    assert len(said.splitlines()) <= 1
    assert not re.search(r"[<>@`*\[\]|~#\\&]|://", said)


def test_a_hostile_letter_cannot_write_a_line_of_its_own(
    office: PostOffice, receiver: Receiver
) -> None:
    """All of it is one line of ours, cut."""
    office.person(slack(receiver))
    office.tell(why="a\nDue: never\n<!channel> https://evil.example " + "x" * 5000)
    office.expand()
    office.pass_time(GATHER_MS)
    office.deliver()
    [(_, body)] = said(receiver)
    assert len(body) < 2 * limits.NOTIFY_WHY_CHARS + 200
    assert not any(line.startswith("Due:") for line in body.split("\n"))
    assert "evil.example" not in re.findall(r"https?://[^/\s]+", body)
    assert re.findall(r"https?://[^/\s]+", body) == ["https://desk.example"]


def test_refiled_letters_are_of_the_cause_they_turned_out_to_be() -> None:
    fields = {"kind": "forged", "reason": "bad_seal", "agent": "a", "tenant": "t"}
    filed, refiled = (News("1-0", f"letter.{how}", fields) for how in ("filed", "refiled"))
    assert cause_of(filed) == cause_of(refiled)
