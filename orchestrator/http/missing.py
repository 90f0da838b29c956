"""Note for each request which cells were left out of its answer, because they are away.

Lists say so in `missing`; any other answer says it in a header.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.cells.where import noting

HEADER: Final = b"buckstop-missing"


class Noted:
    """Stands around the app of a deployment that has cells."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and name in its answer who was away by then."""
        with noting() as missing:

            async def told(message: Message) -> None:
                if missing and message["type"] == "http.response.start":
                    names = ", ".join(sorted(missing)).encode()
                    message = {**message, "headers": [*message["headers"], (HEADER, names)]}
                await send(message)

            await self._app(scope, receive, told)
