"""Accept a task: once, whatever its key is sent with again, and on as many servers as was asked.

Called by whoever submits: client.py, the API, and the loop for what lies on the submission queue.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from envelopes import limits
from envelopes.scripts import Arg
from orchestrator.store.fields import pairs
from orchestrator.store.part import Part


@dataclass(frozen=True, slots=True)
class Submission:
    """A task to accept. The id is made by the caller, so that a retry is known by it."""

    task_id: str
    request: bytes
    fields: Mapping[str, bytes]
    tenant: str
    idempotency_key: str | None
    retention_ms: int
    timeout_ms: int
    """From now to its deadline: the alarm of a task that waits for a place at work."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission: this task, or the one that its key already stood for."""

    task_id: str
    created: bool
    now_ms: int
    copies: int = 0
    """How many replicas have it, where the store was told to wait for some."""


class Intake(Part):
    """Where tasks arrive."""

    _replicas: int = 0

    def submit(self, submission: Submission) -> Submitted:
        """Accept a task, or say which one the idempotency key already stands for."""
        s, keys = submission, [self._keys.task(submission.task_id)]
        if s.idempotency_key is not None:
            keys.append(self._keys.idempotency(s.tenant, s.idempotency_key))
        args: list[Arg] = [s.task_id, s.request, s.tenant, s.retention_ms, s.timeout_ms]
        args += pairs(s.fields)
        task_id, created, now_ms = self._scripts.run("submit", keys, args)
        copies = self._copies() if self._replicas else 0
        return Submitted(task_id.decode(), bool(created), now_ms, copies)

    def _copies(self) -> int:
        """Return how many replicas have all that was written so far; wait until they are enough.

        What a replica confirms is how far it has read the one stream of writes, so a write of our
        own behind all others is asked about, whoever made those, and whatever happened to replies.
        """
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hincrby(self._keys.stats, "copies_awaited", 1)
            pipe.execute_command("WAIT", self._replicas, limits.COPIES_WAIT_MS)
            return int(pipe.execute()[1])

    def submissions(self) -> tuple[str, int]:
        """Return the name of the queue on which others put requests, and its depth."""
        with self._client.pipeline(transaction=False) as pipe:
            for name in self._keys.submission_lists:
                pipe.llen(name)
            return self._keys.submissions, sum(pipe.execute())
