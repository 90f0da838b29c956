"""What a stream needs of its connection and HTTP servers do not offer: to hang up on it.

uvicorn closes a connection by writing first what is buffered. A client that never reads would so
keep its socket for ever. Uvicorn makes one `Protocol` per connection and lays `connection` into the
state of its requests:

    uvicorn.Config(app, http=Protocol)
    request.state.connection.hang_up()

Not here: when a client counts as too slow (stream.py).
"""

import asyncio
import resource
import socket
import struct
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from envelopes import limits

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""Linger for no time: the other side is reset, instead of waited for until it reads."""


class Connection:
    """One client's connection, as far as a stream may touch it."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()
        """Set once the server stops: a stream has no end of its own for which it could wait."""
        self._transport: asyncio.Transport | None = None

    def made(self, transport: asyncio.Transport) -> None:
        """Take note of the transport."""
        self._transport = transport

    def hold_little(self) -> None:
        """Bound what the system buffers: by itself it would take megabytes for a slow client."""
        self._set(socket.SO_SNDBUF, limits.LIVE_BUFFER_BYTES)

    def hang_up(self) -> None:
        """Close it now; what is not written yet is dropped, also what the system has of it."""
        self._set(socket.SO_LINGER, _AT_ONCE)
        if self._transport is not None:
            self._transport.abort()

    def _set(self, option: int, value: int | bytes) -> None:
        sock = self._transport.get_extra_info("socket") if self._transport else None
        if sock is not None and sock.fileno() >= 0:  # it may be closed already
            sock.setsockopt(socket.SOL_SOCKET, option, value)


def allow_many() -> None:
    """Let this process have as many connections as the system allows; many begin with 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Protocol(H11Protocol):
    """Uvicorn's own, with a `connection` in the state of each request."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._connection = Connection()
        self.app_state = {**self.app_state, "connection": self._connection}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        self._connection.made(transport)
        super().connection_made(transport)

    def shutdown(self) -> None:
        """Stop, as soon as what is under way is over; streams are told to end."""
        super().shutdown()
        self._connection.leaving.set()
