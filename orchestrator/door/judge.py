"""Judge a message at the door: a submission, or every field that is wrong with it.

The same code refuses here as for the command line and over HTTP (orchestrator/intake.py). The one
difference is that nobody is there to ask again, so all faults are named, not the first (of those
among conditions that are joined, the first is: envelopes/until.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pydantic import ValidationError

from envelopes import TaskRequest
from envelopes.limits import DOOR_FAULT_CHARS, DOOR_FAULTS_MAX
from envelopes.shortened import shortened
from envelopes.strict import Refused, compact, refusals
from envelopes.trace import heard
from orchestrator import intake
from orchestrator.door.message import Call, Reason, Refusal, read
from orchestrator.store import Submission


@dataclass(frozen=True, slots=True)
class Admitted:
    """A message that becomes a task."""

    id: str
    """Celery's."""
    submission: Submission
    answers: bool


def judge(raw: bytes, now_ms: int) -> Admitted | Refusal:
    """Say what becomes of these bytes."""
    call = read(raw, now_ms)
    if isinstance(call, Refusal):
        return call
    fields = _with_trace(call)
    try:
        submission = intake.submission(fields)
    except Refused as refused:
        why = "; ".join(_faults(fields, refused))
        return Refusal(Reason.REQUEST, why, call.id, call.answers)
    return Admitted(call.id, _once(submission, call.id), call.answers)


def _with_trace(call: Call) -> Mapping[str, Any]:
    """Go on with the trace of the message where its sender's request names none."""
    traceparent = heard(call.traceparent)
    if traceparent is None or "traceparent" in call.fields:
        return call.fields
    return {**call.fields, "traceparent": traceparent}


def _once(submission: Submission, message: str) -> Submission:
    """Let Celery's id stand for the task where the request brings no key."""
    key = submission.idempotency_key or f"celery id {message}"
    return replace(submission, idempotency_key=key)


def _faults(fields: Mapping[str, Any], first: Refused) -> Iterator[str]:
    found, more = _field_faults(fields)
    for fault in found or [first]:
        yield shortened(str(fault), DOOR_FAULT_CHARS)
    if more:
        yield f"and {more} more"


def _field_faults(fields: Mapping[str, Any]) -> tuple[list[Refused], int]:
    """Find what is wrong with single fields: the first faults, and how many more there are.

    Faults between fields are found one by one.
    """
    try:
        TaskRequest.model_validate_json(compact(fields))
    except ValidationError as error:
        found = list(islice(refusals(error, TaskRequest, "request"), DOOR_FAULTS_MAX))
        return found, error.error_count() - len(found)
    return [], 0
