"""What went wrong, as RFC 9457 problem details: what happened, why, and what to do next.

    {"type": "urn:buckstop:problem:refused", "title": "The request is refused", "status": 422,
     "detail": "plan.0.needs: step 'a' needs 'b', which is no step", "instance": "/v1/tasks",
     "field": "plan.0.needs", "errors": [{"field": "plan.0.needs", "detail": "..."}]}

Whatever an endpoint raises becomes one of these here, and nowhere else: what the client library
raises, what pydantic says of a query, what the router says, and what Redis does when it is away.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from envelopes.limits import AWAY_RETRY_S, FIELD_CHARS_MAX
from envelopes.strict import Refused
from orchestrator.cells.cell import AllAway, CellAway
from orchestrator.checks import Unfit
from orchestrator.client import NotFound, TimedOut
from orchestrator.tokens import NoRoom

log = logging.getLogger("buckstop.http")

MEDIA_TYPE: Final = "application/problem+json"
TITLES: Final[Mapping[str, tuple[int, str]]] = {
    "unreadable": (400, "The request cannot be read"),
    "unauthenticated": (401, "No valid token or session was presented"),
    "forbidden": (403, "The token may not do this"),
    "csrf": (403, "The request does not come from the console"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "This is not done here"),
    "too-slow": (408, "The request's body took too long to arrive"),
    "decided-before": (409, "Somebody else has decided"),
    "own-token": (409, "The token calls with itself"),
    "no-room": (409, "There are as many as there may be"),
    "gone": (410, "It was used, or its time is over"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The body is not JSON"),
    "refused": (422, "The request is refused"),
    "idempotency-mismatch": (422, "The key stands for another request"),
    "too-many": (429, "Too many requests"),
    "bug": (500, "Something broke on our side"),
    "full": (503, "This process does as much as it can"),
    "away": (503, "The server of Buckstop's state is away"),
    "unfit": (503, "The server of Buckstop's state cannot keep promises"),
    "not-ready": (503, "Not everything that is needed is there"),
    "nobody-acted": (504, "No orchestrator has acted on it yet"),
}
"""Every problem there is: its slug, its status, its title."""
_SLUGS: Final = {400: "unreadable", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}
"""What the router itself has to say."""


class Problem(Exception):
    """One problem, to be raised by whoever finds it."""

    def __init__(
        self, slug: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return TITLES[self.slug][0]

    def response(self, path: str) -> JSONResponse:
        """Return what the caller reads."""
        status, title = TITLES[self.slug]
        body = {
            "type": f"urn:buckstop:problem:{self.slug}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "instance": path,
            **self.more,
        }
        return JSONResponse(body, status, self.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every exception of this app become a problem."""
    for kind in (
        *(Problem, Refused, Unfit, NotFound, TimedOut, RedisError),
        *(RequestValidationError, HTTPException),
    ):
        app.add_exception_handler(kind, _answer)


async def _answer(request: Request, error: Exception) -> JSONResponse:
    return problem_of(error).response(shown_path(request.scope))


def problem_of(error: Exception) -> Problem:
    """Say what an exception means to a caller; what is left over is our bug."""
    match error:
        case Problem():
            return error
        case NoRoom():
            return Problem("no-room", str(error))
        case Refused():
            return refused(error.field, error.why)
        case NotFound():
            return Problem("not-found", str(error))
        case Unfit():
            fixes = [{"check": one.check, "fix": one.fix} for one in error.findings]
            return Problem("unfit", str(error), _retry(AWAY_RETRY_S), checks=fixes)
        case TimedOut():
            return Problem("nobody-acted", str(error))
        case RedisError():
            return _away(error)
        case RequestValidationError():
            return _of_a_parameter(error.errors())
        case HTTPException():
            return _of_the_router(error)
    return Problem("bug", "this was logged, with its cause; the request may be sent again")


def refused(field: str, why: str) -> Problem:
    """Refuse a request for one field of it."""
    errors = [{"field": field, "detail": why}]
    return Problem("refused", f"{field}: {why}", field=field, errors=errors)


def too_many(wait_ms: int, who: str) -> Problem:
    """Tell a caller when to come again."""
    seconds = -(-wait_ms // 1000)
    return Problem("too-many", f"{who}; come again in {seconds} s", _retry(seconds))


def full(why: str) -> Problem:
    """Send a caller to another process, or away for a while."""
    return Problem("full", why, _retry(AWAY_RETRY_S))


def shown_path(scope: Mapping[str, Any]) -> str:
    """Return a path as it may be shown and logged: what is secret in it is left out."""
    path: str = scope["path"]
    return "/waits/***" if path.startswith("/waits/") else path


def _retry(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def _away(error: RedisError) -> Problem:
    if isinstance(error, CellAway):
        return _cell_away(error)
    log.warning("the server is away", extra={"why": str(error)})
    return Problem(
        "away",
        "Redis cannot be reached or turns work down; nothing accepted is lost. Come again in "
        f"{AWAY_RETRY_S} s; whoever runs it finds out more with: buckstop check",
        _retry(AWAY_RETRY_S),
    )


def _cell_away(error: CellAway) -> Problem:
    log.warning("a cell is away", extra={"cells": list(error.cells), "why": error.why})
    named = " and ".join(error.cells)
    if isinstance(error, AllAway):
        what = f"no cell answers ({named}); nothing accepted is lost"
    else:
        what = (
            f"cell {named} does not answer, and this is or may be there; nothing accepted is lost, "
            "and other cells go on"
        )
    more = f"Come again in {AWAY_RETRY_S} s; whoever runs it finds out more with: buckstop cells"
    return Problem("away", f"{what}. {more}", _retry(AWAY_RETRY_S), cells=list(error.cells))


def _of_a_parameter(found: Sequence[Any]) -> Problem:
    """Name each query, path or header parameter that is wrong."""
    errors = [
        {
            "field": ".".join(map(str, one["loc"][1:]))[:FIELD_CHARS_MAX],
            "detail": one["msg"].removeprefix("Value error, "),
        }
        for one in found
    ]
    first = errors[0]
    detail = f"{first['field']}: {first['detail']}"
    return Problem("refused", detail, field=first["field"], errors=errors)


def _of_the_router(error: HTTPException) -> Problem:
    slug = _SLUGS.get(error.status_code, "unreadable")
    if slug == "not-found":
        return Problem(slug, "no such path; what there is stands in /openapi.json")
    return Problem(slug, str(error.detail), error.headers)
