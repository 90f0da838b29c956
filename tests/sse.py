"""A client of server-sent events on a bare socket, which can also read slowly, or not at all."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

_CLOSED = 7  # TCP_CLOSE, the first byte of Linux's struct tcp_info


@dataclass(frozen=True)
class Event:
    """One event, as a browser would hand it out."""

    name: str
    id: str
    data: Any


class Sse:
    """One open stream."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.comments = 0
        self.last_id = ""
        self._text = b""

    @classmethod
    async def open(
        cls,
        port: int,
        path: str,
        token: str,
        *,
        last: str | None = None,
        cookie: str | None = None,
        proxy_login: str | None = None,
        receive_bytes: int | None = None,
    ) -> "Sse":
        """Connect and send the request; a small buffer makes a slow reader felt at once."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        limit = 65536 if receive_bytes is None else receive_bytes
        stream = cls(*await asyncio.open_connection(sock=sock, limit=limit))
        headers = {"Host": f"127.0.0.1:{port}"}
        if cookie is None:
            headers["Authorization"] = f"Bearer {token}"
        else:
            headers["Cookie"] = f"buckstop_session={cookie}"
        if proxy_login is not None:
            headers["Authorization"] = f"Basic {proxy_login}"
        if last is not None:
            headers["Last-Event-ID"] = last
        stream._ask(path, headers)
        return stream

    def _ask(self, path: str, headers: Mapping[str, str]) -> None:
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self._writer.write("\r\n".join([*lines, "", ""]).encode())

    async def answered(self) -> "Sse":
        """Read the head of the answer."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])
        }
        return self

    async def body(self) -> bytes:
        """Read all of an answer that is no stream."""
        return await self._reader.readexactly(int(self.headers["content-length"]))

    def problem(self, body: bytes) -> dict[str, Any]:
        """Read a body that says what is wrong."""
        assert self.headers["content-type"] == "application/problem+json", body
        return {**json.loads(body), "status": self.status}

    async def events(self) -> AsyncIterator[Event]:
        """Hand out events until the stream ends."""
        async for chunk in self._chunks():
            self._text += chunk
            *blocks, self._text = self._text.split(b"\n\n")
            for block in blocks:
                if event := self._event(block.decode()):
                    yield event

    async def until(self, name: str) -> list[Event]:
        """Read until an event of this name, it included."""
        found = []
        async for event in self.events():
            found.append(event)
            if event.name == name:
                return found
        raise AssertionError(f"the stream ended without {name!r}, after {found}")

    async def take(self, count: int, *names: str) -> list[Event]:
        """Read until there are so many events of these names."""
        found: list[Event] = []
        async for event in self.events():
            if not names or event.name in names:
                found.append(event)
            if len(found) == count:
                return found
        raise AssertionError(f"the stream ended after {found}")

    async def ended(self) -> bool:
        """Read on to the end; say whether it was a proper one."""
        try:
            async for _ in self.events():
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        return True

    async def cut_off(self) -> None:
        """Wait until the server has hung up, without reading what it has sent before."""
        sock = self._writer.get_extra_info("socket")
        while sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _CLOSED:  # noqa: ASYNC110 -- it does not read
            await asyncio.sleep(0.05)

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            size = int((await self._reader.readuntil(b"\r\n")), 16)
            chunk = await self._reader.readexactly(size + 2)
            if size == 0:
                return
            yield chunk[:-2]

    def _event(self, block: str) -> Event | None:
        name, lines = "message", []
        for line in block.split("\n"):
            field, _, value = line.partition(": ")
            match field:
                case "event":
                    name = value
                case "data":
                    lines.append(value)
                case "id":
                    self.last_id = value
                case "":
                    self.comments += 1
        return Event(name, self.last_id, json.loads("\n".join(lines))) if lines else None
