"""What a model answered, read from whatever a server sent.

A whole answer and a stream are read by the same Draft: a stream is many small replies, a whole
answer is one. Servers differ, so what is not needed is ignored and what is needed is checked.

What a server says it used is believed only where it can be true: whole numbers, some input, some
output where something was said, and final (a count in the middle of a stream is not). Servers that
leave reasoning out of `completion_tokens` (xAI, Gemini) show it in `total_tokens` or in the
details; the larger figure is taken. Anything else counts as nothing said.
"""

import json
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Any

from genai_prices import Usage as Counted
from genai_prices import calc_price
from pydantic import BaseModel, Field, ValidationError

from envelopes.limits import AMOUNT_CEILING, MICROS_PER_USD
from workers.llm.errors import BadAnswer


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call used, as the server said."""

    input: int
    output: int
    """With reasoning."""
    cached: int = 0
    """Of the input, read from a cache: cheaper."""
    written: int = 0
    """Of the input, written to a cache: sometimes dearer."""

    def usd(self, model: str) -> Decimal:
        """Return what they cost with caching, in whole micro-dollars rounded up."""
        provider, _, name = model.rpartition(":")
        counted = Counted(
            input_tokens=self.input,
            cache_read_tokens=self.cached,
            cache_write_tokens=self.written,
            output_tokens=self.output,
        )
        total = calc_price(counted, name, provider_id=provider or None).total_price
        return total.quantize(Decimal(1) / MICROS_PER_USD, ROUND_CEILING)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool called."""

    id: str
    name: str
    arguments: str
    """JSON, as the model wrote it: it may be wrong."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered."""

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    """"stop", "length" where it was cut off, "tool_calls", "content_filter"."""
    usage: Tokens | None = None
    """None where the server did not say: then the call stays booked at its worst case."""
    refusal: str | None = None
    """Why the model will not answer, where it said so."""
    model: str | None = None
    """Which model answered, as the server calls it."""
    id: str | None = None

    @property
    def message(self) -> dict[str, Any]:
        """Return it as a message, to go on with the conversation."""
        said: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            said["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        return said


# --- as servers write it -------------------------------------------------------------------------


class _Function(BaseModel):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _ToolCall(BaseModel):
    index: int | None = None
    id: str | None = None
    function: _Function = _Function()


class _Part(BaseModel):
    text: str | None = None


class _Said(BaseModel):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


class _Choice(BaseModel):
    index: int = 0
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class Reply(BaseModel):
    """A whole answer, or one event of a stream."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_Count = Field(default=0, ge=0, le=AMOUNT_CEILING)


class _InputDetails(BaseModel):
    cached_tokens: int | None = _Count
    cache_write_tokens: int | None = _Count


class _OutputDetails(BaseModel):
    reasoning_tokens: int | None = _Count


class _Usage(BaseModel, strict=True):
    prompt_tokens: int = Field(ge=1, le=AMOUNT_CEILING)
    completion_tokens: int = Field(ge=0, le=AMOUNT_CEILING)
    total_tokens: int | None = _Count
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None

    def tokens(self) -> Tokens:
        into = self.prompt_tokens_details or _InputDetails()
        cached = min(into.cached_tokens or 0, self.prompt_tokens)
        written = min(into.cache_write_tokens or 0, self.prompt_tokens - cached)
        return Tokens(self.prompt_tokens, self._output(), cached, written)

    def _output(self) -> int:
        """Return all output; reasoning larger than the output it is part of is not part of it."""
        reasoning = (self.completion_tokens_details or _OutputDetails()).reasoning_tokens or 0
        beside = reasoning if reasoning > self.completion_tokens else 0
        rest = (self.total_tokens or 0) - self.prompt_tokens
        return max(self.completion_tokens + beside, rest)


# --- from what came ------------------------------------------------------------------------------


@dataclass(slots=True)
class _OpenCall:
    """A tool call whose arguments are still coming in."""

    index: int | None
    id: str
    name: str
    arguments: str = ""


@dataclass(slots=True)
class Draft:
    """An answer that is still coming in."""

    streamed: bool
    text: str = ""
    refusal: str | None = None
    finish_reason: str | None = None
    model: str | None = None
    id: str | None = None
    _calls: list[_OpenCall] = field(default_factory=list)
    _usage: Any = None
    _begun: bool = False

    def add(self, raw: bytes) -> str:
        """Take in what a server sent; return the text that is new."""
        reply = _read(raw)
        self.id, self.model = self.id or reply.id, self.model or reply.model
        new = "".join(self._say(choice) for choice in reply.choices or () if choice.index == 0)
        if reply.usage is not None and (self.finish_reason is not None or not self.streamed):
            self._usage = reply.usage
        return new

    def usage(self) -> Tokens | None:
        """Return what the call used, if the server has said so and it can be true."""
        try:
            tokens = _Usage.model_validate(self._usage).tokens()
        except ValidationError:
            return None
        said = bool(self.text or self.refusal or self._calls)
        possible = tokens.output > 0 or not said
        return tokens if possible and tokens.input + tokens.output <= AMOUNT_CEILING else None

    def answer(self) -> Answer:
        """Return the whole answer; BadAnswer where there is none."""
        if not self._begun:
            raise BadAnswer("the server's answer holds no choice")
        if self.streamed and self.finish_reason is None:
            raise BadAnswer("the stream ended before the answer did")
        calls = tuple(ToolCall(each.id, each.name, each.arguments) for each in self._calls)
        return Answer(
            self.text,
            calls,
            self.finish_reason,
            self.usage(),
            self.refusal,
            self.model,
            self.id,
        )

    def _say(self, choice: _Choice) -> str:
        self._begun = True
        self.finish_reason = choice.finish_reason or self.finish_reason
        said = choice.message or choice.delta or _Said()
        if said.refusal:
            self.refusal = (self.refusal or "") + said.refusal
        for call in said.tool_calls or ():
            self._call(call)
        new = said.text()
        self.text += new
        return new

    def _call(self, part: _ToolCall) -> None:
        """Begin a tool call, or lengthen the one that this is a part of."""
        arguments = part.function.arguments or ""
        if isinstance(arguments, dict):
            arguments = json.dumps(arguments)
        known = [c for c in self._calls if part.index is not None and c.index == part.index]
        if not known:
            identity = part.id or f"call_{len(self._calls)}"
            self._calls.append(_OpenCall(part.index, identity, ""))
        call = known[0] if known else self._calls[-1]
        call.name += part.function.name or ""
        call.arguments += arguments


def _read(raw: bytes) -> Reply:
    try:
        reply = Reply.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"])) or "all of it"
        raise BadAnswer(f"the server's answer cannot be read, {at}: {first['msg']}") from None
    if reply.error:
        raise BadAnswer(f"the server broke off: {error_text(reply.error)}")
    return reply


def error_text(error: object) -> str:
    """Return what a server's error object says; it may hold the key, and may be long."""
    return str(error.get("message", error) if isinstance(error, dict) else error)
