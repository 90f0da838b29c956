"""The porter: waits at the door, judges what comes, and settles it. One in each orchestrator.

It runs beside the loop, on a thread of its own, for the loop sleeps on its doorbell and a Celery
client rings none. While new work is refused (the server is unfit or short of memory, the desk is
full) it takes nothing: messages wait on their queue, and are taken when that is over.

Any number of porters stand at one door. What lies there is shown to one of them at a time.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from envelopes import limits
from orchestrator import checks
from orchestrator.door.door import Door, Lying, Settled
from orchestrator.door.judge import Admitted, judge
from orchestrator.door.message import Reason, Refusal
from orchestrator.telemetry_submit import submitting

log = logging.getLogger("buckstop.door")

_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Before the next look, where there is something that cannot be taken now: others are at it, the
server is away, or new work is refused. Soon at first, then not a nuisance."""


class Porter:
    """Takes messages off the door, one batch after the other."""

    def __init__(self, door: Door, refuse_if_unfit: Callable[[], object]) -> None:
        """Stand at a door; `refuse_if_unfit` raises Unfit while no new work is taken."""
        self._door = door
        self._refuse_if_unfit = refuse_if_unfit
        self._stopping = threading.Event()
        self._batch = threading.Lock()
        self._in_vain = 0
        self._shut = ""

    def start(self) -> None:
        """Begin, on a thread that ends with the process."""
        threading.Thread(target=self.run, name="porter", daemon=True).start()

    def run(self) -> None:
        """Take what comes until told to stop."""
        while not self._stopping.is_set():
            try:
                self.turn()
            except RedisError as error:
                log.warning("the door cannot be reached", extra={"error": str(error)})
                self._pause()
            except Exception:
                log.exception("the porter stumbled, and goes on")
                self._pause()

    def stop(self) -> None:
        """Let the batch in hand be settled, and begin no other. A wait need not end first."""
        self._stopping.set()
        with self._batch:
            pass

    def turn(self, wait_ms: int = limits.WAIT_MS_MAX) -> list[Settled]:
        """Wait for messages and settle a batch of them; return what became of each."""
        if not self._door.wait(wait_ms):
            return []
        with self._batch:
            settled = None if self._stopping.is_set() or self._is_shut() else self._take()
        if settled is None:
            self._pause()
            return []
        self._in_vain = 0
        return settled

    def _take(self) -> list[Settled] | None:
        """Settle a batch; None where there is only what others are at."""
        taken = self._door.take()
        with ExitStack() as spans:
            judged = [
                (each, _traced(_judged(each, taken.now_ms), spans)) for each in taken.messages
            ]
            settled = self._door.settle(judged, taken.now_ms) if judged else []
        for (_, verdict), what in zip(judged, settled, strict=True):
            _say(verdict, what)
        return settled if judged or taken.next_ms is None else None

    def _is_shut(self) -> bool:
        try:
            self._refuse_if_unfit()
        except checks.Unfit as unfit:
            self._note_shut(str(unfit))
            return True
        self._note_shut("")
        return False

    def _note_shut(self, why: str) -> None:
        """Say it once, and once that it is over."""
        if bool(why) != bool(self._shut):
            said = "messages wait at the door" if why else "messages are taken again"
            log.warning(said, extra={"why": why or self._shut})
        self._shut = why

    def _pause(self) -> None:
        self._stopping.wait(_PAUSES_S[min(self._in_vain, len(_PAUSES_S) - 1)])
        self._in_vain += 1


class Fitness:
    """Says whether new work may be taken: everything now and then, what fills up each time."""

    def __init__(self, client: Redis, door: Door) -> None:
        self._client = client
        self._door = door
        self._asked_at = float("-inf")

    def __call__(self) -> None:
        """Raise Unfit while it may not."""
        if time.monotonic() - self._asked_at < limits.DESK_LOOK_MS / 1000:
            checks.require_room(self._client)
        else:
            checks.require_fit(self._client)
            self._asked_at = time.monotonic()
        checks.require_desk(self._door.letters())


def _judged(lying: Lying, now_ms: int) -> Admitted | Refusal:
    """Judge a message. One that we cannot judge is our bug, and must not block the door."""
    try:
        return judge(lying.raw, now_ms)
    except Exception as error:
        log.exception("a message could not be judged")
        return Refusal(Reason.UNDECODABLE, f"it could not be judged: {type(error).__name__}")


def _traced(verdict: Admitted | Refusal, spans: ExitStack) -> Admitted | Refusal:
    """Let the task go on from the sender's trace, in a span that ends once it is accepted."""
    if isinstance(verdict, Refusal):
        return verdict
    return replace(verdict, submission=spans.enter_context(submitting(verdict.submission)))


def _say(verdict: Admitted | Refusal, settled: Settled) -> None:
    about = {"celery_id": verdict.id, "task": settled.task, "letter": settled.letter}
    if isinstance(verdict, Admitted):
        log.info("taken at the door", extra={**about, "first": settled.created})
    else:
        log.warning("refused at the door", extra={**about, "why": verdict.why})
