"""Read JSON from strangers.

Size, number of values and depth before parsing, then no NaN, no duplicate key, no number that is a
bomb, no half of a character. Every refusal names the field it is about. Inside the system nothing
is checked twice: parse once at the edge, trust inside.
"""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, ClassVar, Final, NamedTuple, TypeVar

from pydantic import ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from envelopes.described import Described
from envelopes.limits import (
    FIELD_CHARS_MAX,
    JSON_DEPTH_MAX,
    JSON_DIGITS_MAX,
    JSON_VALUES_MAX,
)
from envelopes.nearest import did_you_mean
from envelopes.shortened import shortened


class Refused(ValueError):
    """Somebody's input that will not be taken: which field, and why.

    Raised inside a model's validator it keeps its field: `refusal` puts the way to the model in
    front of it.
    """

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class Frozen(Described):
    """What every message at the edge is: immutable, complete, nothing extra, no NaN."""

    hints: ClassVar[dict[str, str]] = {}
    """What to tell somebody who left a field out."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        strict=True,
    )


NAME_PATTERN: Final = r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"
"""What an agent, a step or a tenant is called: it becomes part of a queue's or a key's name."""

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
    return next(refusals(error, model, what))


def refusals(error: ValidationError, model: type[Frozen], what: str) -> Iterator[Refused]:
    """Turn pydantic's complaints into ours, as many as somebody wants: there may be thousands.

    Unknown fields come first: where one is misspelt, the right one is missing only therefore.
    """
    found = error.errors(include_url=False, include_input=False)
    for one in sorted(found, key=lambda one: one["type"] != "extra_forbidden"):
        yield _refused(one, model, what)


def _refused(one: ErrorDetails, model: type[Frozen], what: str) -> Refused:
    context = one.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Refused):
        return Refused(_field((*one["loc"], cause.field)), cause.why)
    field = _field(one["loc"]) or what
    if one["type"] == "missing" and field in model.hints:
        return Refused(field, model.hints[field])
    if one["type"] in {"model_type", "dict_type"} and field in model.hints:
        return Refused(field, f"{one['msg']}{_example(model.hints[field])}")
    if one["type"] == "extra_forbidden":
        return Refused(field, f"there is no such field{_meant(one['loc'], model)}")
    if one["type"] == "union_tag_invalid":
        return Refused(field, f"{context['tag']!r} is none of {context['expected_tags']}")
    return Refused(field, one["msg"].removeprefix("Value error, "))


def _example(hint: str) -> str:
    """Take the example out of a hint, for somebody who has written something else there."""
    _, found, example = hint.partition("for example ")
    return f", {found}{example}" if found else ""


def _meant(path: tuple[int | str, ...], model: type[Frozen]) -> str:
    """Ask whether a field of the model itself was meant that is spelled much like this one."""
    return did_you_mean(str(path[0]), model.model_fields) if len(path) == 1 else ""


def check_json(raw: bytes | str, *, bytes_max: int, what: str) -> Any:
    """Return the parsed value of a stranger's JSON, or raise Refused."""
    _check_size(len(raw), bytes_max, what)  # a character is a byte at least: nothing is copied yet
    text = raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass")
    _check_size(len(text), bytes_max, what)
    if more_than(text, JSON_VALUES_MAX):
        raise Refused(what, f"more than {JSON_VALUES_MAX:,} values; pass larger work by reference")
    if deeper_than(text, JSON_DEPTH_MAX):
        raise Refused(what, f"nested deeper than {JSON_DEPTH_MAX} levels")
    reader = _Reader()
    try:
        value = reader.read(text.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise Refused(what, f"not JSON: {error}") from None
    if reader.wrong or _HALF_CHARACTERS.search(text):
        for path, why in _wrongs(value, ()):
            raise Refused(_field(path) or what, why)
    return value


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


def more_than(text: bytes, values_max: int) -> bool:
    """Say whether there are more values than the bound, without parsing."""
    return _separators(text) > values_max and _separators(_STRINGS.sub(b"", text)) > values_max


def _separators(text: bytes) -> int:
    """Count what stands in front of a value, or of a key and its value; of strings' text, too."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_HALF_CHARACTERS = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
"""Escaped or raw, what may be a surrogate without its other half; most of them do have it."""


class _Wrong(NamedTuple):
    """Stands where something was that may not be, until the whole is read and its place known."""

    why: str
    key: tuple[str, ...] = ()


class _Reader:
    """Reads one JSON text, and puts a `_Wrong` in the place of whatever is refused."""

    def __init__(self) -> None:
        self.wrong = False

    def read(self, text: str) -> Any:
        return json.loads(
            text,
            object_pairs_hook=self._object,
            parse_constant=self._constant,
            parse_float=self._float,
            parse_int=self._int,
        )

    def _refuse(self, why: str, *key: str) -> _Wrong:
        self.wrong = True
        return _Wrong(why, key)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Wrong:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        names = sorted(name for name, _ in pairs)
        twice = next(a for a, b in pairwise(names) if a == b)
        return self._refuse("the key stands twice", twice)

    def _constant(self, name: str) -> _Wrong:
        return self._refuse(f"{name} is not a number that JSON knows")

    def _float(self, digits: str) -> float | _Wrong:
        number = float(digits)
        return self._too_large(digits) if number in {float("inf"), float("-inf")} else number

    def _int(self, digits: str) -> int | _Wrong:
        return self._too_large(digits) if len(digits) > JSON_DIGITS_MAX else int(digits)

    def _too_large(self, digits: str) -> _Wrong:
        return self._refuse(f"{digits[:20]} … is beyond every number that JSON readers agree on")


def _wrongs(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find what is refused, and the way to it."""
    match value:
        case _Wrong():
            yield (*path, *value.key), value.why
        case dict():
            for name, one in value.items():
                yield from _wrongs(name, (*path, "a key"))
                yield from _wrongs(one, (*path, name))
        case list():
            for place, one in enumerate(value):
                yield from _wrongs(one, (*path, str(place)))
        case str() if any("\ud800" <= letter <= "\udfff" for letter in value):
            yield path, "holds half of a character (a surrogate without its other half)"


def _field(path: Iterable[str | int]) -> str:
    """Name a field by the way to it; a stranger's own names are cut short, and fit for printing."""
    name = ".".join(map(str, path)).encode("utf-8", "replace").decode()
    return shortened(name, FIELD_CHARS_MAX)


def _check_size(size: int, bytes_max: int, what: str) -> None:
    if size > bytes_max:
        raise Refused(what, f"{size:,} bytes, at most {bytes_max:,} are taken")
