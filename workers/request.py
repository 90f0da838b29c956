"""Celery's view of one subtask, kept in step with ours.

    fetched ──► in Celery's hands ──► in the pool ──► accepted ──► ended

In Celery's own terms nothing is acknowledged (the fetch has recorded the claim), nothing is revoked
(the owner does that) and nothing is retried (the owner re-plans).
"""

from typing import Any, ClassVar, Protocol

from celery.exceptions import TimeLimitExceeded
from celery.worker import request as celery_request


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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Put our `on_success` back: Celery derives a faster class whose own does not call it."""
        super().__init_subclass__(**kwargs)
        theirs = cls.on_success

        def on_success(self: Request, result: Any, **kwargs: Any) -> Any:
            try:
                return theirs(self, result, **kwargs)
            finally:
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
        self.shift.ended(self.id)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """Note that it runs, and where."""
        self.shift.accepted(self.id, pid)
        super().on_accepted(pid, time_accepted)

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        """Free the slot of a child that died; its silence tells the owner, but for one case."""
        try:
            return super().on_failure(exc_info, *args, **kwargs)
        finally:
            error = exc_info.exception
            if isinstance(getattr(error, "exc", error), TimeLimitExceeded):
                self.shift.killed(self.id)
            else:
                self.shift.ended(self.id)
