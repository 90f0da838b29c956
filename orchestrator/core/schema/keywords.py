"""What each keyword of JSON Schema asks of a value.

A keyword is a small generator of faults: it gets the run, its own value, what is judged, the schema
it stands in and where that is. Whoever only wants to know whether something holds takes the first
fault and no more. Each counts what it does before it does it; what is as long as the schema or the
result counts with its length.

"format" asks for nothing, as the standard has it, and what is not known is passed over.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any, Final

from envelopes import limits
from orchestrator.core.schema.run import Fault, Inapplicable, Run

Path = tuple[str | int, ...]
Keyword = Callable[[Run, Any, Any, Mapping[str, Any], Path], Iterator[Fault]]

_SHOWN: Final = 80


def faults(run: Run, schema: Any, found: Any, at: Path = ()) -> Iterator[Fault]:
    """Yield what in a value breaks a schema."""
    if isinstance(schema, bool):
        run.spend(1)  # little, but there may be as many as there are letters in schema and result
    if schema is True:
        return
    if schema is False:
        yield Fault(at, f"nothing is allowed here, but there is {_shown(found)}")
        return
    run.look(len(schema))
    run.depth += 1
    try:
        if run.depth > limits.SCHEMA_DEPTH_MAX:
            raise Inapplicable(f"it refers to itself more than {limits.SCHEMA_DEPTH_MAX} deep")
        for name in ("$ref",) if run.old and "$ref" in schema else schema:
            keyword = KEYWORDS.get(name)
            if keyword is not None and not (run.old and name in _NEWER):
                run.spend(1)
                yield from keyword(run, schema[name], found, schema, at)
    finally:
        run.depth -= 1


def holds(run: Run, schema: Any, found: Any) -> bool:
    """Say whether a value keeps to a schema."""
    return next(faults(run, schema, found), None) is None


def _shown(value: Any) -> str:
    """Show a value in a few words, however large it is."""
    match value:
        case dict():
            return f"an object of {len(value)} fields"
        case list():
            return f"a list of {len(value)} items"
        case str() if len(value) > _SHOWN:
            return f"{value[:_SHOWN]!r}…"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case _:
            return repr(value)[:_SHOWN]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- whatever it is ------------------------------------------------------------------------------

_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


def _type(_: Run, value: Any, found: Any, __: Any, at: Path) -> Iterator[Fault]:
    names = value if isinstance(value, list) else [value]
    if not any(_TYPES[name](found) for name in names):
        wanted = ", ".join(map(repr, names[: len(_TYPES)]))
        yield Fault(at, f"{_shown(found)} is not of type {wanted}")


def _enum(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    if run.text(found) not in run.texts(value):
        given = ", ".join(map(_shown, value[:5])) + (", …" if len(value) > 5 else "")  # noqa: PLR2004 - a line's worth
        yield Fault(at, f"{_shown(found)} is not one of {given}")


def _const(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    if run.text(found) != run.text(value):
        yield Fault(at, f"{_shown(value)} was expected, not {_shown(found)}")


# --- numbers and texts ---------------------------------------------------------------------------


def _multiple_of(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    if not _is_number(found):
        return
    run.spend(20)  # exact, and never beyond what a number can be
    if (Fraction(repr(found)) / Fraction(repr(value))).denominator != 1:
        yield Fault(at, f"{_shown(found)} is not a multiple of {value}")


def _bound(words: str, keeps: Callable[[Any, Any], bool]) -> Keyword:
    def keyword(_: Run, value: Any, found: Any, __: Any, at: Path) -> Iterator[Fault]:
        if _is_number(found) and not keeps(found, value):
            yield Fault(at, f"{_shown(found)} is not {words} {value}")

    return keyword


def _length(
    kind: type[str | list[Any] | dict[str, Any]],
    things: str,
    keeps: Callable[[int, Any], bool],
    words: str,
) -> Keyword:
    def keyword(_: Run, value: Any, found: Any, __: Any, at: Path) -> Iterator[Fault]:
        if isinstance(found, kind) and not keeps(len(found), value):
            yield Fault(at, f"{len(found)} {things}, {words} {value} are wanted")

    return keyword


def _at_least(length: int, value: Any) -> bool:
    return bool(length >= value)


def _at_most(length: int, value: Any) -> bool:
    return bool(length <= value)


def _pattern(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    if isinstance(found, str) and not run.found(value, found):
        yield Fault(at, f"{_shown(found)} does not match {_shown(value)}")


# --- objects -------------------------------------------------------------------------------------


def _required(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    if not isinstance(found, dict):
        return
    run.look(len(value))
    for name in value:
        if name not in found:
            run.spend(1)
            yield Fault(at, f"{_shown(name)} is a required property")


def _properties(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    if not isinstance(found, dict):
        return
    run.look(len(value))
    for name, schema in value.items():
        if name in found:
            yield from faults(run, schema, found[name], (*at, name))


def _pattern_properties(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    if not isinstance(found, dict):
        return
    for pattern, schema in value.items():
        for name in found:
            if run.found(pattern, name):
                yield from faults(run, schema, found[name], (*at, name))


def _additional_properties(
    run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    if not isinstance(found, dict):
        return
    for name in _additional(run, found, schema):
        if value is False:
            yield Fault(at, f"{_shown(name)} is one property too many")
        else:
            yield from faults(run, value, found[name], (*at, name))


def _additional(run: Run, found: dict[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names that neither "properties" nor "patternProperties" speak of."""
    run.look(len(found))
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in found:
        if name not in named and not any(run.found(pattern, name) for pattern in patterns):
            yield name


def _property_names(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    for name in found if isinstance(found, dict) else ():
        yield from faults(run, value, name, at)


def _dependencies(
    run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    """Hold what one property asks of the others: that they are there, or a schema."""
    if not isinstance(found, dict):
        return
    run.look(len(value))
    for name, asked in value.items():
        if name not in found:
            continue
        if isinstance(asked, list):
            yield from _required(run, asked, found, schema, at)
        else:
            yield from faults(run, asked, found, at)


def _only_in_old(
    run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    return _dependencies(run, value, found, schema, at) if run.old else iter(())


# --- lists ---------------------------------------------------------------------------------------


def _each(run: Run, schema: Any, found: list[Any], first: int, at: Path) -> Iterator[Fault]:
    for place in range(first, len(found)):
        run.spend(1)
        yield from faults(run, schema, found[place], (*at, place))


def _prefix_items(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    for place, schema in enumerate(value[: len(found)] if isinstance(found, list) else ()):
        yield from faults(run, schema, found[place], (*at, place))


def _items(
    run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    if isinstance(value, list):
        yield from _prefix_items(run, value, found, schema, at)
    elif isinstance(found, list):
        yield from _each(run, value, found, _in_front(run, schema), at)


def _in_front(run: Run, schema: Mapping[str, Any]) -> int:
    return 0 if run.old else len(schema.get("prefixItems", ()))


def _additional_items(
    run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    first = schema.get("items")
    if run.lists and isinstance(found, list) and isinstance(first, list):
        yield from _each(run, value, found, len(first), at)


def _contains(
    run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    if not isinstance(found, list):
        return
    run.spend(len(found))
    least, most = (1, math.inf) if run.old else _how_many(schema)
    fit = sum(holds(run, value, each) for each in found)
    if not least <= fit <= most:
        wanted = f"at least {least}" if fit < least else f"at most {most}"
        yield Fault(at, f"{fit} items are like what the list must contain, {wanted} are wanted")


def _how_many(schema: Mapping[str, Any]) -> tuple[float, float]:
    return schema.get("minContains", 1), schema.get("maxContains", math.inf)


def _unique_items(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    # Texts, whose hashes nobody can foresee: numbers of one's choice could all have the same.
    if value and isinstance(found, list) and len(set(map(run.text, found))) < len(found):
        yield Fault(at, "an item stands there twice")


# --- schemas joined ------------------------------------------------------------------------------


def _ref(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    return faults(run, run.referred(value), found, at)


def _all_of(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    for schema in value:
        yield from faults(run, schema, found, at)


def _any_of(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    nearest: list[Fault] = []
    for schema in value:
        fault = next(faults(run, schema, found, at), None)
        if fault is None:
            return
        nearest.append(fault)
    yield _none_fits(nearest, at)


def _none_fits(nearest: list[Fault], at: Path) -> Fault:
    """Tell of the alternative that came furthest into the value: it is likely what was meant."""
    closest = max(nearest, key=lambda fault: len(fault.path))
    if len(nearest) == 1 or len(closest.path) > len(at):
        return closest
    return Fault(at, f"fits none of the {len(nearest)} schemas; of the first: {nearest[0].why}")


def _one_of(run: Run, value: Any, found: Any, schema: Any, at: Path) -> Iterator[Fault]:
    fit = [place for place, each in enumerate(value) if holds(run, each, found)]
    if not fit:
        yield from _any_of(run, value, found, schema, at)
    elif len(fit) > 1:
        yield Fault(at, f"fits {len(fit)} schemas of which one only may fit, the first at {fit[0]}")


def _not(run: Run, value: Any, found: Any, _: Any, at: Path) -> Iterator[Fault]:
    if holds(run, value, found):
        yield Fault(at, f"{_shown(found)} is what must not be here")


def _if(run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path) -> Iterator[Fault]:
    branch = "then" if holds(run, value, found) else "else"
    if branch in schema:
        yield from faults(run, schema[branch], found, at)


# --- what no other keyword has spoken of ---------------------------------------------------------


def _unevaluated_properties(
    run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    if not isinstance(found, dict):
        return
    spoken_of = _spoken_of(run, schema, found, "unevaluatedProperties")
    for name in found:
        if name not in spoken_of:
            yield from faults(run, value, found[name], (*at, name))


def _unevaluated_items(
    run: Run, value: Any, found: Any, schema: Mapping[str, Any], at: Path
) -> Iterator[Fault]:
    if not isinstance(found, list):
        return
    spoken_of = _spoken_of(run, schema, found, "unevaluatedItems")
    for place, each in enumerate(found):
        if place not in spoken_of:
            yield from faults(run, value, each, (*at, place))


def _spoken_of(run: Run, schema: Any, found: Any, asking: str = "") -> set[Any]:
    """Return the names or places that a schema, and what it is joined from, speaks of."""
    if isinstance(schema, bool):
        return set()
    run.spend(1 + len(found) + len(schema))
    own = _fields if isinstance(found, dict) else _places
    spoken = own(run, {name: schema[name] for name in schema if name != asking}, found)
    for each in _joined(run, schema, found):
        run.depth += 1
        if run.depth > limits.SCHEMA_DEPTH_MAX:
            raise Inapplicable(f"it refers to itself more than {limits.SCHEMA_DEPTH_MAX} deep")
        if holds(run, each, found):
            spoken |= _spoken_of(run, each, found)
        run.depth -= 1
    return spoken


def _fields(run: Run, schema: Mapping[str, Any], found: dict[str, Any]) -> set[Any]:
    if "additionalProperties" in schema or "unevaluatedProperties" in schema:
        return set(found)
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    return {name for name in found if name in named or any(run.found(p, name) for p in patterns)}


def _places(run: Run, schema: Mapping[str, Any], found: list[Any]) -> set[Any]:
    items = schema.get("items")
    all_by = "additionalItems" if run.lists and isinstance(items, list) else "items"
    if all_by in schema or "unevaluatedItems" in schema:
        return set(range(len(found)))
    front = items if isinstance(items, list) else schema.get("prefixItems", ())
    spoken = set(range(min(len(front), len(found))))
    if "contains" in schema and not run.lists:
        spoken |= {n for n, each in enumerate(found) if holds(run, schema["contains"], each)}
    return spoken


def _joined(run: Run, schema: Mapping[str, Any], found: Any) -> Iterator[Any]:
    """Yield the schemas that judge the same value as this one."""
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        if name in schema:
            yield run.referred(schema[name])
    for name in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(name, ())
    if "if" in schema:
        yield schema["if"]
        yield schema.get("then" if holds(run, schema["if"], found) else "else", True)
    if isinstance(found, dict):
        depending = schema.get("dependentSchemas", {}).items()
        yield from (each for name, each in depending if name in found)


KEYWORDS: Final[Mapping[str, Keyword]] = {
    "type": _type,
    "enum": _enum,
    "const": _const,
    "multipleOf": _multiple_of,
    "minimum": _bound("at least", lambda a, b: bool(a >= b)),
    "maximum": _bound("at most", lambda a, b: bool(a <= b)),
    "exclusiveMinimum": _bound("more than", lambda a, b: bool(a > b)),
    "exclusiveMaximum": _bound("less than", lambda a, b: bool(a < b)),
    "minLength": _length(str, "characters", _at_least, "at least"),
    "maxLength": _length(str, "characters", _at_most, "at most"),
    "pattern": _pattern,
    "required": _required,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "propertyNames": _property_names,
    "minProperties": _length(dict, "fields", _at_least, "at least"),
    "maxProperties": _length(dict, "fields", _at_most, "at most"),
    "dependentRequired": _dependencies,
    "dependentSchemas": _dependencies,
    "dependencies": _only_in_old,
    "prefixItems": _prefix_items,
    "items": _items,
    "additionalItems": _additional_items,
    "contains": _contains,
    "minItems": _length(list, "items", _at_least, "at least"),
    "maxItems": _length(list, "items", _at_most, "at most"),
    "uniqueItems": _unique_items,
    "$ref": _ref,
    "$dynamicRef": _ref,
    "$recursiveRef": _ref,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
    "if": _if,
    "unevaluatedItems": _unevaluated_items,
    "unevaluatedProperties": _unevaluated_properties,
}
_NEWER: Final = frozenset(
    (
        *("prefixItems", "dependentRequired", "dependentSchemas", "$dynamicRef", "$recursiveRef"),
        *("unevaluatedItems", "unevaluatedProperties"),
    )
)
"""Keywords that drafts 6 and 7 pass over."""
