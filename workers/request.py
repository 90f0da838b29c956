"""Celery's view of one subtask, kept in step with ours.

    fetched ──► in Celery's hands ──► in the pool ──► accepted ──► ended

In Celery's own terms nothing is acknowledged (the fetch has recorded the claim), nothing is revoked
(the owner does that) and nothing is retried (the owner re-plans).

Whoever has asked for events, such as Flower, is sent one when it has ended, with all there is to
say; where it was announced while it ran (panel.py), that one is short.
"""

from time import time
from typing import Any, ClassVar, Final, Protocol

from celery.exceptions import TimeLimitExceeded
from celery.worker import request as celery_request

from workers.outcome import event_of

_ANNOUNCE_AFTER_S: Final = 1.0
"""What runs for longer is announced while it runs: most agents are quicker, or take minutes."""


class Followed(Protocol):
    """Who is told where each subtask stands: workers/shift.py."""

    def sent(self, subtask: str) -> bool:
        """Note that it goes to the pool; say whether it may."""
        ...

    def accepted(self, subtask: str, pid: int) -> None:
        """Note that it runs, and in which process."""
        ...

    def killed(self, subtask: str) -> None:
        """Note that the pool has killed its process, because its time was over."""
        ...

    def ended(self, subtask: str) -> None:
        """Note that it is over, however it ended."""
        ...


class Request(celery_request.Request):
    """A Celery request whose claim is ours."""

    shift: ClassVar[Followed]
    running: ClassVar[dict[str, "Request"]] = {}
    """What this worker's pool has accepted and not ended."""
    _announced = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Put our `on_success` back: Celery derives a faster class whose own does not call it."""
        super().__init_subclass__(**kwargs)
        theirs = cls.on_success

        def on_success(self: Request, result: Any, **kwargs: Any) -> Any:
            try:
                return theirs(self, result, **kwargs)
            finally:
                self.running.pop(self.id, None)
                self.shift.ended(self.id)

        cls.on_success = on_success

    def revoked(self) -> bool:
        """Say whether it was given back meanwhile; Celery asks just before it goes to the pool."""
        return not self.shift.sent(self.id)

    def acknowledge(self) -> None:
        """Do nothing: there is nothing that could be restored."""
        self.acknowledged = True

    def reject(self, requeue: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - Celery's own
        """Let go of what Celery will not run; its lease tells the owner."""
        self.acknowledged = True
        self.running.pop(self.id, None)
        self.shift.ended(self.id)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note that it runs, and where."""
        self.shift.accepted(self.id, pid)
        self.running[self.id] = self
        super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Free the slot of a child that died; its silence tells the owner, but for one case."""
        try:
            return super().on_failure(exc_info, *args, **kwargs)
        finally:
            self.running.pop(self.id, None)
            error = exc_info.exception
            if isinstance(getattr(error, "exc", error), TimeLimitExceeded):
                self.shift.killed(self.id)
            else:
                self.shift.ended(self.id)

    # --- what others see of it -------------------------------------------------------------------

    def announce(self) -> None:
        """Say that it runs, if that is worth an event by now; from the main thread."""
        if self._announced or not self._followed or time() - self.time_start < _ANNOUNCE_AFTER_S:
            return
        self._announced = True
        self._send("task-received", timestamp=self.time_start, **self._shown())
        self._send("task-started", timestamp=self.time_start)

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's own name for it
        """Send what Celery says of its end; that it began is for `announce` to say."""
        if type == "task-started" or not self._followed:
            return
        if type == "task-succeeded":
            type, outcome = event_of(fields["result"])  # noqa: A001 - see above
            fields |= outcome
        if not self._announced:
            began = self.time_start or time()
            fields = {**self._shown(), "received": began, "started": began, **fields}
        self._send(type, **fields)

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - Celery's own
        """Show what Flower shows, whoever asks: the payload is between owner and agent."""
        shown: dict[str, Any] = super().info(safe=True)
        return shown

    @property
    def _followed(self) -> bool:
        """Say whether anybody has asked for events."""
        eventer = self._eventer
        return bool(eventer and eventer.enabled and "task" in (eventer.groups or {"task"}))

    def _send(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's own name for it
        self._eventer.send(type, uuid=self.id, **fields)

    def _shown(self) -> dict[str, Any]:
        """Name the agent, and say what it was asked and where in its task that is."""
        return {
            "name": self.name,
            "args": self.argsrepr,
            "kwargs": self.kwargsrepr,
            "root_id": self.root_id,
        }
