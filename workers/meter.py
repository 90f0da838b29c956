"""Charge before the call, settle after it: how a subtask never overspends its allowance.

    with ctx.meter.call(prompt=text, max_tokens=800) as call:
        answer = model(text, max_tokens=call.max_tokens)
        call.used(answer.input_tokens, answer.output_tokens)

Before the block runs, the call's worst case is booked: as many tokens of input as the prompt has
bytes, and `max_tokens` of output, which is clamped to what is left. Where nothing useful is left,
BudgetExhausted is raised and the block is not run. After it, `used` puts the real figures in the
place of the worst case. A block that ends without `used`, or raises, keeps its worst case booked:
nobody knows what it cost.

The books are kept twice. Here, so that an overrun is refused without a round trip; and on the
server, in one script (workers/lua/charge.lua), which has the last word: it also knows whether the
subtask is still ours. Settling is lazy: it travels with the next charge, or with the report.

Async agents say `async with` and `await ctx.meter.acharge(...)`: a charge waits for the server, and
a plain `with` would make every other agent of the process wait too, so it is refused on a loop.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from decimal import Decimal
from threading import Lock
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

from envelopes.claims import Charged
from envelopes.counted import counted
from envelopes.envelope import Usage
from envelopes.ledger import Amounts, Limits
from envelopes.limits import AMOUNT_CEILING
from workers.prices import Price, PriceUnknown, micros, price_of
from workers.telemetry import UNTOLD, UNTOLD_CALL, Asking, Invocation

Settled = tuple[str, Amounts]
"""A call's operation id, and what it really cost."""


class Refusal(Exception):
    """A call that must not be made. Let it pass through: the runtime knows what it means."""


class BudgetExhausted(Refusal):
    """The call could overrun the subtask's allowance."""


class Revoked(Refusal):
    """The subtask was taken away: whatever it does now is for nobody."""


class Late(Refusal):
    """The subtask's time is over."""


class Books(Protocol):
    """Where charges go: workers/claims.py, for one subtask."""

    def charge(self, op: str, worst: Amounts, settled: Sequence[Settled], model: str, /) -> Charged:
        """Settle finished calls and book one more, by this model's name, if it fits."""
        ...


class Meter:
    """The books of one subtask. Any number of calls may be under way at once."""

    def __init__(
        self,
        books: Books,
        allowance: Limits,
        *,
        over_at: float,
        price: Price | None = None,
        executor: Executor | None = None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.price = price
        self.model = ""
        """By whose name calls are booked that name no model; empty where nobody knows."""
        self.invocation: Invocation = UNTOLD
        """What OpenTelemetry is told of the subtask, and with it of each call."""
        self._books = books
        self._allowance = allowance
        self._over_at = over_at
        self._executor = executor
        self._now = now
        self._lock = Lock()  # guards the four below
        self._booked = Amounts()
        self._pending: list[Settled] = []
        self._ops = 0
        self._revoked = False

    # --- for agents ------------------------------------------------------------------------------

    def left(self) -> Limits:
        """Return what may still be charged; None in a dimension is unbounded."""
        with self._lock:
            return self._allowance.less(self._booked)

    def call(
        self,
        *,
        max_tokens: int,
        prompt: str | bytes | None = None,
        prompt_bytes: int | None = None,
        input_tokens: int | None = None,
        model: Price | str | None = None,
        min_tokens: int = 1,
        booked_as: str | None = None,
    ) -> "Call":
        """Open a call to a model: `with`, or `async with`.

        Say how large its input is by one of `prompt`, `prompt_bytes` (each bounds the tokens from
        above) or counted `input_tokens`. With fewer than `min_tokens` of output left the call is
        refused. `model`, its name or its price, is only needed where the agent has not declared a
        price, or uses another. `booked_as` is the name under which it stands in the books of the
        day, where that is not `model`'s nor what the agent has declared.
        """
        size = _input_bound(prompt, prompt_bytes, input_tokens)
        _check_amounts(max_tokens=max_tokens, min_tokens=min_tokens)
        named = booked_as or (model if isinstance(model, str) else self.model)
        useful = min(min_tokens, max_tokens)
        return Call(self, self._price(model), named, size, max_tokens, useful)

    def charge(self, *, tokens: int = 0, usd: Decimal | str | int = 0, calls: int = 1) -> None:
        """Book what a tool costs, before it is used."""
        _not_on_a_loop("await meter.acharge(...)")
        self._book_flat(tokens, usd, calls)

    async def acharge(
        self, *, tokens: int = 0, usd: Decimal | str | int = 0, calls: int = 1
    ) -> None:
        """Book what a tool costs, before it is used, while other agents go on."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._book_flat, tokens, usd, calls)

    def priced_as(self, model: str) -> str | None:
        """Say by whose name a call to this model is booked; None for what the agent declares.

        An agent that declares a cheap model and calls a dear one would book too little, so the
        dearer of the two is booked wherever the call's own model has a known price.
        """
        if self.price is None:
            return model
        try:
            return None if self.price.covers(price_of(model)) else model
        except PriceUnknown:
            return None

    # --- for the runtime -------------------------------------------------------------------------

    def revoke(self) -> None:
        """Refuse every call from now on: the subtask is no longer ours."""
        with self._lock:
            self._revoked = True

    def usage(self) -> Usage:
        """Return what is booked: ended calls at their real cost, all others at their worst."""
        with self._lock:
            spent = self._booked
        return Usage(
            tokens=min(spent.tokens, AMOUNT_CEILING),
            usd_micros=min(spent.usd_micros, AMOUNT_CEILING),
            calls=min(spent.calls, AMOUNT_CEILING),
        )

    def settlements(self) -> list[Settled]:
        """Return what no charge has carried to the server yet."""
        with self._lock:
            return list(self._pending)

    # --- one charge ------------------------------------------------------------------------------

    def _price(self, model: Price | str | None) -> Price | None:
        """Return the price of a model; unknown is refused where dollars are bounded."""
        if isinstance(model, Price):
            return model
        bounded = self._allowance.usd_micros is not None
        if model is None:
            if self.price is None and bounded:
                raise PriceUnknown(
                    "there is a usd ceiling, and the call names no model while its agent declares "
                    "no price: say meter.call(model=...), or @agent(..., price=...)"
                )
            return self.price
        try:
            return price_of(model)
        except PriceUnknown:
            if bounded:
                raise
            return None

    def _book_flat(self, tokens: int, usd: Decimal | str | int, calls: int) -> None:
        amounts = Amounts(tokens, micros(usd), calls)
        _check_amounts(tokens=amounts.tokens, usd=amounts.usd_micros, calls=calls)
        op = self._book(lambda _: amounts, "")
        self._settle(op, amounts, amounts)

    def _book(self, worst_in: Callable[[Limits], Amounts], model: str) -> str:
        """Charge what `worst_in` makes of what is left; return the charge's operation id."""
        with self._lock:
            self._refuse_if_over()
            left = self._allowance.less(self._booked)
            worst = worst_in(left)
            if not worst.within(left):
                raise BudgetExhausted(_too_much(worst, left))
            self._booked += worst
            self._ops += 1
            # All that made room for this charge goes with it, for another may overtake it; to
            # settle a call twice is to settle it once.
            op, settled = str(self._ops), list(self._pending)
        self._deliver(op, worst, settled, model)
        return op

    def _refuse_if_over(self) -> None:
        if self._revoked:
            raise Revoked("the subtask was taken away from this worker")
        if self._now() >= self._over_at:
            raise Late("the subtask's time is over")

    def _deliver(self, op: str, worst: Amounts, settled: list[Settled], model: str) -> None:
        """Let the server book it too. If it cannot be reached the worst case stays booked here."""
        answer = self._books.charge(op, worst, settled, model)
        with self._lock:
            if answer != "revoked":
                self._pending = [each for each in self._pending if each not in settled]
            if answer != "ok":
                self._booked -= worst
        if answer == "exhausted":
            raise BudgetExhausted(f"the server's books hold no room for {_text(worst)}")
        if answer == "late":
            raise Late("the subtask's time is over, by the server's clock")
        if answer == "revoked":
            self.revoke()
            raise Revoked("the subtask was taken away from this worker")

    def _settle(self, op: str, worst: Amounts, real: Amounts) -> None:
        with self._lock:
            self._booked += real - worst
            self._pending.append((op, real))


class Call:
    """One call to a model: booked when its block is entered, settled when it is left."""

    def __init__(  # noqa: PLR0917 -- made by Meter.call only
        self,
        meter: Meter,
        price: Price | None,
        model: str,
        input_tokens: int,
        wanted: int,
        useful: int,
    ) -> None:
        self.max_tokens = wanted
        """What the model may answer with at most, once the block is entered."""
        self._meter = meter
        self._price = price
        self._model = model
        self._input = input_tokens
        self._useful = useful
        self._op = ""
        self._worst = Amounts()
        self._real: Amounts | None = None
        self._asking: Asking = UNTOLD_CALL

    def say(self, attributes: Mapping[str, Any]) -> None:
        """Tell OpenTelemetry more of the call, in its own names; never what was asked."""
        self._asking.say(attributes)

    def used(
        self,
        input_tokens: int,
        output_tokens: int,
        *,
        written_tokens: int = 0,
        usd: Decimal | str | None = None,
    ) -> None:
        """Say what the call really used, and what it was billed where the provider says so.

        `written_tokens` of the input were written to a cache, which some providers charge more for.
        """
        _check_amounts(
            input_tokens=input_tokens, output_tokens=output_tokens, written_tokens=written_tokens
        )
        if usd is not None:
            cost = micros(usd)
        else:
            sizes = input_tokens, output_tokens, written_tokens
            cost = self._price.exact(*sizes) if self._price else 0
        self._real = Amounts(input_tokens + output_tokens, cost, 1)
        self._asking.used(input_tokens, output_tokens)

    def __enter__(self) -> Self:
        _not_on_a_loop("async with meter.call(...)")
        self._open()
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._close(error)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._meter._executor, self._open)  # noqa: SLF001 - one module
        return self

    async def __aexit__(
        self,
        error: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._close(error)

    def _open(self) -> None:
        self._op = self._meter._book(self._clamped, self._model)  # noqa: SLF001 - its own half
        self._asking = self._meter.invocation.asking(self._model, self.max_tokens)

    def _clamped(self, left: Limits) -> Amounts:
        """Return the worst case of what fits into what is left."""
        self.max_tokens = self._affordable(left)
        if self.max_tokens < self._useful:
            raise BudgetExhausted(
                f"the prompt may take {counted(self._input, 'token')}, and the answer needs "
                f"{self._useful} at least; left: {left}"
            )
        cost = self._price.worst(self._input, self.max_tokens) if self._price else 0
        self._worst = Amounts(self._input + self.max_tokens, cost, 1)
        return self._worst

    def _affordable(self, left: Limits) -> int:
        most = self.max_tokens
        if left.tokens is not None:
            most = min(most, left.tokens - self._input)
        if left.usd_micros is not None and self._price is not None:
            bought = self._price.output_tokens_for(left.usd_micros, self._input)
            most = most if bought is None else min(most, bought)
        return most

    def _close(self, error: type[BaseException] | None) -> None:
        self._asking.over(error)
        if self._real is not None:
            self._meter._settle(self._op, self._worst, self._real)  # noqa: SLF001 - as above


def _input_bound(
    prompt: str | bytes | None, prompt_bytes: int | None, input_tokens: int | None
) -> int:
    """Return what the input's tokens cannot exceed: no token is shorter than a byte."""
    given = [size for size in (prompt_bytes, input_tokens) if size is not None]
    if prompt is not None:
        given.append(len(prompt) if isinstance(prompt, bytes) else len(prompt.encode()))
    if len(given) != 1:
        raise TypeError("say how large the input is, by one of: prompt, prompt_bytes, input_tokens")
    _check_amounts(input_tokens=given[0])
    return given[0]


def _check_amounts(**amounts: int) -> None:
    """Refuse what is no amount: a NaN passes every comparison that would stop it."""
    for name, amount in amounts.items():
        if type(amount) is not int or not 0 <= amount <= AMOUNT_CEILING:
            raise ValueError(f"{name} must be a whole number from 0 to {AMOUNT_CEILING}")


def _not_on_a_loop(instead: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(f"this would hold up every agent of the process; in async code: {instead}")


def _too_much(worst: Amounts, left: Limits) -> str:
    return f"{_text(worst)} could be needed; left: {left}"


def _text(amounts: Amounts) -> str:
    return str(Limits(amounts.tokens, amounts.usd_micros, amounts.calls))
