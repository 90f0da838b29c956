"""Who gets in, and how far: scopes, tenants, sessions, CSRF, rates."""

from collections.abc import Iterator

import pytest

from envelopes import limits
from orchestrator.tokens import Scope, id_of
from tests.conftest import Fresh
from tests.web import TASK, Web, asked, on_the_desk, orchestrating, running, set_aside

LETTER = "/v1/letters/t.1"
NEEDS = {
    ("POST", "/v1/tasks"): "submit",
    ("POST", "/v1/tasks/t/cancel"): "submit",
    ("GET", "/v1/tasks"): "read",
    ("GET", "/v1/tasks/t"): "read",
    ("GET", "/v1/tasks/t/journal"): "read",
    ("GET", "/v1/tasks/t/events"): "read",
    ("GET", "/v1/events"): "read",
    ("GET", "/v1/letters"): "read",
    ("GET", "/v1/letters/counts"): "read",
    ("GET", LETTER): "read",
    ("POST", f"{LETTER}/decision"): "decide",
    ("POST", f"{LETTER}/amendment"): "decide",
    ("POST", f"{LETTER}/wait-token"): "decide",
    ("POST", "/v1/letters/decisions"): "decide",
    ("GET", "/v1/agents"): "read",
    ("POST", "/v1/agents/greet/cap"): "admin",
    ("POST", "/v1/agents/greet/reset"): "admin",
    ("GET", "/v1/queues"): "read",
    ("GET", "/v1/workers"): "read",
    ("GET", "/v1/cells"): "read",
    ("GET", "/v1/tenants"): "read",
    ("POST", "/v1/tenants/north/cap"): "admin",
    ("GET", "/v1/spend"): "read",
    ("GET", "/v1/overview"): "read",
    ("GET", "/v1/tokens"): "admin",
    ("POST", "/v1/tokens"): "admin",
    ("DELETE", "/v1/tokens/t"): "admin",
    ("GET", "/v1/subscriptions"): "admin",
    ("POST", "/v1/subscriptions"): "admin",
    ("DELETE", "/v1/subscriptions/s"): "admin",
    ("POST", "/v1/subscriptions/s/test"): "admin",
    ("GET", "/v1/subscriptions/s/deliveries"): "admin",
    ("GET", "/metrics"): "metrics",
}
"""What each request needs, as docs/HTTP.md says; nothing is left out (see the test)."""
ALSO = {"/metrics": {"read"}}
"""Where another scope will do."""
OPEN = {
    *(("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/session"), ("GET", "/session")),
    *(("DELETE", "/session"), ("GET", "/waits/{token}"), ("POST", "/waits/{token}")),
}


@pytest.fixture
def web(fresh: Fresh) -> Iterator[Web]:
    with running(fresh) as web:
        yield web


@pytest.fixture
def decided(fresh: Fresh) -> Iterator[Web]:
    with orchestrating(fresh), running(fresh) as web:
        yield web


def test_every_operation_says_which_scope_it_needs(web: Web) -> None:
    """The issue: "Bearer tokens with scopes (submit, read, decide, admin)"."""
    told = web.client().get("/openapi.json").json()["paths"]
    operations = {(method.upper(), path) for path, each in told.items() for method in each}
    assert len(operations) == len(NEEDS) + len(OPEN)
    for (method, path), scope in NEEDS.items():
        if path.endswith("/events"):
            continue
        for each in Scope:
            answer = web.caller(each.value).request(method, path, json={"bad": 1})
            allowed = each.value in {scope, "admin", *ALSO.get(path, ())}
            assert (answer.status_code == 403) is not allowed, (method, path, each, answer.text)
            if not allowed:
                assert f"scope '{scope}'" in answer.json()["detail"]


def test_without_a_token_nothing_but_what_is_meant_to_be_open_answers(web: Web) -> None:
    for method, path in NEEDS:
        answer = web.client().request(method, path)
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "bearer bk_",
        "Bearer x",
        "Basic YTpi",
        "bk_0",
        "Bearer bk_000000000000_" + "A" * 43,
    ],
)
def test_a_wrong_token_is_told_what_to_do_next(web: Web, header: str) -> None:
    answer = web.client(Authorization=header).get("/v1/tasks")
    assert answer.status_code == 401
    assert "bk_" in answer.json()["detail"] or "buckstop token new" in answer.json()["detail"]


def test_a_revoked_token_is_out_at_the_next_request(web: Web) -> None:
    text = web.token("read")
    caller = web.client(Authorization=f"Bearer {text}")
    assert caller.get("/v1/tasks").status_code == 200
    assert web.caller("admin").delete(f"/v1/tokens/{id_of(text)}").status_code == 204
    assert caller.get("/v1/tasks").status_code == 401


def test_nobody_locks_themselves_out(web: Web) -> None:
    text = web.token("admin")
    answer = web.client(Authorization=f"Bearer {text}").delete(f"/v1/tokens/{id_of(text)}")
    assert (answer.status_code, answer.json()["type"][-9:]) == (409, "own-token")


def test_a_new_token_is_shown_once(web: Web) -> None:
    admin = web.caller("admin")
    made = admin.post("/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()
    assert web.client(Authorization=f"Bearer {made['token']}").get("/v1/tasks").status_code == 200
    listed = admin.get("/v1/tokens")
    assert {"ci", "ada"} == {one["name"] for one in listed.json()["items"]}
    assert made["token"].split("_", 2)[2] not in listed.text


# --- rates ---------------------------------------------------------------------------------------


def test_who_calls_too_often_is_told_when_to_come_again(web: Web) -> None:
    """The issue: "rate limit per token"."""
    caller = web.caller("read", per_minute=2)
    answers = [caller.get("/v1/overview") for _ in range(3)]
    assert [each.status_code for each in answers] == [200] * 2 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert web.caller("read").get("/v1/overview").status_code == 200


def test_who_guesses_tokens_is_told_to_wait_whatever_way_they_come(web: Web) -> None:
    guess = web.client(Authorization="Bearer bk_000000000000_" + "A" * 43)
    codes = [guess.get("/v1/tasks").status_code for _ in range(limits.FAILED_LOGINS_MAX)]
    assert codes == [401] * limits.FAILED_LOGINS_MAX
    assert guess.get("/v1/tasks").status_code == 429
    assert web.client().post("/session", json={"code": "guess"}).status_code == 429
    assert web.client().get(f"/waits/{'A' * 43}").status_code == 429
    assert web.caller().get("/v1/tasks").status_code == 200


def test_a_callers_address_is_not_what_a_header_says(web: Web) -> None:
    """Without a proxy that was named, X-Forwarded-For is anybody's word."""
    for n in range(limits.FAILED_LOGINS_MAX):
        web.client().post(
            "/session", json={"code": "x"}, headers={"X-Forwarded-For": f"10.1.1.{n}"}
        )
    last = web.client().post(
        "/session", json={"code": "x"}, headers={"X-Forwarded-For": "10.9.9.9"}
    )
    assert last.status_code == 429


# --- tenants -------------------------------------------------------------------------------------


def test_a_tenants_token_sees_and_touches_its_tenant_only(fresh: Fresh, decided: Web) -> None:
    """docs/HTTP.md: "A token with a tenant sees and touches that tenant only (others: 404)"."""
    north = decided.caller("read", "submit", "decide", tenant="north", name="nora")
    everybody = decided.caller()
    own = on_the_desk(fresh, north)
    other = asked(fresh, everybody, tenant="south")
    message = set_aside(fresh)
    task = everybody.get(f"/v1/letters/{other}").json()["task"]
    assert everybody.get(f"/v1/letters/{own}").json()["tenant"] == "north"
    for method, path, body in [
        ("GET", f"/v1/tasks/{task}", None),
        ("GET", f"/v1/tasks/{task}/journal", None),
        ("GET", f"/v1/tasks/{task}/events", None),
        ("POST", f"/v1/tasks/{task}/cancel", {"why": "mine?"}),
        ("GET", f"/v1/letters/{other}", None),
        ("GET", f"/v1/letters/{message}", None),
        ("POST", f"/v1/letters/{other}/decision", {"verb": "abort"}),
        ("POST", f"/v1/letters/{message}/decision", {"verb": "discard"}),
        ("POST", f"/v1/letters/{other}/amendment", {"result": 1}),
        ("POST", f"/v1/letters/{other}/wait-token", {}),
    ]:
        answer = north.request(method, path, json=body)
        assert answer.status_code == 404, (method, path, answer.text)
    assert {everybody.get(f"/v1/letters/{each}").json()["state"] for each in (other, message)} == {
        "open"
    }
    assert [each["id"] for each in north.get("/v1/letters").json()["items"]] == [own]
    assert [each["tenant"] for each in north.get("/v1/tasks").json()["items"]] == ["north"]
    assert north.get("/v1/overview").json()["letters"] == 1
    assert {each["tenant"] for each in north.get("/v1/queues").json()["items"]} <= {"north"}
    for tenant in ("north", "south"):
        everybody.post("/v1/tasks", json={**TASK, "tenant": tenant})
    assert [each["name"] for each in north.get("/v1/tenants").json()["items"]] == ["north"]
    assert north.get("/v1/overview").json()["workers"] is None
    others = ("/v1/tasks?tenant=south", "/v1/letters?tenant=south")
    for path in ("/metrics", "/v1/workers", "/v1/cells", *others):
        assert north.get(path).status_code == 403, path


def test_a_bulk_decision_stays_within_the_tenant(fresh: Fresh, decided: Web) -> None:
    north = decided.caller("read", "submit", "decide", tenant="north")
    everybody = decided.caller()
    own, other = on_the_desk(fresh, north), on_the_desk(fresh, everybody, tenant="south")
    bulk = {"filter": {}, "decision": {"verb": "abort"}, "preview": False}
    assert north.post("/v1/letters/decisions", json=bulk).json()["decided"] == 1
    states = [everybody.get(f"/v1/letters/{each}").json()["state"] for each in (own, other)]
    assert states == ["decided", "open"]
    bulk["filter"] = {"tenant": "south"}
    assert north.post("/v1/letters/decisions", json=bulk).status_code == 403


def test_a_tenants_token_submits_for_its_tenant_only(web: Web) -> None:
    """docs/HTTP.md: "its submits get that tenant"."""
    north = web.caller("read", "submit", tenant="north")
    assert north.post("/v1/tasks", json=TASK).json()["tenant"] == "north"
    assert north.post("/v1/tasks", json={**TASK, "tenant": "north"}).status_code == 201
    answer = north.post("/v1/tasks", json={**TASK, "tenant": "south"})
    assert (answer.status_code, answer.json()["field"]) == (403, "tenant")
    answer = north.post("/v1/tasks", json={**TASK, "tenant": "default"})
    assert answer.status_code == 403
