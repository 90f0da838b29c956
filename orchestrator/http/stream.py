"""Write server-sent events to one client, who may be slow, stay for hours, or not read at all.

A source says what comes next; this writes it, and a comment every LIVE_ALIVE_S so that nobody on
the way takes the silence for death. Who does not take what is written within LIVE_WRITE_S is hung
up on. The server puts more bytes on its own account only while the client takes them, so one client
holds one piece of LIVE_PIECE_BYTES, whatever happens. Nobody else waits for it: each is written to
by its own coroutine, and what they write is laid out once (ring.py, follow.py).

While a stream lasts, it is asked again and again whether its caller may still see it.

Not here: what is told (live.py, follow.py).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from envelopes import limits
from orchestrator.http.connection import Connection
from orchestrator.http.problems import full, too_many

T = TypeVar("T")
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # or nginx would keep the events until it has a page of them
}
_END: Final[dict[str, Any]] = {"type": "http.response.body", "body": b"", "more_body": False}


class Source(Protocol):
    """What a stream tells, one chunk after the other."""

    async def __aenter__(self) -> Self:
        """Begin; what is refused is refused here, before anything is written."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""

    async def chunk(self) -> bytes | None:
        """Wait for what comes next; None where nothing will. May be cancelled, and asked again."""

    def alive(self) -> bytes:
        """Return what is written where nothing has come."""


class Seats:
    """How many streams one process has, and each token in it."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def count(self) -> int:
        """Count the streams that are open."""
        return self._taken.total()

    @contextmanager
    def taken(self, token: str) -> Iterator[None]:
        """Take a seat, or raise Problem where there is none left."""
        if self._taken[token] >= limits.LIVE_STREAMS_TOKEN_MAX:
            raise too_many(
                limits.LIVE_RETRY_MS,
                f"this token has {limits.LIVE_STREAMS_TOKEN_MAX} streams open, which is as many as "
                "one may have; close some",
            )
        if self._taken.total() >= limits.LIVE_STREAMS_MAX:
            raise full(f"this process serves {limits.LIVE_STREAMS_MAX:,} streams; run one more")
        self._taken[token] += 1
        try:
            yield
        finally:
            self._taken[token] -= 1
            if not self._taken[token]:
                del self._taken[token]


class TooSlow(Exception):
    """The client has not taken what was written in time."""


class EventStream(Response):
    """One client's stream."""

    media_type = "text/event-stream"

    def __init__(
        self,
        request: Request,
        source: Source,
        seat: AbstractContextManager[None],
        may_see: Callable[[], Awaitable[bool]],
        for_s: float | None = None,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._source, self._seat, self._may_see, self._for_s = source, seat, may_see, for_s
        self._connection = _connection(request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until the source, the client, the server or the time given has an end."""
        del scope
        with self._seat:
            await self._tell(receive, send)

    async def _tell(self, receive: Receive, send: Send) -> None:
        async with self._source:
            try:
                await self._until_over(receive, send)
            except TooSlow:
                self._connection.hang_up()
                await _put(send, _END)  # nobody gets it; the server learns that this was all

    async def _until_over(self, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await _put(send, start)
        writing = asyncio.create_task(self._write(send))
        ends = (writing, asyncio.create_task(_gone(receive)), self._leaves())
        try:
            await asyncio.wait(ends, timeout=self._for_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in ends:
                each.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if not writing.cancelled():
            writing.result()
        await _put(send, _END)

    def _leaves(self) -> asyncio.Task[Any]:
        return asyncio.create_task(self._connection.leaving.wait())

    async def _write(self, send: Send) -> None:
        now = asyncio.get_running_loop().time
        check_at = now() + limits.LIVE_CHECK_S
        while (chunk := await self._next()) is not None:
            for piece in _pieces(chunk):
                await _put(send, {"type": "http.response.body", "body": piece, "more_body": True})
            if now() >= check_at:
                if not await self._may_see():
                    return
                check_at = now() + limits.LIVE_CHECK_S

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(limits.LIVE_ALIVE_S):
                return await self._source.chunk()
        except TimeoutError:
            return self._source.alive()


async def while_heard(request: Request, answer: Coroutine[Any, Any, T]) -> T | None:
    """Wait for an answer as long as its client does; None once they left, or the server leaves."""
    coming = asyncio.create_task(answer)
    leaves = asyncio.create_task(_connection(request).leaving.wait())
    ends = (coming, asyncio.create_task(_gone(request.receive)), leaves)
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() else None
    finally:
        for each in ends:
            each.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


def _connection(request: Request) -> Connection:
    return getattr(request.state, "connection", None) or Connection()


async def _put(send: Send, message: Message) -> None:
    """Hand over one message; the server returns once it may be given more."""
    try:
        async with asyncio.timeout(limits.LIVE_WRITE_S):
            await send(message)
    except TimeoutError:
        raise TooSlow from None


async def _gone(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _pieces(chunk: bytes) -> Iterator[bytes]:
    for at in range(0, len(chunk), limits.LIVE_PIECE_BYTES):
        yield chunk[at : at + limits.LIVE_PIECE_BYTES]
