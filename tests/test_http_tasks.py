"""Tasks over HTTP: submit once, list, look, cancel, read the journal."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from envelopes import Amounts, Envelope
from tests.conftest import Fresh
from tests.hands import Hand
from tests.web import TASK, Web, on_the_desk, orchestrating, running

KEY = "Idempotency-Key"


@pytest.fixture
def web(fresh: Fresh) -> Iterator[Web]:
    with running(fresh) as web:
        yield web


@pytest.fixture
def ada(web: Web) -> httpx.Client:
    return web.caller(name="ada")


def test_an_accepted_task_says_where_it_is(ada: httpx.Client) -> None:
    """The issue: "submit (with `Idempotency-Key`), get, list with cursors, cancel, journal"."""
    made = ada.post("/v1/tasks", json=TASK)
    assert made.status_code == 201
    seen = ada.get(made.headers["Location"]).json()
    assert seen == made.json()
    assert (seen["state"], seen["goal"], seen["request"]["agent"]) == (
        "submitted",
        "say hello",
        "greet",
    )
    assert seen["ledger"]["ceiling"]["tokens"] == 1000


def test_whom_a_task_waits_for_is_told_when_it_is_submitted(
    fresh: Fresh, ada: httpx.Client
) -> None:
    """`waits`: "what it waits for that it cannot bring about itself"; a misspelt agent, too."""
    [waits] = ada.post("/v1/tasks", json=TASK).json()["waits"]
    assert "a worker that runs 'greet'; none lives" in waits
    Hand(fresh.client, fresh.keys, "greet").claims.beat([], '{"agents": ["greet"]}')
    later = {"id": "b", "agent": "nobody", "needs": ["a"]}
    plan = {**TASK, "agent": None, "plan": [{"id": "a", "agent": "greet"}, later]}
    assert ada.post("/v1/tasks", json=plan).json()["waits"] == [], "of later steps it is early"


def test_a_task_runs_to_its_end_and_tells_how(fresh: Fresh, ada: httpx.Client) -> None:
    with orchestrating(fresh):
        path = ada.post("/v1/tasks", json=TASK).headers["Location"]
        hand = Hand(fresh.client, fresh.keys, "greet")
        while not (jobs := hand.take()):
            time.sleep(0.01)
        hand.answer(jobs[0], Envelope.success({"said": "hi"}, 0.9), Amounts(7, 0, 1))
        while (seen := ada.get(path).json())["state"] != "completed":
            time.sleep(0.01)
    assert (seen["result"], seen["ledger"]["spent"]["tokens"]) == ({"said": "hi"}, 7)
    first = ada.get(f"{path}/journal", params={"limit": 1}).json()
    rest = ada.get(f"{path}/journal", params={"after": first["next"], "limit": 500}).json()
    places = [note["n"] for note in first["items"] + rest["items"]]
    assert places == list(range(len(places)))
    assert rest["next"] is None
    assert all(note["why"] for note in rest["items"])
    (row,) = ada.get("/v1/spend").json()["items"]
    assert (row["agent"], row["tokens"], row["calls"], row["ok"]) == ("greet", 7, 1, 1)
    (agent,) = ada.get("/v1/agents").json()["items"]
    assert (agent["days"]["tokens"], agent["days"]["ok"]) == (7, 1)
    today = ada.get("/v1/overview").json()["today"]["tokens"]
    rows = ada.get("/v1/spend", params={"days": 1}).json()["items"]
    assert today == 7 or not rows, "unless a new day has begun"


def test_the_same_key_and_request_is_the_same_task(web: Web, ada: httpx.Client) -> None:
    """docs/HTTP.md: "submitted once, also where both arrive at the same time"."""
    headers = {KEY: "order-7"}
    with ThreadPoolExecutor(6) as threads:
        answers = list(
            threads.map(lambda _: ada.post("/v1/tasks", json=TASK, headers=headers), range(6))
        )
    assert sorted(each.status_code for each in answers) == [200] * 5 + [201]
    assert len({each.json()["id"] for each in answers}) == 1
    assert {each.headers["Location"] for each in answers} == {
        f"/v1/tasks/{answers[0].json()['id']}"
    }
    traced = {**TASK, "traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    assert ada.post("/v1/tasks", json=traced, headers=headers).status_code == 200
    in_body = ada.post("/v1/tasks", json={**TASK, "idempotency_key": "order-7"})
    assert in_body.status_code == 200


def test_a_key_that_stands_for_another_request_is_told(ada: httpx.Client) -> None:
    """docs/HTTP.md: "refused (`idempotency-mismatch`)"."""
    ada.post("/v1/tasks", json=TASK, headers={KEY: "k"})
    other = ada.post("/v1/tasks", json={**TASK, "goal": "else"}, headers={KEY: "k"})
    assert (other.status_code, other.json()["type"]) == (
        422,
        "urn:buckstop:problem:idempotency-mismatch",
    )
    both = ada.post("/v1/tasks", json={**TASK, "idempotency_key": "j"}, headers={KEY: "k"})
    assert (both.status_code, both.json()["field"]) == (422, "idempotency_key")
    assert len(ada.get("/v1/tasks").json()["items"]) == 1


def test_one_tenants_key_is_not_anothers(web: Web) -> None:
    ids = {
        web.caller("submit", tenant=tenant)
        .post("/v1/tasks", json=TASK, headers={KEY: "k"})
        .json()["id"]
        for tenant in ("north", "south")
    }
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"until": None}, "until"),
        ({"budget": {}}, "budget"),
        ({"hops": 3}, "hops"),
        ({"plan": [{"id": "a", "agent": "x", "needs": ["b"]}], "agent": None}, "plan.0.needs"),
        ({"budget": {"tokens": 1.5}}, "budget.tokens"),
        ({"result_schema": {"type": "nonsense"}}, "result_schema"),
        ({"tenant": "a b"}, "tenant"),
        ({"goal": "x" * 40_000}, "goal"),
        ({"labels": {"a": 3}}, "labels.a"),
    ],
)
def test_a_refusal_names_the_field(ada: httpx.Client, change: dict, field: str) -> None:
    """The issue: "Errors as RFC 9457 problem details that name the field"."""
    body = {name: value for name, value in {**TASK, **change}.items() if value is not None}
    answer = ada.post("/v1/tasks", json=body)
    told = answer.json()
    assert (answer.status_code, told["field"]) == (422, field), told
    assert told["errors"] == [{"field": field, "detail": told["errors"][0]["detail"]}]
    assert (told["status"], told["instance"]) == (422, "/v1/tasks")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_wish_to_stop_says_who_and_why(fresh: Fresh, ada: httpx.Client) -> None:
    """docs/HTTP.md: "`by` of every decision and cancel over HTTP is the token's name"."""
    path = ada.post("/v1/tasks", json=TASK).headers["Location"]
    answer = ada.post(f"{path}/cancel", json={"why": "not needed"})
    assert (answer.status_code, answer.json()) == (202, {"asked": True, "state": "submitted"})
    assert ada.post(f"{path}/cancel", json={"by": "eve"}).json()["field"] == "by"
    with orchestrating(fresh):
        while ada.get(path).json()["state"] != "aborted":
            time.sleep(0.01)
    record = fresh.client.hvals(fresh.keys.task(path.rpartition("/")[2]))
    assert any(b"ada: not needed" in each for each in record)
    again = ada.post(f"{path}/cancel", json={})
    assert again.json() == {"asked": False, "state": "aborted"}


def test_tasks_are_listed_by_state_and_tenant_page_by_page(fresh: Fresh, ada: httpx.Client) -> None:
    ids = [
        ada.post("/v1/tasks", json={**TASK, "tenant": tenant}).json()["id"]
        for tenant in ("north", "south", "north")
    ]
    found, cursor = [], None
    for _ in ids:
        params = {"limit": 1, **({"cursor": cursor} if cursor else {})}
        page = ada.get("/v1/tasks", params=params).json()
        found += [each["id"] for each in page["items"]]
        cursor = page["next"]
    assert (found, cursor) == (ids[::-1], None)
    north = ada.get("/v1/tasks", params={"tenant": "north", "state": "open"}).json()["items"]
    assert [each["id"] for each in north] == [ids[2], ids[0]]
    assert ada.get("/v1/tasks", params={"state": "completed"}).json()["items"] == []
    with orchestrating(fresh):
        letter = on_the_desk(fresh, ada)
        (desk,) = ada.get("/v1/tasks", params={"state": "on_desk"}).json()["items"]
    assert desk["letter"] == letter


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=1-", "cursor"),
        ("cursor=9999999999999999-a", "cursor"),
        ("cursor=1-a%00b", "cursor"),
        ("state=lost", "state"),
        ("tenant=a b", "tenant"),
        ("tennant=north", "tennant"),
        ("%F0%9F%92%A9=1", "💩"),
    ],
)
def test_a_misspelt_query_is_no_query_at_all(ada: httpx.Client, query: str, field: str) -> None:
    """A filter that nobody reads would list, or decide, everything."""
    answer = ada.get(f"/v1/tasks?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


def test_a_task_waiting_for_nobody_says_so(fresh: Fresh, ada: httpx.Client) -> None:
    with orchestrating(fresh):
        path = ada.post("/v1/tasks", json=TASK).headers["Location"]
        while not ada.get(path).json()["waits"]:
            time.sleep(0.01)
        assert "no" in ada.get(path).json()["waits"][0]


def test_what_is_not_there_is_not_found(ada: httpx.Client) -> None:
    for path in ("/v1/tasks/none", "/v1/tasks/none/journal", "/v1/letters/none", "/v1/nothing"):
        answer = ada.get(path)
        assert (answer.status_code, answer.json()["type"][-9:]) == (404, "not-found")
        assert "none'" in answer.json()["detail"] or "openapi.json" in answer.json()["detail"]
