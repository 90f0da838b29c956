"""A worker from its start to its end: what it has fetched, what runs, and how it stops.

Told to stop, it fetches nothing more, gives back what has not begun, and waits for what runs. What
still runs when the grace is over is reported as stopped, with what it had kept, and the process
ends: a thread cannot be killed, and Celery would wait for it for ever.

The ending runs on a thread of its own, woken through a pipe: a signal handler may interrupt whoever
holds a lock, so it can do no more than write a byte.
"""

import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread, Timer
from time import monotonic

from redis.exceptions import RedisError

from envelopes import limits, versions
from envelopes.envelope import Envelope, Fault
from workers.agent import Agent
from workers.context import Grant
from workers.held import Held, Hold
from workers.outcome import GIVEN_BACK, Outcome, outcome_line
from workers.runtime import Run, outcome, perform, report, say, stopped, written
from workers.station import Station

_LOOK_S = 0.05
"""How often a worker that ends looks whether all is done."""
_LEAVE_S = 5.0
"""What Celery gets to end the process itself once nothing runs any more."""
_STOPPED = "its worker was told to stop before it was done"
_KILLED = "its time was over, it went on, and the pool killed its process"

log = logging.getLogger("buckstop.shift")


class Shift:
    """One worker process and, in a prefork pool, its children."""

    def __init__(self, station: Station, slots: Callable[[], int], *, forks: bool) -> None:
        self.held = Held(slots)
        self._station = station
        self._forks = forks
        self._pid = os.getpid()
        self._reader, self._writer = os.pipe()
        self._over = Event()

    def begin(self) -> None:
        """Start to beat, and wait for the end."""
        self._station.make()
        self._station.beat.start()
        Thread(target=self._wait_for_the_end, name="farewell", daemon=True).start()

    # --- one subtask -----------------------------------------------------------------------------

    def run(self, agent: Agent, grant: Grant, payload: str) -> Outcome:
        """Run a subtask, in this process or in the child that this was forked into.

        Return how it ended, for whoever looks on from Celery's side.
        """
        station, subtask = self._station, grant.subtask
        in_a_child = os.getpid() != self._pid
        if not in_a_child and not self.held.begin(subtask):
            return GIVEN_BACK  # while it waited for a thread
        run = Run.of(agent, grant, payload, station.claims, station.loop)
        station.runs[subtask] = run
        station.beat.add(subtask, grant.token, run.context.cancel)
        if not in_a_child:
            envelope = self._run_and_post(run)
        else:
            try:
                envelope = perform(run)
            finally:
                self._forget(run)
        return outcome_line(envelope, run.context.meter.usage(), grant.headers.allowance)

    def _run_and_post(self, run: Run) -> Envelope | None:
        """Run it and let the thread go on to the next while the report is under way."""
        envelope = outcome(run)
        if envelope is None:
            self._reported(run, None, b"revoked")
            return None
        self._station.post_report(
            run.grant,
            run.context.meter.settlements(),
            written(run, envelope),
            lambda reply: self._reported(run, envelope, reply),
        )
        return envelope

    def _reported(self, run: Run, envelope: Envelope | None, reply: object) -> None:
        self._forget(run)
        if isinstance(reply, BaseException):
            log.error("a report was lost", extra={"subtask": run.grant.subtask}, exc_info=reply)
        say(run, envelope, reply.decode() if isinstance(reply, bytes) else "lost")

    def _forget(self, run: Run) -> None:
        self._station.beat.remove(run.grant.subtask, run.grant.token)
        self._station.runs.pop(run.grant.subtask, None)

    def sent(self, subtask: str) -> bool:
        """Note that it goes to the pool; a child's queue is out of reach, so there it has begun."""
        return self.held.begin(subtask) if self._forks else self.held.has(subtask)

    def accepted(self, subtask: str, pid: int) -> None:
        """Note that it runs; if in a child, it is the child that beats for it from now on."""
        hold = self.held.place(subtask, pid)
        if hold is not None and pid != self._pid:
            self._station.beat.remove(subtask, hold.token)

    def ended(self, subtask: str) -> None:
        """Note that it is over, and make room for another; its report may still be under way."""
        hold = self.held.end(subtask)
        if hold is not None and subtask not in self._station.runs:
            self._station.beat.remove(subtask, hold.token)

    def killed(self, subtask: str) -> None:
        """Report for a child that the pool kills, unless it does so itself with its last breath."""
        hold = self.held.end(subtask)
        if hold is not None:
            envelope = Envelope.failed(_KILLED, Fault.TIMEOUT)
            later = Timer(limits.ENDING_MS / 1000, self._report_for, (hold, envelope))
            later.daemon = True
            later.start()

    # --- the end ---------------------------------------------------------------------------------

    def stop(self, *, at_once: bool = False) -> None:
        """Begin to end; safe in a signal handler."""
        if os.getpid() == self._pid:
            self.held.close()
            os.write(self._writer, b"!" if at_once else b".")

    def wait(self) -> None:
        """Wait until all is given back or reported; Celery calls this last."""
        if os.getpid() == self._pid:
            self._over.wait(self._station.settings.grace_s + _LEAVE_S)

    def _wait_for_the_end(self) -> None:
        at_once = os.read(self._reader, 1) == b"!"
        grace_s = 0.0 if at_once else self._station.settings.grace_s
        log.info("told to stop", extra={"held": len(self.held), "grace_s": grace_s})
        ends_at = monotonic() + grace_s
        while self._give_back() or (self._under_way() and monotonic() < ends_at):
            Event().wait(_LOOK_S)
        left = self.held.all()
        for hold in left:
            self._stop_one(hold)
        self._over.set()
        if not left:
            Event().wait(_LEAVE_S)
        self._leave()

    def _under_way(self) -> bool:
        return bool(self.held.all() or self._station.runs)

    def _give_back(self) -> bool:
        """Give back what has not begun; say whether there was anything."""
        unbegun = self.held.drop_unbegun()
        for hold in unbegun:
            self._station.beat.remove(hold.subtask, hold.token)
            self._station.claims.hand_back(hold.subtask, hold.token, hold.queue, hold.raw)
        return bool(unbegun)

    def _stop_one(self, hold: Hold) -> None:
        """Hand over what there is of a subtask that would not end."""
        run = self._station.runs.get(hold.subtask)
        log.warning("stopped before it was done", extra={"subtask": hold.subtask})
        if run is None:
            self._report_for(hold, Envelope.failed(_STOPPED, Fault.STOPPED))
            with suppress(ProcessLookupError):
                os.kill(hold.pid, signal.SIGKILL)
            return
        try:
            report(run, stopped(run, _STOPPED))
        except (RedisError, OSError) as error:
            log.warning("could not report", extra={"subtask": hold.subtask, "error": repr(error)})

    def _report_for(self, hold: Hold, envelope: Envelope) -> None:
        """Report for a child; its calls in flight count at their worst."""
        raw = versions.written("envelope", envelope, versions.OLDEST_VERSION).encode()
        try:
            self._station.claims.report(hold.subtask, hold.token, [], raw)
        except (RedisError, OSError) as error:
            log.warning("could not report", extra={"subtask": hold.subtask, "error": repr(error)})

    def _leave(self) -> None:
        """End the process, which Celery would not: it waits for threads that do not end."""
        self._station.close_exports()
        logging.shutdown()
        os._exit(0)
