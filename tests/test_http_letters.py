"""The desk over HTTP: list, look, decide once, decide many, check an amendment."""

import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from envelopes import Envelope
from tests.conftest import Fresh
from tests.hands import Hand
from tests.web import Web, asked, on_the_desk, orchestrating, running, set_aside

SCHEMA = {"type": "object", "required": ["said"], "properties": {"said": {"type": "string"}}}


@pytest.fixture
def web(fresh: Fresh) -> Iterator[Web]:
    with orchestrating(fresh), running(fresh) as web:
        yield web


@pytest.fixture
def ada(web: Web) -> httpx.Client:
    return web.caller(name="ada")


def test_a_letter_says_everything_that_is_needed_to_decide(
    fresh: Fresh, web: Web, ada: httpx.Client
) -> None:
    """The issue: "one letter with everything needed to decide on one screen"."""
    letter = on_the_desk(fresh, ada, result_schema=SCHEMA, confidence_min=0.9)
    seen = ada.get(f"/v1/letters/{letter}").json()
    assert (seen["kind"], seen["agent"], seen["state"]) == ("escalation", "greet", "open")
    assert seen["story"]["kept"] == {"said": "h"}
    assert (seen["result_schema"], seen["confidence_min"]) == (SCHEMA, 0.9)
    assert "approve" in seen["allowed"]
    assert seen["if_nobody_decides"] == "abort"
    (listed,) = ada.get("/v1/letters").json()["items"]
    assert listed["id"] == letter
    assert "story" not in listed


def test_a_letter_says_what_its_task_is_about(fresh: Fresh, ada: httpx.Client) -> None:
    """docs/HTTP.md: "all of it, or in lists its beginning; it is empty where the letter is of"."""
    goal = "say hello " * 100
    escalated, aside = on_the_desk(fresh, ada, goal=goal), set_aside(fresh)
    assert ada.get(f"/v1/letters/{escalated}").json()["goal"] == goal
    assert ada.get(f"/v1/letters/{aside}").json()["goal"] == ""
    listed = {each["id"]: each["goal"] for each in ada.get("/v1/letters").json()["items"]}
    assert goal.startswith(listed[escalated])
    assert 0 < len(listed[escalated]) < len(goal)
    assert listed[aside] == ""


def test_the_first_decision_wins_and_the_second_is_told_whose_it_was(
    fresh: Fresh, web: Web, ada: httpx.Client
) -> None:
    """The issue: "First one wins atomically, the second gets told who was first."."""
    letter = on_the_desk(fresh, ada)
    bob = web.caller("decide", name="bob")
    first = ada.post(f"/v1/letters/{letter}/decision", json={"verb": "approve", "why": "fine"})
    assert (first.status_code, first.json()["by"]) == (200, "ada")
    second = bob.post(f"/v1/letters/{letter}/decision", json={"verb": "abort"})
    assert second.status_code == 409
    told = second.json()
    assert told["type"] == "urn:buckstop:problem:decided-before"
    assert {**told["first"], "decided_ms": 0} == {
        "verb": "approve", "by": "ada", "why": "fine", "decided_ms": 0,
    }  # fmt: skip
    assert told["first"]["decided_ms"] == first.json()["decided_ms"]


@pytest.mark.parametrize(
    ("said", "then"),
    [
        ({"verb": "answer", "answer": "2025"}, {"verb": "answer", "answer": "2026"}),
        ({"verb": "reassign", "agent": "greet"}, {"verb": "reassign", "agent": "deputy"}),
    ],
)
def test_another_decision_by_the_same_name_is_told_that_it_did_not_count(
    fresh: Fresh, ada: httpx.Client, said: dict, then: dict
) -> None:
    """The issue: "the second gets told who was first", though verb, name and reason are alike."""
    Hand(fresh.client, fresh.keys, "deputy")
    url = f"/v1/letters/{asked(fresh, ada)}/decision"
    first, second, again = (ada.post(url, json=each) for each in (said, then, said))
    assert (first.status_code, second.status_code, again.status_code) == (200, 409, 200)
    assert (second.json()["first"]["verb"], second.json()["first"]["by"]) == (said["verb"], "ada")
    assert again.json() == first.json()


def test_of_many_who_decide_at_once_exactly_one_was_first(
    fresh: Fresh, web: Web, ada: httpx.Client
) -> None:
    """The issue: "two people deciding at once"."""
    letter = on_the_desk(fresh, ada)
    people = [web.caller("decide", name=f"p{n}") for n in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda one: one.post(f"/v1/letters/{letter}/decision", json={"verb": "abort"}),
                people,
            )
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    winner = next(answer.json()["by"] for answer in answers if answer.status_code == 200)
    assert ada.get(f"/v1/letters/{letter}").json()["by"] == winner


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"verb": "approve", "by": "eve"}, "by"),
        ({"verb": "approve", "letter": "other"}, "letter"),
        ({"verb": "please"}, "verb"),
        ({}, "verb"),
        ([], "verb"),
        ({"verb": "amend"}, "result"),
        ({"verb": "amend", "result": None}, "result"),
        ({"verb": "retry", "budget": {}}, "budget"),
        ({"verb": "approve", "result": 1}, "result"),
        ({"verb": "replay"}, "verb"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused_by_field_and_the_letter_stays(
    fresh: Fresh, ada: httpx.Client, said: object, field: str
) -> None:
    """The issue: "problem details that name the field"; nobody decides in another's name."""
    letter = on_the_desk(fresh, ada)
    answer = ada.post(f"/v1/letters/{letter}/decision", json=said)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert ada.get(f"/v1/letters/{letter}").json()["state"] == "open"


def test_an_amendment_is_checked_before_anything_is_decided(
    fresh: Fresh, ada: httpx.Client
) -> None:
    """The issue: "`amend` (validated against the task's schema before it is accepted)"."""
    letter = on_the_desk(fresh, ada, result_schema=SCHEMA)
    path = f"/v1/letters/{letter}/amendment"
    wrong = ada.post(path, json={"result": {"said": 3}}).json()
    assert (wrong["ok"], [each["at"] for each in wrong["errors"]]) == (False, ["/said"])
    assert ada.post(path, json={"result": {"said": "hi"}}).json() == {"ok": True, "errors": []}
    assert ada.get(f"/v1/letters/{letter}").json()["state"] == "open"
    refused = ada.post(
        f"/v1/letters/{letter}/decision", json={"verb": "amend", "result": {"said": 3}}
    )
    assert refused.status_code == 422
    amended = {"verb": "amend", "result": {"said": "hi"}}
    assert ada.post(f"/v1/letters/{letter}/decision", json=amended).status_code == 200
    decided = ada.get(f"/v1/letters/{letter}").json()
    assert (decided["verb"], decided["said"]) == ("amend", '{"said":"hi"}')


def test_letters_of_one_cause_are_decided_at_once_after_a_look(
    fresh: Fresh, ada: httpx.Client
) -> None:
    """The issue: "Bulk decisions by filter with a preview"."""
    letters = {on_the_desk(fresh, ada) for _ in range(3)}
    question = asked(fresh, ada)
    bulk = {"filter": {"kind": "escalation"}, "decision": {"verb": "abort", "why": "stale"}}
    seen = ada.post("/v1/letters/decisions", json={**bulk, "preview": True}).json()
    assert (seen["letters"], {each["id"] for each in seen["sample"]}) == (3, letters)
    assert (seen["looked_at"], seen["refusing"]) == (3, 0)
    answered = {"filter": {}, "decision": {"verb": "answer", "answer": "x"}, "preview": True}
    only = ada.post("/v1/letters/decisions", json=answered).json()
    assert (only["letters"], only["looked_at"], only["refusing"]) == (4, 4, 3)
    assert [each["id"] for each in only["sample"]] == [question]
    assert ada.get("/v1/letters").json()["total"] == 4
    done = ada.post("/v1/letters/decisions", json={**bulk, "preview": False}).json()
    assert done == {"decided": 3, "before": 0, "refused": {}}
    assert [each["id"] for each in ada.get("/v1/letters").json()["items"]] == [question]


def test_a_bulk_decision_must_say_whether_it_is_meant(ada: httpx.Client) -> None:
    """What decides everything at once is not done by leaving something out."""
    bulk = {"filter": {}, "decision": {"verb": "abort"}}
    answer = ada.post("/v1/letters/decisions", json=bulk)
    assert (answer.status_code, answer.json()["field"]) == (422, "preview")


def test_a_message_is_shown_as_text_and_to_its_last_byte(fresh: Fresh, ada: httpx.Client) -> None:
    """The issue: "Original bytes kept."."""
    letter = set_aside(fresh)
    seen = ada.get(f"/v1/letters/{letter}").json()
    assert (seen["bytes"], b64decode(seen["bytes_base64"])) == ("raw \\xff", b"raw \xff")
    assert seen["allowed"] == ["replay", "discard"]
    done = ada.post(f"/v1/letters/{letter}/decision", json={"verb": "discard", "why": "junk"})
    assert done.json()["verb"] == "discard"


def test_letters_are_counted_and_listed_by_what_they_share(fresh: Fresh, ada: httpx.Client) -> None:
    """The issue: "filter by kind, agent, tenant, age, reason; grouped by reason"."""
    escalated, aside = on_the_desk(fresh, ada, tenant="north"), set_aside(fresh)
    counts = ada.get("/v1/letters/counts", params={"by": "kind"}).json()
    assert counts["counts"] == {"escalation": 1, "undeliverable": 1}
    for params, expected in [
        ({"kind": "escalation"}, [escalated]),
        ({"agent": "greet", "tenant": "north"}, [escalated]),
        ({"reason": "no body"}, []),
        ({"older_s": 3600}, []),
        ({}, [aside, escalated]),
    ]:
        found = ada.get("/v1/letters", params=params).json()
        assert [each["id"] for each in found["items"]] == expected
        assert found["total"] == len(expected)


def test_a_list_goes_on_where_the_page_before_ended(fresh: Fresh, ada: httpx.Client) -> None:
    """The issue: "list with cursors": nothing twice or left out, though some came meanwhile."""
    letters = [set_aside(fresh) for _ in range(5)]
    first = ada.get("/v1/letters", params={"limit": 2}).json()
    late = set_aside(fresh)
    found = [each["id"] for each in first["items"]]
    cursor = first["next"]
    while cursor:
        page = ada.get("/v1/letters", params={"limit": 2, "cursor": cursor}).json()
        found += [each["id"] for each in page["items"]]
        cursor = page["next"]
    assert found == letters[::-1]
    assert late not in found


def test_a_decision_without_an_orchestrator_is_kept_and_said_so(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The issue: "no orchestrator: nobody-acted; the decision is kept"."""
    monkeypatch.setattr("orchestrator.client.Buckstop.decide.__defaults__", (0.2,))
    with running(fresh) as web:
        ada = web.caller()
        with orchestrating(fresh):
            letter = on_the_desk(fresh, ada)
        answer = ada.post(f"/v1/letters/{letter}/decision", json={"verb": "abort"})
        assert (answer.status_code, answer.json()["type"]) == (
            504,
            "urn:buckstop:problem:nobody-acted",
        )
        with orchestrating(fresh):
            while ada.get(f"/v1/letters/{letter}").json()["state"] == "open":
                time.sleep(0.01)
        assert ada.get(f"/v1/letters/{letter}").json()["by"] == "ada"


def test_a_kept_result_is_delivered_by_approval(fresh: Fresh, ada: httpx.Client) -> None:
    """The issue: "`approve` (with the partial)": from submit to the end over HTTP alone."""
    letter = on_the_desk(fresh, ada, Envelope.partial({"said": "hi"}, 0.3, "unsure"))
    task = ada.get(f"/v1/letters/{letter}").json()["task"]
    ada.post(f"/v1/letters/{letter}/decision", json={"verb": "approve"})
    while (seen := ada.get(f"/v1/tasks/{task}").json())["state"] not in {"partial", "completed"}:
        time.sleep(0.01)
    assert seen["result"] == {"only": {"said": "hi"}} or seen["result"] == {"said": "hi"}
    journal = ada.get(f"/v1/tasks/{task}/journal", params={"limit": 500}).json()
    assert any("approve by ada" in note.get("text", "") for note in journal["items"])
