"""Around every request: security headers, one line in the log, and a net under our own bugs."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.http.metrics import Meters
from orchestrator.http.problems import Problem, problem_of, shown_path

log = logging.getLogger("buckstop.http")

CSP: Final = "; ".join(  # noqa: FLY002 -- one directive on each line
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}
"""Set where an answer does not say otherwise. What the API says is nobody else's to keep."""
_LENGTHS: Final = {b"content-length", b"transfer-encoding"}


class Shield:
    """The outermost of our own layers."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        try:
            _require_one_length(scope)
            await self._app(scope, receive, answer.send)
        except Problem as problem:
            await problem.response(shown_path(scope))(scope, receive, answer.send)
        except Exception as bug:
            log.exception("a bug", extra={"path": shown_path(scope)})
            if answer.status:
                raise
            await problem_of(bug).response(shown_path(scope))(scope, receive, answer.send)
        finally:
            answer.tell(self._meters)


def _require_one_length(scope: Scope) -> None:
    """Refuse a body with two lengths: a proxy may see one request where we see two."""
    if {name for name, _ in scope["headers"]} >= _LENGTHS:
        raise Problem(
            "unreadable",
            "Content-Length and Transfer-Encoding contradict each other; send one of them",
            {"Connection": "close"},
        )


class _Answer:
    """One answer on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._began = time.perf_counter()
        self.status = 0
        self._stream = False

    async def send(self, message: Message) -> None:
        """Pass it on, with our headers where it has none of its own."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            self._stream = headers.get("Content-Type", "").startswith("text/event-stream")
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    def tell(self, meters: Meters) -> None:
        """Count the request and write its line, without a query or anything secret."""
        route: Any = self._scope.get("route")
        method, seconds = self._scope["method"], time.perf_counter() - self._began
        path = route.path if route is not None else ""
        meters.count(method, path, self.status, seconds, stream=self._stream)
        log.info(
            "answered" if self.status else "left",
            extra={
                "method": method,
                "path": shown_path(self._scope) if path else "",
                "status": self.status,
                "ms": round(seconds * 1000, 1),
            },
        )
