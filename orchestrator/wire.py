"""Celery encodes, the script delivers.

What goes onto a queue must be, byte for byte, what the installed Celery and Kombu would have put
there, so that stock workers, `celery inspect` and Flower see ordinary messages. Letting Celery
encode each one costs 360 µs. So each (agent, queue) is encoded once, through a transport whose
queue is a Python list, with marks in the places that differ; filling in a template costs about
twenty. A test compares both, byte for byte (tests/test_wire.py).

The messages of one commit are sealed together: one signature for a stage of a thousand.
"""

import json
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
from celery import Celery
from kombu.connection import Connection
from kombu.transport import virtual
from kombu.utils.json import dumps

from envelopes import limits
from envelopes.keys import Keys
from envelopes.seal import Signer
from envelopes.versions import SCHEMA_VERSION, kept
from orchestrator.core.commands import Publish
from orchestrator.core.task import Task
from orchestrator.store import Outgoing
from orchestrator.telemetry import SILENT, Silent

_MARK: Final = re.compile(r"@(\w+)@")
"""No name of an agent, a tenant or a queue has two of these signs in it."""
_LIMIT: Final = "@limit@"
_GRACE_S: Final = 5
"""What a worker process gets on top of the step's timeout before the pool kills it."""


class Wire:
    """Turns the core's `Publish` into messages."""

    def __init__(
        self,
        signer: Signer,
        keys: Keys,
        new_nonce: Callable[[], str] = lambda: secrets.token_hex(16),
        traces: Silent = SILENT,
    ) -> None:
        self._signer = signer
        self._keys = keys
        self._new_nonce = new_nonce
        self._traces = traces

    def outgoing(
        self,
        task: Task,
        publishes: Sequence[Publish],
        now_ms: int,
        version: int = SCHEMA_VERSION,
    ) -> list[Outgoing]:
        """Encode and sign all messages of one commit, in this schema version."""
        if not publishes:
            return []
        drafts = [self._draft(task, each, now_ms, version) for each in publishes]
        seals = self._signer.seal([draft.headers for draft in drafts])
        return [draft.sealed(seal) for draft, seal in zip(drafts, seals, strict=True)]

    def _draft(self, task: Task, publish: Publish, now_ms: int, version: int) -> "_Draft":
        traceparent = self._traces.traceparent(task, publish.subtask)
        nonce = self._new_nonce()
        return _Draft(nonce, task, publish, self._keys, now_ms, traceparent, version)


class _Draft:
    """A message before it is sealed."""

    def __init__(  # noqa: PLR0917 - made in one place, a few lines above
        self,
        nonce: str,
        task: Task,
        publish: Publish,
        keys: Keys,
        now_ms: int,
        traceparent: str | None,
        version: int,
    ) -> None:
        self._nonce = nonce
        self._task = task
        self._publish = publish
        self._queue = keys.queue(publish.agent, task.terms.tenant)
        self._body = body_of(publish.payload)
        self.headers = self._headers(now_ms, traceparent, version)

    def _headers(self, now_ms: int, traceparent: str | None, version: int) -> bytes:
        """Write the text that is signed: envelopes.headers.Headers as JSON."""
        task, publish = self._task, self._publish
        fields = {
            "v": version,
            "task": task.id,
            "subtask": publish.subtask,
            "agent": publish.agent,
            "queue": self._queue,
            "step": publish.step,
            "attempt": publish.attempt,
            "hop": publish.hop,
            "hops_max": task.hops_max,
            "ledger": publish.ledger,
            "allowance": publish.allowance,
            "issued_ms": now_ms,
            "deadline_ms": publish.deadline_ms,
            "timeout_ms": publish.timeout_ms,
            "lease_ms": limits.LEASE_MS,
            "trail": publish.trail,
            "tenant": task.terms.tenant,
            "traceparent": traceparent,
            "nonce": self._nonce,
            "body_sha256": sha256(self._body.encode()).hexdigest(),
        }
        return msgspec.json.encode(kept("headers", fields, version))

    def sealed(self, seal: str) -> Outgoing:
        publish = self._publish
        subtask = f"{self._task.id}/{publish.subtask}"
        text = self.headers.decode()
        message = _template(publish.agent, self._queue).fill(
            {
                "id": subtask,
                "body": self._body,
                "args": _escaped(_args_repr(publish)),
                "kwargs": _escaped(_kwargs_repr(self._task, publish)),
                "limit": str(_time_limit_s(publish)),
                "tag": self._nonce,
                "headers": _escaped(text),
                "seal": seal,
                "claim": f"{subtask}:{self._nonce}",
            }
        )
        return Outgoing(
            agent=publish.agent,
            queue=self._queue,
            subtask=publish.subtask,
            nonce=self._nonce,
            allowance=publish.allowance,
            deadline_ms=publish.deadline_ms,
            timeout_ms=publish.timeout_ms,
            message=message,
        )


# --- what a person sees in Flower ----------------------------------------------------------------


def _args_repr(publish: Publish) -> str:
    """Say what the agent is asked; its input may be nobody's business and is left out."""
    goal = " ".join(publish.goal.split())
    return goal if len(goal) <= limits.SHOWN_CHARS else f"{goal[: limits.SHOWN_CHARS - 3]}..."


def _kwargs_repr(task: Task, publish: Publish) -> str:
    """Say where in the task this is, and what it may spend."""
    return (
        f"hop {publish.hop}/{task.hops_max}, step {publish.step}, tenant {task.terms.tenant}, "
        f"attempt {publish.attempt}, subtask {publish.subtask}, may spend {publish.allowance}"
    )


def _time_limit_s(publish: Publish) -> int:
    """Return the seconds after which a prefork pool kills the process."""
    return publish.timeout_ms // 1000 + 1 + _GRACE_S


# --- templates -----------------------------------------------------------------------------------


class _Template:
    """A message of Celery's with marks in it, cut at the marks."""

    def __init__(self, encoded: str) -> None:
        pieces = _MARK.split(encoded)
        self._literals, self._slots = pieces[::2], pieces[1::2]

    def fill(self, values: dict[str, str]) -> bytes:
        filled = [self._literals[0]]
        for slot, literal in zip(self._slots, self._literals[1:], strict=True):
            filled += values[slot], literal
        return "".join(filled).encode()


@lru_cache(limits.TEMPLATES_MAX)
def _template(agent: str, queue: str) -> _Template:
    marks = Fields(
        subtask="@id@",
        payload="",
        args="@args@",
        kwargs="@kwargs@",
        limit_s=1,
        headers={
            "buckstop": "@headers@",
            "buckstop_seal": "@seal@",
            "buckstop_claim": "@claim@",
        },
    )
    message = json.loads(encode_with_celery(agent, queue, marks))
    message["body"] = "@body@"
    message["headers"]["timelimit"][0] = _LIMIT
    message["properties"]["delivery_tag"] = "@tag@"
    return _Template(dumps(message).replace(f'"{_LIMIT}"', _LIMIT))  # it stands for a number


@cache
def _body_template() -> tuple[str, str]:
    """Return what stands around the payload in Celery's body."""
    mark = "@payload@"
    encoded = encode_with_celery("a", "q", Fields("id", mark, "", "", 1, {}))
    body = b64decode(json.loads(encoded)["body"]).decode()
    before, after = body.split(json.dumps(mark))
    return before, after


def body_of(payload: str) -> str:
    """Write a message's body as it travels: Celery's arguments, in base64."""
    before, after = _body_template()
    return b64encode(f"{before}{json.dumps(payload)}{after}".encode()).decode()


def _escaped(text: str) -> str:
    """Write a text as it stands between the quotes of a JSON string."""
    return json.dumps(text)[1:-1]


# --- Celery, through a transport whose queue is a list -------------------------------------------


class Fields(NamedTuple):
    """What differs from one message to the next."""

    subtask: str
    payload: str
    args: str
    kwargs: str
    limit_s: int
    headers: dict[str, str]


def encode_with_celery(agent: str, queue: str, fields: Fields) -> str:
    """Let the installed Celery and Kombu encode one message."""
    with Connection(transport=_ListTransport) as connection:
        _celery().send_task(
            f"agent.{agent}",
            kwargs={"payload": fields.payload},
            task_id=fields.subtask,
            queue=queue,
            argsrepr=fields.args,
            kwargsrepr=fields.kwargs,
            time_limit=fields.limit_s,
            headers=fields.headers,
            ignore_result=True,
            connection=connection,
        )
        return str(connection.default_channel.sent.pop())


@cache
def _celery() -> Celery:
    app = Celery("buckstop", set_as_current=False)
    app.conf.task_default_exchange_type = "direct"
    return app


class _ListChannel(virtual.Channel):
    """A queue that keeps what it is given."""

    sent: list[str] = []  # noqa: RUF012 - one list, emptied by its only caller

    def _put(self, queue: str, message: Any, **_: Any) -> None:  # noqa: ARG002
        self.sent.append(dumps(message))

    def _size(self, queue: str) -> int:  # noqa: ARG002
        return 0

    def _has_queue(self, queue: str, **_: Any) -> bool:  # noqa: ARG002
        return True

    def _new_queue(self, queue: str, **_: Any) -> None:
        """There is nothing to make."""


class _ListTransport(virtual.Transport):
    Channel = _ListChannel
