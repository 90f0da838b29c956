"""The clients of bench/live.py: very many that read, one that never does, one that does slowly.

Does what each line of its input says (open, turn, await, report), and says on a line when it is
done. A client only notes when it was told what; it is checked at the end that each was told all, in
order.
"""

import asyncio
import json
import re
import resource
import socket
import sys
import time
from itertools import pairwise
from typing import Any, Final

from envelopes.limits import LIVE_STREAMS_TOKEN_MAX

NEWS: Final = re.compile(rb'id: (\d+)-(\d+)\nevent: [a-z.]+\ndata: \{"at_ms":(\d+)')
LONGEST: Final = 1_024
"""No event's beginning is longer; what is kept of what was received to join it to the rest."""
FEW_BYTES: Final = 2_048
SLOW_BYTES: Final = 1_024
SLOW_PAUSE_S: Final = 0.1
AT_ONCE: Final = 50
"""Streams opened at once."""


class Reader(asyncio.Protocol):
    """A client that reads."""

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self._rest = b""
        self.opened = asyncio.Event()
        self.places: list[tuple[int, int]] = []

    def data_received(self, data: bytes) -> None:
        """Note what was told, and how long it took."""
        now_ms, at = time.time() * 1000, 0
        text = self._rest + data
        for found in NEWS.finditer(text):
            at = found.end()
            self.places.append((int(found[1]), int(found[2])))
            self._crowd.delays.append(now_ms - int(found[3]))
        self._rest = text[max(at, len(text) - LONGEST) :]
        if b": buckstop" in text:
            self.opened.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody who reads is cut off."""
        self._crowd.lost.append(repr(exc))


class Crowd:
    """All clients."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.lost: list[str] = []
        self._readers: list[Reader] = []
        self._slow: list[asyncio.Task[None]] = []
        self._ms: dict[str, list[float]] = {"reading": [], "slow": []}
        self._resets = 0

    async def open(self, port: int, tokens: list[str], count: int) -> bool:
        """Open the streams of those who read."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Reader:
            async with gate:
                loop = asyncio.get_running_loop()
                transport, reader = await loop.create_connection(
                    lambda: Reader(self), "127.0.0.1", port
                )
                transport.write(_asks(tokens[number // LIVE_STREAMS_TOKEN_MAX]))
                await reader.opened.wait()
                return reader

        self._readers = list(await asyncio.gather(*map(one, range(count))))
        return True

    async def turn(self, port: int, tokens: list[str], turn: str) -> bool:
        """Begin a turn: let the slow ones come, or go."""
        for each in self._slow:
            each.cancel()
        await asyncio.gather(*self._slow, return_exceptions=True)
        self.delays = self._ms[turn]
        who = (None, SLOW_BYTES) if turn == "slow" else ()
        self._slow = [asyncio.create_task(self._stay(port, tokens[-1], each)) for each in who]
        return True

    async def wait(self, news: int) -> bool:
        """Wait until everybody has been told so much."""
        while any(len(reader.places) < news for reader in self._readers):  # noqa: ASYNC110 -- rarely
            await asyncio.sleep(0.01)
        return True

    def report(self) -> dict[str, Any]:
        """Say how long it took, and whether each was told all, in order."""
        told = [reader.places for reader in self._readers]
        if self.lost or any(one != told[0] for one in told):
            raise RuntimeError(f"not all were told the same; {len(self.lost)} were cut off")
        if any(later <= earlier for earlier, later in pairwise(told[0])):
            raise RuntimeError("what was told is out of order")
        ms = {turn: _shares(sorted(delays)) for turn, delays in self._ms.items()}
        return {"told": len(told[0]) * len(told), "resets": self._resets, "ms": ms}

    async def _stay(self, port: int, token: str, read_bytes: int | None) -> None:
        """Be a client that reads slowly or never, and comes again each time it is cut off."""
        while True:
            sock = socket.socket()
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FEW_BYTES)
            with sock:
                try:
                    await self._be_slow(sock, port, token, read_bytes)
                except ConnectionError:
                    self._resets += 1

    async def _be_slow(
        self, sock: socket.socket, port: int, token: str, read_bytes: int | None
    ) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, _asks(token, "0-0"))
        while True:
            await asyncio.sleep(SLOW_PAUSE_S)
            if read_bytes is not None:
                if not await loop.sock_recv(sock, read_bytes):
                    raise ConnectionResetError
            elif error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise ConnectionResetError(error)


def _asks(token: str, after: str | None = None) -> bytes:
    lines = ["GET /v1/events HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {token}"]
    if after is not None:
        lines.append(f"Last-Event-ID: {after}")
    return "\r\n".join([*lines, "", ""]).encode()


def _shares(delays: list[float]) -> dict[str, float]:
    ends = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    last = len(delays) - 1
    return {name: round(delays[int(last * share)]) for name, share in ends.items()}


async def main() -> None:
    """Do what is said, line by line."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = Crowd()
    while line := await asyncio.to_thread(sys.stdin.readline):
        said = json.loads(line)
        print(json.dumps(await _do(crowd, said)), flush=True)


async def _do(crowd: Crowd, said: dict[str, Any]) -> Any:
    match said["do"]:
        case "open":
            return await crowd.open(said["port"], said["tokens"], said["count"])
        case "turn":
            return await crowd.turn(said["port"], said["tokens"], said["turn"])
        case "await":
            return await crowd.wait(said["news"])
        case _:
            return crowd.report()


if __name__ == "__main__":
    asyncio.run(main())
