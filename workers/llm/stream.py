"""An answer as it comes in, piece by piece.

    async with chat.stream(ctx, "Tell me of otters.", max_tokens=800) as pieces:
        async for text in pieces:
            ...
    pieces.answer.tool_calls

Leaving the block closes the connection. Whoever leaves before the end has paid for the whole
answer: no server says what a half one cost.
"""

from collections.abc import AsyncIterator
from typing import Self

from workers.llm.answer import Answer, Draft


class Pieces:
    """The texts of an answer, in order; the answer itself once they have all come."""

    def __init__(self, texts: AsyncIterator[str], draft: Draft) -> None:
        self._texts = texts
        self._draft = draft

    @property
    def answer(self) -> Answer:
        """Return the whole answer; BadAnswer where it has not come to its end."""
        return self._draft.answer()

    @property
    def text(self) -> str:
        """Return what has come so far."""
        return self._draft.text

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        async for text in self._texts:
            if text:
                return text
        self._draft.answer()  # raises where the stream only ended, and not the answer
        raise StopAsyncIteration
