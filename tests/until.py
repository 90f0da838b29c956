"""Wait for something that other processes do."""

import time
from collections.abc import Callable

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


def until(what: str, condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait for a condition, through a server that is away."""
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        try:
            if condition():
                return
        except (RedisConnectionError, RedisTimeoutError):
            pass  # it is being replaced: that is the point
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout_s} s")
