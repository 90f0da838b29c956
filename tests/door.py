"""Messages at the door: as Celery itself writes them, and spoilt in every way."""

import json
from base64 import b64encode
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from celery import Celery
from kombu.connection import Connection

from orchestrator.wire import _ListTransport

ASKED: dict[str, Any] = {
    "goal": "otters",
    "agent": "research",
    "budget": {"tokens": 500},
    "timeout": "1m",
    "until": {"kind": "plan_done"},
}
"""A request as a caller writes it."""


def sent(fields: dict[str, Any] | None = None, *args: Any, **options: Any) -> bytes:
    """Let Celery write a message to the door, with these of its options."""
    app = Celery("somebody", set_as_current=False, **options.pop("conf", {}))
    name = options.pop("name", "buckstop.submit")
    with Connection(transport=_ListTransport) as connection:
        kwargs = ASKED if fields is None else fields
        options = {"queue": "buckstop:submit"} | options
        app.send_task(name, args=args, kwargs=kwargs, connection=connection, **options)
        return str(connection.default_channel.sent.pop()).encode()


def edited(edit: Callable[[dict[str, Any]], object], raw: bytes | None = None) -> bytes:
    """Change something in a good message."""
    message = json.loads(raw or sent())
    edit(message)
    return json.dumps(message).encode()


def with_body(text: str | bytes) -> bytes:
    """Put another body into a good message."""
    raw = text.encode() if isinstance(text, str) else text
    return edited(lambda message: message.update(body=b64encode(raw).decode()))


PAST, FUTURE = "2001-01-01T00:00:00+00:00", "2999-01-01T00:00:00Z"
DEEP = '{"a":' * 40 + "1" + "}" * 40
TWICE = json.dumps([[], ASKED, {}]).replace('"goal"', '"goal": "cats", "goal"')
MALFORMED: dict[str, tuple[bytes, str, str]] = {
    "no JSON": (b"hello", "undecodable", "message: not JSON"),
    "not UTF-8": (b'{"a": "\xff"}', "undecodable", "utf-8"),
    "empty": (b"", "undecodable", "not JSON"),
    "NaN": (b'{"a": NaN}', "undecodable", "a: NaN is not a number"),
    "key twice": (b'{"body": "", "body": ""}', "undecodable", "body: the key stands twice"),
    "deep": (DEEP.encode(), "deep", "nested deeper than 32"),
    "a list": (b"[1]", "shape", "JSON object"),
    "no headers": (edited(lambda m: m.pop("headers")), "shape", "headers: missing"),
    "no properties": (edited(lambda m: m.pop("properties")), "shape", "properties: missing"),
    "a body that is an object": (edited(lambda m: m.update(body={})), "shape", "body: missing, or"),
    "pickle": (edited(lambda m: m.update({"content-type": "application/x-python-serialize"})),
        "serializer", "serializer='json'"),
    "yaml": (sent(serializer="yaml"), "serializer", "application/x-yaml"),
    "latin-1": (edited(lambda m: m.update({"content-encoding": "latin-1"})), "encoding", "utf-8"),
    "hex body": (edited(lambda m: m["properties"].update(body_encoding="hex")),
        "encoding", "send base64"),
    "body_encoding no text": (edited(lambda m: m["properties"].update(body_encoding=["base64"])),
        "encoding", "body_encoding ['base64']; send base64"),
    "compressed": (sent(compression="zlib"), "compressed", "application/x-gzip"),
    "no base64": (edited(lambda m: m.update(body="%%%")), "body", "body: not base64"),
    "body no JSON": (with_body("{"), "body", "body: not JSON"),
    "body not UTF-8": (with_body(b"\xff\xfe"), "body", "body: not JSON"),
    "body deep": (with_body(DEEP), "deep", "body: nested deeper"),
    "body key twice": (with_body(TWICE), "body", "1.goal: the key stands twice"),
    "body a huge number": (with_body(f"[[], {{\"goal\": {'9' * 400}}}, {{}}]"),
        "body", "beyond every number"),
    "body half a character": (with_body('[[], {"goal": "\\ud800"}, {}]'), "body", "half of a"),
    "body no call": (with_body("[1, 2]"), "body", "[args, kwargs, embed]"),
    "kwargs a list": (with_body("[[], [], {}]"), "body", "kwargs: [] is no object"),
    "no task": (edited(lambda m: m["headers"].update(task=None)), "no-task", "task None"),
    "no id": (edited(lambda m: m["headers"].pop("id")), "no-task", "id None"),
    "an id of two lines": (edited(lambda m: m["headers"].update(id="a\nb")), "no-task", "a\\nb"),
    "another task": (sent(name="shop.pay"), "unknown-task", "it is 'buckstop.submit'"),
    "an agent's task": (sent(name="agent.research"), "unknown-task", "agent.research"),
    "positional": (sent({}, ASKED), "positional", "fields are given by name"),
    "callback": (sent(link=Celery().signature("x", app=Celery())), "canvas", "callbacks: nothing"),
    "eta": (sent(countdown=60), "eta", "send the message when it is to begin"),
    "time limit": (sent(time_limit=5), "time-limit", "timeout='5m'"),
    "expires, no moment": (edited(lambda m: m["headers"].update(expires="soon")),
        "expires", "ISO 8601"),
    "expired": (sent(expires=PAST), "expired", "its sender gave it until 2001-01-01"),
    "no fields": (sent({}), "request", "budget: a task without a ceiling is refused; for example"),
    "unknown field": (sent({**ASKED, "gaol": "x"}), "request", "gaol: there is no such field"),
    "wrong type": (sent({**ASKED, "budget": {"tokens": "many"}}), "request", "budget.tokens: "),
    "Celery's decimal": (sent({**ASKED, "budget": {"usd": Decimal(1)}}),
        "request", "budget.usd: an amount of US dollars is a number"),
    "fields against each other": (sent({**ASKED, "plan": []}), "request", "plan"),
    "too large a step": (sent({**ASKED, "input": "x" * 140_000}), "request", "agent.input: "),
    "old protocol": (sent(name="shop.pay", conf={"task_protocol": 1}), "unknown-task", "shop.pay"),
}  # fmt: skip
"""By what is wrong: a message, the letter's reason, and what its text says."""
