"""Say that we live: one thread per process, all claims in one round trip.

A claim without a beat for the length of the lease is taken away and its step is run again
elsewhere. The answer to a beat names the claims that are no longer ours; whoever runs them is told.

A beat proves only that this process lives. An agent that hangs is found by its step's timeout.

In a prefork pool the main process beats for what it has fetched and the pool has not accepted; from
then on the child does. So a killed child falls silent, though its parent lives on.
"""

import logging
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from typing import Protocol

from redis.exceptions import RedisError

from envelopes.limits import BEAT_MS

log = logging.getLogger("buckstop.beat")


class Beaten(Protocol):
    """Where beats go: workers/claims.py."""

    def beat(self, claims: Sequence[tuple[str, str]], worker_json: str) -> list[str]:
        """Renew claims; return those that are no longer ours."""
        ...


class Beat:
    """The sign of life of one process."""

    def __init__(self, claims: Beaten, about: Callable[[], str], every_ms: int = BEAT_MS) -> None:
        self._claims = claims
        self._about = about
        self._every_s = every_ms / 1000
        self._lock = Lock()
        self._held: dict[str, tuple[str, Callable[[], object]]] = {}
        self._stop = Event()
        self._soon = Event()
        self._thread: Thread | None = None

    def add(self, subtask: str, token: str, on_lost: Callable[[], object]) -> None:
        """Beat for this claim; call back once if it turns out to be no longer ours."""
        with self._lock:
            self._held[subtask] = (token, on_lost)
            if self._thread is None:
                self._start()

    def remove(self, subtask: str, token: str) -> bool:
        """Beat for it no more; say whether we did until now."""
        with self._lock:
            ours = self._held.get(subtask, ("",))[0] == token
            if ours:
                del self._held[subtask]
            return ours

    def start(self) -> None:
        """Beat even with nothing claimed, so that the worker is known to be there."""
        with self._lock:
            if self._thread is None:
                self._start()

    def soon(self) -> None:
        """Beat at once: there is something new to say."""
        self._soon.set()

    def stop(self) -> None:
        """Fall silent."""
        self._stop.set()
        self._soon.set()

    def once(self) -> None:
        """Beat once for everything held, and tell those who have lost their claim."""
        with self._lock:
            held = dict(self._held)
        ours = [(subtask, token) for subtask, (token, _) in held.items()]
        lost = self._claims.beat(ours, self._about())
        for subtask in lost:
            token, on_lost = held[subtask]
            if self.remove(subtask, token):  # else it has ended while we asked
                log.info("a claim was taken away", extra={"subtask": subtask})
                on_lost()

    def _start(self) -> None:
        self._thread = Thread(target=self._run, name="beat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self.once()
            except (RedisError, OSError) as error:
                log.warning("a beat did not get through", extra={"error": repr(error)})
            self._soon.wait(self._every_s)
            self._soon.clear()
            if self._stop.is_set():
                return
