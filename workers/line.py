"""Send script calls of many threads in one round trip.

A thread with a call either finds the line free and sends, its own call and whatever has come in
meanwhile, or waits until somebody has sent for it. So one thread alone pays nothing for the
company, and a hundred threads pay for few round trips. This is how a database commits in groups.

While the server is away a batch is sent again, with a growing pause, for OUTAGE_S seconds: every
script is safe to repeat, and a paid result is worth waiting for.

Each process has a line of its own. A fork drops the parent's (workers/station.py), whose lock may
be held by a thread that does not exist in the child.
"""

import logging
from collections.abc import Callable, Sequence
from threading import Event, Lock
from time import monotonic
from typing import Any, Protocol

from redis import exceptions

from envelopes.limits import OUTAGE_S
from envelopes.scripts import Arg
from envelopes.scripts import Call as ScriptCall

BATCH_MAX = 128
"""Calls in one round trip; one envelope each may be as large as 128 KiB."""
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.05, 2.0
_AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
_CANNOT_WRITE = ("OOM", "MISCONF", "READONLY", "LOADING", "NOREPLICAS")
"""Answers of a server that is there but takes no writes now; it may recover."""

log = logging.getLogger("buckstop.line")


class Sender(Protocol):
    """What sends a batch: envelopes.scripts.Scripts."""

    def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run scripts in one round trip; a call that failed has its exception in its place."""
        ...


class Line:
    """Runs scripts like Scripts does, for many threads at once."""

    def __init__(
        self,
        scripts: Sender,
        *,
        outage_s: float = OUTAGE_S,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._scripts = scripts
        self._outage_s = outage_s
        self._pause = pause or Event().wait
        self._lock = Lock()
        self._busy = False
        self._waiting: list[_Waiting] = []

    def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run one script and return its reply, or raise what went wrong with it."""
        mine = _Waiting((name, keys, args))
        with self._lock:
            self._waiting.append(mine)
            my_turn = not self._busy
            self._busy = True
        if not my_turn:
            mine.latch.acquire()
            my_turn = not mine.answered
        if my_turn:
            self._send()
        if isinstance(mine.reply, BaseException):
            raise mine.reply
        return mine.reply

    def _send(self) -> None:
        """Send what waits, ours among it, then pass the turn on to whoever has come since."""
        with self._lock:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        try:
            replies = self._deliver([each.call for each in batch])
        except BaseException as error:  # noqa: BLE001 - whatever it is, all who wait must hear it
            replies = [error] * len(batch)
        with self._lock:
            self._busy = bool(self._waiting)
            heir = self._waiting[0] if self._waiting else None
        for each, reply in zip(batch, replies, strict=True):
            each.answer(reply)
        if heir is not None:
            heir.latch.release()

    def _deliver(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Send a batch until the server has taken all of it, or has been away too long."""
        replies: list[Any] = [None] * len(calls)
        waiting, give_up_at, pause_s = list(range(len(calls))), monotonic() + self._outage_s, 0.0
        while True:
            for number, reply in zip(waiting, self._try([calls[n] for n in waiting]), strict=True):
                replies[number] = reply
            waiting = [number for number in waiting if _may_recover(replies[number])]
            if not waiting or monotonic() >= give_up_at:
                return replies
            pause_s = min(_PAUSE_S_MAX, 2 * pause_s or _PAUSE_S_MIN)
            _say(replies[waiting[0]], len(waiting), pause_s)
            self._pause(pause_s)

    def _try(self, calls: Sequence[ScriptCall]) -> list[Any]:
        try:
            return self._scripts.run_many(calls)
        except _AWAY as error:
            return [error] * len(calls)


class _Waiting:
    """A call and the thread that waits for its answer."""

    __slots__ = ("answered", "call", "latch", "reply")

    def __init__(self, call: ScriptCall) -> None:
        self.call = call
        self.latch = Lock()  # a lock that somebody else opens: an Event at a fifth of the cost
        self.latch.acquire()
        self.answered = False
        self.reply: Any = None

    def answer(self, reply: Any) -> None:
        """Let the waiting thread go on with this reply."""
        self.reply = reply
        self.answered = True
        self.latch.release()


def _may_recover(reply: Any) -> bool:
    return isinstance(reply, _AWAY) or (
        isinstance(reply, exceptions.ResponseError) and str(reply).startswith(_CANNOT_WRITE)
    )


def _say(error: BaseException, calls: int, pause_s: float) -> None:
    log.warning(
        "the server does not answer; trying again",
        extra={"error": repr(error), "calls": calls, "pause_s": pause_s},
    )
