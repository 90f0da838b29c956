"""The span of one attempt at a delivery, and how long it took.

It belongs to the trace of the task that it tells of, as a child of that task's own span. A message
that tells of several letters begins a trace of its own, with a link to each of their tasks.

Of a URL the host is told and nothing else: path and query may be a password, and of what Apprise
takes all may be one. Bodies, reasons, people's names and what a receiver has answered are not told.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, StatusCode
from redis import Redis
from redis.exceptions import RedisError

from envelopes.exports import SCOPE, Exports
from envelopes.keys import Keys
from envelopes.measured import HTTP_SECONDS, histogram
from envelopes.onward import going_on
from envelopes.trace import Place
from envelopes.trace_context import going_on_from, place_of, span_context
from orchestrator.courier.address import PORTS
from orchestrator.courier.box import Claimed, Sent, Verb
from orchestrator.courier.subscription import Subscription, SubscriptionKind
from orchestrator.courier.traced import UNTOLD, Attempt, Silent
from orchestrator.telemetry_spans import Spans

log = logging.getLogger("buckstop.courier")

_WELL: Final = {Verb.DONE, Verb.MOOT}
_NO_STATUS: Final = "_OTHER"
"""As the conventions call an error of no class: nobody answered, or the address is refused."""


class Deliveries(Silent):
    """Tells OpenTelemetry."""

    def __init__(self, exports: Exports, client: Redis, keys: Keys) -> None:
        self._spans = Spans(exports)
        self._client: Any = client
        self._keys = keys

    async def begin(self, claimed: Claimed, to: Subscription) -> Attempt:
        """Begin an attempt; what goes wrong here stops no delivery."""
        try:
            about = await asyncio.to_thread(self._tasks, claimed)
            return _Attempt(_span(claimed, to, about), to)
        except Exception:
            log.exception("an attempt is not traced", extra={"delivery": claimed.id})
            return UNTOLD

    def _tasks(self, claimed: Claimed) -> list[Place]:
        """Return the spans of the tasks that a delivery tells of, as far as they are known."""
        try:
            tasks = list(dict.fromkeys(filter(None, self._named(claimed))))
            return [place for each in tasks if (place := self._place(each)) is not None]
        except RedisError as error:
            log.warning("a delivery is not in its task's trace", extra={"error": str(error)})
            return []

    def _named(self, claimed: Claimed) -> list[str]:
        """Name the tasks: the news says one, and of several letters each is asked for its own."""
        if claimed.count == 1 or not claimed.letters:
            return [str(json.loads(claimed.body)["data"].get("task", ""))]
        with self._client.pipeline(transaction=False) as pipe:
            for letter in claimed.letters:
                pipe.hget(self._keys.letter(letter), "task")
            return [(found or b"").decode() for found in pipe.execute()]

    def _place(self, task: str) -> Place | None:
        """Return a task's span; None where its record is gone, and with it the trace's name."""
        request: bytes | None = self._client.hget(self._keys.task(task), "request")
        if request is None:
            return None
        return self._spans.of_task(task, json.loads(request).get("traceparent"), "task")


class _Attempt(Attempt):
    def __init__(self, span: Span, to: Subscription) -> None:
        self._span, self._kind = span, to.kind
        self._began = perf_counter()

    def current(self) -> AbstractContextManager[None]:
        return going_on(place_of(self._span.get_span_context()).traceparent)

    def over(self, sent: Sent) -> None:
        told: dict[str, Any] = {"buckstop.outcome": sent.verb.value}
        if sent.status is not None:
            told["http.response.status_code"] = sent.status
        if sent.verb not in _WELL:
            told["error.type"] = str(sent.status or _NO_STATUS)
            self._span.set_status(StatusCode.ERROR)
        self._span.set_attributes(told)
        self._span.end()
        _seconds().record(perf_counter() - self._began, {"buckstop.kind": self._kind, **told})


def _span(claimed: Claimed, to: Subscription, tasks: Sequence[Place]) -> Span:
    one = tasks[0] if len(tasks) == 1 else None
    return trace.get_tracer(SCOPE).start_span(
        "buckstop.deliver",
        going_on_from(one),
        SpanKind.CLIENT,
        {**_about(claimed, to), **_where(to)},
        [] if one else [trace.Link(span_context(each)) for each in tasks],
    )


def _about(claimed: Claimed, to: Subscription) -> Mapping[str, Any]:
    return {
        "buckstop.delivery": claimed.id,
        "buckstop.subscription": to.id,
        "buckstop.kind": to.kind.value,
        "buckstop.event": claimed.event,
        "buckstop.attempt": claimed.attempt,
    }


def _where(to: Subscription) -> Mapping[str, Any]:
    """Say where a webhook goes, in the words for requests over HTTP."""
    if to.kind is not SubscriptionKind.WEBHOOK:
        return {}
    parts = urlsplit(to.url)
    return {
        "http.request.method": "POST",
        "server.address": parts.hostname or "",
        "server.port": parts.port or PORTS[parts.scheme],
    }


def _seconds() -> Histogram:
    """Most deliveries are requests over HTTP."""
    about = "How long an attempt at a delivery took, by kind and outcome."
    return histogram("buckstop.delivery.duration", about, HTTP_SECONDS)
