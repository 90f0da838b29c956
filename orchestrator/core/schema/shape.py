"""What is no JSON Schema, or none that can be applied in bounded time, is refused at the door.

Every part of a schema is visited once, and so is what a reference leads to, wherever that stands:
is each keyword's value of the kind that the keyword takes, can each pattern be searched for, does
each reference lead to something, inside. So what was accepted does not surprise when a result has
been paid for. How much work it is on a result can only be known with the result: that is counted
then (`run.py`).
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NoReturn

from envelopes import limits
from envelopes.strict import Refused, compact
from orchestrator.core.schema.run import Exhausted, Inapplicable, Run

_TYPES: Final = ("null", "boolean", "object", "array", "string", "number", "integer")
_DIALECTS: Final = ("2020-12", "2019-09", "draft-07", "draft-06")

_ONE: Final = (
    *("additionalProperties", "additionalItems", "contains", "propertyNames", "items", "not"),
    *("if", "then", "else", "unevaluatedItems", "unevaluatedProperties"),
)
"""Keywords that take a schema."""
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
_MAPS: Final = (
    *("properties", "patternProperties", "$defs", "definitions"),
    *("dependentSchemas", "dependencies"),
)


def refuse_misshapen(where: str, schema: Mapping[str, Any]) -> None:
    """Raise Refused, naming the field and the place in it, where a schema cannot be applied."""
    size = len(compact(dict(schema)).encode())
    if size > limits.SCHEMA_BYTES_MAX:
        most = f"at most {limits.SCHEMA_BYTES_MAX:,} are taken"
        raise Refused(where, f"a schema of {size:,} bytes, {most}; leave out what only describes")
    try:
        _visit_all(Run(schema), schema)
    except _Misshapen as wrong:
        raise Refused(where, f"not a JSON Schema that is taken here: {wrong}") from None
    except Exhausted:
        raise Refused(where, "its patterns are too large together; repeat fewer times") from None


class _Misshapen(Exception):
    """What is wrong with a part, and where it stands."""


def _wrong(at: str, why: str) -> NoReturn:
    raise _Misshapen(f"at {at or 'its top'}: {why}")


def _visit_all(run: Run, schema: Any) -> None:
    """Visit each part where it stands, and then what references alone lead to."""
    parts, seen = deque[tuple[str, Any]]([("", schema)]), set[int]()
    while parts:
        at, part = parts.pop()
        if isinstance(part, bool) or id(part) in seen:
            continue
        seen.add(id(part))
        _visit(run, part, at)
        parts.extend(_parts(run, part, at))
        parts.extendleft(_referred(run, part, at))


def _visit(run: Run, schema: Any, at: str) -> None:
    if not isinstance(schema, Mapping):
        _wrong(at, "a schema is an object, true or false")
    for name, value in schema.items():
        if (shape := _SHAPES.get(name)) and (why := shape(value)):
            _wrong(f"{at}/{name}", why)
    _check_dialect(schema, at)
    _check_patterns(run, schema, at)


def _check_dialect(schema: Mapping[str, Any], at: str) -> None:
    said = schema.get("$schema")
    if isinstance(said, str) and not any(each in said for each in _DIALECTS):
        _wrong(f"{at}/$schema", f"{said[:80]!r} is none of {', '.join(_DIALECTS)}")
    for name in ("$id", "$schema"):
        if at and isinstance(schema.get(name), str):
            _wrong(f"{at}/{name}", f"only the schema as a whole may have {name}")


def _referred(run: Run, schema: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    """Yield what a schema refers to: its place may be one where no schema is looked for."""
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        reference = schema.get(name)
        if reference is None:
            continue
        try:
            part = run.referred(reference)
        except Inapplicable as inapplicable:
            _wrong(f"{at}/{name}", f'{inapplicable}; only what begins with "#" is followed')
        yield f"{at}/{name} ({reference[:80]})", part


def _check_patterns(run: Run, schema: Mapping[str, Any], at: str) -> None:
    patterns = [("pattern", schema["pattern"])] if "pattern" in schema else []
    patterns += [("patternProperties", each) for each in schema.get("patternProperties", ())]
    for name, pattern in patterns:
        try:
            run.found(pattern, "")
        except Inapplicable as inapplicable:
            _wrong(f"{at}/{name}", str(inapplicable))


def _parts(run: Run, schema: Mapping[str, Any], at: str) -> Iterator[tuple[str, Any]]:
    """Yield the schemas in a schema, each with its place."""
    for name in _ONE:
        if isinstance(schema.get(name), list):
            yield from _listed(schema, name, at)
        elif name in schema:
            yield f"{at}/{name}", schema[name]
    for name in _LISTS:
        yield from _listed(schema, name, at)
    for name in _MAPS:
        for key, part in schema.get(name, {}).items():
            if not (name == "dependencies" and isinstance(part, list)):
                yield f"{at}/{name}/{key}", part
    if isinstance(schema.get("items"), list) and not run.lists:
        _wrong(f"{at}/items", 'a schema is wanted; a list of them is "prefixItems"')


def _listed(schema: Mapping[str, Any], name: str, at: str) -> Iterator[tuple[str, Any]]:
    for place, part in enumerate(schema.get(name, ())):
        yield f"{at}/{name}/{place}", part


# --- what each keyword takes ---------------------------------------------------------------------

Shape = Callable[[Any], str | None]
"""Says what is wrong with a keyword's value, or None."""


def _count(value: Any) -> str | None:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    fits = whole and not isinstance(value, bool) and value >= 0
    return None if fits else "a whole number from 0 up is wanted"


def _number(value: Any) -> str | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return None if fits else "a number is wanted"


def _divisor(value: Any) -> str | None:
    return _number(value) or (None if value > 0 else "a number above 0 is wanted")


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "a text is wanted"


def _yes_or_no(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false is wanted"


def _anything_listed(value: Any) -> str | None:
    return None if isinstance(value, list) else "a list is wanted"


def _types(value: Any) -> str | None:
    names = value if isinstance(value, list) else [value]
    fits = bool(names) and all(isinstance(each, str) and each in _TYPES for each in names)
    if not fits:
        return f"{str(value)[:80]!r} is not of {', '.join(_TYPES)}"
    return None if len(set(names)) == len(names) else "a type stands there twice"


def _names(value: Any) -> str | None:
    fits = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return None if fits else "a list of names is wanted"


def _names_by_name(value: Any) -> str | None:
    fits = isinstance(value, Mapping) and not any(map(_names, value.values()))
    return None if fits else "an object of lists of names is wanted"


def _schemas(value: Any) -> str | None:
    return None if isinstance(value, list) and value else "a list of schemas is wanted"


def _schemas_by_name(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else "an object of schemas is wanted"


_SHAPES: Final[Mapping[str, Shape]] = {
    "type": _types,
    "enum": _anything_listed,
    "multipleOf": _divisor,
    "required": _names,
    "dependentRequired": _names_by_name,
    "uniqueItems": _yes_or_no,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _count),
    **dict.fromkeys(("minProperties", "maxProperties", "minContains", "maxContains"), _count),
    **dict.fromkeys(("pattern", "$id", "$schema", "$anchor", "$dynamicAnchor"), _text),
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef"), _text),
    **dict.fromkeys(_LISTS, _schemas),
    **dict.fromkeys(_MAPS, _schemas_by_name),
}
