"""What a client shows page by page and at one look, and what it says of an amendment beforehand."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from envelopes import Refused, limits
from envelopes.decision import Decision, Verb
from envelopes.seal import Signer
from orchestrator.client import Buckstop, NotFound
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.wanted import Page, Stage, TasksWanted, Wanted
from orchestrator.wire import Wire
from tests.conftest import Fresh
from tests.hands import Hand

SOON: dict[str, Any] = {
    "goal": "be late",
    "agent": "nobody",
    "budget": {"calls": 10},
    "timeout": 0.001,
    "at_cap": "escalate",
    "until": {"kind": "plan_done"},
}
LATER = {**SOON, "timeout": "1h"}
SCHEMA = {
    "type": "object",
    "required": ["answer"],
    "properties": {"answer": {"type": "string"}, "sources": {"items": {"type": "string"}}},
}
PREDICATES = [
    {"at": "/answer", "must": "contain", "value": "euro"},
    {"at": "/sources", "must": "have_at_least", "value": 2},
]


@pytest.fixture
def buckstop(fresh: Fresh) -> Iterator[Buckstop]:
    settings = Settings(fresh.url, "the test", fresh.keys.prefix)
    with Buckstop(settings=settings) as connected:
        yield connected


@pytest.fixture
def loop(fresh: Fresh) -> Orchestrator:
    return Orchestrator(Store(fresh.client, fresh.keys), Wire(Signer(b"k" * 32), fresh.keys))


def escalated(buckstop: Buckstop, loop: Orchestrator, **more: object) -> str:
    """Bring a task to the desk by its deadline and return its letter."""
    task = buckstop.submit(**{**SOON, **more})
    time.sleep(0.002)  # its deadline passes
    while (letter := task.status().letter) is None:
        loop.turn(idle_ms_max=1)
    return letter


# --- pages ---------------------------------------------------------------------------------------


def test_pages_of_tasks_join_to_the_whole_list(buckstop: Buckstop) -> None:
    """The issue: "list with cursors"."""
    ids = [buckstop.submit(LATER).id for _ in range(5)]
    pages, before = list[Page[Any]](), None
    while not pages or before:
        page = buckstop.tasks(2, before)
        pages, before = [*pages, page], page.next
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert sorted(view.id for page in pages for view in page.items) == sorted(ids)


@pytest.mark.parametrize("count", [4, 5, 100])
def test_the_last_page_says_that_it_is_the_last(buckstop: Buckstop, count: int) -> None:
    """A reader never follows a cursor to an empty page."""
    for _ in range(4):
        buckstop.submit(LATER)
    page = buckstop.tasks(count)
    assert (len(page.items), page.next) == (4, None)
    assert buckstop.tasks(0) == Page([], None)


def test_tasks_are_shown_by_stage_and_tenant(buckstop: Buckstop, loop: Orchestrator) -> None:
    """The issue: "tasks (filter, live)"."""
    letter = escalated(buckstop, loop)
    other = buckstop.submit({**LATER, "tenant": "acme"})
    wanted = TasksWanted(Stage.ON_DESK)
    assert [view.letter for view in buckstop.tasks(wanted=wanted).items] == [letter]
    assert [view.id for view in buckstop.tasks(wanted=TasksWanted(tenant="acme")).items] == [
        other.id
    ]
    assert buckstop.tasks(wanted=replace(wanted, tenant="acme")).items == []


def test_a_task_whose_record_has_expired_leaves_no_hole_in_the_pages(
    buckstop: Buckstop, fresh: Fresh
) -> None:
    """It is forgotten in the indexes a moment later; until then pages are shorter, not fewer."""
    for _ in range(3):
        buckstop.submit(LATER)
    newest, middle, oldest = (place.id for place in buckstop.store.find_tasks())
    fresh.client.delete(fresh.keys.task(middle))
    first = buckstop.tasks(2)
    assert [view.id for view in first.items] == [newest]
    assert [view.id for view in buckstop.tasks(2, first.next).items] == [oldest]


def test_pages_of_letters_join_to_the_whole_list(buckstop: Buckstop, loop: Orchestrator) -> None:
    letters = [escalated(buckstop, loop) for _ in range(3)]
    wanted = Wanted(kind="escalation")
    first = buckstop.letters(2, wanted=wanted)
    second = buckstop.letters(2, first.next, wanted)
    assert [each["id"] for each in first.items + second.items] == letters[::-1]
    assert second.next is None


# --- one letter, one look ------------------------------------------------------------------------


def test_a_letter_says_what_happens_if_nobody_decides(
    buckstop: Buckstop, loop: Orchestrator, fresh: Fresh
) -> None:
    """The issue: "due time and what happens then"; for a message as for a task."""
    claims = Hand(fresh.client, fresh.keys, "a").claims
    message = claims.quarantine("unsigned", "forged", fresh.keys.queue("a"), b"raw", "why", None)
    found = buckstop.letter(message)
    assert found["due_ms"] == found["filed_ms"] + limits.MESSAGE_LETTER_MS
    assert (found["if_nobody_decides"], found["story"]) == ("discard", None)
    asked = buckstop.letter(escalated(buckstop, loop, desk_default="abort"))
    assert asked["if_nobody_decides"] == asked["story"]["if_nobody_decides"] == "abort"


def test_a_decision_says_when_it_was_made(buckstop: Buckstop, fresh: Fresh) -> None:
    """Whoever comes second is told who was first, and when."""
    claims = Hand(fresh.client, fresh.keys, "a").claims
    letter = claims.quarantine("unsigned", "forged", fresh.keys.queue("a"), b"raw", "why", None)
    first = buckstop.decide(Decision(letter=letter, verb=Verb.DISCARD, by="ann"))
    second = buckstop.decide(Decision(letter=letter, verb=Verb.REPLAY, by="bob"))
    at_ms = buckstop.letter(letter)["decided_ms"]
    assert (first.first, second.first) == (True, False)
    assert first.decided_ms == second.decided_ms == at_ms


def test_a_client_sees_everything_at_one_look(buckstop: Buckstop, loop: Orchestrator) -> None:
    escalated(buckstop, loop)
    buckstop.submit(LATER)
    seen = buckstop.overview()
    assert (seen.open, seen.on_desk, seen.letters) == (1, 1, 1)
    assert seen.letters_by_kind == {"escalation": 1}


# --- what would be refused of an amendment -------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "at"),
    [
        ({"answer": "12 euro", "sources": ["a", "b"]}, []),
        ({"answer": "12 euro", "sources": ["a"]}, ["/sources"]),
        ({"answer": 12, "sources": ["a", 7]}, ["/answer", "/sources/1", "/answer"]),
        ({"sources": ["a", "b"]}, ["", "/answer"]),
        ("text", ["", "/answer", "/sources"]),
        (None, [""]),
        (float("nan"), [""]),
        ({"answer": "euro" + "x" * limits.ENVELOPE_BYTES_MAX}, [""]),
    ],
)
def test_every_fault_of_an_amendment_is_told_and_nothing_is_decided(
    buckstop: Buckstop, loop: Orchestrator, result: Any, at: list[str]
) -> None:
    """The issue: `amend` is "validated against the task's schema before it is accepted"."""
    letter = escalated(buckstop, loop, result_schema=SCHEMA, predicates=PREDICATES)
    before = buckstop.letter(letter)
    faults = buckstop.check_amendment(letter, result)
    assert sorted(place for place, _ in faults) == sorted(at)
    assert all(detail for _, detail in faults)
    assert buckstop.letter(letter) == before


@pytest.mark.parametrize("result", [{"answer": "1 euro", "sources": ["a", "b"]}, {"answer": "no"}])
def test_what_is_told_beforehand_is_what_the_owner_says(
    buckstop: Buckstop, loop: Orchestrator, result: Any
) -> None:
    """No page may call good what the owner then refuses, nor the other way round."""
    letter = escalated(buckstop, loop, result_schema=SCHEMA, predicates=PREDICATES)
    faults = buckstop.check_amendment(letter, result)
    task_id = letter.partition(".")[0]
    amend = Decision(letter=letter, verb=Verb.AMEND, by="ann", result=result)
    buckstop.store.post(task_id, f"decide\n{amend.model_dump_json()}".encode(), "op")
    loop.turn(idle_ms_max=1)
    assert (buckstop.letter(letter)["state"] == "open") == bool(faults)
    said = buckstop.task(task_id).show().journal[-1]["text"]
    assert any(detail in said for _, detail in faults) == bool(faults)


def test_a_schema_that_cannot_be_applied_is_a_fault_of_every_amendment(
    buckstop: Buckstop, loop: Orchestrator
) -> None:
    """A schema can refer to itself for ever; it must not break the page either."""
    letter = escalated(buckstop, loop, result_schema={"$ref": "#/$defs/a", "$defs": {
        "a": {"$ref": "#/$defs/a"}}})  # fmt: skip
    [(at, detail)] = buckstop.check_amendment(letter, {})
    assert (at, "cannot be applied" in detail) == ("", True)


def test_only_a_task_s_letter_can_be_amended(buckstop: Buckstop, fresh: Fresh) -> None:
    claims = Hand(fresh.client, fresh.keys, "a").claims
    message = claims.quarantine("unsigned", "forged", fresh.keys.queue("a"), b"raw", "why", None)
    with pytest.raises(Refused, match="no task waits on"):
        buckstop.check_amendment(message, {})
    with pytest.raises(NotFound, match="no letter"):
        buckstop.check_amendment("nothing", {})


def test_a_decision_too_large_for_mail_is_refused_before_it_is_posted(
    buckstop: Buckstop, loop: Orchestrator
) -> None:
    """Mail that cannot be read would stop the task that got it."""
    letter = escalated(buckstop, loop)
    large = "x" * limits.ENVELOPE_BYTES_MAX
    with pytest.raises(Refused, match="result: the decision has"):
        buckstop.decide(Decision(letter=letter, verb=Verb.AMEND, by="ann", result=large), 1)
    assert buckstop.letter(letter)["state"] == "open"
