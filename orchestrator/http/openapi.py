"""What /openapi.json says beyond what FastAPI finds out by itself.

Every way in which an operation can fail is said once, here: what all operations share is added to
each, what is an operation's own stands beside it as `responses=problems("not-found")`. Bodies are
read by bodies.py, so their schemas are added here too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.routing import BaseRoute

from orchestrator.http.bodies import BODIES
from orchestrator.http.decisions import VERBS, describe_decisions
from orchestrator.http.problems import MEDIA_TYPE, TITLES

Operation = dict[str, Any]

VERSION: Final = "1"
"""Of the API, which is the first part of every path."""
SUMMARY: Final = "Submit tasks to teams of LLM agents, follow them, decide what waits for people."
DESCRIPTION: Final = """
Times are milliseconds since 1970 by the server's clock, money is micro-dollars. Lists have the
newest in front and go on with `cursor`. Errors are problem details (RFC 9457) that name the field
and say what to do next. A token is made with `buckstop token new --scope ...` and shown as
`Authorization: Bearer bk_...`.
"""
TAGS: Final = (
    ("tasks", "Submit, follow, cancel."),
    ("letters", "What waits for a person, and what they decide."),
    ("waits", "One question, answered once by whoever has its address."),
    ("crew", "Agents, queues, workers, tenants."),
    ("spend", "What was spent, by whom, on what."),
    ("live", "What happens, as it happens (server-sent events)."),
    ("admin", "Tokens and subscriptions."),
    ("session", "The console's login."),
    ("health", "Is it alive, is it ready, how much does it do."),
)
_WAITS: Final = ("too-many", "away", "unfit", "not-ready")
"""Problems that say when to come again."""
_RETRY: Final = {
    "Retry-After": {
        "description": "Seconds until it is worth another try.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    }
}
_PROBLEM: Final = {
    "title": "Problem",
    "description": "What went wrong, why, and what to do next.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "enum": [f"urn:buckstop:problem:{slug}" for slug in TITLES]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The path that was asked."},
        "field": {"type": "string", "description": "The field that it is about, as a.0.b."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
    "examples": [
        {
            "type": "urn:buckstop:problem:refused",
            "title": "The request is refused",
            "status": 422,
            "detail": "plan.0.needs: step 'a' needs 'b', which is no step",
            "instance": "/v1/tasks",
            "field": "plan.0.needs",
            "errors": [{"field": "plan.0.needs", "detail": "step 'a' needs 'b', which is no step"}],
        }
    ],
}


router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def openapi_json(request: Request) -> JSONResponse:
    """Return the document."""
    app: FastAPI = request.app
    return JSONResponse(app.openapi())


def links(*parameters: tuple[str, str]) -> dict[str, Any]:
    """Return where an answer leads on: by operation, the parameter its `id` is."""
    return {
        "links": {
            operation: {"operationId": operation, "parameters": {name: "$response.body#/id"}}
            for operation, name in parameters
        }
    }


def problems(*slugs: str) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of these problems, by status."""
    by_status: dict[int, list[str]] = {}
    for slug in slugs:
        by_status.setdefault(TITLES[slug][0], []).append(slug)
    return {status: _answer(together) for status, together in by_status.items()}


def _answer(slugs: list[str]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    answer: dict[str, Any] = {
        "description": "; ".join(f"{TITLES[slug][1]} (`{slug}`)" for slug in slugs),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if any(slug in _WAITS for slug in slugs):
        answer["headers"] = _RETRY
    return answer


def described(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Return the document about these routes."""
    told = get_openapi(
        title="Buckstop",
        version=VERSION,
        summary=SUMMARY,
        description=DESCRIPTION.strip(),
        tags=[{"name": name, "description": line} for name, line in TAGS],
        routes=routes,
    )
    schemas = told["components"]["schemas"]
    for theirs in ("HTTPValidationError", "ValidationError"):
        schemas.pop(theirs, None)
    schemas.update(_bodies(), Problem=_PROBLEM)
    describe_decisions(schemas)
    for operation in _operations(told):
        _complete(operation)
    return told


def _operations(told: Mapping[str, Any]) -> Iterator[Operation]:
    for path in told["paths"].values():
        yield from path.values()


def _bodies() -> dict[str, Any]:
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation") for model in dict.fromkeys((*BODIES.values(), *VERBS.values()))
    ]
    _, found = models_json_schema(models, ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = found["$defs"]
    return schemas


def _complete(operation: Operation) -> None:
    """Add the problems that operations of its kind share."""
    slugs = ["refused", "away"]
    if "security" in operation:
        slugs += ["unauthenticated", "forbidden", "csrf", "too-many"]
    if "requestBody" in operation:
        slugs += ["unreadable", "too-slow", "too-large", "unsupported-media-type"]
    answers = operation["responses"]
    if _is_theirs(answers.get("422")):
        del answers["422"]
    for status, answer in problems(*slugs).items():
        known = answers.setdefault(str(status), answer)
        if known is not answer:
            known["description"] += f"; {answer['description']}"
            known.setdefault("headers", {}).update(answer.get("headers", {}))


def _is_theirs(answer: Any) -> bool:
    return answer is not None and "application/json" in answer.get("content", {})
