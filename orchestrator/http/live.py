"""Follow what happens, as server-sent events: one task, or everything.

    curl -N -H "Authorization: Bearer bk_..." http://127.0.0.1:8780/v1/events

A browser's EventSource comes again by itself and says in Last-Event-ID how far it was; whoever
cannot set a header says it in the query. What was missed meanwhile is told first.

One process serves LIVE_STREAMS_MAX of them. It listens once for all (hub.py), reads each task once
for all who follow it (follow.py), and waits for nobody (stream.py).
"""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Annotated, Any, Final, Self

from anyio import to_thread
from fastapi import APIRouter, Header, Query, Request
from pydantic import StringConstraints
from redis.exceptions import RedisError

from envelopes import limits
from envelopes.strict import Refused
from orchestrator.cells.facade import Cells
from orchestrator.cells.shared import CellTokens
from orchestrator.client import Buckstop
from orchestrator.http.access import Caller, Reads
from orchestrator.http.follow import NONE, Follows
from orchestrator.http.hub import Ear, Hub
from orchestrator.http.hubs import Hubs
from orchestrator.http.models import CellQuery
from orchestrator.http.sources import AnyHub, NewsSource, TaskSource
from orchestrator.http.stream import EventStream, Seats, Source
from orchestrator.tokens import Tokens

router = APIRouter(tags=["live"])

_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Server-sent events", "content": {EventStream.media_type: {}}}
}
_KIND: Final = StringConstraints(pattern=r"^[a-z]+(\.[a-z]+)?$", max_length=limits.NAME_CHARS_MAX)
Kind = Annotated[str, _KIND]
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="Go on behind this event; sent by EventSource."),
]
ForS = Annotated[
    float | None,
    Query(gt=0, le=limits.LIVE_FOR_S_MAX, description="End after so many seconds; else never."),
]


class Live:
    """What all streams of one process share; it lasts as long as the app."""

    def __init__(self, buckstop: Buckstop) -> None:
        self.follows = Follows(buckstop.store)
        self.hub = _hub(buckstop, self.follows)
        self.seats = Seats()
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._running.enter_async_context(self.hub)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._running.aclose()


def _hub(buckstop: Buckstop, ear: Ear) -> AnyHub:
    """Make what listens: to one server, or to all cells."""
    settings = buckstop.settings
    if isinstance(buckstop, Cells):
        return Hubs(list(buckstop.cells.values()), settings.keys, ear)
    return Hub(lambda: settings.url, settings.keys, ear)


@router.get(
    "/v1/events",
    operation_id="events",
    status_code=200,
    response_class=EventStream,
    responses=_STREAM,
)
async def events(
    request: Request,
    caller: Reads,
    *,
    kinds: Annotated[list[Kind] | None, Query(description="Only these; repeat it.")] = None,
    after: Annotated[str | None, Query(description="As Last-Event-ID, which wins.")] = None,
    last_event_id: LastEventId = None,
    cell: CellQuery = None,
    for_s: ForS = None,
) -> EventStream:
    """Follow everything: tasks accepted and ended, letters filed and decided, and what changed."""
    behind = last_event_id or after
    wanted = None if kinds is None else frozenset(kinds)
    live = live_of(request)
    await live.hub.begun()
    source = NewsSource(live.hub, caller, wanted, behind, cell)
    return streaming(request, caller, source, for_s)


@router.get(
    "/v1/tasks/{task_id}/events",
    operation_id="task_events",
    status_code=200,
    response_class=EventStream,
    responses=_STREAM,
)
async def task_events(
    request: Request,
    caller: Reads,
    task_id: str,
    *,
    after: Annotated[
        int, Query(ge=NONE, le=limits.AMOUNT_CEILING, description="As Last-Event-ID, which wins.")
    ] = NONE,
    last_event_id: LastEventId = None,
    for_s: ForS = None,
) -> EventStream:
    """Follow one task: each line of its journal, and itself after each change, to its end."""
    live = live_of(request)
    behind = after if last_event_id is None else _line(last_event_id)
    await live.hub.begun()
    source = TaskSource(live.hub, live.follows, caller, task_id, behind)
    return streaming(request, caller, source, for_s)


def live_of(request: Request) -> Live:
    """Return what this process's streams share."""
    found: Live = request.app.state.live
    return found


def streaming(
    request: Request, caller: Caller, source: Source, for_s: float | None = None
) -> EventStream:
    """Tell a caller what a source says, as long as both last, the caller may see it, or so long."""
    seat = live_of(request).seats.taken(caller.token.id)
    return EventStream(request, source, seat, lambda: _may_see(request, caller), for_s)


async def _may_see(request: Request, caller: Caller) -> bool:
    """Say whether the caller may still read: their token is not revoked, nor their session over."""
    tokens: Tokens | CellTokens = request.app.state.tokens
    if caller.standing:
        return True
    try:
        return await to_thread.run_sync(tokens.lasts, caller.token.id, caller.cookie)
    except RedisError:
        return True  # nobody can say now; it is asked again


def _line(text: str) -> int:
    """Read the place of a line of a journal, or raise Refused."""
    if not (text.isascii() and text.isdecimal() and len(text) <= limits.AMOUNT_DIGITS_MAX):
        raise Refused("Last-Event-ID", f"the place of a line is a number, not {text[:40]!r}")
    return int(text)
