"""One run's meter, where its framework's calls come past it.

    async with tap.acall(model="openai:gpt-5-mini", prompt_bytes=n, max_tokens=800) as call: ...

The same as `ctx.meter.call`, and two things more. The price is the one that was declared for the
agent or, where none was, that of the model which is called. And the first refusal is remembered:
frameworks wrap the exceptions that pass through them, or make an error of their own of them, but
the owner must hear that the budget was the reason.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from workers.meter import Call, Meter, Refusal
from workers.prices import PriceUnknown


class Tap:
    """What a framework's calls pass on their way out."""

    def __init__(self, meter: Meter, max_tokens: int) -> None:
        self.meter = meter
        self.max_tokens = max_tokens
        """The longest answer of a call that names no bound of its own."""
        self._refused: Refusal | PriceUnknown | None = None

    @asynccontextmanager
    async def acall(
        self, *, model: str, prompt_bytes: int, max_tokens: int | None
    ) -> AsyncIterator[Call]:
        """Open a call, on a loop."""
        with self.watched():
            async with self._opened(model, prompt_bytes, max_tokens) as call:
                yield call

    def call(
        self, *, model: str, prompt_bytes: int, max_tokens: int | None, min_tokens: int = 1
    ) -> Call:
        """Open a call, on a thread; enter it under `watched`."""
        return self._opened(model, prompt_bytes, max_tokens, min_tokens)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Remember the first refusal that passes."""
        try:
            yield
        except (Refusal, PriceUnknown) as refusal:
            self._refused = self._refused or refusal
            raise

    def raise_refusal(self, error: Exception) -> None:
        """Say in the place of an error that a call was refused before it, if one was."""
        if self._refused is not None and self._refused is not error:
            raise self._refused from error

    def _opened(
        self, model: str, prompt_bytes: int, max_tokens: int | None, min_tokens: int = 1
    ) -> Call:
        return self.meter.call(
            prompt_bytes=prompt_bytes,
            max_tokens=self.max_tokens if max_tokens is None else max_tokens,
            min_tokens=min_tokens,
            model=self.meter.priced_as(model),
            booked_as=model,
        )
