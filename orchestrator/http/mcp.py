"""/mcp: the Model Context Protocol over streamable HTTP, for whoever shows a bearer token.

Who calls is known before anything else is done, by the same look-up as everywhere (access.py). The
tools then ask this very app, in that caller's name (../mcp/inside.py): scope, tenant and refusals
are those of the API, and a call counts once.

Every request stands alone: there is no session to hold, so any process may answer the next one, and
GET (a stream of whatever the server wants to say) is not offered.

Needs the extra `mcp`. It is imported when the first request comes: it takes half a second, and most
deployments never speak it.
"""

from importlib.util import find_spec
from types import ModuleType
from typing import Annotated, Final

from anyio import to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from envelopes import limits
from orchestrator.http.access import KNOWN, Caller, identified
from orchestrator.http.bodies import raw_body
from orchestrator.http.problems import Problem

router = APIRouter(include_in_schema=False)

PATH: Final = "/mcp"
INSTALL: Final = "pip install 'buckstop[mcp]'"


@router.post(PATH)
async def mcp(request: Request, caller: Annotated[Caller, Depends(identified)]) -> Response:
    """Answer one message of the protocol."""
    if find_spec("mcp") is None:
        raise Problem("not-found", f"this process has no MCP; where it is installed: {INSTALL}")
    body = await raw_body(request, limits.REQUEST_BYTES_MAX)
    exchange = await to_thread.run_sync(_exchange)
    return _Answer(exchange, caller, body)


def _exchange() -> ModuleType:
    """Import what speaks the protocol."""
    from orchestrator.mcp import exchange  # noqa: PLC0415 -- it needs the extra, and is slow

    return exchange


class _Answer(Response):
    """Hands the request on to the SDK, which writes the answer itself."""

    def __init__(self, exchange: ModuleType, caller: Caller, body: bytes) -> None:
        super().__init__()
        self._exchange, self._caller, self._body = exchange, caller, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        known = {**scope, KNOWN: self._caller}
        await self._exchange.answer(known, self._replayed(receive), send)

    def _replayed(self, receive: Receive) -> Receive:
        """Let the body be read once more; then the client is listened to, for it may leave."""
        rest: list[Message] = [{"type": "http.request", "body": self._body, "more_body": False}]

        async def receive_again() -> Message:
            return rest.pop() if rest else await receive()

        return receive_again
