"""What we need of a connection and HTTP servers do not offer: to hang up on it.

uvicorn closes a connection by writing first what is buffered. A client that never reads would so
keep its socket, and an answer of megabytes, for ever. And it waits without end for the head of a
request, so that whoever sends a letter now and then could hold all connections there are. Here both
have an end. Uvicorn makes one `Protocol` per connection and lays `connection` into the state of its
requests:

    uvicorn.Config(app, http=Protocol)
    request.state.connection.hang_up()

Not here: when the client of a stream counts as too slow (stream.py).
"""

import asyncio
import resource
import socket
import struct
from typing import Any, Final, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from envelopes import limits

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""Linger for no time: the other side is reset, instead of waited for until it reads."""


class Connection:
    """One client's connection, as far as an answer may touch it."""

    def __init__(self) -> None:
        self.leaving = asyncio.Event()
        """Set once the server stops: a stream has no end of its own for which it could wait."""
        self._transport: asyncio.Transport | None = None

    def made(self, transport: asyncio.Transport) -> None:
        """Take note of the transport, and bound what the system buffers for its client."""
        self._transport = transport
        self._set(socket.SO_SNDBUF, limits.CONNECTION_BUFFER_BYTES)

    def hang_up(self) -> None:
        """Close it now; what is not written yet is dropped, also what the system has of it."""
        self._set(socket.SO_LINGER, _AT_ONCE)
        if self._transport is not None:
            self._transport.abort()

    def _set(self, option: int, value: int | bytes) -> None:
        sock = self._transport.get_extra_info("socket") if self._transport else None
        if sock is not None and sock.fileno() >= 0:  # it may be closed already
            sock.setsockopt(socket.SOL_SOCKET, option, value)


class Counted:
    """A transport that knows how much was written to it, and so how much of that was taken."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written = 0

    def __getattr__(self, name: str) -> Any:
        """Be the transport in everything else."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Count and write."""
        self._written += len(data)
        self._transport.write(data)

    def taken(self) -> int:
        """Return how many bytes the system has taken for the client: more once it reads."""
        return self._written - self._transport.get_write_buffer_size()


def allow_many() -> None:
    """Let this process have as many connections as the system allows; many begin with 1,024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Protocol(H11Protocol):
    """Uvicorn's own, with a `connection` in the state of each request."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._connection = Connection()
        self._given_up: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self.app_state = {**self.app_state, "connection": self._connection}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        self._connection.made(transport)
        self._counted = Counted(transport)
        super().connection_made(cast("asyncio.Transport", self._counted))
        self._wait_for_a_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        self._wait_no_more()
        self._look_no_more()

    def data_received(self, data: bytes) -> None:
        """Take what has come; where a request is under way by it, it was waited for long enough."""
        super().data_received(data)
        if not self.cycle_is_over:
            self._wait_no_more()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is here already."""
        super().on_response_complete()
        self._look_on()
        if self.cycle_is_over:
            self._wait_for_a_request()

    def pause_writing(self) -> None:
        """Write no more until the client has read some, and see that it does."""
        super().pause_writing()
        self._look_on()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        self._look_no_more()
        self._look_on()

    @property
    def cycle_is_over(self) -> bool:
        """Say whether nothing is asked at the moment, or all of it is answered."""
        return self.cycle is None or self.cycle.response_complete

    def _wait_for_a_request(self) -> None:
        if self._given_up is None and not self.transport.is_closing():
            self._given_up = self.loop.call_later(limits.HEAD_S, self.transport.close)

    def _wait_no_more(self) -> None:
        if self._given_up is not None:
            self._given_up.cancel()
            self._given_up = None

    def _look_on(self) -> None:
        """Look again in a while whether the client has taken some of what is left for it."""
        if self.transport.get_write_buffer_size() and self._looking is None:
            taken = self._counted.taken()
            self._looking = self.loop.call_later(limits.ANSWER_STILL_S, self._look, taken)

    def _look(self, before: int) -> None:
        self._looking = None
        if self._counted.taken() > before:  # what is left may be more by now: of another answer
            self._look_on()
        else:
            self._connection.hang_up()

    def _look_no_more(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def shutdown(self) -> None:
        """Stop, as soon as what is under way is over; streams are told to end."""
        super().shutdown()
        self._connection.leaving.set()
