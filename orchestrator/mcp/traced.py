"""Tell OpenTelemetry of each request of MCP: one server span, as its conventions for MCP name it.

    POST /mcp                   over HTTP only
    └ tools/call submit         parent: what the client says in `_meta`, else the HTTP request
      └ POST /v1/tasks          the call of the API that the tool is
        └ buckstop.submit

The SDK would write such spans too. Its own are taken out, for they repeat names that a client made
up and texts of errors, in which agents and people are quoted; here names are of a known set, and an
error has a number or a class. Arguments and results are never told.

Where no span goes anywhere, what the client says of its trace is passed on to the API as it is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

import mcp_types as types
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp.shared.exceptions import MCPError
from opentelemetry import trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, StatusCode
from pydantic import ValidationError

from envelopes.exports import SCOPE, traced
from envelopes.measured import histogram
from envelopes.onward import going_on
from envelopes.trace import Place, heard
from envelopes.trace_context import going_on_from, place_of
from orchestrator.mcp.tools import TOOLS

Context = ServerRequestContext[Any, Any]

_METHODS: Final = frozenset(
    {
        *("initialize", "ping", "server/discover", "tools/list", "tools/call"),
        *("resources/list", "resources/templates/list", "resources/read"),
    }
)
_OTHER: Final = "_OTHER"
"""What a stranger's own name is called: it makes no name of its own."""
_SECONDS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
"""As the conventions advise."""


class Tracing(ServerMiddleware[Any]):
    """A layer around every message."""

    async def __call__(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Answer one request, inside its span where there is one."""
        if ctx.request_id is None:
            return await call_next(ctx)
        caller = heard((ctx.meta or {}).get("traceparent"))
        if not traced():
            with going_on(caller):
                return await call_next(ctx)
        with _serving(ctx, caller) as told:
            result = await call_next(ctx)
            told.look_at(result)
            return result


class _Told:
    """One request under way."""

    def __init__(self, span: Span, about: dict[str, Any]) -> None:
        self._span, self._about = span, about
        self._began = perf_counter()

    def look_at(self, result: HandlerResult) -> None:
        """See whether a tool has failed: that is an answer like any other to the protocol."""
        if isinstance(result, Mapping) and result.get("isError") is True:
            self.fail("tool_error")

    def fail(self, error: str, code: int | None = None) -> None:
        """Say that it failed, and by which class of errors."""
        told = {"error.type": error}
        if code is not None:
            told["rpc.response.status_code"] = error
        self._about |= told
        self._span.set_attributes(told)
        self._span.set_status(StatusCode.ERROR)

    def over(self) -> None:
        """Add it to the figures."""
        _seconds().record(perf_counter() - self._began, self._about)


@contextmanager
def _serving(ctx: Context, caller: str | None) -> Iterator[_Told]:
    about = _about(ctx)
    ambient = trace.get_current_span().get_span_context()
    with (
        trace.get_tracer(SCOPE).start_as_current_span(
            " ".join(filter(None, (about["mcp.method.name"], about.get("gen_ai.tool.name")))),
            None if caller is None else going_on_from(Place.read(caller)),
            SpanKind.SERVER,
            about,
            [trace.Link(ambient)] if caller is not None and ambient.is_valid else [],
            record_exception=False,
            set_status_on_exception=False,
        ) as span,
        going_on(place_of(span.get_span_context()).traceparent),
    ):
        told = _Told(span, about)
        try:
            yield told
        except BaseException as error:
            told.fail(*_class_of(error))
            raise
        finally:
            told.over()


def _about(ctx: Context) -> dict[str, Any]:
    method = ctx.method if ctx.method in _METHODS else _OTHER
    about: dict[str, Any] = {
        "mcp.method.name": method,
        "mcp.protocol.version": ctx.protocol_version,
        "network.transport": "pipe" if ctx.request is None else "tcp",
    }
    if method == "tools/call":
        name = (ctx.params or {}).get("name")
        tool = name if isinstance(name, str) and name in TOOLS else _OTHER
        about |= {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
    return about


def _class_of(error: BaseException) -> tuple[str, int | None]:
    """Return what kind of error it is, and its number where the client is told one."""
    match error:
        case MCPError():
            code = error.error.code
        case ValidationError():
            code = types.INVALID_PARAMS  # what the SDK makes of it
        case _:
            return type(error).__name__, None
    return str(code), code


def _seconds() -> Histogram:
    about = "How long a request of MCP took."
    return histogram("mcp.server.operation.duration", about, _SECONDS)
