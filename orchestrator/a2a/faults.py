"""What goes wrong, as A2A names it: a number for JSON-RPC, a status for HTTP, a reason for both.

What is wrong with the way in (no token, not its scope, too many calls, Redis away) is no fault of
A2A's but of HTTP, and answered as everywhere (http/problems.py).
"""

from collections.abc import Mapping
from typing import Any, Final

from envelopes.strict import Refused
from orchestrator.client import NotFound
from orchestrator.http.problems import Problem

REASONS: Final[Mapping[str, tuple[int, int, str]]] = {
    "TASK_NOT_FOUND": (-32001, 404, "NOT_FOUND"),
    "TASK_NOT_CANCELABLE": (-32002, 400, "FAILED_PRECONDITION"),
    "PUSH_NOTIFICATION_NOT_SUPPORTED": (-32003, 400, "FAILED_PRECONDITION"),
    "UNSUPPORTED_OPERATION": (-32004, 400, "FAILED_PRECONDITION"),
    "CONTENT_TYPE_NOT_SUPPORTED": (-32005, 400, "INVALID_ARGUMENT"),
    "VERSION_NOT_SUPPORTED": (-32009, 400, "FAILED_PRECONDITION"),
    "INVALID_REQUEST": (-32600, 400, "INVALID_ARGUMENT"),
    "METHOD_NOT_FOUND": (-32601, 404, "NOT_FOUND"),
    "INVALID_PARAMS": (-32602, 400, "INVALID_ARGUMENT"),
    "PARSE_ERROR": (-32700, 400, "INVALID_ARGUMENT"),
}
"""Every fault there is: JSON-RPC's code, HTTP's status, and its name as gRPC has it."""
_TYPE: Final = "type.googleapis.com/google.rpc."
_OF_THE_MESSAGE: Final = frozenset({"idempotency-mismatch", "decided-before"})
"""Problems that are about what was sent."""


class Fault(Exception):
    """One fault, to be raised by whoever finds it."""

    def __init__(self, reason: str, why: str, field: str | None = None) -> None:
        super().__init__(why)
        self.reason, self.why, self.field = reason, why, field

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return REASONS[self.reason][1]

    def as_rpc(self) -> dict[str, Any]:
        """Return the `error` of a JSON-RPC response."""
        return {"code": REASONS[self.reason][0], "message": self.why, "data": self._details()}

    def as_http(self) -> dict[str, Any]:
        """Return the body of an HTTP response."""
        _, code, name = REASONS[self.reason]
        status = {"code": code, "status": name, "message": self.why, "details": self._details()}
        return {"error": status}

    def _details(self) -> list[dict[str, Any]]:
        info = {"@type": f"{_TYPE}ErrorInfo", "reason": self.reason, "domain": "a2a-protocol.org"}
        if self.field is None:
            return [info]
        wrong = {"field": self.field, "description": self.why}
        return [info, {"@type": f"{_TYPE}BadRequest", "fieldViolations": [wrong]}]


def fault_of(error: Exception) -> Fault:
    """Say what an exception means to an A2A client; what is none of A2A's is raised again."""
    match error:
        case Fault():
            return error
        case Refused():
            return Fault("INVALID_PARAMS", str(error), error.field)
        case NotFound():
            return Fault("TASK_NOT_FOUND", str(error))
        case Problem() if error.slug in _OF_THE_MESSAGE:
            return Fault("INVALID_PARAMS", error.detail, error.more.get("field"))
    raise error
