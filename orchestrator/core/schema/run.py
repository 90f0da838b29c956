"""One check of one text: what may still be done for it, and what its schema refers to."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from envelopes import limits
from orchestrator.core.schema.pattern import Pattern, Unsupported

OLD: Final = ("draft-06", "draft-07")
"""Dialects in which "$ref" stands alone, and some keywords do not exist."""
WITH_LISTS: Final = (*OLD, "2019-09")
"""Dialects in which "items" may be a list."""
_PER_STEP: Final = 16
"""Cheap looks (at a name, at a word of a list) that count as one step."""
_MACHINE_PER_STEP: Final = 128
"""Characters times the pattern's size that count as one step: some 10 ns each at the worst."""
_BITS_PER_STEP: Final = 128
"""Bits of a whole number that is written in digits: by the square, and at the worst 2 µs."""
_PERCENT: Final = re.compile(rb"%([0-9a-fA-F]{2})")


class Fault(NamedTuple):
    """Where something breaks the schema, and how."""

    path: tuple[str | int, ...]
    why: str


class Exhausted(Exception):
    """The check has taken as many steps as one may."""


class Inapplicable(Exception):
    """The schema cannot be applied, whatever the text is."""


class Run:
    """The state of one check. Steps only go down; everything else is remembered for speed."""

    __slots__ = (
        "_left",
        "_named",
        "_patterns",
        "_referred",
        "_texts",
        "depth",
        "lists",
        "old",
        "root",
    )

    def __init__(self, root: Any) -> None:
        self.root = root
        dialect = str(root.get("$schema", "")) if isinstance(root, dict) else ""
        self.old = any(each in dialect for each in OLD)
        self.lists = any(each in dialect for each in WITH_LISTS)
        self.depth = 0
        self._left = limits.SCHEMA_STEPS_MAX
        self._patterns: dict[str, Pattern] = {}
        self._referred: dict[str, Any] = {}
        self._named: dict[str, Any] | None = None
        self._texts: dict[int, frozenset[str]] = {}

    def spend(self, steps: int) -> None:
        """Count what is about to be done, or raise Exhausted."""
        self._left -= steps
        if self._left < 0:
            raise Exhausted(
                f"the schema takes more than {limits.SCHEMA_STEPS_MAX:,} steps to check on this "
                "result; let it branch, repeat or refer to itself less, or return less"
            )

    def look(self, things: int) -> None:
        """Count a step, and a look at each of so many things."""
        self.spend(1 + things // _PER_STEP)

    def found(self, pattern: str, text: str) -> bool:
        """Say whether a pattern occurs in a text."""
        ready = self._patterns.get(pattern) or self.compiled(pattern)
        self.spend(1 + len(text) * ready.size // _MACHINE_PER_STEP)
        return ready.found_in(text)

    def compiled(self, pattern: str) -> Pattern:
        """Compile a pattern that this check has not met before."""
        if len(self._patterns) == limits.SCHEMA_PATTERNS_MAX:
            raise Inapplicable(f"more than {limits.SCHEMA_PATTERNS_MAX} patterns")
        try:
            ready = Pattern(pattern)
        except Unsupported as unsupported:
            raise Inapplicable(str(unsupported)) from None
        self.spend(20 + ready.size)
        self._patterns[pattern] = ready
        return ready

    def referred(self, reference: str) -> Any:
        """Return the part of the schema that a reference names."""
        self.spend(2 + len(reference) // _PER_STEP)
        if reference not in self._referred:
            self._referred[reference] = self._find(reference)
        return self._referred[reference]

    def _find(self, reference: str) -> Any:
        if reference[:1] != "#":
            raise Inapplicable(f'"$ref": {reference[:80]!r} points outside the schema')
        name = _unquoted(reference[1:])
        if name[:1] in {"", "/"}:
            found = _by_pointer(self.root, name)
        else:
            if self._named is None:
                self._named = dict(_named(self.root))
            found = self._named.get(name)
        if found is None:
            raise Inapplicable(f'"$ref": {reference[:80]!r} points to nothing')
        return found

    def text(self, value: Any) -> str:
        """Write a value so that what JSON calls equal is the same text: 1 is 1.0, but not true."""
        match value:
            case dict():
                self.spend(1 + len(value))
                named = (f"{_plain(name)}:{self.text(value[name])}" for name in sorted(value))
                return "{" + ",".join(named) + "}"
            case list():
                self.spend(1 + len(value))
                return "[" + ",".join(map(self.text, value)) + "]"
            case str():
                self.look(len(value) // _PER_STEP)
                return _plain(value)
            case float() if value.is_integer():
                return self._digits(int(value))
            case int() if not isinstance(value, bool):
                return self._digits(value)
            case _:
                return repr(value)

    def _digits(self, value: int) -> str:
        self.spend(value.bit_length() // _BITS_PER_STEP)
        return str(value)

    def texts(self, values: list[Any]) -> frozenset[str]:
        """Write the values of an "enum", once for each check."""
        if id(values) not in self._texts:  # a part of the schema, which outlives the check
            self._texts[id(values)] = frozenset(map(self.text, values))
        return self._texts[id(values)]


def _plain(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(text: str) -> str:
    plain = _PERCENT.sub(lambda code: bytes.fromhex(code[1].decode()), text.encode())
    return plain.decode("utf-8", "replace")


def _by_pointer(root: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        match root:
            case Mapping():
                root = root.get(name)
            case list() if name.isdecimal() and len(name) < 7 and int(name) < len(root):  # noqa: PLR2004 - no list is longer
                root = root[int(name)]
            case _:
                return None
    return root


def _named(part: Any) -> Iterator[tuple[str, Any]]:
    """Find all parts that have a name, wherever they stand."""
    if isinstance(part, Mapping):
        for name in ("$anchor", "$dynamicAnchor"):
            if isinstance(part.get(name), str):
                yield part[name], part
        part = list(part.values())
    for each in part if isinstance(part, list) else ():
        yield from _named(each)
