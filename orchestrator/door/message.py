"""Read a Celery message that a stranger wrote: protocol 2, or the older 1, which Go clients write.

Nothing in it is trusted, and nothing is decoded that could run or grow: JSON only, size and depth
before parsing, no compression, no duplicate keys (envelopes/strict.py). Kombu's own types inside
JSON ({"__type__": ...}) stay the plain objects that they are.

Pure. Whether its arguments are a request is judge.py's to say.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from envelopes.letter import LetterKind
from envelopes.limits import JSON_DEPTH_MAX, MESSAGE_BYTES_MAX
from envelopes.shortened import shortened
from envelopes.strict import Refused, check_json, deeper_than

TASK: Final = "buckstop.submit"
"""The name of the one Celery task that is taken here."""
_ID: Final = re.compile(r"[\x21-\x7e]{1,200}")
_QUOTED_CHARS: Final = 80
_CANVAS: Final = ("callbacks", "errbacks", "chain", "chord")


class Reason(StrEnum):
    """What is wrong with a message, as one word; letters of one cause share it."""

    UNDECODABLE = "undecodable"
    DEEP = "deep"
    SHAPE = "shape"
    SERIALIZER = "serializer"
    ENCODING = "encoding"
    COMPRESSED = "compressed"
    BODY = "body"
    NO_TASK = "no-task"
    UNKNOWN_TASK = "unknown-task"
    POSITIONAL = "positional"
    CANVAS = "canvas"
    ETA = "eta"
    TIME_LIMIT = "time-limit"
    EXPIRES = "expires"
    EXPIRED = "expired"
    REQUEST = "request"
    """The message is sound; the request in it is not."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that becomes a letter."""

    reason: Reason
    why: str
    id: str | None = None
    """Celery's, as far as the message could be read."""
    answers: bool = False
    """Whether somebody may wait for an answer under that id."""

    @property
    def kind(self) -> LetterKind:
        """Return the kind of the letter."""
        return LetterKind.EXPIRED if self.reason is Reason.EXPIRED else LetterKind.UNDELIVERABLE


@dataclass(frozen=True, slots=True)
class Call:
    """A call of our task: who calls, and with what."""

    id: str
    fields: Mapping[str, Any]
    traceparent: object
    """From the message's headers, where instrumented clients put it; it may be anything."""
    answers: bool


class Wrong(Exception):
    """Leaves a check by its own door; never gets out of `read`."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason, self.why = reason, why


@dataclass(frozen=True, slots=True)
class _Parts:
    """A message taken apart, of either protocol: what it calls, and with which options."""

    options: Mapping[str, Any]
    """Names the task, its id, eta, expires and so on."""
    canvas: Mapping[str, Any]
    args: Any
    fields: Any


def read(raw: bytes, now_ms: int) -> Call | Refusal:
    """Return the call that these bytes are, or why they are none."""
    options: Mapping[str, Any] = {}
    try:
        message = _json(raw, Reason.UNDECODABLE, "message")
        headers = _shape(message)
        options = headers
        _check_encodings(message, headers)
        parts = _parts(headers, _body(message))
        options = parts.options
        _check_call(parts)
        _check_options(parts, now_ms)
    except Wrong as wrong:
        return Refusal(wrong.reason, wrong.why, _id(options), _answers(options))
    return Call(str(_id(options)), parts.fields, headers.get("traceparent"), _answers(options))


def _id(options: Mapping[str, Any]) -> str | None:
    found = options.get("id")
    return found if isinstance(found, str) and _ID.fullmatch(found) else None


def _answers(options: Mapping[str, Any]) -> bool:
    return _id(options) is not None and options.get("ignore_result") is not True


# --- one check each, in order --------------------------------------------------------------------


def _json(raw: bytes, reason: Reason, what: str) -> Any:
    if deeper_than(raw, JSON_DEPTH_MAX):
        raise Wrong(Reason.DEEP, f"{what}: nested deeper than {JSON_DEPTH_MAX} levels")
    try:
        return check_json(raw, bytes_max=MESSAGE_BYTES_MAX, what=what)
    except Refused as refused:
        raise Wrong(reason, str(refused)) from None


def _shape(message: Any) -> Mapping[str, Any]:
    if not isinstance(message, dict):
        raise Wrong(Reason.SHAPE, "a Celery message is a JSON object")
    for part, kind in (("headers", dict), ("properties", dict), ("body", str)):
        if not isinstance(message.get(part), kind):
            named = "an object" if kind is dict else "text"
            raise Wrong(Reason.SHAPE, f"{part}: missing, or not {named}")
    headers: dict[str, Any] = message["headers"]
    return headers


def _check_encodings(message: Mapping[str, Any], headers: Mapping[str, Any]) -> None:
    content_type, encoding = message.get("content-type"), message.get("content-encoding")
    if content_type != "application/json":
        why = f"content-type {_quoted(content_type)}; send JSON: serializer='json'"
        raise Wrong(Reason.SERIALIZER, why)
    if encoding is not None and str(encoding).lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise Wrong(Reason.ENCODING, f"content-encoding {_quoted(encoding)}; send utf-8")
    body_encoding = message["properties"].get("body_encoding")
    if body_encoding is not None and body_encoding != "base64":
        why = f"body_encoding {_quoted(body_encoding)}; send base64 or plain text"
        raise Wrong(Reason.ENCODING, why)
    if headers.get("compression") is not None:
        found = headers["compression"]
        raise Wrong(Reason.COMPRESSED, f"compression {_quoted(found)}; send it as it is")


def _body(message: Mapping[str, Any]) -> Any:
    body: str = message["body"]
    if message["properties"].get("body_encoding") is None:
        return _json(body.encode("utf-8", "surrogatepass"), Reason.BODY, "body")
    try:
        raw = b64decode(body, validate=True)
    except ValueError as error:
        raise Wrong(Reason.BODY, f"body: not base64: {error}") from None
    return _json(raw, Reason.BODY, "body")


def _parts(headers: Mapping[str, Any], body: Any) -> _Parts:
    if "task" not in headers and isinstance(body, dict):
        return _Parts(body, body, body.get("args", []), body.get("kwargs", {}))
    if isinstance(body, list) and len(body) == len(("args", "kwargs", "embed")):
        embed = body[2] if isinstance(body[2], dict) else {}
        return _Parts(headers, embed, body[0], body[1])
    raise Wrong(Reason.BODY, "body: not the arguments of a call, [args, kwargs, embed]")


def _check_call(parts: _Parts) -> None:
    task = parts.options.get("task")
    if not isinstance(task, str) or _id(parts.options) is None:
        found = f"task {_quoted(task)}, id {_quoted(parts.options.get('id'))}"
        raise Wrong(Reason.NO_TASK, f"a message names a task and an id of its own, not {found}")
    if task != TASK:
        raise Wrong(Reason.UNKNOWN_TASK, f"task {_quoted(task)}; on this queue it is {TASK!r}")
    if parts.args not in ([], None):
        why = "fields are given by name: kwargs={'goal': ..., 'budget': ...}, and args stay empty"
        raise Wrong(Reason.POSITIONAL, f"args {_quoted(parts.args)}; {why}")
    if not isinstance(parts.fields, dict):
        raise Wrong(Reason.BODY, f"kwargs: {_quoted(parts.fields)} is no object")


def _check_options(parts: _Parts, now_ms: int) -> None:
    options = parts.options
    if found := next((name for name in _CANVAS if parts.canvas.get(name)), None):
        why = "nothing is called back from here; follow the task instead"
        raise Wrong(Reason.CANVAS, f"{found}: {why}")
    if options.get("eta") is not None:
        why = "a task begins when it is submitted; send the message when it is to begin"
        raise Wrong(Reason.ETA, f"eta {_quoted(options['eta'])}; {why}")
    if options.get("timelimit") not in (None, [], [None, None]):
        why = "say how long the task may take: timeout='5m'"
        raise Wrong(Reason.TIME_LIMIT, f"timelimit {_quoted(options['timelimit'])}; {why}")
    _check_expiry(options.get("expires"), now_ms)


def _check_expiry(expires: Any, now_ms: int) -> None:
    """Refuse what was not taken in the time its sender gave it, by the server's clock."""
    if expires is None:
        return
    try:
        until = datetime.fromisoformat(expires)
    except (TypeError, ValueError):
        raise Wrong(
            Reason.EXPIRES, f"expires {_quoted(expires)} is no moment in ISO 8601"
        ) from None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    late_ms = now_ms - int(until.timestamp() * 1000)
    if late_ms >= 0:
        why = f"its sender gave it until {expires}, and it was taken {late_ms:,} ms later"
        raise Wrong(Reason.EXPIRED, why)


def _quoted(value: object) -> str:
    """Quote a stranger's value, shortened."""
    return shortened(repr(value), _QUOTED_CHARS)
