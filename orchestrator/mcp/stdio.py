"""Speak MCP with whoever has started this process: an editor, on standard input and output.

Either it is at the server that `buckstop up` runs in a directory, as the command line is, and acts
in a name that the person has given it. Or it is at an API elsewhere, with a token.

An editor is often started before what it is to talk to. So nothing is looked for before a tool is
called, and it is looked for at each call: start `buckstop up`, and the next call finds it.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
from mcp.server.stdio import stdio_server

from envelopes import limits
from envelopes.exports import exporting
from orchestrator.http.access import Caller
from orchestrator.http.app import build as build_app
from orchestrator.mcp.asking import Api, NotDone
from orchestrator.mcp.inside import HERE, Inside
from orchestrator.mcp.server import Context, build
from orchestrator.settings import Settings, SettingsError
from orchestrator.tokens import Scope, Token

_SERVICE = "buckstop.mcp"
_TIMEOUT = httpx.Timeout(limits.MCP_WAIT_S_MAX + 30, connect=10)
"""An answer may take as long as a wait may."""


def serve_here(read_settings: Callable[[], Settings], name: str) -> None:
    """Serve until the editor leaves, at whichever server the settings name at each call."""
    with exporting(_SERVICE):
        asyncio.run(_serve_here(read_settings, name))


def serve_there(url: str, token: str) -> None:
    """Serve until the editor leaves, at the API of this address."""
    with exporting(_SERVICE):
        asyncio.run(_serve_there(url, token))


async def _serve_here(read_settings: Callable[[], Settings], name: str) -> None:
    async with AsyncExitStack() as open_app:
        here = _Here(read_settings, name, open_app)
        await _speak(here.api)


async def _serve_there(url: str, token: str) -> None:
    shown = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=shown, timeout=_TIMEOUT) as client:

        async def there(ctx: Context) -> Api:
            del ctx
            return Api(client)

        await _speak(there)


async def _speak(api_of: Any) -> None:
    server = build(api_of)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


class _Here:
    """The API inside this process, of whichever server runs now."""

    def __init__(
        self, read_settings: Callable[[], Settings], name: str, open_app: AsyncExitStack
    ) -> None:
        self._read_settings, self._name, self._open = read_settings, name, open_app
        self._url = ""
        self._api: Api | None = None
        self._finding = asyncio.Lock()

    async def api(self, ctx: Context) -> Api:
        """Return the way to it, or raise NotDone where nothing runs."""
        del ctx
        async with self._finding:
            try:
                settings = self._read_settings()
            except SettingsError as error:
                raise NotDone(str(error)) from None
            if self._api is None or settings.url != self._url:
                self._api, self._url = await self._opened(settings), settings.url
        return self._api

    async def _opened(self, settings: Settings) -> Api:
        """Open the app of a server; that of one before it would look for it for ever."""
        self._api = None
        await self._open.aclose()
        app = await asyncio.to_thread(build_app, settings)
        await self._open.enter_async_context(app.router.lifespan_context(app))
        inside = Inside(app, Caller(_standing(self._name), standing=True))
        client = httpx.AsyncClient(transport=inside, base_url=HERE, timeout=_TIMEOUT)
        return Api(await self._open.enter_async_context(client))


def _standing(name: str) -> Token:
    """Stand for the person who runs this process: what they may do on the command line."""
    return Token(
        id="none",
        name=name,
        scopes=(Scope.SUBMIT, Scope.READ, Scope.DECIDE),
        hash="",
        created_ms=0,
        per_minute=limits.TOKEN_PER_MINUTE_MAX,
    )
