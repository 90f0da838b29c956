"""What a task may spend, has spent, and has promised to its open subtasks.

Integers only: tokens, micro-dollars, calls. The invariant, at every moment and in every dimension:

    0 <= spent, 0 <= reserved, spent + reserved <= ceiling

A subtask's *allowance* is reserved when it is published and settled by what its meter recorded when
it ends. The *ending* is held back from every subtask: only the owner, the gate and synthesis may
use it, so that a task which ran dry can still be brought to an end.
"""

from dataclasses import dataclass
from math import ceil
from typing import Annotated, Self

from pydantic import ConfigDict, Field, with_config

from envelopes.counted import counted
from envelopes.limits import AMOUNT_CEILING, AMOUNT_DIGITS_MAX

Figure = Annotated[int, Field(ge=0, lt=10**AMOUNT_DIGITS_MAX)]
"""What a worker takes for an amount. Only reading from outside checks it; inside it holds."""
_exact = with_config(ConfigDict(strict=True, extra="forbid"))


@_exact
@dataclass(frozen=True, slots=True)
class Amounts:
    """A sum in each dimension."""

    tokens: Figure = 0
    usd_micros: Figure = 0
    calls: Figure = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.tokens + other.tokens, self.usd_micros + other.usd_micros, self.calls + other.calls
        )

    def __sub__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.tokens - other.tokens, self.usd_micros - other.usd_micros, self.calls - other.calls
        )

    def within(self, limits: "Limits") -> bool:
        """Say whether every dimension that is limited holds this sum."""
        return (
            (limits.tokens is None or self.tokens <= limits.tokens)
            and (limits.usd_micros is None or self.usd_micros <= limits.usd_micros)
            and (limits.calls is None or self.calls <= limits.calls)
        )

    def clamped(self, limits: "Limits") -> "Amounts":
        """Return what of this sum the limits admit; a negative figure counts as zero."""
        return Amounts(
            _clamp(self.tokens, limits.tokens),
            _clamp(self.usd_micros, limits.usd_micros),
            _clamp(self.calls, limits.calls),
        )


@_exact
@dataclass(frozen=True, slots=True)
class Limits:
    """A bound in each dimension; None is unbounded."""

    tokens: Figure | None = None
    usd_micros: Figure | None = None
    calls: Figure | None = None

    def as_amounts(self) -> Amounts:
        """Return the bounded dimensions as a sum: what a reservation of these limits holds."""
        return Amounts(self.tokens or 0, self.usd_micros or 0, self.calls or 0)

    def less(self, taken: Amounts) -> "Limits":
        """Return what is left of each bound, never below zero."""
        return Limits(
            _left(self.tokens, taken.tokens),
            _left(self.usd_micros, taken.usd_micros),
            _left(self.calls, taken.calls),
        )

    def share(self, numerator: int, denominator: int) -> "Limits":
        """Return the given fraction of each bound, rounded down."""
        return Limits(
            None if self.tokens is None else self.tokens * numerator // denominator,
            None if self.usd_micros is None else self.usd_micros * numerator // denominator,
            None if self.calls is None else self.calls * numerator // denominator,
        )

    def holding(self, asked: "Limits | None") -> "Limits":
        """Return these limits with each dimension that was asked for by name put in its place."""
        if asked is None:
            return self
        return Limits(
            _asked(self.tokens, asked.tokens),
            _asked(self.usd_micros, asked.usd_micros),
            _asked(self.calls, asked.calls),
        )

    def __str__(self) -> str:
        bounds = {"token": self.tokens, "micro-dollar": self.usd_micros, "call": self.calls}
        named = [counted(bound, name) for name, bound in bounds.items() if bound is not None]
        return ", ".join(named) or "no bound"

    @property
    def empty(self) -> bool:
        """Say whether some bounded dimension has nothing left, so that no call can be made."""
        return 0 in (self.tokens, self.usd_micros, self.calls)


@_exact
@dataclass(frozen=True, slots=True)
class Ledger:
    """The books of one task. Every change goes through `reserve` and `settle`."""

    ceiling: Limits
    ending: Amounts = Amounts()
    spent: Amounts = Amounts()
    reserved: Amounts = Amounts()

    @classmethod
    def opened(cls, ceiling: Limits, ending_share: float) -> Self:
        """Open the books and hold the ending back: the share rounded up, one call at least."""
        ending = Amounts(
            _ending(ceiling.tokens, ending_share),
            _ending(ceiling.usd_micros, ending_share),
            _ending(ceiling.calls, ending_share),
        )
        return cls(ceiling=ceiling, ending=ending)

    def free(self, *, for_ending: bool = False) -> Limits:
        """Return what may still be promised; the ending reserve only to what serves the ending."""
        taken = self.spent + self.reserved
        return self.ceiling.less(taken if for_ending else taken + self.ending)

    def reserve(self, allowance: Limits, *, for_ending: bool = False) -> "Ledger | None":
        """Promise an allowance, or return None where it does not fit."""
        promised = allowance.as_amounts()
        if not promised.within(self.free(for_ending=for_ending)):
            return None
        return Ledger(self.ceiling, self.ending, self.spent, self.reserved + promised)

    def settle(self, allowance: Limits, charged: Amounts) -> "Ledger":
        """Give an allowance back and book what was charged on it, never more than it allowed."""
        return Ledger(
            self.ceiling,
            self.ending,
            self.spent + charged.clamped(allowance),
            self.reserved - allowance.as_amounts(),
        )

    def raised(self, more: Amounts) -> "Ledger":
        """Raise the ceiling where there is one: a person's decision at the desk."""
        ceiling = self.ceiling
        return Ledger(
            Limits(
                None if ceiling.tokens is None else ceiling.tokens + more.tokens,
                None if ceiling.usd_micros is None else ceiling.usd_micros + more.usd_micros,
                None if ceiling.calls is None else ceiling.calls + more.calls,
            ),
            self.ending,
            self.spent,
            self.reserved,
        )


def _clamp(amount: int, bound: int | None) -> int:
    return max(0, min(amount, AMOUNT_CEILING if bound is None else bound))


def _left(bound: int | None, taken: int) -> int | None:
    return None if bound is None else max(0, bound - taken)


def _asked(free: int | None, asked: int | None) -> int | None:
    return free if free is None or asked is None else asked


def _ending(ceiling: int | None, share: float) -> int:
    """Hold back a share, rounded up, but never the whole."""
    return 0 if not ceiling else min(ceil(ceiling * share), ceiling - 1)
