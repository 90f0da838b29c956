"""Ask the HTTP API one thing, and say in a sentence why it refuses.

    task = await api.get("/v1/tasks/7f3a")
    made = await api.post("/v1/tasks", {"goal": ...})

Where the API is stands in the client that is given: another machine (stdio.py --api), or this very
process (inside.py). What it refuses raises NotDone, with the problem details as they came. Each
request says which trace it belongs to, if any (traced.py).
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from envelopes.onward import headers


class NotDone(Exception):
    """The API did not do it; says why, and what to do next."""

    def __init__(self, why: str, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(why)
        self.problem = dict(problem or {})
        """RFC 9457, where the API has answered."""


class Api:
    """One caller's way to the API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Read something, or raise NotDone."""
        _, found = await self._ask("GET", path, params=_said(query))
        return found

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Do something, or raise NotDone; return the status too."""
        return await self._ask("POST", path, json=body)

    @asynccontextmanager
    async def events(
        self, path: str, **query: Any
    ) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
        """Follow a stream of events while the block lasts."""
        with _reached():
            async with self._client.stream(
                "GET", path, params=_said(query), headers=headers()
            ) as answer:
                if answer.is_error:
                    _read(answer.status_code, await answer.aread())
                yield _events(answer.aiter_lines())

    async def _ask(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        with _reached():
            answer = await self._client.request(method, path, headers=headers(), **more)
        return answer.status_code, _read(answer.status_code, answer.content)


class _reached:  # noqa: N801 -- a context, used like a function
    """Turn a connection that fails into a sentence."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, httpx.TransportError):
            raise NotDone(
                f"the API cannot be reached ({error or type(error).__name__}); nothing accepted is "
                "lost. Is `buckstop up` or `buckstop http` running there? Then try again"
            ) from None


def _read(status: int, body: bytes) -> dict[str, Any]:
    """Return what the API says, or raise NotDone: it refuses, or is none of Buckstop's."""
    try:
        said = dict(json.loads(body))
    except (ValueError, TypeError):
        said = {}
    if said and status < httpx.codes.BAD_REQUEST:
        return said
    if "detail" in said:
        raise NotDone(str(said["detail"]), said)
    raise NotDone(f"HTTP {status}: not an answer of Buckstop's API; is --api its address?")


def _said(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    """Read server-sent events as this API writes them: each has one line of data."""
    event = ""
    async for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            event = value
        elif field == "data":
            yield event, json.loads(value)
