"""Answer one HTTP request of the protocol, in the name of a caller who is known.

Called by http/mcp.py. The SDK's manager of sessions is made for this one request and holds none:
what it needs for the answer ends with it.
"""

import logging
from typing import Final

import httpx
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from envelopes import limits
from orchestrator.http.access import KNOWN
from orchestrator.mcp.asking import Api
from orchestrator.mcp.inside import HERE, Inside
from orchestrator.mcp.server import Context, build

logging.getLogger("mcp").setLevel(logging.WARNING)  # it would tell of each request's beginning
_TIMEOUT: Final = httpx.Timeout(None)
"""The app itself bounds what it does."""


async def _inside(ctx: Context) -> Api:
    """Ask the app that was asked, in its caller's name; what ends its streams ends these too."""
    assert ctx.request is not None
    scope: Scope = ctx.request.scope
    state = {"connection": scope.get("state", {}).get("connection")}
    inside = Inside(scope["app"], scope[KNOWN], state)
    return Api(httpx.AsyncClient(transport=inside, base_url=HERE, timeout=_TIMEOUT))


_SERVER: Final = build(_inside)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request."""
    manager = StreamableHTTPSessionManager(
        _SERVER, stateless=True, max_request_body_size=limits.REQUEST_BYTES_MAX
    )
    async with manager.run():
        await manager.handle_request(scope, receive, send)
