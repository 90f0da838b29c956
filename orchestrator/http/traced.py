"""Join a request to its caller's trace: W3C's `traceparent` header in, one server span out.

What machines ask for every few seconds (health, metrics) and the console's own files make no spans.
Where no span of this process goes anywhere, what the caller said goes on to the task that is
submitted all the same (the spans are in traced_spans.py).
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from envelopes.exports import traced
from envelopes.lines import about
from envelopes.trace import Place, heard
from orchestrator.telemetry_submit import CALLER

_TRACED: Final = ("/v1/", "/a2a", "/mcp")


class Traced:
    """A layer around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, inside its span where there is one."""
        if scope["type"] != "http" or not scope["path"].startswith(_TRACED):
            await self._app(scope, receive, send)
            return
        caller = heard(Headers(scope=scope).get("traceparent"))
        place = Place.read(caller)
        token = CALLER.set(caller)
        try:
            with about({} if place is None else {"trace_id": place.trace}):
                await self._answer(scope, receive, send, place)
        finally:
            CALLER.reset(token)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, caller: Place | None
    ) -> None:
        if not traced():
            await self._app(scope, receive, send)
            return
        from orchestrator.http.traced_spans import serving  # noqa: PLC0415 - imports OpenTelemetry

        with serving(scope, send, caller) as answer:
            await self._app(scope, receive, answer.send)
