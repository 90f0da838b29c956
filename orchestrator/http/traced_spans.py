"""The span of one HTTP request, and how long it took, named as OpenTelemetry's conventions say.

The query is not told: it may hold what is secret. A stream's span ends when the stream begins, for
the stream may last for days.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.datastructures import Headers
from starlette.types import Message, Scope, Send

from envelopes.exports import SCOPE
from envelopes.lines import about
from envelopes.measured import HTTP_SECONDS, histogram
from envelopes.trace import Place
from envelopes.trace_context import going_on_from, place_of
from orchestrator.http.methods import METHODS


class Answer:
    """One answer on its way out."""

    def __init__(self, scope: Scope, send: Send, span: Span) -> None:
        self._scope, self._send, self._span = scope, send, span
        self._began, self._over, self._status = time.perf_counter(), False, 0

    async def send(self, message: Message) -> None:
        """Pass it on, and note the status."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            kind = Headers(raw=message["headers"]).get("content-type", "")
            if kind.startswith("text/event-stream"):
                self.over()
        await self._send(message)

    def over(self) -> None:
        """End the span, once."""
        if self._over:
            return
        self._over = True
        told: dict[str, Any] = {"http.request.method": _method(self._scope)}
        if (route := self._scope.get("route")) is not None:
            told["http.route"] = route.path
            self._span.update_name(f"{_method(self._scope)} {route.path}")
        told["http.response.status_code"] = self._status
        self._span.set_attributes(told)
        if not self._status or self._status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._span.set_attribute("error.type", str(self._status or "left"))
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
        _seconds().record(time.perf_counter() - self._began, told)


@contextmanager
def serving(scope: Scope, send: Send, caller: Place | None) -> Iterator[Answer]:
    """Open a request's span; what is done inside is its child."""
    span = trace.get_tracer(SCOPE).start_span(
        _method(scope),
        None if caller is None else going_on_from(caller),
        SpanKind.SERVER,
        {
            "http.request.method": _method(scope),
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
        },
    )
    answer = Answer(scope, send, span)
    known = {"trace_id": place_of(span.get_span_context()).trace}
    with about(known), trace.use_span(span, record_exception=False, set_status_on_exception=False):
        try:
            yield answer
        finally:
            answer.over()


def _method(scope: Scope) -> str:
    """Return the method; a stranger's own makes no name of its own."""
    method: str = scope["method"]
    return method if method in METHODS else "_OTHER"


def _seconds() -> Histogram:
    took = "How long a request took to its last byte."
    return histogram("http.server.request.duration", took, HTTP_SECONDS)
