"""Wait for something that others do: look, and look again until it is there."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

import httpx
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

PATIENCE_S: Final = 60
"""What takes a fraction of it on a quiet machine; what needs more says so."""
AWAY: Final = (RedisConnectionError, RedisTimeoutError, httpx.TransportError)
Seen = TypeVar("Seen")


def until(
    what: str,
    look: Callable[[], Seen],
    timeout_s: float = PATIENCE_S,
    *,
    good: Callable[[Seen], object] = bool,
    every_s: float = 0.02,
) -> Seen:
    """Return what is seen once it is good; who is away is being replaced: look again."""
    give_up, seen = time.monotonic() + timeout_s, None
    while time.monotonic() < give_up:
        try:
            seen = look()
            if good(seen):
                return seen
        except AWAY as error:
            seen = error
        time.sleep(every_s)
    raise AssertionError(f"{what}: not within {timeout_s} s; seen last: {seen!r}")


async def soon(what: str, look: Callable[[], Seen], timeout_s: float = PATIENCE_S) -> Seen:
    """Wait in an event loop, where others go on meanwhile; return what is seen once it is there."""
    give_up = time.monotonic() + timeout_s
    while not (seen := look()):
        assert time.monotonic() < give_up, f"{what}: not within {timeout_s} s; seen last: {seen!r}"
        await asyncio.sleep(0.005)
    return seen
