"""Look at a message before Celery does.

Stock Celery dies of some malformed messages, again at every restart, and silently drops others. So
nothing reaches it that is not a well-formed, signed and current message of ours; everything else is
a Refusal, which becomes a dead letter with its own reason and the original bytes.

The order is that of trust. Size and depth before parsing; shape; the seal over the signed text;
only then is that text read, and what Celery would act on is compared with it. What passes is
written anew from the signed text (`as_celery_reads_it`), so what stood in the message besides, such
as an eta, a callback or a time limit, cannot come through.

Not here: whether the subtask's claim is ours (workers/intake.py).
"""

from base64 import b64decode
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, Protocol

import msgspec
from pydantic import ValidationError

from envelopes.headers import Headers
from envelopes.letter import LetterKind
from envelopes.limits import JSON_DEPTH_MAX, MESSAGE_BYTES_MAX
from envelopes.seal import Forged
from envelopes.shortened import shortened
from envelopes.strict import Refused, check_json, deeper_than, refusal
from envelopes.versions import OLDEST_VERSION, SCHEMA_VERSION

_decode = msgspec.json.Decoder().decode
"""Strict, and three times as fast as json. That the last of two equal keys wins is no way in: all
that is used of a message is compared with what was signed."""
_SEAL_CHARS_MAX: Final = 4096
"""A path through the tree of a million messages is shorter."""
_QUOTED_CHARS: Final = 60


class Kind(StrEnum):
    """Why a message may not pass; it is filed under exactly one of these."""

    OVERSIZE = "oversize"
    UNDECODABLE = "undecodable"
    DEEP = "deep"
    SHAPE = "shape"
    SERIALIZER = "serializer"
    ENCODING = "encoding"
    COMPRESSED = "compressed"
    NO_TASK = "no-task"
    UNKNOWN_TASK = "unknown-task"
    UNSIGNED = "unsigned"
    FORGED = "forged"
    SCHEMA = "schema"
    HEADERS = "headers"
    WRONG_QUEUE = "wrong-queue"
    EDITED_TASK = "edited-task"
    EDITED_ID = "edited-id"
    EDITED_CLAIM = "edited-claim"
    EDITED_BODY = "edited-body"
    BODY = "body"
    ETA = "eta"
    EXPIRES = "expires"
    RETRIED = "retried"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    NOT_ISSUED = "not-issued"


REASONS: Final[dict[Kind, str]] = {
    Kind.OVERSIZE: "larger than a worker fetches",
    Kind.UNDECODABLE: "not JSON",
    Kind.DEEP: "nested too deep",
    Kind.SHAPE: "not in the shape of a Celery message",
    Kind.SERIALIZER: "a serializer that is never used here",
    Kind.ENCODING: "an encoding that is never used here",
    Kind.COMPRESSED: "compressed",
    Kind.NO_TASK: "names no task or no id",
    Kind.UNKNOWN_TASK: "a task that this worker does not have",
    Kind.UNSIGNED: "not signed",
    Kind.FORGED: "not signed by an orchestrator of ours",
    Kind.SCHEMA: "a schema version that this worker does not know",
    Kind.HEADERS: "signed headers that this worker cannot read",
    Kind.WRONG_QUEUE: "signed for another queue",
    Kind.EDITED_TASK: "its task is not the signed one",
    Kind.EDITED_ID: "its id is not the signed one",
    Kind.EDITED_CLAIM: "its claim is not the signed one",
    Kind.EDITED_BODY: "its body is not the signed one",
    Kind.BODY: "a signed body that this worker cannot read",
    Kind.ETA: "asks to be run later",
    Kind.EXPIRES: "carries an expiry of Celery's",
    Kind.RETRIED: "carries a retry of Celery's",
    Kind.EXPIRED: "its time is over",
    Kind.REPLAYED: "its subtask has been claimed before",
    Kind.NOT_ISSUED: "its claim was not issued with it",
}


_FILED_AS: Final[dict[Kind, LetterKind]] = {
    Kind.OVERSIZE: LetterKind.OVERSIZE,
    Kind.EXPIRED: LetterKind.EXPIRED,
    Kind.UNSIGNED: LetterKind.FORGED,
    Kind.FORGED: LetterKind.FORGED,
    Kind.WRONG_QUEUE: LetterKind.FORGED,
    Kind.EDITED_TASK: LetterKind.FORGED,
    Kind.EDITED_ID: LetterKind.FORGED,
    Kind.EDITED_CLAIM: LetterKind.FORGED,
    Kind.EDITED_BODY: LetterKind.FORGED,
    Kind.REPLAYED: LetterKind.FORGED,
    Kind.NOT_ISSUED: LetterKind.FORGED,
}
"""What a person is shown first; all others are undeliverable."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that may not pass."""

    kind: Kind
    why: str

    @property
    def reason(self) -> str:
        """Say in words what the kind means."""
        return REASONS[self.kind]

    @property
    def filed_as(self) -> LetterKind:
        """Return the kind of the letter that it becomes; our own kind is the letter's reason."""
        return _FILED_AS.get(self.kind, LetterKind.UNDELIVERABLE)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that may pass: its signed text has been read, and its body is the signed one."""

    headers: Headers
    payload: str
    """What the agent is asked, as JSON text."""
    shown: tuple[str, str]
    """What Flower shows of its arguments. Not signed, and not used."""


class Checks(Protocol):
    """What knows the orchestrators' keys: envelopes.seal.Verifier."""

    def check(self, text: bytes, seal: str) -> None:
        """Raise Forged unless one of our keys has signed this very text."""
        ...


class _Refused(Exception):
    """Leaves `inspect` by its own door; never gets out of this module."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.refusal = Refusal(kind, why)


def inspect(
    raw: bytes, queue: str, now_ms: int, verifier: Checks, known_tasks: Container[str]
) -> Message | Refusal:
    """Return the message that these bytes are, or why they are none that may pass."""
    try:
        message = _parsed(raw)
        celery, properties = _shape(message)
        _refuse_what_we_never_use(message, celery, properties)
        _check_task(celery, known_tasks)
        headers = _signed_headers(celery, verifier)
        _compare(celery, headers, queue)
        _check_time(headers, now_ms)
        payload = _payload(message["body"], headers)
    except _Refused as refused:
        return refused.refusal
    return Message(headers, payload, (_shown(celery, "args"), _shown(celery, "kwargs")))


def as_celery_reads_it(message: Message, time_limit_s: float, **extra: object) -> dict[str, Any]:
    """Write a message for Celery from what was signed, and nothing else.

    Its body is decoded already, which Celery knows by there being no content type.
    """
    headers = message.headers
    return {
        "body": [(), {"payload": message.payload}, {}],
        "content-type": None,
        "content-encoding": None,
        "headers": {
            "lang": "py",
            "task": f"agent.{headers.agent}",
            "id": headers.id,
            "root_id": headers.task,
            "parent_id": None,
            "group": None,
            "eta": None,
            "expires": None,
            "retries": 0,
            "timelimit": [time_limit_s, None],
            "argsrepr": message.shown[0],
            "kwargsrepr": message.shown[1],
            "ignore_result": True,
            **extra,
        },
        "properties": {
            "correlation_id": headers.id,
            "delivery_info": {"exchange": "", "routing_key": headers.queue},
            "delivery_tag": headers.nonce,
            "priority": 0,
        },
    }


# --- one check each, in order --------------------------------------------------------------------


def _parsed(raw: bytes) -> Any:
    if len(raw) > MESSAGE_BYTES_MAX:
        raise _Refused(Kind.OVERSIZE, f"{len(raw):,} bytes, at most {MESSAGE_BYTES_MAX:,}")
    if deeper_than(raw, JSON_DEPTH_MAX):
        raise _Refused(Kind.DEEP, f"nested deeper than {JSON_DEPTH_MAX} levels")
    try:
        return _decode(raw)
    except (ValueError, RecursionError) as error:
        raise _Refused(Kind.UNDECODABLE, f"not JSON: {error}") from None


def _shape(message: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if not isinstance(message, dict):
        raise _Refused(Kind.SHAPE, f"a JSON {type(message).__name__}, not an object")
    for part, kind in (("headers", dict), ("properties", dict), ("body", str)):
        if not isinstance(message.get(part), kind):
            raise _Refused(Kind.SHAPE, f"{part} is missing or no {_JSON_NAMES[kind]}")
    return message["headers"], message["properties"]


_JSON_NAMES: Final[dict[type, str]] = {dict: "object", str: "text"}


def _refuse_what_we_never_use(
    message: dict[str, Any], celery: dict[str, Any], properties: dict[str, Any]
) -> None:
    if message.get("content-type") != "application/json":
        raise _Refused(Kind.SERIALIZER, f"content-type {_quoted(message.get('content-type'))}")
    encodings = (message.get("content-encoding"), properties.get("body_encoding"))
    if encodings != ("utf-8", "base64"):
        raise _Refused(Kind.ENCODING, f"content and body encodings {_quoted(encodings)}")
    if "compression" in celery:
        raise _Refused(Kind.COMPRESSED, f"compression {_quoted(celery['compression'])}")
    if celery.get("eta") is not None:
        raise _Refused(Kind.ETA, f"eta {_quoted(celery['eta'])}; we wait by alarms, not by eta")
    if celery.get("expires") is not None:
        raise _Refused(Kind.EXPIRES, f"expires {_quoted(celery['expires'])}; our own is signed")
    if celery.get("retries"):
        raise _Refused(Kind.RETRIED, f"retries {_quoted(celery['retries'])}; the owner re-plans")


def _check_task(celery: dict[str, Any], known_tasks: Container[str]) -> None:
    task, subtask = celery.get("task"), celery.get("id")
    if not isinstance(task, str) or not isinstance(subtask, str):
        raise _Refused(Kind.NO_TASK, f"task {_quoted(task)}, id {_quoted(subtask)}")
    if task not in known_tasks:
        raise _Refused(Kind.UNKNOWN_TASK, f"task {_quoted(task)}")


def _signed_headers(celery: dict[str, Any], verifier: Checks) -> Headers:
    text, seal = celery.get("buckstop"), celery.get("buckstop_seal")
    if not isinstance(text, str) or not isinstance(seal, str):
        raise _Refused(Kind.UNSIGNED, "the headers buckstop and buckstop_seal are not both there")
    if len(seal) > _SEAL_CHARS_MAX:
        raise _Refused(Kind.FORGED, f"a seal of {len(seal):,} characters")
    signed = text.encode("utf-8", "surrogatepass")
    try:
        verifier.check(signed, seal)
    except Forged as forged:
        raise _Refused(Kind.FORGED, str(forged)) from None
    try:
        return Headers.model_validate_json(signed)
    except ValidationError as error:
        raise _unreadable(signed, error) from None


def _unreadable(signed: bytes, error: ValidationError) -> _Refused:
    """Tell an orchestrator that is newer than this worker from one that is wrong."""
    try:
        found = check_json(signed, bytes_max=MESSAGE_BYTES_MAX, what="headers")
    except Refused as refused:
        return _Refused(Kind.HEADERS, str(refused))
    version = found.get("v") if isinstance(found, dict) else None
    if version not in range(OLDEST_VERSION, SCHEMA_VERSION + 1):
        known = f"{OLDEST_VERSION} to {SCHEMA_VERSION}"
        return _Refused(Kind.SCHEMA, f"version {_quoted(version)}; this worker knows {known}")
    return _Refused(Kind.HEADERS, str(refusal(error, Headers, "headers")))


def _compare(celery: dict[str, Any], headers: Headers, queue: str) -> None:
    signed_claim = f"{headers.id}:{headers.nonce}"
    compared: tuple[tuple[Kind, object, object], ...] = (
        (Kind.WRONG_QUEUE, queue, headers.queue),
        (Kind.EDITED_TASK, celery["task"], f"agent.{headers.agent}"),
        (Kind.EDITED_ID, celery["id"], headers.id),
        (Kind.EDITED_CLAIM, celery.get("buckstop_claim"), signed_claim),
    )
    for kind, found, signed in compared:
        if found != signed:
            raise _Refused(kind, f"{_quoted(found)}, signed was {_quoted(signed)}")


def _payload(body: str, headers: Headers) -> str:
    """Return the one argument of the call that the body is, in Celery's encoding."""
    if sha256(body.encode("utf-8", "surrogatepass")).hexdigest() != headers.body_sha256:
        raise _Refused(Kind.EDITED_BODY, f"the body of {headers.id} has another hash")
    try:
        _, arguments, _ = _decode(b64decode(body))
        payload = arguments["payload"]
    except (ValueError, TypeError, KeyError):
        payload = None
    if not isinstance(payload, str):
        raise _Refused(Kind.BODY, f"the body of {headers.id} is no call with a payload")
    return payload


def _check_time(headers: Headers, now_ms: int) -> None:
    if now_ms >= headers.deadline_ms:
        late_ms = now_ms - headers.deadline_ms
        raise _Refused(Kind.EXPIRED, f"{headers.id} was fetched {late_ms} ms after its deadline")


def _shown(celery: dict[str, Any], name: str) -> str:
    shown = celery.get(f"{name}repr")
    return shown if isinstance(shown, str) else ""


def _quoted(value: object) -> str:
    """Quote a stranger's value, shortened."""
    return shortened(repr(value), _QUOTED_CHARS)
