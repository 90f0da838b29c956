"""The line on which a primary is reached; cut for its replicas and Sentinels, but not for clients.

That is the worst way to lose a primary: it lives, its clients go on writing to it, and somebody
else is made primary meanwhile. Who a connection belongs to is told by what it says first.
"""

import asyncio
import threading
from contextlib import suppress
from typing import Final

_PEERS: Final = (b"REPLCONF", b"PSYNC", b"sentinel", b"SENTINEL", b"__sentinel__")
"""What replicas and Sentinels say in their first breath; clients say none of it."""


class Line:
    """Listens on one port, and passes everything on to another, in a thread of its own."""

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = 0
        self._cut = False
        self._peers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    def cut(self) -> None:
        """Swallow what the primary and its peers say to each other, without a word to either."""
        self._cut = True

    def close(self) -> None:
        """End everything."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # either end may go at any time: that is what a line is
            onward, back = await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.gather(
                self._pass(reader, back, (writer, back)), self._pass(onward, writer, ())
            )
        writer.transport.abort()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
    ) -> None:
        while said := await source.read(65_536):
            if ends and any(word in said for word in _PEERS):
                self._peers.update(ends)
            if self._cut and self._peers.intersection((*ends, sink)):
                continue
            sink.write(said)
            await sink.drain()
        sink.transport.abort()
