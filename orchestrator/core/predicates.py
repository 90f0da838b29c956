"""Hold a result against the declared predicates (envelopes/predicate.py)."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, assert_never

from envelopes import Must, Predicate
from envelopes.shortened import shortened

_NOTHING: Final = object()
"""There is no such place; null is a value like any other."""
_SHOWN: Final = 80


def broken(predicates: Sequence[Predicate], text: str) -> str | None:
    """Name the first predicate that a result breaks, or return None where it breaks none."""
    for at, detail in all_broken(predicates, text):
        return f"{at or 'the result'} {detail}"
    return None


def all_broken(predicates: Sequence[Predicate], text: str) -> Iterator[tuple[str, str]]:
    """Yield where (as a JSON pointer) and how a result breaks predicates, in their order."""
    if not predicates:
        return
    result = json.loads(text)
    for each in predicates:
        found = _place(result, each.at)
        if not _holds(each.must, found, each.value):
            yield each.at, f"must {_words(each)}, but is {_shown(found)}"


def _place(value: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        match value:
            case dict():
                value = value.get(name, _NOTHING)
            case list() if name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            case _:
                return _NOTHING
    return value


def _holds(must: Must, found: Any, value: Any) -> bool:  # noqa: C901 - a closed set
    match must:
        case Must.EXIST:
            return found is not _NOTHING
        case Must.EQUAL:
            return _same(found, value)
        case Must.DIFFER:
            return not _same(found, value)
        case Must.BE_ONE_OF:
            return any(_same(found, each) for each in value)
        case Must.BE_AT_LEAST:
            return _number(found) and found >= value
        case Must.BE_AT_MOST:
            return _number(found) and found <= value
        case Must.HAVE_AT_LEAST:
            return isinstance(found, str | list | dict) and len(found) >= value
        case Must.HAVE_AT_MOST:
            return isinstance(found, str | list | dict) and len(found) <= value
        case Must.CONTAIN:
            return _contains(found, value)
        case Must.NOT_CONTAIN:
            return not _contains(found, value)
    assert_never(must)


def _same(found: Any, value: Any) -> bool:
    """Compare as JSON does: to Python 1 is True, and 1.0 is 1."""
    return isinstance(found, bool) is isinstance(value, bool) and bool(found == value)


def _number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _contains(found: Any, value: Any) -> bool:
    match found:
        case str():
            return isinstance(value, str) and value.casefold() in found.casefold()
        case list():
            return any(_same(each, value) for each in found)
        case dict():
            return isinstance(value, str) and value in found
        case _:
            return False


def _words(predicate: Predicate) -> str:
    wanted = "" if predicate.must is Must.EXIST else f" {_shown(predicate.value)}"
    return predicate.must.replace("_", " ") + wanted


def _shown(value: Any) -> str:
    text = "not there" if value is _NOTHING else json.dumps(value, ensure_ascii=False)
    return shortened(text, _SHOWN)
