"""What goes in and out over HTTP: what all endpoints share.

What a task, a letter or an agent looks like stands beside its endpoints. Whatever comes in is
`In`: read strictly, nothing extra. Whatever goes out is `Out`: OpenAPI describes each field by the
line under it.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from envelopes import limits
from envelopes.strict import NAME_PATTERN, Frozen, Refused
from orchestrator.tokens import Scope
from orchestrator.wanted import Place

Item = TypeVar("Item")
_PLACE: Final = re.compile(r"(\d{1,15}):([A-Za-z0-9_.-]{1,200})", re.ASCII)
_CURSOR_CHARS_MAX: Final = 400

Id = Annotated[str, Path(max_length=limits.KEY_CHARS_MAX, pattern=NAME_PATTERN)]
"""A task's, letter's or token's id in a path: nothing that a key's name could not hold."""
NamePath = Annotated[str, Path(max_length=limits.NAME_CHARS_MAX, pattern=NAME_PATTERN)]
"""An agent's or a tenant's name in a path."""
Limit = Annotated[
    int, Query(ge=1, le=limits.PAGE_MAX, description="How many items the page has at most.")
]
Cursor = Annotated[
    str | None,
    Query(
        max_length=_CURSOR_CHARS_MAX,
        description="The `next` of the page before. It stays good while things come and go.",
    ),
]
TenantQuery = Annotated[
    str | None,
    Query(max_length=limits.NAME_CHARS_MAX, pattern=NAME_PATTERN, description="Of this tenant."),
]


class In(Frozen):
    """What a caller sends: complete, and nothing extra."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Out(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(
        use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


_GENERIC: Final = ConfigDict(use_attribute_docstrings=False)  # pydantic cannot read them there


class Page(Out, Generic[Item]):
    """Some items of a list, the newest in front."""

    model_config = _GENERIC

    items: list[Item]
    next: Annotated[
        str | None, Field(description="Pass it as `cursor` for what follows; null for the end.")
    ]


class Listed(Out, Generic[Item]):
    """All items of a short list."""

    model_config = _GENERIC

    items: list[Item]


class Why(In):
    """Why something is done, for the record."""

    why: Annotated[str, Field(max_length=limits.REASON_CHARS_MAX, examples=["not needed"])] = ""


class Cap(In):
    """A bound, or null for what holds where nobody has set any."""

    cap: Annotated[int, Field(ge=1, le=limits.AMOUNT_CEILING, examples=[8])] | None


class SessionOut(Out):
    """Who is logged in."""

    name: Annotated[str, Field(examples=["ada"])]
    scopes: list[Scope]
    tenant: str | None
    """The only tenant that is seen, or null for all."""
    csrf: str | None
    """Send it as X-CSRF-Token with whatever changes something; null for a bearer token."""


def cursor_of(place: Place | None) -> str | None:
    """Write a place as a cursor."""
    if place is None:
        return None
    return base64.urlsafe_b64encode(f"{place.ms}:{place.id}".encode()).decode().rstrip("=")


def place_of(cursor: str | None) -> Place | None:
    """Read a cursor, or raise Refused."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if (found := _PLACE.fullmatch(text)) is None:
        raise Refused("cursor", "not one of ours; take the `next` of the page before as it is")
    return Place(int(found[1]), found[2])


def shallow(record: Any) -> Mapping[str, Any]:
    """Return a dataclass's fields as they are; `asdict` would copy everything inside them."""
    return {one.name: getattr(record, one.name) for one in fields(record)}
