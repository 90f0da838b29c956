"""What a call to a model costs, as an upper bound before it and exactly after it.

Prices are `Decimal` US dollars per million tokens and come from the `genai-prices` tables, or from
the agent itself. Sums are micro-dollars, rounded up: a ceiling is a ceiling.

A model nobody has a price for is not free: under a usd ceiling its call is refused.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Self

from envelopes.limits import MICROS_PER_USD

_PER: int = 1_000_000
_INPUT_KINDS = ("input_mtok", "cache_write_mtok", "cache_write_1h_mtok")
"""What a token of the prompt may be billed as; reading from a cache is never dearer than these."""


class PriceUnknown(Exception):
    """There is a usd ceiling, and nobody knows what the model costs."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Dollars per million tokens, which may change with the length of the prompt."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...] = ()
    """(more prompt tokens than this, dollars), in rising order."""

    def at(self, input_tokens: int) -> Decimal:
        """Return the rate for a prompt of this length."""
        return next((usd for start, usd in reversed(self.tiers) if input_tokens > start), self.base)

    def worst(self, input_tokens: int) -> Decimal:
        """Return the highest rate for a prompt of at most this length."""
        return max([self.base, *(usd for start, usd in self.tiers if input_tokens > start)])

    def covers(self, other: "Rate") -> bool:
        """Say whether the other is never higher, however long the prompt."""
        starts = {0, *(start for start, _ in (*self.tiers, *other.tiers))}
        return all(self.at(start + 1) >= other.at(start + 1) for start in starts)


@dataclass(frozen=True, slots=True)
class Price:
    """What a model charges for its input and its output."""

    input: Rate
    output: Rate
    input_worst: Rate
    """What the dearest kind of input token costs, such as one that is written to a cache."""

    @classmethod
    def per_million(cls, input: str | Decimal, output: str | Decimal) -> Self:  # noqa: A002
        """Declare a price in US dollars per million tokens: `Price.per_million("0.25", "2")`."""
        into, out = (Rate(_dollars(usd)) for usd in (input, output))
        return cls(into, out, into)

    def exact(self, input_tokens: int, output_tokens: int, dear_tokens: int = 0) -> int:
        """Return what a call of this size costs, in micro-dollars.

        `dear_tokens` of the input were of the dearest kind, such as written to a cache.
        """
        into, out = self.input.at(input_tokens), self.output.at(input_tokens)
        extra = (self.input_worst.at(input_tokens) - into) * min(dear_tokens, input_tokens)
        return _micros(into * input_tokens + extra + out * output_tokens)

    def worst(self, input_tokens: int, output_tokens: int) -> int:
        """Return what a call of at most this size can cost, in micro-dollars."""
        into, out = self.input_worst.worst(input_tokens), self.output.worst(input_tokens)
        return _micros(into * input_tokens + out * output_tokens)

    def output_tokens_for(self, usd_micros: int, input_tokens: int) -> int | None:
        """Return how many output tokens this sum buys after the input; None where they are free."""
        rate = self.output.worst(input_tokens)
        if not rate:
            return None
        left = usd_micros - self.input_worst.worst(input_tokens) * input_tokens
        return max(0, int(left / rate))

    def covers(self, other: "Price") -> bool:
        """Say whether no call costs more at the other's price."""
        return (
            self.input.covers(other.input)
            and self.input_worst.covers(other.input_worst)
            and self.output.covers(other.output)
        )

    def __str__(self) -> str:
        return f"{self.input.base}/{self.output.base} USD per million tokens"


def price_of(model: str) -> Price:
    """Look a model up, as "openai:gpt-5-mini" or "gpt-5-mini"; raise PriceUnknown."""
    from workers.listed import listed  # noqa: PLC0415 -- the tables of all models are slow to load

    try:
        rates = listed(model)
        into, out = rates["input_mtok"], rates["output_mtok"]
    except LookupError:
        raise PriceUnknown(_unknown(model)) from None
    return Price(into, out, _dearest([rates[kind] for kind in _INPUT_KINDS if kind in rates]))


def resolve(price: "Price | str | None") -> Price | None:
    """Return the price an agent declared, by itself or by a model's name; None for neither."""
    return price_of(price) if isinstance(price, str) else price


def micros(usd: Decimal | str | int) -> int:
    """Return dollars as micro-dollars, rounded up."""
    return int((Decimal(usd) * MICROS_PER_USD).to_integral_value(ROUND_CEILING))


def _unknown(model: str) -> str:
    return (
        f"nobody knows what {model!r} costs and there is a usd ceiling, so it is not called; "
        'declare it: @agent(..., price=Price.per_million("0.25", "2"))'
    )


def _dearest(rates: list[Rate]) -> Rate:
    """Return one rate that none of these exceeds, for prompts of any length."""
    starts = sorted({start for rate in rates for start, _ in rate.tiers})
    return Rate(
        max(rate.base for rate in rates),
        tuple((start, max(rate.worst(start + 1) for rate in rates)) for start in starts),
    )


def _micros(usd_times_million: Decimal) -> int:
    return micros(usd_times_million / _PER)


def _dollars(usd: str | Decimal) -> Decimal:
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"a price is an amount of US dollars per million tokens, not {usd!r}")
    return amount
