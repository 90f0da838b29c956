"""Alive, ready, measured, logged; and what happens when Redis is away or unfit."""

import logging
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from envelopes import limits
from envelopes.lines import JsonLines
from orchestrator.embedded import EmbeddedServer
from orchestrator.http.static import FOLDER, PAGES
from orchestrator.tokens import id_of
from tests.conftest import Fresh
from tests.web import TASK, Web, asked, on_the_desk, orchestrating, running, set_aside


@pytest.fixture
def web(fresh: Fresh) -> Iterator[Web]:
    with running(fresh) as web:
        yield web


def test_ready_means_that_work_will_be_done(fresh: Fresh, web: Web) -> None:
    """docs/HTTP.md: "server reachable and fit, an orchestrator works; reasons"."""
    anybody = web.client()
    alone = anybody.get("/readyz")
    assert (alone.status_code, alone.json()["type"][-9:]) == (503, "not-ready")
    assert "buckstop serve" in alone.json()["reasons"][0]
    with orchestrating(fresh):
        while (answer := anybody.get("/readyz")).status_code != 200:
            pass
        assert answer.json()["status"] == "ready"
        fresh.client.config_set("maxmemory-policy", "allkeys-lru")
        unfit = anybody.get("/readyz")
        assert unfit.status_code == 503
        assert "CONFIG SET maxmemory-policy noeviction" in unfit.json()["detail"]
    assert anybody.get("/healthz").json() == {"status": "alive"}


def test_an_unfit_server_takes_no_work_and_names_the_fix(fresh: Fresh, web: Web) -> None:
    """The brief: "unfit server -> 503 with the fix"."""
    fresh.client.config_set("appendonly", "no")
    answer = web.caller().post("/v1/tasks", json=TASK)
    assert (answer.status_code, answer.json()["type"][-5:]) == (503, "unfit")
    assert answer.json()["checks"] == [
        {"check": "appendonly", "fix": answer.json()["checks"][0]["fix"]}
    ]
    assert "CONFIG SET appendonly yes" in answer.json()["checks"][0]["fix"]
    assert "Retry-After" in answer.headers


def test_without_redis_whoever_calls_is_told_when_to_come_again(
    fresh: Fresh, server: EmbeddedServer, web: Web
) -> None:
    """docs/HTTP.md: "`away` | 503": and it comes back by itself."""
    ada = web.caller()
    assert ada.get("/v1/tasks").status_code == 200
    server.kill()
    for path in ("/v1/tasks", "/v1/overview", "/metrics"):
        answer = ada.get(path)
        assert (answer.status_code, answer.json()["type"][-4:]) == (503, "away")
        assert int(answer.headers["Retry-After"]) > 0
    assert ada.get("/readyz").status_code == 503
    assert ada.get("/healthz").status_code == 200
    server.restart()
    assert ada.get("/v1/tasks").status_code == 200


def test_a_server_that_hangs_is_not_ready_and_keeps_nobody_waiting(
    fresh: Fresh, server: EmbeddedServer, web: Web
) -> None:
    """README: "it can do its work, or why not", where Redis takes calls and answers none."""
    anybody = web.client()
    with orchestrating(fresh):
        while anybody.get("/readyz").status_code != 200:
            pass
        os.kill(server.pid, signal.SIGSTOP)
        try:
            answer = anybody.get("/readyz")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert (answer.status_code, answer.json()["type"][-9:]) == (503, "not-ready")
        assert f"has not answered within {limits.READY_S} s" in answer.json()["detail"]
        while anybody.get("/readyz").status_code != 200:
            pass


def test_what_prometheus_reads_is_what_is_so(fresh: Fresh, web: Web) -> None:
    """The issue: "agents and queues with depths and breakers, ... /metrics"."""
    ada = web.caller()
    with orchestrating(fresh):
        on_the_desk(fresh, ada)
        asked(fresh, ada)
        set_aside(fresh)
        for _ in range(3):
            ada.get("/v1/tasks/none")
        ada.get("/no/such/path/of/mine")
        answer = ada.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    for kind in ("escalation", "question", "undeliverable"):
        assert found["buckstop_letters_open", (("kind", kind),)] == 1
    assert found["buckstop_tasks_submitted_total", ()] == 2
    assert found["buckstop_tasks", (("stage", "on_desk"),)] == 2
    assert found["buckstop_agent_in_flight", (("agent", "greet"),)] == 0
    assert found["buckstop_agent_breaker_open", (("agent", "greet"),)] == 0
    depth = "buckstop_queue_depth"
    assert found[depth, (("agent", "greet"), ("queue", fresh.keys.queue("greet")))] == 0
    assert found[depth, (("agent", ""), ("queue", fresh.keys.dead_letters))] == 3
    assert found["buckstop_orchestrator_serving", ()] == 1
    route = (("method", "GET"), ("route", "/v1/tasks/{task_id}"), ("status", "404"))
    assert found["buckstop_http_requests_total", route] == 3
    assert ("buckstop_http_request_seconds_count", (("route", "/v1/tasks/{task_id}"),)) in found
    assert "/no/such/path" not in answer.text


def test_agents_and_queues_are_shown_with_their_depths(fresh: Fresh, web: Web) -> None:
    ada = web.caller()
    with orchestrating(fresh):
        on_the_desk(fresh, ada)
        letter = asked(fresh, ada, tenant="north")
        while ada.post(f"/v1/letters/{letter}/decision", json={"verb": "answer", "answer": "x"}):
            break
    (agent,) = ada.get("/v1/agents").json()["items"]
    assert (agent["name"], agent["in_flight"], agent["breaker_open"]) == ("greet", 1, False)
    queues = {one["name"]: one for one in ada.get("/v1/queues").json()["items"]}
    lane = queues[fresh.keys.queue("greet", "north")]
    assert (lane["agent"], lane["tenant"], lane["depth"]) == ("greet", "north", 1)
    for tenant, waiting in (("north", 1), ("south", 0)):  # docs/HTTP.md: "and its own figures"
        (seen,) = web.caller("read", tenant=tenant).get("/v1/agents").json()["items"]
        assert (seen["name"], seen["waiting"], seen["breaker_open"]) == ("greet", waiting, False)
        hidden = ("workers", "in_flight", "cap", "retired", "calibration")
        assert {seen[name] for name in hidden} == {None}
    assert queues[fresh.keys.dead_letters]["depth"] == 2
    assert queues[fresh.keys.submissions]["depth"] == 0
    fresh.client.lpush(fresh.keys.submission_lists[-1], "by priority")
    assert {"name": fresh.keys.submissions, "depth": 1, "agent": None, "tenant": None} in (
        ada.get("/v1/queues").json()["items"]
    )
    assert ada.post("/v1/agents/greet/cap", json={"cap": 3}).json() == {"name": "greet", "cap": 3}
    assert ada.get("/v1/agents").json()["items"][0]["cap"] == 3
    assert ada.post("/v1/agents/greet/cap", json={"cap": None}).status_code == 200
    assert ada.get("/v1/agents").json()["items"][0]["cap"] is None
    assert ada.post("/v1/agents/nobody/cap", json={"cap": 3}).status_code == 404
    assert agent["retired"] is False
    for tenant in ("north", "new"):
        assert ada.post(f"/v1/tenants/{tenant}/cap", json={"cap": 2}).json()["cap"] == 2
    shares = {one.pop("name"): one for one in ada.get("/v1/tenants").json()["items"]}
    assert shares["new"] == {"at_work": 0, "cap": 2, "waiting": 0}
    assert ada.post("/v1/agents/greet/reset").status_code == 200


def test_what_waits_for_an_agent_that_nobody_ever_ran_is_seen(fresh: Fresh, web: Web) -> None:
    """docs/runbook.md: "Messages wait for an agent that no living worker runs"."""
    ada, queue = web.caller(), fresh.keys.queue("reserch")
    with orchestrating(fresh):
        ada.post("/v1/tasks", json={**TASK, "agent": "reserch"})
        while not fresh.client.llen(queue):
            time.sleep(0.01)
    queues = {one["name"]: one for one in ada.get("/v1/queues").json()["items"]}
    assert (queues[queue]["agent"], queues[queue]["depth"]) == ("reserch", 1)
    (seen,) = web.caller("read", tenant="default").get("/v1/agents").json()["items"]
    assert (seen["name"], seen["waiting"]) == ("reserch", 1)
    measured = ada.get("/metrics").text
    assert f'buckstop_queue_depth{{agent="reserch",queue="{queue}"}} 1.0' in measured
    assert 'buckstop_agent_workers{agent="reserch"} 0.0' in measured


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "httpx":  # which is the caller
            self.written.append(self.format(record))


def test_nothing_secret_is_ever_logged(fresh: Fresh, caplog: pytest.LogCaptureFixture) -> None:
    """The brief: "Never log a token, code or cookie"; not in a path, a query or a failure."""
    lines = Lines()
    logging.getLogger().addHandler(lines)
    caplog.set_level(logging.INFO)
    try:
        with orchestrating(fresh), running(fresh) as web:
            text = web.token()
            ada = web.client(Authorization=f"Bearer {text}")
            browser, csrf = web.browser(text)
            code = web.tokens.login_code(id_of(text))
            web.client().post("/session", json={"code": code})
            web.client().get(f"/v1/tasks?token={text}")
            web.client().get(f"/wrong/{text}")
            letter = asked(fresh, ada)
            wait = ada.post(f"/v1/letters/{letter}/wait-token", json={}).json()["token"]
            web.client().get(f"/waits/{wait}")
            web.client().post(f"/waits/{wait}/", json={"answer": "x"})
            web.client().post(f"/waits/{wait}", content=b"{")
            cookie = browser.cookies["buckstop_session"]
    finally:
        logging.getLogger().removeHandler(lines)
    log = "\n".join(lines.written)
    assert '"path": "/v1/tasks"' in log
    assert '"path": "/waits/***"' in log
    for secret in (text.split("_", 2)[2], csrf, code, wait, cookie):
        assert secret not in log


def test_the_document_describes_every_way_to_fail(web: Web) -> None:
    """The issue: "OpenAPI 3.1"; the brief: "all error responses as problem+json"."""
    told = web.client().get("/openapi.json").json()
    assert told["openapi"].startswith("3.1")
    assert set(told["components"]["securitySchemes"]) == {"token", "session"}
    seen = set()
    for path, operations in told["paths"].items():
        for method, operation in operations.items():
            seen.add(operation["operationId"])
            assert operation["description"], (path, method)
            assert operation["tags"]
            failures = {s: a for s, a in operation["responses"].items() if s >= "400"}
            assert all("application/problem+json" in a["content"] for a in failures.values())
            assert ("401" in failures) or "security" not in operation
    assert len(seen) == sum(map(len, told["paths"].values()))


def test_the_docs_load_nothing_from_elsewhere(web: Web) -> None:
    """docs/HTTP.md: "no page for it that would load code from elsewhere"."""
    client: httpx.Client = web.client()
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404


def test_the_page_names_all_of_its_modules_which_come_packed(web: Web) -> None:
    """The brief: "Slow network": one after the other, fifty modules take a minute on a bad line."""
    client = web.client()
    page = client.get("/desk").text
    named = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    modules = {f"/console/{path.relative_to(FOLDER).as_posix()}" for path in FOLDER.rglob("*.js")}
    assert set(named) == modules - {"/console/again.js", "/console/theme.js"}
    plain, packed = (
        client.get("/console/app.js", headers={"Accept-Encoding": each}) for each in ("", "gzip")
    )
    assert (plain.content, plain.headers["Vary"]) == (packed.content, "Accept-Encoding")
    assert "Content-Encoding" not in plain.headers
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 2
    assert packed.headers["ETag"] != plain.headers["ETag"]


def test_files_of_the_console_are_served_and_nothing_else(web: Web) -> None:
    """The brief: "path traversal in static files"; right types, ETag, CSP."""
    client = web.client()
    for each in PAGES:
        page = client.get(each.replace("{id}", "abc.1"))
        kind = page.headers["Content-Type"]
        assert (page.status_code, kind) == (200, "text/html; charset=utf-8")
        assert "script-src 'self'" in page.headers["Content-Security-Policy"]
        assert page.headers["Cache-Control"] == "no-cache"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
    script = client.get("/console/app.js")
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    again = client.get("/console/app.js", headers={"If-None-Match": script.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    secret = Path(__file__).parents[1] / "pyproject.toml"
    for path in (
        "/console/../app.py",
        "/console/%2e%2e/app.py",
        "/console/..%2fapp.py",
        "/console/%2e%2e%2f%2e%2e%2f%2e%2e%2fpyproject.toml",
        "/console/" + str(secret),
        "/console//etc/passwd",
        "/console/app.js%00.html",
        "/console/",
        "/console/lib",
        "/console/.",
    ):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert b"import" not in answer.content
    assert client.post("/console/app.js").status_code == 405
