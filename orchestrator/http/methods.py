"""What a path can be asked: 405 with all that is allowed, OPTIONS, HEAD, and no unread query.

The router knows each route alone, so by itself it would name one route's methods where a path has
several. HEAD is GET without the body, which the HTTP server leaves out; a stream has no HEAD.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from envelopes.strict import Refused
from orchestrator.http.problems import Problem, shown_path

METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS"})
"""What anything here can be asked; a stranger's own method is no name in figures and spans."""
_IMPLIED: Final = frozenset({"OPTIONS"})
_SHOWN: Final = 80
"""Characters of a stranger's parameter that are said again."""
Queries = Mapping[tuple[str, str], Mapping[str, bool]]
"""By path and method: each parameter of the query, and whether it may be said several times."""


class Methods:
    """Answers what the router would not answer well."""

    def __init__(self, app: ASGIApp, routers: list[APIRouter], streams: APIRouter) -> None:
        self._app = app
        self._allowed = _allowed(routers, streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer here, or pass the request on."""
        allowed = self._of(scope["path"]) if scope["type"] == "http" else None
        if allowed is None:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await Response(status_code=204, headers=_allow(allowed))(scope, receive, send)
        elif scope["method"] not in allowed:
            await _refusal(allowed).response(shown_path(scope))(scope, receive, send)
        else:
            get = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
            try:
                await self._app(get, receive, send)
            finally:
                scope["route"] = get.get("route")

    def _of(self, path: str) -> frozenset[str] | None:
        """Return what a path can be asked, or None where there is no such path."""
        for pattern, methods in self._allowed.items():
            if pattern.match(path):
                return methods
        return None


def _allowed(routers: list[APIRouter], streams: APIRouter) -> dict[re.Pattern[str], frozenset[str]]:
    """Gather all methods of each path. A fixed path stands in front of one with a parameter."""
    found: dict[str, tuple[re.Pattern[str], set[str]]] = {}
    for router in (*routers, streams):
        for route in router.routes:
            known: Any = route
            _, methods = found.setdefault(known.path, (known.path_regex, set()))
            methods |= known.methods
            if "GET" in known.methods and router is not streams:
                methods.add("HEAD")
    ordered = sorted(found, key=lambda path: (path.count("{"), -len(path)))
    return {found[path][0]: frozenset(found[path][1] | _IMPLIED) for path in ordered}


def _refusal(allowed: frozenset[str]) -> Problem:
    methods = ", ".join(sorted(allowed))
    return Problem("method-not-allowed", f"what can be asked here: {methods}", _allow(allowed))


def _allow(methods: frozenset[str]) -> dict[str, str]:
    return {"Allow": ", ".join(sorted(methods))}


def queries_of(told: Mapping[str, Any]) -> Queries:
    """Read from the OpenAPI document which parameters each operation takes in its query."""
    return {
        (path, method.upper()): {
            one["name"]: one["schema"].get("type") == "array"
            or any(each.get("type") == "array" for each in one["schema"].get("anyOf", ()))
            for one in operation.get("parameters", ())
            if one["in"] == "query"
        }
        for path, operations in told["paths"].items()
        for method, operation in operations.items()
    }


def require_known_query(request: Request) -> None:
    """Refuse a parameter that nobody reads: a misspelt filter would be none at all."""
    app: FastAPI = request.app
    queries: Queries = app.state.queries
    known = queries.get((request.scope["route"].path, request.method))
    if known is None:
        return
    seen = set()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            there = ", ".join(known) or "none"
            raise Refused(name[:_SHOWN], f"there is no such parameter; there are: {there}")
        if name in seen and not known[name]:
            raise Refused(name, "it is said twice")
        seen.add(name)
