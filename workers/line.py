"""Send script calls of many threads in one round trip.

    run    send, and wait for the reply
    post   send, and go on: the reply goes to a callback

A thread that says `run` either finds the line free and sends, its own call and whatever has come in
meanwhile, or waits until somebody has sent for it. So one thread alone pays nothing for the
company, and a hundred pay for few round trips. This is how a database commits in groups; with a
server that syncs each write to disk (4 ms here) it is the difference between 250 calls a second and
as many as there are. What is posted goes along with the next call, or by a thread kept for it.

While the server is away a batch is sent again, with a growing pause, for OUTAGE_S seconds: every
script is safe to repeat, and a paid result is worth waiting for.

Each process has a line of its own. A fork drops the parent's (workers/station.py), whose lock may
be held by a thread that does not exist in the child.
"""

import logging
from collections.abc import Callable, Sequence
from threading import BoundedSemaphore, Event, Lock, Thread
from time import monotonic
from typing import Any, Final, Protocol

from redis import exceptions

from envelopes.connection import takes_no_writes
from envelopes.limits import OUTAGE_S
from envelopes.scripts import Arg
from envelopes.scripts import Call as ScriptCall

BATCH_MAX: Final = 128
"""Calls in one round trip; one envelope each may be as large as 128 KiB."""
POSTED_MAX: Final = 256
"""Posted calls that may wait at once; whoever posts one more waits, too."""
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.05, 2.0
_AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)

log = logging.getLogger("buckstop.line")


class Sender(Protocol):
    """What sends a batch: envelopes.scripts.Scripts."""

    def run_many(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run scripts in one round trip; a call that failed has its exception in its place."""
        ...


class Line:
    """Runs scripts like Scripts does, for many threads at once.

    At any moment at most one thread has the turn to send. It passes the turn on, before it goes its
    way, to the first thread that waits, or to the poster if only posted calls are left.
    """

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
        self._lock = Lock()  # guards the two below
        self._busy = False
        self._waiting: list[_Call] = []
        self._room = BoundedSemaphore(POSTED_MAX)
        self._posters_turn = Lock()
        self._posters_turn.acquire()
        self._poster: Thread | None = None

    def run(self, name: str, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """Run one script and return its reply, or raise what went wrong with it."""
        mine = _Awaited((name, keys, args))
        if not self._join(mine):
            mine.wait()
        if not mine.answered:
            self._send()
        if isinstance(mine.reply, BaseException):
            raise mine.reply
        return mine.reply

    def post(self, call: ScriptCall, then: Callable[[Any], object]) -> None:
        """Run a script soon, and call back with its reply or what went wrong with it."""
        self._room.acquire()
        if self._join(_Posted(call, then, self._room)):
            self._let_the_poster_send()

    @property
    def idle(self) -> bool:
        """Say whether nothing waits and nothing is under way."""
        return not self._busy

    def _join(self, call: "_Call") -> bool:
        """Stand in line; say whether it is our turn to send."""
        with self._lock:
            self._waiting.append(call)
            my_turn = not self._busy
            self._busy = True
        return my_turn

    def _send(self) -> None:
        """Send what waits, then pass the turn on."""
        with self._lock:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        try:
            replies = self._deliver([each.call for each in batch])
        except BaseException as error:  # noqa: BLE001 - whatever it is, all who wait must hear it
            replies = [error] * len(batch)
        self._pass_on()
        for each, reply in zip(batch, replies, strict=True):
            each.answer(reply)

    def _pass_on(self) -> None:
        with self._lock:
            self._busy = bool(self._waiting)
            heir = next((call for call in self._waiting if isinstance(call, _Awaited)), None)
            # The heir's own call must be in the batch that it sends.
            if heir is not None and self._waiting.index(heir) >= BATCH_MAX:
                self._waiting.remove(heir)
                self._waiting.insert(0, heir)
            left = self._busy
        if heir is not None:
            heir.wake()
        elif left:
            self._let_the_poster_send()

    def _let_the_poster_send(self) -> None:
        if self._poster is None:  # only whoever has the turn comes here, so there is only ever one
            self._poster = Thread(target=self._post_for_ever, name="poster", daemon=True)
            self._poster.start()
        self._posters_turn.release()

    def _post_for_ever(self) -> None:
        while True:
            self._posters_turn.acquire()
            self._send()

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


class _Awaited:
    """A call whose thread waits for the answer, or for its turn."""

    __slots__ = ("_latch", "answered", "call", "reply")

    def __init__(self, call: ScriptCall) -> None:
        self.call = call
        self.answered = False
        self.reply: Any = None
        self._latch = Lock()  # a lock that somebody else opens: an Event at a fifth of the cost
        self._latch.acquire()

    def wait(self) -> None:
        """Wait to be answered, or woken to send."""
        self._latch.acquire()

    def wake(self) -> None:
        """Let the waiting thread send."""
        self._latch.release()

    def answer(self, reply: Any) -> None:
        """Let the waiting thread go on with this reply."""
        self.reply = reply
        self.answered = True
        self._latch.release()


class _Posted:
    """A call whose reply goes to a callback."""

    __slots__ = ("_room", "_then", "call")

    def __init__(
        self, call: ScriptCall, then: Callable[[Any], object], room: BoundedSemaphore
    ) -> None:
        self.call = call
        self._then = then
        self._room = room

    def answer(self, reply: Any) -> None:
        """Make room for another, and call back."""
        self._room.release()
        try:
            self._then(reply)
        except Exception:
            log.exception("what was to follow a posted call has failed")


_Call = _Awaited | _Posted


def _may_recover(reply: Any) -> bool:
    return isinstance(reply, _AWAY) or takes_no_writes(reply)


def _say(error: BaseException, calls: int, pause_s: float) -> None:
    log.warning(
        "the server does not answer; trying again",
        extra={"error": repr(error), "calls": calls, "pause_s": pause_s},
    )
