"""What strangers send: too large, too slow, too deep, not JSON, and worse."""

import asyncio
import json
import select
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import AfterValidator
from uvicorn import Config
from uvicorn.server import ServerState

from envelopes import limits
from orchestrator.http.bodies import BODIES, json_body
from orchestrator.http.connection import Protocol
from orchestrator.http.models import In
from tests.conftest import Fresh
from tests.until import PATIENCE_S
from tests.web import TASK, Web, running


@pytest.fixture
def web(fresh: Fresh) -> Iterator[Web]:
    with running(fresh) as web:
        yield web


@pytest.fixture
def ada(web: Web) -> httpx.Client:
    return web.caller()


def send(ada: httpx.Client, body: bytes, kind: str = "application/json") -> httpx.Response:
    return ada.post("/v1/tasks", content=body, headers={"Content-Type": kind})


def raw(web: Web, text: bytes) -> bytes:
    """Write bytes to the socket and return what comes back until it is closed."""
    parts = urlsplit(web.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(65536), b""))


DEEP = b"[" * 40 + b"]" * 40
WHOLE = json.dumps(TASK).encode()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b'{"goal": NaN}', "goal"),
        (b'{"goal": 1e999}', "goal"),
        (b'{"goal": "a", "goal": "b"}', "goal"),
        (b'{"budget": {"tokens": 1, "tokens": 2}}', "budget.tokens"),
        (b'{"input": ' + DEEP + b"}", "body"),
        (b'{"goal": "\xff"}', "body"),
        (b'{"goal": "\\ud800"}', "goal"),
        (b'{"input": ' + b"9" * 400 + b"}", "input"),
        (b"\xef\xbb\xbf" + WHOLE, "body"),
        (WHOLE.decode().encode("utf-16"), "body"),
    ],
    ids=str,
)
def test_what_is_no_json_of_ours_cannot_be_read(ada: httpx.Client, body: bytes, field: str) -> None:
    """The brief: duplicate keys, NaN, deep JSON, huge ints, invalid UTF-8, surrogates."""
    answer = send(ada, body)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
    assert answer.json()["type"] == "urn:buckstop:problem:unreadable"


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"3"])
def test_json_that_is_no_object_is_refused(ada: httpx.Client, body: bytes) -> None:
    assert send(ada, body).status_code == 422


@pytest.mark.parametrize("kind", [None, "application/json", "application/x-www-form-urlencoded"])
def test_where_nothing_must_be_said_nothing_need_be_sent(
    ada: httpx.Client, kind: str | None
) -> None:
    """docs/HTTP.md: "Where every field may be left out, so may the body be"."""
    task = ada.post("/v1/tasks", json=TASK).json()["id"]
    headers = {} if kind is None else {"Content-Type": kind}
    answer = ada.post(f"/v1/tasks/{task}/cancel", headers=headers)
    assert (answer.status_code, answer.json()["asked"]) == (202, True), answer.text
    pieces = ada.post(f"/v1/tasks/{task}/cancel", content=iter([b'{"why": 3}']), headers=headers)
    assert pieces.status_code in {415, 422}, "what is there is read all the same"
    described = ada.get("/openapi.json").json()["paths"]
    assert not described["/v1/tasks/{task_id}/cancel"]["post"]["requestBody"]["required"]
    assert described["/v1/tasks"]["post"]["requestBody"]["required"]


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml", "a\tb"]
)
def test_only_json_is_read(ada: httpx.Client, kind: str) -> None:
    """A stranger's page can send a form without being asked, but no JSON."""
    answer = send(ada, WHOLE, kind)
    assert (answer.status_code, answer.json()["type"][-22:]) == (415, "unsupported-media-type")
    assert "where there is nothing to say, {}" in answer.json()["detail"]
    assert send(ada, WHOLE, "Application/JSON; charset=utf-8").status_code == 201


def test_a_body_is_counted_while_it_comes_whatever_its_length_says(ada: httpx.Client) -> None:
    """docs/HTTP.md: "counted while they stream, not trusting Content-Length"."""
    too_much = b" " * (limits.REQUEST_BYTES_MAX + 1)
    answer = send(ada, too_much)
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:buckstop:problem:too-large")
    pieces = (b" " * 65536 for _ in range(limits.REQUEST_BYTES_MAX // 65536 + 1))
    headers = {"Content-Type": "application/json"}
    assert ada.post("/v1/tasks", content=pieces, headers=headers).status_code == 413
    fits = WHOLE + b" " * (limits.REQUEST_BYTES_MAX - len(WHOLE))
    assert send(ada, fits).status_code == 201


@pytest.mark.parametrize("path", ["/session", f"/waits/{'a' * 43}", "/v1/letters/t.1/decision"])
def test_what_is_short_is_said_in_a_short_body(ada: httpx.Client, path: str) -> None:
    """Reading JSON takes time, and who logs in or answers an address has shown no token."""
    whole = b"[" + b" " * (limits.BODY_BYTES_MAX - 2) + b"]"
    headers = {"Content-Type": "application/json"}
    assert ada.post(path, content=whole, headers=headers).status_code == 422
    assert ada.post(path, content=whole + b" ", headers=headers).status_code == 413


def test_a_body_is_parsed_where_nobody_else_is_served() -> None:
    """The issue: "a slow client never delays others": megabytes of JSON are parsed for seconds."""
    parsed_by = []

    class Watched(In):
        body: Annotated[int, AfterValidator(lambda _: parsed_by.append(threading.get_ident()))]

    async def endpoint(given: Annotated[Watched, json_body(Watched)]) -> int:
        del given
        return threading.get_ident()

    app = FastAPI()
    app.post("/")(endpoint)
    with TestClient(app) as client:
        event_loop = client.post("/", json={"body": 1}).json()
    del BODIES["Watched"]
    assert len(parsed_by) == 1
    assert event_loop not in parsed_by


def test_nothing_is_read_of_somebody_who_may_not_call(web: Web) -> None:
    """A stranger's body costs nothing: it is refused before it is read."""
    head = b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    answer = raw(web, head + b"Content-Length: 4000000\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_a_body_that_does_not_come_is_not_waited_for(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The brief: "slow bodies"."""
    monkeypatch.setattr(limits, "BODY_S", 0.2)
    parts = urlsplit(web.url)
    head = (
        f"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {web.token()}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        (b"", 0),
        (b"GET /healthz HTTP/1.1\r\nHos", 0),
        (HEALTH + b"GET /hea", 1),
        (b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{", 1),
    ],
)
def test_a_request_that_does_not_come_is_not_waited_for(
    web: Web, monkeypatch: pytest.MonkeyPatch, sent: bytes, answers: int
) -> None:
    """The brief: "slowloris": HTTP servers by themselves wait for a head without end."""
    monkeypatch.setattr(limits, "HEAD_S", 2 if answers else 0.3)  # what does come, comes in time
    assert raw(web, sent).count(b"HTTP/1.1 ") == answers


LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
READ_AT_ONCE = 4_096


def asking(web: Web) -> socket.socket:
    """Ask for more than the system buffers, with hardly any room for it on our side."""
    parts = urlsplit(web.url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_AT_ONCE)
    connection.settimeout(30)
    connection.connect((parts.hostname, parts.port))
    connection.sendall(LARGE)
    return connection


def test_an_answer_that_nobody_reads_is_not_kept(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The brief: a slow reader; a server by itself keeps socket and answer until it has read."""
    monkeypatch.setattr(limits, "ANSWER_STILL_S", 0.3)
    with asking(web) as connection:
        hung_up = select.poll()
        hung_up.register(connection, 0)
        assert hung_up.poll(1_000 * PATIENCE_S), "the connection is still there"
        with pytest.raises(ConnectionResetError):
            b"".join(iter(lambda: connection.recv(READ_AT_ONCE), b""))


class Phone(asyncio.Transport):
    """A client who takes as much as a test lets it, on a clock that a test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.hung_up = False
        self.later: list[tuple[Any, ...]] = []

    def call_later(self, _: float, *what: Any) -> Any:
        self.later.append(what)
        return SimpleNamespace(cancel=lambda: self.later.remove(what))

    def wait(self) -> None:
        due, self.later = self.later, []
        for call, *args in due:
            call(*args)

    def write(self, data: Any) -> None:
        self.left += len(data)

    def get_write_buffer_size(self) -> int:
        return self.left

    def is_closing(self) -> bool:
        return self.hung_up

    def abort(self) -> None:
        self.hung_up = True


def connected(phone: Phone) -> Protocol:
    """Let a client have asked for something."""
    protocol = Protocol(Config(lambda: None), ServerState(), {}, phone)
    protocol.connection_made(phone)
    phone.later.clear()  # a request has come
    return protocol


def test_whoever_reads_slowly_gets_all_of_an_answer() -> None:
    """The same; a phone at the edge of its network is no attack, however long it takes."""
    phone = Phone()
    protocol = connected(phone)
    protocol.transport.write(bytes(100_000))
    protocol.pause_writing()
    while phone.left:
        phone.left -= 1_000
        phone.wait()
        assert not phone.hung_up
    protocol.resume_writing()
    assert phone.later == [], "and nobody waits for it any more"


def test_whoever_has_taken_one_answer_is_no_idle_reader_of_the_next() -> None:
    """The same; what was left of an answer before says nothing about what is left of this one."""
    phone = Phone()
    protocol = connected(phone)
    protocol.transport.write(bytes(100_000))
    protocol.pause_writing()
    phone.left = 10_000
    protocol.resume_writing()
    protocol.transport.write(bytes(100_000))
    protocol.pause_writing()
    for left in (90_000, 70_000):
        phone.left = left
        phone.wait()
        assert not phone.hung_up
    protocol.transport.write(bytes(5))  # which nobody has taken
    phone.wait()
    assert phone.hung_up


def test_two_lengths_of_one_body_are_refused(web: Web) -> None:
    """A proxy in front may go by the other one, and let in what it has not looked at."""
    lengths = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    head = b"POST /healthz HTTP/1.1\r\nHost: x\r\n" + lengths
    answer = raw(web, head + b"2\r\n{}\r\n0\r\n\r\n" + HEALTH)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"contradict each other" in answer


@pytest.mark.parametrize(
    "path",
    [
        "/v1/tasks/" + "a" * 201,
        "/v1/tasks/a%00b",
        "/v1/tasks/a%0d%0aSet-Cookie:%20x=1",
        "/v1/tasks/%F0%9F%92%A9",
        "/v1/tasks/..",
        "/v1/letters/a%20b",
        "/v1/letters/*",
        "/v1/agents/a:b/reset",
    ],
)
def test_an_id_is_only_what_an_id_can_be(web: Web, path: str) -> None:
    """The brief: very long ids, control characters, header injection."""
    token = web.token()
    method = b"POST" if path.endswith("reset") else b"GET"
    answer = raw(
        web,
        method
        + f" {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n".encode()
        + b"Connection: close\r\n\r\n",
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] in {b"422", b"404"}, head
    assert b"set-cookie" not in head.lower()
    assert json.loads(body)["type"].startswith("urn:buckstop:problem:")


def test_a_key_cannot_carry_a_header(web: Web, ada: httpx.Client) -> None:
    for key in ("a b", "a" * 201, "ä"):
        answer = ada.post("/v1/tasks", json=TASK, headers={"Idempotency-Key": key.encode()})
        assert answer.status_code == 422, key


def test_what_cannot_be_asked_says_what_can(web: Web, ada: httpx.Client) -> None:
    """The brief: "HEAD/OPTIONS/405 with Allow"."""
    allowed = {
        "/v1/tasks": "GET, HEAD, OPTIONS, POST",
        "/v1/tasks/t": "GET, HEAD, OPTIONS",
        "/v1/letters/counts": "GET, HEAD, OPTIONS",
        "/v1/letters/decisions": "OPTIONS, POST",
        "/v1/tokens/t": "DELETE, OPTIONS",
        "/v1/events": "GET, OPTIONS",
        "/": "GET, HEAD, OPTIONS",
    }
    for path, methods in allowed.items():
        asked = web.client().options(path)
        assert (asked.status_code, asked.headers["Allow"]) == (204, methods)
        refused = ada.request("PATCH", path)
        assert (refused.status_code, refused.headers["Allow"]) == (405, methods), path
        assert refused.json()["type"] == "urn:buckstop:problem:method-not-allowed"
    full, head = ada.get("/v1/tasks"), ada.head("/v1/tasks")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == full.headers["Content-Length"]
    assert web.client().head("/v1/tasks").status_code == 401


def test_a_bug_of_ours_is_a_problem_and_no_trace(
    web: Web, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("orchestrator.client.Buckstop.tasks", broken)
    answer = ada.get("/v1/tasks")
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:buckstop:problem:bug")
    assert "secret detail" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
