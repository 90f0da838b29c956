"""What scripts check before their first write: figures, ops, settlements (envelopes/lua)."""

import re
from collections.abc import Sequence
from typing import Final

from envelopes import limits
from envelopes.ledger import Amounts
from envelopes.strict import Refused

Ended = Sequence[tuple[str, Amounts]]
"""Calls that have ended: the op each was charged under, and what it really used."""

_FIGURE: Final = re.compile(rf"\d{{1,{limits.AMOUNT_DIGITS_MAX}}}", re.ASCII)
_OP: Final = re.compile(rf"[\w.-]{{1,{limits.OP_CHARS_MAX}}}", re.ASCII)


def figure(what: str, figure: object) -> int:
    """Take a figure as a script does: by its digits."""
    text = str(figure)
    if not _FIGURE.fullmatch(text):
        raise Refused(what, "not a whole number from 0 up")
    return int(text)


def whole(what: str, amounts: Amounts) -> None:
    """Check amounts, each by its digits."""
    for each in (amounts.tokens, amounts.usd_micros, amounts.calls):
        figure(what, each)


def settlements(settled: Ended) -> None:
    """Check calls that have ended."""
    for op, real in settled:
        named(op)
        whole("settled", real)


def named(op: str) -> None:
    """Check an op: it must not break the line that it is kept in."""
    if not _OP.fullmatch(op):
        raise Refused("op", "not a short name of letters, digits and _.-")
