"""Run any function as a Buckstop agent, for a price that is named beforehand.

    from workers.adapters.function import from_callable

    from_callable("translate", service.translate, confidence=0.9, tokens=20_000, usd="0.02")

Nobody can see what a function calls inside, so its worst case is declared, and booked whole
before it runs: `tokens`, `usd` and `calls`. It stays booked, whatever the function really needed.
A ceiling in a dimension that was not declared cannot be kept, so under one the function is refused:
unknown is not zero. `calls` is 1 unless said otherwise: then a call is a call of the function.

The function takes what `prompt` makes, one argument, and plain or async; a plain one runs on a
thread of its own, so that other agents go on. An agent that charges as it goes needs no adapter:
that is `@agent`, with `ctx.meter`.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Unpack

from workers.adapters.bounds import Unmeterable
from workers.adapters.tap import Tap
from workers.adapters.terms import Adapted, Terms, caller, register
from workers.context import Context
from workers.meter import Meter


def from_callable(
    name: str,
    existing: Callable[[Any], Any],
    *,
    tokens: int | None = None,
    usd: Decimal | str | int | None = None,
    calls: int = 1,
    **terms: Unpack[Terms],
) -> Callable[..., Awaitable[Any]]:
    """Register a function as the agent of this name, at a declared worst case."""
    worst = Declared(name, tokens, usd, calls)

    async def run(ctx: Context, tap: Tap, prompt: Any, _: Any) -> Any:
        await worst.book(ctx.meter, tap)
        return await called(existing, prompt)

    return register(Adapted(name=name, run=run, **terms), caller())


@dataclass(frozen=True, slots=True)
class Declared:
    """The worst case of one run, as whoever takes a function in has declared it."""

    name: str
    tokens: int | None
    usd: Decimal | str | int | None
    calls: int

    async def book(self, meter: Meter, tap: Tap) -> None:
        """Book all of it, or raise: what could overrun, or was not declared, is not run."""
        self._refuse_undeclared(meter)
        with tap.watched():
            await meter.acharge(tokens=self.tokens or 0, usd=self.usd or 0, calls=self.calls)

    def _refuse_undeclared(self, meter: Meter) -> None:
        left = meter.left()
        bounded = {"tokens": (left.tokens, self.tokens), "usd": (left.usd_micros, self.usd)}
        for dimension, (bound, declared) in bounded.items():
            if bound is not None and declared is None:
                raise Unmeterable(
                    f"nobody can see what {self.name} costs inside, and there is a ceiling of "
                    f"{dimension}, so it is not run; where it is taken in, declare its worst "
                    f"case: {dimension}=..."
                )


async def called(existing: Callable[..., Any], *given: Any) -> Any:
    """Call a function, plain or async, without holding up the loop."""
    if inspect.iscoroutinefunction(existing):
        return await existing(*given)
    answer = await asyncio.to_thread(existing, *given)
    return await answer if inspect.isawaitable(answer) else answer
