"""Read JSON from strangers.

Size before parsing, depth before parsing, then no NaN, no duplicate key, no number that is a bomb.
Every refusal names the field it is about. Inside the system nothing is checked twice: parse once at
the edge, trust inside.
"""

import json
import re
from typing import Any, ClassVar, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from envelopes.limits import JSON_DEPTH_MAX


class Refused(ValueError):
    """Somebody's input that will not be taken: which field, and why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class Frozen(BaseModel):
    """What every message at the edge is: immutable, complete, nothing extra, no NaN."""

    hints: ClassVar[dict[str, str]] = {}
    """What to tell somebody who left a field out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


Model = TypeVar("Model", bound=Frozen)


def parse(model: type[Model], raw: bytes | str, *, bytes_max: int, what: str) -> Model:
    """Parse a stranger's JSON into a model, or raise Refused naming the field."""
    check_json(raw, bytes_max=bytes_max, what=what)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise refusal(error, model, what) from None


def refusal(error: ValidationError, model: type[Frozen], what: str) -> Refused:
    """Turn pydantic's first complaint into ours."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or what
    if first["type"] == "missing" and field in model.hints:
        return Refused(field, model.hints[field])
    return Refused(field, first["msg"].removeprefix("Value error, "))


def check_json(raw: bytes | str, *, bytes_max: int, what: str) -> Any:
    """Return the parsed value of a stranger's JSON, or raise Refused."""
    size = len(raw) if isinstance(raw, bytes) else len(raw.encode("utf-8", "surrogatepass"))
    if size > bytes_max:
        raise Refused(what, f"{size:,} bytes, at most {bytes_max:,} are taken")
    if deeper_than(raw, JSON_DEPTH_MAX):
        raise Refused(what, f"nested deeper than {JSON_DEPTH_MAX} levels")
    try:
        return json.loads(
            raw, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
    except Refused:
        raise
    except (ValueError, RecursionError) as error:
        raise Refused(what, f"not JSON: {error}") from None


def compact(value: Any) -> str:
    """Write a JSON value as the one text it has inside the system."""
    return _compact(value)


def deeper_than(raw: bytes | str, depth_max: int) -> bool:
    """Say whether brackets nest deeper than the bound, without parsing."""
    text = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    if text.count(b"{") + text.count(b"[") <= depth_max:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", text)):
        depth += 1 if bracket in b"{[" else -1
        if depth > depth_max:
            return True
    return False


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Refused(twice, "the key stands twice")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise Refused("number", f"{digits} is beyond every number that JSON readers agree on")
    return number


def _no_constant(name: str) -> NoReturn:
    raise Refused("number", f"{name} is not a number that JSON knows")
