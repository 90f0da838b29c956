"""What A2A clients send, as far as it matters here.

The protocol lets clients say more than a server knows, so what is not known is passed over; what is
known is read strictly. Field names are those of the wire: messageId, not message_id.
"""

from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import (
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from envelopes import limits
from envelopes.strict import NAME_PATTERN, Refused, compact
from orchestrator.cells.file import CELL_PATTERN

Sent = TypeVar("Sent", bound="Wire")
_ID_OR_NONE: Final = rf"^$|{NAME_PATTERN}"
_CELL_OR_NONE: Final = rf"^$|{CELL_PATTERN}"
Id = Annotated[str, Field(max_length=limits.KEY_CHARS_MAX, pattern=NAME_PATTERN)]


def _whole(value: Any) -> Any:
    """Write 5.0 as 5, everywhere inside: a client that speaks protobuf has floats only."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _whole(one) for name, one in value.items()}
        case list():
            return [_whole(one) for one in value]
        case _:
            return value


Value = Annotated[JsonValue, BeforeValidator(_whole)]


Tenant = Annotated[str, Field(max_length=limits.NAME_CHARS_MAX, pattern=_ID_OR_NONE)]


class Wire(BaseModel):
    """Something of a message."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        allow_inf_nan=False,
        alias_generator=AliasGenerator(to_camel),
    )


class Part(Wire):
    """A piece of a message: a text, a value, the address of a file, or a file's bytes."""

    text: str | None = None
    data: Value = None
    url: str | None = None
    raw: str | None = None
    filename: str | None = None
    media_type: str | None = None

    @model_validator(mode="after")
    def _it_is_one_thing(self) -> Self:
        held = self.model_fields_set & {"text", "data", "url", "raw"}
        if len(held) != 1:
            raise ValueError("a part holds one of text, data, url, raw")
        return self


class Message(Wire):
    """What a client says."""

    message_id: Annotated[str, Field(min_length=1, max_length=limits.A2A_ID_CHARS_MAX)]
    context_id: Annotated[str, Field(max_length=limits.LABEL_CHARS_MAX)] = ""
    task_id: Annotated[str, Field(max_length=limits.KEY_CHARS_MAX, pattern=_ID_OR_NONE)] = ""
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]
    metadata: dict[str, Value] = {}


class Configuration(Wire):
    """How a client wants to be answered."""

    history_length: Annotated[int, Field(ge=0)] | None = None
    return_immediately: bool = False
    task_push_notification_config: dict[str, Any] | None = None


class Send(Wire):
    """A message to us."""

    tenant: Tenant = ""
    message: Message
    configuration: Configuration = Configuration()
    metadata: dict[str, Value] = {}


class OfTask(Wire):
    """One task."""

    id: Id
    history_length: Annotated[int, Field(ge=0)] | None = None


class List(Wire):
    """Which tasks to list."""

    tenant: Tenant = ""
    context_id: str = ""
    status: str = ""
    page_size: Annotated[int, Field(ge=1, le=limits.A2A_PAGE_MAX)] = limits.PAGE_DEFAULT
    page_token: str = ""
    history_length: Annotated[int, Field(ge=0)] | None = None
    status_timestamp_after: str = ""
    include_artifacts: bool = False
    cell: Annotated[str, Field(max_length=limits.CELL_NAME_CHARS_MAX, pattern=_CELL_OR_NONE)] = ""
    """Ours, and not the protocol's: of several cells, in this one only."""


class Nothing(Wire):
    """Nothing."""


def read(model: type[Sent], params: Any) -> Sent:
    """Read parameters, or raise Refused naming the field."""
    try:
        return model.model_validate_json(compact(_without_nulls(params)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise Refused(".".join(map(str, first["loc"])) or "params", first["msg"]) from None


def _without_nulls(given: Any) -> Any:
    """Leave out what is null: in the protocol's JSON that says nothing, except as a value."""
    match given:
        case dict():
            return {
                name: one if name in _VALUES else _without_nulls(one)
                for name, one in given.items()
                if one is not None or name == "data"
            }
        case list():
            return list(map(_without_nulls, given))
        case _:
            return given


_VALUES: Final = frozenset({"data", "metadata"})
"""What a client says in its own words; there a null is a null."""
