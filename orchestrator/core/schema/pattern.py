r"""Search texts for a caller's patterns, in time that grows with the text and no faster.

Python's own `re` tries ways one after the other: `(a+)+$` on forty times "a" and a "b" is a matter
of hours. RE2 walks all ways at once. What it cannot do that way, look-arounds and references back
to a group, is refused by name.

Patterns are JSON Schema's, which are JavaScript's: `\d`, `\w` and `\b` mean ASCII, `\s` is every
space of every script, `$` is the end of the text and nothing else, and in a class `[` is itself.
"""

import re
from typing import Any, Final

import re2

from envelopes import limits

_ESCAPE: Final = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<four>[0-9a-fA-F]{4})|u\{(?P<braced>[0-9a-fA-F]{1,6})\}|.)",
    re.DOTALL,
)
"""An escape; of \\u, which RE2 does not know, the digits: of two halves, of one character."""
_CLASS: Final = r"\[(?P<without>\^?)(?P<listed>(?:\\.|[^\]\\])*+)(?P<end>\]?)"
"""A class: JavaScript ends it at its first bracket, even where nothing stands in it."""
_CLASS_OR_ESCAPE: Final = re.compile(rf"{_CLASS}|{_ESCAPE.pattern}", re.DOTALL)
_LISTED: Final = re.compile(rf"\[|{_ESCAPE.pattern}", re.DOTALL)
_SPACES: Final = {
    r"\s": r"\x{b}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
    r"\x{feff}\s",
    r"\S": r"\x{0}-\x{8}\x{e}-\x{1f}!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}"
    r"\x{202a}-\x{202e}\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}\d",
}
"""RE2's own know ASCII's spaces. Each ends in an escape, so that a "-" behind it is a "-"."""
_OPTIONS: Final = re2.Options()
_OPTIONS.max_mem = limits.PATTERN_MEMORY_BYTES
_OPTIONS.log_errors = False
_OPTIONS.never_capture = True


class Unsupported(ValueError):
    """A pattern that is none, or that cannot be searched in bounded time."""


class Pattern:
    """A pattern, ready to be searched for."""

    __slots__ = ("_searched", "size")

    def __init__(self, text: str) -> None:
        """Compile a pattern, or raise Unsupported saying why not."""
        if len(text) > limits.PATTERN_CHARS_MAX:
            raise Unsupported(
                f"a pattern of {len(text):,} characters, at most {limits.PATTERN_CHARS_MAX:,}"
            )
        try:
            self._searched: Any = re2.compile(
                _CLASS_OR_ESCAPE.sub(_written_for_re2, text), _OPTIONS
            )
        except (re2.error, UnicodeError) as error:
            raise Unsupported(f"{text[:80]!r} cannot be used: {_why(error)}") from None
        self.size: int = self._searched.programsize
        """What one character can cost at most, in steps of the machine."""

    def found_in(self, text: str) -> bool:
        """Say whether the pattern occurs in a text."""
        return self._searched.search(text) is not None


def _written_for_re2(part: re.Match[str]) -> str:
    if part["end"] is None:
        return f"[{_SPACES[part[0]]}]" if part[0] in _SPACES else _escape(part)
    if part["end"] and not part["listed"]:  # one of nothing; or anything but that
        return r"[\x{0}-\x{10ffff}]" if part["without"] else r"[^\x{0}-\x{10ffff}]"
    return f"[{part['without']}{_LISTED.sub(_in_class, part['listed'])}{part['end']}"


def _in_class(part: re.Match[str]) -> str:
    return r"\[" if part[0] == "[" else _SPACES.get(part[0]) or _escape(part)


def _escape(escape: re.Match[str]) -> str:
    high, low, four, braced = escape.group("high", "low", "four", "braced")
    if high:
        code = 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00
        return f"\\x{{{code:x}}}"
    digits = four or braced
    return f"\\x{{{digits}}}" if digits else escape.group()


def _why(error: Exception) -> str:
    said = error.args[0].decode("utf-8", "replace") if error.args else ""
    if "too large" in said:
        return "it is too large; repeat fewer times, or bound the length by maxLength"
    return (
        f"{said}; a pattern may use what can be searched in bounded time (RE2's syntax): "
        "no look-around, no reference back to a group, no more than 1,000 repetitions"
    )
