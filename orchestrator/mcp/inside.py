"""Ask an app in this very process, as if over HTTP.

    api = httpx.AsyncClient(transport=Inside(app, caller), base_url=HERE)

Whoever asks is known already: the app is told, instead of shown a token (http/access.py). An
answer is handed on piece by piece, for it may be a stream of events that lasts; who has heard
enough closes it, and the app sees its client leave.
"""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any, Final

import httpx
from starlette.types import ASGIApp, Message, Scope

from orchestrator.http.access import KNOWN, Caller

HERE: Final = "http://inside"
"""Stands for this process in the addresses of its own requests."""
_PIECES: Final = 8
"""Pieces of an answer that may wait for their reader; a writer that is ahead of it waits."""


class Inside(httpx.AsyncBaseTransport):
    """Carries requests to an app, in the name of one caller."""

    def __init__(
        self, app: ASGIApp, caller: Caller, state: MutableMapping[str, Any] | None = None
    ) -> None:
        self._app, self._caller, self._state = app, caller, state

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Ask, and return as soon as the answer begins."""
        exchange = _Exchange(await request.aread())
        scope = self._scope(request)
        asking = asyncio.ensure_future(self._app(scope, exchange.receive, exchange.send))
        asking.add_done_callback(exchange.over)
        try:
            start = await exchange.start
        except BaseException:
            asking.cancel()
            raise
        answer = _Answer(exchange, asking)
        return httpx.Response(start["status"], headers=start["headers"], stream=answer)

    def _scope(self, request: httpx.Request) -> Scope:
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": None,
            "server": None,
            KNOWN: self._caller,
        }
        return scope if self._state is None else {**scope, "state": self._state}


class _Exchange:
    """What app and client have said to each other."""

    def __init__(self, body: bytes) -> None:
        self.start: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_PIECES)
        self.left = asyncio.Event()
        """Set once the client wants no more."""
        self._body: bytes | None = body

    async def receive(self) -> Message:
        """Give the app the whole body, and then nothing until the client leaves."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take what the app answers."""
        if message["type"] == "http.response.start":
            self.start.set_result(message)
            return
        if message.get("body"):
            await self.pieces.put(message["body"])
        if not message.get("more_body"):
            await self.pieces.put(None)

    def over(self, asking: asyncio.Future[None]) -> None:
        """Pass on what broke before an answer began; later than that the answer just ends."""
        broke = None if asking.cancelled() else asking.exception()
        if not self.start.done():
            self.start.set_exception(broke or ConnectionAbortedError("the app did not answer"))


class _Answer(httpx.AsyncByteStream):
    """An answer's body, as it comes."""

    def __init__(self, exchange: _Exchange, asking: asyncio.Future[None]) -> None:
        self._exchange, self._asking = exchange, asking

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._next()) is not None:
            yield piece

    async def aclose(self) -> None:
        """Leave."""
        self._exchange.left.set()
        self._asking.cancel()
        await asyncio.gather(self._asking, return_exceptions=True)

    async def _next(self) -> bytes | None:
        """Wait for a piece, or for the end of an app that broke before it wrote the last one."""
        coming = asyncio.create_task(self._exchange.pieces.get())
        try:
            await asyncio.wait((coming, self._asking), return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            return None if self._exchange.pieces.empty() else self._exchange.pieces.get_nowait()
        finally:
            coming.cancel()
