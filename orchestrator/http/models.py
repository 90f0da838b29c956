"""What goes in and out over HTTP: what all endpoints share.

What a task, a letter or an agent looks like stands beside its endpoints. Whatever comes in is
`In`: read strictly, nothing extra. Whatever goes out is `Out`: OpenAPI describes each field by the
line under it.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Path, Query
from pydantic import BeforeValidator, ConfigDict, Field

from envelopes import limits
from envelopes.described import Described
from envelopes.strict import NAME_PATTERN, Frozen
from orchestrator.cells.file import CELL_PATTERN
from orchestrator.cells.where import missing
from orchestrator.tokens import Scope
from orchestrator.wanted import Place

Item = TypeVar("Item")
PLACE: Final = r"^([0-9]{1,15})-([a-zA-Z0-9][a-zA-Z0-9_.-]{0,199})$"

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
        pattern=PLACE,
        description="The `next` of the page before. It stays good while things come and go.",
        examples=["1795242195089-88b127b7749f9c1e04f2"],
    ),
]
TenantQuery = Annotated[
    str | None,
    Query(max_length=limits.NAME_CHARS_MAX, pattern=NAME_PATTERN, description="Of this tenant."),
]
CellQuery = Annotated[
    str | None,
    Query(
        max_length=limits.CELL_NAME_CHARS_MAX,
        pattern=CELL_PATTERN,
        description="Of several cells, in this one only.",
    ),
]


def _whole(value: object) -> object:
    """Take 8.0 for 8: to JSON Schema it is the same whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)


class In(Frozen):
    """What a caller sends: complete, and nothing extra."""


class Out(Described):
    """What a caller gets."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


CellOf = Annotated[
    str | None, Field(description="In which cell it is; null where there is one server.")
]


class Partial(Out):
    """An answer of all cells, which may lack one."""

    missing: list[str] = Field(
        default_factory=missing,
        description="Cells that are away: what they have is left out. Empty for one server.",
    )


class Page(Partial, Generic[Item]):
    """Some items of a list, the newest in front."""

    items: list[Item]
    next: Annotated[
        str | None, Field(description="Pass it as `cursor` for what follows; null for the end.")
    ]


class Listed(Partial, Generic[Item]):
    """All items of a short list."""

    items: list[Item]


class Why(In):
    """Why something is done, for the record."""

    why: Annotated[str, Field(max_length=limits.REASON_CHARS_MAX, examples=["not needed"])] = ""


class Cap(In):
    """A bound, or null for what holds where nobody has set any."""

    cap: Annotated[int, Field(ge=1, le=limits.AMOUNT_CEILING, examples=[8]), WHOLE] | None


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
    return f"{place.ms}-{place.id}"


def place_of(cursor: str | None) -> Place | None:
    """Read a cursor, whose form was checked with the query."""
    if cursor is None:
        return None
    ms, _, name = cursor.partition("-")
    return Place(int(ms), name)


def shallow(record: Any) -> Mapping[str, Any]:
    """Return a dataclass's fields as they are; `asdict` would copy everything inside them."""
    return {one.name: getattr(record, one.name) for one in fields(record)}
