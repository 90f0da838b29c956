"""Read a request's body: bounded in bytes and time, and as strictly as everything from outside.

FastAPI's own way would take duplicate keys and NaN, and would not say which field is unknown. So
a body is read by envelopes/strict.py like every other stranger's JSON:

    def login(given: Annotated[Login, json_body(Login)]) -> ...

The caller is named in front of the body: who may not call is told so before anything is read. What
has come is parsed in a thread: the event loop has others to serve meanwhile. Where every field may
be left out, so may the body be.
"""

import asyncio
from collections.abc import Container
from email.message import Message
from typing import Any, Final, TypeVar

from anyio import to_thread
from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from envelopes import limits
from envelopes.strict import Frozen, Refused, check_json, refusal
from orchestrator.http.problems import Problem

Model = TypeVar("Model", bound=Frozen)

JSON: Final = "application/json"
BODIES: Final[dict[str, type[Frozen]]] = {}
"""Every model that is read from a body, by name: openapi.py describes them."""


def json_body(model: type[Frozen], bytes_max: int = limits.BODY_BYTES_MAX) -> Any:
    """Depend on the body, read as this model."""
    BODIES[model.__name__] = model

    optional = not any(field.is_required() for field in model.model_fields.values())

    async def read(request: Request) -> Frozen:
        if optional and _has_none(request):
            return model()
        return await to_thread.run_sync(parse_body, model, await raw_body(request, bytes_max))

    return Depends(read)


async def json_value(request: Request) -> Any:
    """Depend on the body as a JSON value, whose shape the endpoint knows."""
    return await to_thread.run_sync(read_json, await raw_body(request, limits.BODY_BYTES_MAX))


def takes(name: str, *, required: bool = True) -> dict[str, Any]:
    """Return what OpenAPI says of an endpoint that depends on a body of this schema."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {"requestBody": {"required": required, "content": content}}


def parse_body(model: type[Model], raw: bytes) -> Model:
    """Parse a body, or raise Problem where it is no JSON, and Refused where a field is wrong."""
    read_json(raw)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise refusal(error, model, "body") from None


def read_json(raw: bytes) -> Any:
    """Read a stranger's JSON, or raise Problem."""
    try:
        return check_json(raw, bytes_max=limits.REQUEST_BYTES_MAX, what="body")
    except Refused as wrong:
        raise Problem("unreadable", str(wrong), field=wrong.field) from None


async def raw_body(request: Request, bytes_max: int, also: str = JSON) -> bytes:
    """Read a JSON body to its end, or raise Problem: it has another type, or is large or slow.

    `also` is a name of its own that a protocol has for its JSON.
    """
    _require_json(request, {JSON, also})
    try:
        async with asyncio.timeout(limits.BODY_S):
            return await _bounded(request, bytes_max)
    except TimeoutError:
        raise Problem("too-slow", f"a body is read for {limits.BODY_S} s at most") from None
    except ClientDisconnect:
        raise Problem("unreadable", "the body ended before it was whole") from None


async def _bounded(request: Request, bytes_max: int) -> bytes:
    """Count what really comes; what Content-Length says is only the sender's word."""
    taken = bytearray()
    async for piece in request.stream():
        taken += piece
        if len(taken) > bytes_max:
            raise Problem(
                "too-large",
                f"at most {bytes_max:,} bytes are taken; pass larger work by reference",
                {"Connection": "close"},
            )
    return bytes(taken)


def _has_none(request: Request) -> bool:
    """Say whether a request has no body, by its own headers."""
    length = request.headers.get("Content-Length", "0")
    return length == "0" and "Transfer-Encoding" not in request.headers


def _require_json(request: Request, names: Container[str]) -> None:
    """Refuse what a stranger's page could send without asking: it cannot send JSON so."""
    kind = Message()
    kind["Content-Type"] = request.headers.get("Content-Type", "")
    if kind.get_content_type() not in names:
        raise Problem(
            "unsupported-media-type",
            f"send the body as Content-Type: {JSON}; where there is nothing to say, {{}}",
        )
