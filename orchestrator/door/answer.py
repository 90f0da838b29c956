"""Tell a Celery client what became of its message, as Celery's Redis backend writes it.

A client with a result backend on this server reads it by `AsyncResult(id).get()`: `{"task": id}`
at once, or a ValueError with the reason. How the task ends is not told here; whoever wants to know
asks for the task.
"""

import json
from datetime import UTC, datetime
from typing import Any

from envelopes.limits import MESSAGE_BYTES_MAX
from orchestrator.door.message import Refusal

_MARK = "@task@"
_TOO_LARGE = (
    f"@size@ bytes; at most {MESSAGE_BYTES_MAX} are taken: put what is large elsewhere, and send "
    "where it is (letter @letter@)"
)


def accepted(message: str, now_ms: int) -> tuple[str, str]:
    """Write that it is accepted: what stands before the task's id, and what behind it."""
    before, after = _meta(message, now_ms, "SUCCESS", {"task": _MARK}).split(_MARK)
    return before, after


def refused(message: str, now_ms: int, refusal: Refusal, letter: str) -> str:
    """Write that it is refused, and why."""
    return _failure(message, now_ms, f"{refusal.why} (letter {letter})")


def too_large(now_ms: int) -> str:
    """Write the same of a message that nobody reads; id, size and letter are put in later."""
    return _failure("@id@", now_ms, _TOO_LARGE)


def _failure(message: str, now_ms: int, why: str) -> str:
    error = {"exc_type": "ValueError", "exc_message": [why], "exc_module": "builtins"}
    return _meta(message, now_ms, "FAILURE", error)


def _meta(message: str, now_ms: int, status: str, result: Any) -> str:
    done = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat()
    told = {"status": status, "result": result, "traceback": None, "children": []}
    return json.dumps({**told, "date_done": done, "task_id": message})
