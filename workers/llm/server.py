"""One attempt at one request: booked, sent, read, settled.

    booked      at its worst case, before anything is sent; what cannot fit is not sent
    sent        over the process's own connections, in what is left of the subtask's time
    settled     to what the server said it used, whenever it said so: even where the stream broke,
                the agent stopped listening or the time was over after that

What is booked where the server said nothing:

    nothing was sent (no connection)                        no tokens, one call
    401, 403, 404, 429, and 503 with Retry-After            no tokens, one call
    anything else                                           the worst case stays booked

The last line is on purpose. A model goes on after its reader has left, thinks where nobody sees it,
and a proxy's 500 says nothing about the server behind it, so what was received is no upper bound;
400 and 422 are also answered after an answer was made and found wanting. In doubt it was spent.

Nothing a server or httpx says leaves here before the key is taken out of it.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from weakref import WeakKeyDictionary

import httpx

from envelopes import limits
from workers.context import Context
from workers.llm.answer import Draft, error_text
from workers.llm.errors import RefusedByServer, ServerAway
from workers.llm.exchange import Exchange
from workers.llm.patience import retry_after_s
from workers.llm.prompt import LimitField, Prompt
from workers.meter import Call, Late
from workers.prices import Price

_SENT_NOTHING: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_COST_NOTHING: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.TOO_MANY_REQUESTS,
)
_PASSING: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_SPENT_QUOTA: Final = b'"insufficient_quota"'
"""OpenAI says 429 for an account without money, too; waiting does not fill it."""
_NAMES_THE_NEW_WAY: Final = ("openai.com", "azure.com")
_HIDDEN: Final = "***"


class Server:
    """Where a model is served, and the secret that opens it; its repr shows only where."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float) -> None:
        self.url = _checked_url(base_url)
        self.timeout_s = timeout_s
        self._key = _checked_key(api_key)
        self._clients: WeakKeyDictionary[
            asyncio.AbstractEventLoop, tuple[int, httpx.AsyncClient]
        ] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"Server({str(self.url)!r})"

    @property
    def limit_field(self) -> LimitField:
        """Say what this server calls the longest answer.

        OpenAI's newer models take only `max_completion_tokens`, and say so. All others know
        `max_tokens`, and some (Ollama, llama-cpp-python) ignore the newer name in silence, which
        would leave the answer without a bound.
        """
        named = any(f".{self.url.host}".endswith(f".{each}") for each in _NAMES_THE_NEW_WAY)
        return "max_completion_tokens" if named else "max_tokens"

    @asynccontextmanager
    async def attempt(
        self, ctx: Context, prompt: Prompt, price: Price | str | None
    ) -> AsyncIterator[Exchange]:
        """Send a request once; what is read inside the block is settled after it."""
        async with _booked(ctx, prompt, price) as call, self._in_time(ctx):
            response = await self._send(call, prompt.body(call.max_tokens))
            draft = Draft(streamed=bool(prompt.fields.get("stream")))
            exchange = Exchange(ctx, call, prompt, response, draft, price, self.away, self.clean)
            try:
                await self._check(call, response)
                yield exchange
            finally:
                exchange.settle()
                await response.aclose()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        _, client = self._clients.pop(asyncio.get_running_loop(), (0, None))
        if client is not None:
            await client.aclose()

    def clean(self, text: object) -> str:
        """Return a text without the key, and short; in this order: half a key is a secret, too."""
        said = str(text).replace(self._key, _HIDDEN) if self._key else str(text)
        return said[: limits.LLM_ERROR_CHARS_MAX]

    def away(self, error: Exception) -> ServerAway:
        """Say what httpx said, as an error of ours."""
        said = self.clean(error) or "no more is known"
        return ServerAway(f"{self.url.host} is away: {type(error).__name__}: {said}")

    # --- steps of an attempt ---------------------------------------------------------------------

    @asynccontextmanager
    async def _in_time(self, ctx: Context) -> AsyncIterator[None]:
        """Bound an attempt by its own time, and by the subtask's."""
        bound_s = min(self.timeout_s, ctx.seconds_left())
        try:
            async with asyncio.timeout(bound_s) as timer:
                yield
        except TimeoutError:
            if not timer.expired():
                raise  # the agent's own, from inside its block
            if ctx.seconds_left() <= 0:
                raise Late("its time was over while it waited for a model") from None
            host = self.url.host
            raise ServerAway(f"{host} did not finish its answer in {bound_s:.1f} s") from None

    async def _send(self, call: Call, body: bytes) -> httpx.Response:
        client = self._client()
        request = client.build_request("POST", self.url, content=body)
        try:
            return await client.send(request, stream=True)
        except _SENT_NOTHING as error:
            call.used(0, 0)
            raise self.away(error) from None
        except httpx.HTTPError as error:
            raise self.away(error) from None

    async def _check(self, call: Call, response: httpx.Response) -> None:
        """Raise what a status other than success means."""
        if response.is_success:
            return
        status, pause_s = response.status_code, retry_after_s(response.headers)
        if status in _COST_NOTHING or (
            status == HTTPStatus.SERVICE_UNAVAILABLE and pause_s is not None
        ):
            call.used(0, 0)
        body = await self._beginning(response)
        said = f"{self.url.host} answered {status}: {self.clean(_message(body))}"
        passing = status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        if passing and _SPENT_QUOTA not in body:
            raise ServerAway(said, retry_after_s=pause_s)
        raise RefusedByServer(said, status)

    async def _beginning(self, response: httpx.Response) -> bytes:
        """Read as much of an error as may be needed to repeat its message."""
        body = b""
        try:
            async for part in response.aiter_bytes():
                body += part
                if len(body) > limits.LLM_LINE_BYTES_MAX:
                    break
        except httpx.HTTPError as error:
            return body or f"(it broke off: {type(error).__name__})".encode()
        return body

    def _client(self) -> httpx.AsyncClient:
        """Return the connections of this event loop; a forked process makes its own."""
        loop = asyncio.get_running_loop()
        pid, client = self._clients.get(loop, (0, None))
        if client is None or pid != os.getpid():
            client = self._new_client()
            self._clients[loop] = (os.getpid(), client)
        return client

    def _new_client(self) -> httpx.AsyncClient:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return httpx.AsyncClient(
            headers=headers,
            # The whole attempt has one bound (_in_time); only connecting has its own.
            timeout=httpx.Timeout(None, connect=limits.LLM_CONNECT_S),
            limits=httpx.Limits(max_connections=limits.LLM_CONNECTIONS_MAX),
        )


def _booked(ctx: Context, prompt: Prompt, price: Price | str | None) -> Call:
    """Open a call; entering it books its worst case."""
    return ctx.meter.call(
        input_tokens=prompt.input_tokens,
        max_tokens=prompt.wanted,
        min_tokens=prompt.least,
        model=price,
        booked_as=prompt.fields["model"],
    )


def _message(body: bytes) -> str:
    """Find what an error says, which is JSON or is not."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return error_text(body.decode("utf-8", "replace").strip() or "nothing")
    return error_text(said.get("error", said) if isinstance(said, dict) else said)


def _checked_url(base_url: str) -> httpx.URL:
    """Return where chats are asked; a password in the address would stand in every log."""
    url = httpx.URL(base_url.rstrip("/") + "/chat/completions")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("base_url is an address like https://api.openai.com/v1")
    if url.userinfo or url.query:
        raise ValueError("base_url must hold no password and no query; say api_key=...")
    return url


def _checked_key(api_key: str | None) -> str:
    """Return a key that fits a header; httpx would repeat one that does not."""
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError("the api_key holds characters that no HTTP header can carry")
    return key
