"""What the loop tells OpenTelemetry: whatever was committed, and nothing that was not.

Where nothing is exported `SILENT` is told instead, and nothing of OpenTelemetry is imported. It
does nothing, and passes the caller's own context on to the workers, as W3C wants it of whoever
takes no part in a trace.
"""

from dataclasses import dataclass
from typing import Final

from envelopes.exports import Exports
from orchestrator.core.commands import Decision
from orchestrator.core.task import Task


@dataclass(frozen=True, slots=True)
class Committed:
    """One decision that has taken place."""

    before: Task
    decision: Decision
    now_ms: int
    """The server's clock, by which it was decided."""
    began_ns: int
    """Our own clock, when the commit was drafted."""


class Silent:
    """Tells nobody."""

    def traceparent(self, task: Task, _subtask: int) -> str | None:
        """Return what the message of a subtask carries: what the caller sent, unchanged."""
        return task.terms.traceparent

    def tell(self, committed: Committed) -> None:
        """Forget it."""


SILENT: Final = Silent()


def telling(exports: Exports | None) -> Silent:
    """Return whom to tell, where this process exports something and where it does not."""
    if exports is None:
        return SILENT
    from orchestrator.telemetry_traces import Traces  # noqa: PLC0415 - it imports OpenTelemetry

    return Traces(exports)
