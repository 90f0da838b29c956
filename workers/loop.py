"""One event loop per process, on a thread of its own, for all async agents.

A pool's thread hands its coroutine over and waits, so hundreds of model calls wait in one process.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")

CHARGE_THREADS = 32
"""Charges of async agents that wait for the server at once; the line sends them together."""


class Loop:
    """Starts when it is first needed, so that a fork has nothing to inherit."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.charges = ThreadPoolExecutor(CHARGE_THREADS, thread_name_prefix="charge")

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                Thread(target=self._loop.run_forever, name="agents", daemon=True).start()
            return self._loop
