"""The console's session: its cookie, CSRF, other origins, and what a login cannot be made to do."""

from collections.abc import Iterator

import httpx
import pytest

from orchestrator.tokens import id_of
from tests.conftest import Fresh
from tests.web import TASK, Web, running


@pytest.fixture
def web(fresh: Fresh) -> Iterator[Web]:
    with running(fresh) as web:
        yield web


def test_a_session_is_a_cookie_that_no_script_reads(web: Web) -> None:
    """docs/HTTP.md: "HttpOnly, SameSite=Strict"."""
    client, csrf = web.browser(web.token("read", name="bob"))
    answer = web.client().post("/session", json={"token": web.token("read")})
    (cookie,) = answer.headers.get_list("Set-Cookie")
    flags = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    seen = client.get("/session").json()
    assert (seen["name"], seen["scopes"], seen["csrf"]) == ("bob", ["read"], csrf)
    assert client.get("/v1/tasks").status_code == 200
    assert client.delete("/session", headers={"X-CSRF-Token": csrf}).status_code == 204
    assert client.get("/v1/tasks").status_code == 401


def test_a_login_code_opens_one_session(web: Web) -> None:
    code = web.tokens.login_code(id_of(web.token("admin")))
    assert web.client().post("/session", json={"code": code}).status_code == 200
    assert web.client().post("/session", json={"code": code}).status_code == 401


def test_a_session_cannot_be_laid_under_somebody_elses_login(web: Web) -> None:
    """Session fixation: the cookie is new at every login, and the one before is over."""
    attacker, _ = web.browser(web.token("read", name="eve"))
    planted = attacker.cookies["buckstop_session"]
    victim = web.client()
    victim.cookies.set("buckstop_session", planted)
    victim.post("/session", json={"token": web.token(name="ada")})
    cookies = {each.value for each in victim.cookies.jar} - {planted}
    assert cookies
    stale = web.client()
    stale.cookies.set("buckstop_session", planted)
    assert stale.get("/session").status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "0" * 64},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "", "Origin": ""},
        {"Sec-Fetch-Site": "", "Origin": "null"},
    ],
)
def test_a_strangers_page_cannot_use_the_session(web: Web, change: dict[str, str]) -> None:
    """The issue: "Login, CSRF protection"."""
    client, csrf = web.browser()
    headers = {"X-CSRF-Token": csrf}
    assert client.post("/v1/tasks", json=TASK, headers=headers).status_code == 201
    answer = client.post("/v1/tasks", json=TASK, headers={**headers, **change})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:buckstop:problem:csrf")
    assert len(client.get("/v1/tasks").json()["items"]) == 1


def test_a_strangers_page_cannot_log_anybody_in(web: Web) -> None:
    """Login CSRF: a victim must not work in the attacker's session without knowing."""
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = web.client().post("/session", json={"token": web.token()}, headers=headers)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)


def test_no_other_origin_is_let_in_unless_it_is_named(fresh: Fresh, web: Web) -> None:
    """The issue: "CORS off by default"."""
    asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    for answer in (
        web.client().options("/v1/tasks", headers=asks),
        web.caller().get("/v1/tasks", headers={"Origin": "https://app.example"}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]
    with running(fresh, {"BUCKSTOP_CORS_ORIGINS": "https://app.example"}) as named:
        answer = named.client().options("/v1/tasks", headers=asks)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in answer.headers
        other = named.client().options("/v1/tasks", headers={**asks, "Origin": "https://evil.it"})
        assert "access-control-allow-origin" not in other.headers


def test_a_method_is_what_it_is(web: Web) -> None:
    """No header or parameter turns one method into another."""
    admin: httpx.Client = web.caller()
    token = id_of(web.token(name="victim"))
    for headers in ({"X-HTTP-Method-Override": "DELETE"}, {"X-Method-Override": "DELETE"}):
        admin.post("/v1/tokens", json={}, headers=headers)
        admin.post(f"/v1/tokens/{token}?_method=DELETE", headers=headers)
    assert web.tokens.find(token) is not None


def test_a_session_of_a_revoked_token_is_over(web: Web) -> None:
    text = web.token("read")
    client, _ = web.browser(text)
    web.tokens.revoke(id_of(text))
    assert client.get("/v1/tasks").status_code == 401
