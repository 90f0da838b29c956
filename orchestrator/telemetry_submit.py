"""Let a task's trace go on from whoever submits it.

    with submitting(intake.submission(fields)) as submission:
        store.submit(submission)

What the request itself says (`traceparent`) comes first, then the span that is current in the
caller's program, then what an HTTP request's header said. Where spans of this process go somewhere
the submission becomes one, `buckstop.submit`, and the task goes on from that; where none does, what
the caller said is kept as it is.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final

from envelopes.exports import SCOPE, traced
from envelopes.trace import Place
from orchestrator.store import Submission

CALLER: Final[ContextVar[str | None]] = ContextVar("caller", default=None)
"""What the HTTP request that is being answered said of its trace."""


@contextmanager
def submitting(submission: Submission) -> Iterator[Submission]:
    """Hand out the submission as it is to be stored, with the trace that it goes on from."""
    if traced():
        with _as_a_span(submission) as going_on:
            yield going_on
    elif (caller := CALLER.get()) is not None and _said(submission) is None:
        yield _with(submission, caller)
    else:
        yield submission


@contextmanager
def _as_a_span(submission: Submission) -> Iterator[Submission]:
    from opentelemetry import trace  # noqa: PLC0415 - somebody else has imported it already

    from envelopes.trace_context import going_on_from, place_of  # noqa: PLC0415 - as above

    said = Place.read(_said(submission))
    span = trace.get_tracer(SCOPE).start_span(
        "buckstop.submit",
        None if said is None else going_on_from(said),
        trace.SpanKind.PRODUCER,
        {"buckstop.task": submission.task_id, "buckstop.tenant": submission.tenant},
    )
    at = span.get_span_context()
    try:
        yield _with(submission, place_of(at).traceparent) if at.is_valid else submission
    except Exception as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(trace.StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        span.end()


def _said(submission: Submission) -> str | None:
    said: str | None = json.loads(submission.request).get("traceparent")
    return said


def _with(submission: Submission, traceparent: str) -> Submission:
    request: dict[str, Any] = json.loads(submission.request)
    text = json.dumps(request | {"traceparent": traceparent}, ensure_ascii=False)
    return replace(submission, request=text.encode())
