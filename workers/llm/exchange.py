"""One request that was sent: reading what comes, and settling what it cost."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from envelopes import limits
from workers.context import Context
from workers.llm.answer import Draft, Tokens
from workers.llm.errors import BadAnswer, ServerAway
from workers.llm.prompt import Prompt
from workers.meter import Call
from workers.prices import Price, PriceUnknown, price_of


@dataclass(slots=True)
class Exchange:
    """One request that was sent, and what has come of it so far."""

    ctx: Context
    call: Call
    prompt: Prompt
    response: httpx.Response
    draft: Draft
    price: Price | str | None
    """What the meter was told besides the agent's own price, if anything."""
    away: Callable[[Exception], ServerAway]
    """Says what httpx said."""
    clean: Callable[[object], str]
    """Takes the key out of a text, and shortens it."""

    async def whole(self) -> None:
        """Read an answer that comes in one piece."""
        self._take(b"".join([part async for part in self._received()]))

    async def events(self) -> AsyncGenerator[str]:
        """Read a stream; yield the text that each of its events adds."""
        async for line in self._lines():
            name, _, value = line.partition(b":")
            if not name or name in (b"event", b"id", b"retry"):
                continue  # a comment, sent to keep the connection up, or nothing that we need
            if name != b"data":
                raise BadAnswer("the server's stream holds a line that is no event")
            if value.strip() == b"[DONE]":
                return
            yield self._take(value)

    def settle(self) -> None:
        """Book what the server said it used; the worst case stays where it said nothing."""
        usage = self.draft.usage()
        if usage is not None:
            self.call.used(usage.input, usage.output, usd=self._usd(usage))
        attributes = self._attributes(usage)
        self.call.say(attributes)
        self.ctx.log.info("a model was asked", extra=attributes)

    def _usd(self, usage: Tokens) -> Decimal | None:
        """Return the price with caching, where the tables know it; else None, for the full one."""
        model = self.price or self.prompt.fields["model"]
        if isinstance(model, Price) or not (usage.cached or usage.written):
            return None
        listed = self.price is not None or _is_price_of(model, self.ctx.meter.price)
        return usage.usd(model) if listed else None

    def _attributes(self, usage: Tokens | None) -> dict[str, Any]:
        """Say it in OpenTelemetry's words."""
        draft, fields = self.draft, self.prompt.fields
        said: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": fields["model"],
            "gen_ai.request.max_tokens": self.call.max_tokens,
            "gen_ai.request.stream": draft.streamed,
            "gen_ai.response.id": draft.id,
            "gen_ai.response.model": draft.model,
            "gen_ai.response.finish_reasons": draft.finish_reason and [draft.finish_reason],
            "gen_ai.usage.input_tokens": usage and usage.input,
            "gen_ai.usage.output_tokens": usage and usage.output,
            "server.address": self.response.request.url.host,
            "http.response.status_code": self.response.status_code,
        }
        return {name: value for name, value in said.items() if value is not None}

    def _take(self, raw: bytes) -> str:
        try:
            return self.draft.add(raw)
        except BadAnswer as error:
            raise BadAnswer(self.clean(error)) from None

    async def _received(self) -> AsyncGenerator[bytes]:
        """Yield what comes, up to a bound."""
        received = 0
        try:
            async for part in self.response.aiter_bytes():
                received += len(part)
                if received > limits.LLM_ANSWER_BYTES_MAX:
                    raise BadAnswer("the server's answer is larger than any answer can be")
                yield part
        except httpx.HTTPError as error:
            raise self.away(error) from None

    async def _lines(self) -> AsyncGenerator[bytes]:
        """Cut at line feeds only: httpx also cuts at characters that JSON text may hold."""
        rest = b""
        async with aclosing(self._received()) as parts:
            async for part in parts:
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    if line := line.rstrip(b"\r"):
                        yield line
                if len(rest) > limits.LLM_LINE_BYTES_MAX:
                    raise BadAnswer("the server's stream holds a line without end")
        if rest := rest.strip():
            yield rest


def _is_price_of(model: str, price: Price | None) -> bool:
    """Say whether this is the model's listed price, and not one that the agent made up."""
    try:
        return price == price_of(model)
    except PriceUnknown:
        return False
