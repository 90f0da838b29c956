"""Where a task's trace goes on: W3C trace context, and span ids that nobody has to store.

    buckstop.submit                    who submitted it; its context travels in the request
      └ buckstop.task                  from accepted to ended
          ├ buckstop.decide            one decision that says something
          │   └ buckstop.subtask       from published to settled
          │       └ invoke_agent ...   the worker; its parent travels in the message's headers
          │           └ chat ...       one model call
          └ buckstop.desk              from a letter filed to it decided

Whoever publishes a subtask and whoever settles it may be two orchestrators, with a crash between
them, and a span can only be written once it is over. So its id is not drawn, it follows from what
it is about: everybody who needs it computes the same. So does the trace's id where a task was
submitted by somebody who traces nothing.

Pure; nothing here imports OpenTelemetry. What is exported, and when: envelopes/exports.py.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

_SAMPLED: Final = 0x01
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Place:
    """One span, as others name it."""

    trace: str
    span: str
    sampled: bool = True
    """Whether anybody writes it down; who goes on from here does as was decided at the start."""

    @property
    def traceparent(self) -> str:
        """Write it as W3C does."""
        return f"00-{self.trace}-{self.span}-{int(self.sampled):02x}"

    @classmethod
    def read(cls, traceparent: str | None) -> Self | None:
        """Read what a caller sent; None where it names no trace."""
        if traceparent is None:
            return None
        _, trace, span, flags = traceparent.split("-")
        if trace == _NO_TRACE or span == _NO_SPAN:
            return None
        return cls(trace, span, sampled=bool(int(flags, 16) & _SAMPLED))


def heard(said: object) -> str | None:
    """Return a stranger's context, if it is one; W3C says to go on without what is none."""
    if not isinstance(said, str) or not _TRACEPARENT.fullmatch(said) or said.startswith("ff"):
        return None
    return None if Place.read(said) is None else said


def trace_of(task: str, traceparent: str | None = None) -> str:
    """Return the id of the trace that a task belongs to: its caller's, else one of its own."""
    known = Place.read(traceparent)
    return known.trace if known is not None else _hash("trace", task)[:32]


def span_of(task: str, *what: object) -> str:
    """Return the id of the span that is about this part of a task."""
    return _hash(task, *what)[:16]


def _hash(*names: object) -> str:
    return sha256("\n".join(map(str, names)).encode()).hexdigest()
