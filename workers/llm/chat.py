"""Ask a model, under the subtask's meter.

    chat = Chat("gpt-5-mini")

    @agent("write", price="openai:gpt-5-mini")
    async def write(ctx: Context, goal: str) -> Envelope:
        answer = await chat.ask(ctx, goal, max_tokens=800)
        return Envelope.success({"text": answer.text}, confidence=0.8)

`ask` returns an answer, `stream` gives it piece by piece, `parse` returns a pydantic model, `run`
lets the model call Python functions. All of them talk to an OpenAI-compatible server, and every
request, a repeated one too, is booked before it is sent (server.py). `chat.blocking` is the same
for plain functions.

Whose price is booked: `Chat(price=...)`, a name or a Price; else the one that the agent declares,
unless the tables list a higher one for the model that is called: then that. So an agent that talks
to two models is not booked at the cheaper one's price, and one that pays less than the tables say,
since it runs the model itself, says so here.

The dimension `calls` counts requests: one that was refused, or never arrived, is one as well.

Extra parameters (temperature, seed, response_format, ...) are passed on as they are; those that
would make the cost unbounded are refused (prompt.py).
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from envelopes import limits
from envelopes.counted import counted
from workers.context import Context
from workers.llm.answer import Answer
from workers.llm.errors import BadAnswer, ServerAway
from workers.llm.exchange import Exchange
from workers.llm.patience import Patience
from workers.llm.prompt import LimitField, Messages, Prompt, listed, prompt
from workers.llm.server import Server
from workers.llm.stream import Pieces
from workers.llm.tools import Toolbox, described
from workers.prices import Price

if TYPE_CHECKING:
    from workers.llm.blocking import BlockingChat

_OPENAI: Final = "https://api.openai.com/v1"
Shape = TypeVar("Shape", bound=BaseModel)


class Chat:
    """A model on a server; made once, at the top of a module, and shared by all its agents.

    It holds no connection until it is used, and then one pool for each event loop of each process,
    so that a worker may fork after it was made.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        price: Price | str | None = None,
        limit_field: LimitField | None = None,
        timeout_s: float = limits.LLM_TIMEOUT_DEFAULT_S,
        patience: Patience | None = None,
    ) -> None:
        """Name a model; the server is OPENAI_BASE_URL's, the key OPENAI_API_KEY's, unless given."""
        self.model = model
        self._server = Server(
            base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI,
            api_key if api_key is not None else os.environ.get("OPENAI_API_KEY"),
            timeout_s,
        )
        self._price = price
        self._limit_field = limit_field or self._server.limit_field
        self._patience = patience or Patience()

    def __repr__(self) -> str:
        return f"Chat({self.model!r}, {self._server!r})"

    @property
    def blocking(self) -> "BlockingChat":
        """Return the same for agents that are plain functions."""
        from workers.llm.blocking import BlockingChat  # noqa: PLC0415 - it is built on this module

        return BlockingChat(self)

    async def aclose(self) -> None:
        """Close this event loop's connections; the next question opens new ones."""
        await self._server.aclose()

    # --- questions -------------------------------------------------------------------------------

    async def ask(self, ctx: Context, messages: Messages, **more: Any) -> Answer:
        """Return the model's answer.

        `max_tokens` is the longest answer, and is clamped to what is left; with less than
        `least_tokens` left nothing is sent. `tools`, functions or JSON, are offered; to
        call them is the caller's business (or `run`'s). `media_tokens` says how many
        tokens pictures and sound in the messages are at most.
        """
        async with self._exchange(ctx, self._prompt(messages, **more)) as exchange:
            await exchange.whole()
            return exchange.draft.answer()

    @asynccontextmanager
    async def stream(self, ctx: Context, messages: Messages, **more: Any) -> AsyncIterator[Pieces]:
        """Give the answer piece by piece; what is sent is repeated only until the first arrives.

        Takes what `ask` takes.
        """
        asked = self._prompt(
            messages, fixed={"stream": True, "stream_options": {"include_usage": True}}, **more
        )
        async with (
            self._exchange(ctx, asked) as exchange,
            aclosing(exchange.events()) as texts,
        ):
            yield Pieces(texts, exchange.draft)

    async def run(
        self,
        ctx: Context,
        messages: Messages,
        *,
        tools: Sequence[Callable[..., Any]],
        rounds_max: int = limits.LLM_ROUNDS_DEFAULT,
        **more: Any,
    ) -> Answer:
        """Let the model call these functions until it answers in words.

        At most `rounds_max` answers are asked for, each charged; in the last no tool may be called.
        """
        toolbox, talk = Toolbox.of(tools), listed(messages)
        for left in reversed(range(rounds_max)):
            choice = more if left else {**more, "tool_choice": "none"}
            answer = await self.ask(ctx, talk, tools=tools, **choice)
            if not answer.tool_calls:
                return answer
            if left:
                talk += [answer.message, *(await toolbox.results(ctx, answer.tool_calls))]
        raise BadAnswer(f"the model still calls tools after {counted(rounds_max, 'round')}")

    async def parse(
        self,
        ctx: Context,
        shape: type[Shape],
        messages: Messages,
        *,
        repair: bool = True,
        **more: Any,
    ) -> Shape:
        """Return the answer as a pydantic model.

        An answer that does not fit is shown to the model once, with what is wrong, and asked for
        again; that is charged like any other. `repair=False` does without.
        """
        talk, form = listed(messages), _response_format(shape)
        answer = await self.ask(ctx, talk, response_format=form, **more)
        try:
            return _read(shape, answer)
        except _Misshapen as error:
            if not repair:
                raise
            talk += [answer.message, {"role": "user", "content": f"{error}. Answer again."}]
        return _read(shape, await self.ask(ctx, talk, response_format=form, **more))

    # --- one question ----------------------------------------------------------------------------

    def _prompt(
        self,
        messages: Messages,
        *,
        max_tokens: int = limits.LLM_TOKENS_DEFAULT,
        least_tokens: int = 1,
        media_tokens: int | None = None,
        tools: Sequence[Callable[..., Any] | Mapping[str, Any]] = (),
        fixed: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> Prompt:
        fields = {"model": self.model, "messages": listed(messages), **(fixed or {})}
        return prompt(
            fields | ({"tools": [described(each) for each in tools]} if tools else {}),
            parameters,
            limit_field=self._limit_field,
            max_tokens=max_tokens,
            least_tokens=least_tokens,
            media_tokens=media_tokens,
        )

    @asynccontextmanager
    async def _exchange(self, ctx: Context, asked: Prompt) -> AsyncIterator[Exchange]:
        """Send a request until the server takes it; each attempt is booked by itself."""
        async with AsyncExitStack() as stack:
            yield await self._opened(stack, ctx, asked)

    async def _opened(self, stack: AsyncExitStack, ctx: Context, asked: Prompt) -> Exchange:
        price = self._price or ctx.meter.priced_as(self.model)
        number = 1
        while True:
            try:
                return await stack.enter_async_context(self._server.attempt(ctx, asked, price))
            except ServerAway as away:
                await self._patience.rest(ctx, number, away)
            number += 1


class _Misshapen(BadAnswer):
    """The answer does not fit, and the model could mend it."""


def _response_format(shape: type[BaseModel]) -> dict[str, Any]:
    schema = {"name": shape.__name__, "schema": shape.model_json_schema()}
    return {"type": "json_schema", "json_schema": schema}


def _read(shape: type[Shape], answer: Answer) -> Shape:
    if answer.refusal or answer.finish_reason == "content_filter":
        raise BadAnswer(f"the model refused: {answer.refusal or 'its content filter'}")
    if answer.finish_reason == "length":
        raise BadAnswer("the answer was cut off: max_tokens, or what was left, is too little")
    try:
        return shape.model_validate_json(_unfenced(answer.text))
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'all'}: {e['msg']}" for e in wrong)
        raise _Misshapen(f"the answer is no {shape.__name__}: {said}") from None


def _unfenced(text: str) -> str:
    """Take away the Markdown fence that some models put around JSON."""
    text = text.strip()
    if text.startswith("```") and text.endswith("```"):
        return text.strip("`").removeprefix("json")
    return text
