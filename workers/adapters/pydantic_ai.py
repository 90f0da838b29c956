"""Run a pydantic-ai agent as a Buckstop agent.

    from workers.adapters.pydantic_ai import from_pydantic_ai

    from_pydantic_ai("research", my_agent, confidence=lambda output: output.confidence)

For every run a capability of ours is added to the agent's own, outermost of all. The framework asks
it to wrap the model that serves each attempt, whichever that is: the agent's own, one that a hook
chose, a fallback's next. So every request of the run is charged before it is sent: tool loops,
output retries, streams. `max_tokens` is clamped to what is left. Usage is settled to what the
provider reported; where it reported none, and where a stream breaks, the worst case stays booked.

The retries hidden in a provider's client are off (`max_retries`): each would be a paid call that
nobody charged. An HTTP transport that retries by itself cannot be seen; do not use one.

Refused under a ceiling of tokens or usd: native tools (web search, code execution, ...), pictures
and other files, conversations that the provider stores, compaction, batches, and the settings in
bounds.py. Not seen: an agent that a tool runs on its own. Hand `metering(ctx)` to it:

    from_pydantic_ai("research", lead, confidence=0.8, deps=lambda ctx: ctx)

    @lead.tool
    async def look_up(run: RunContext[Context], what: str) -> str:
        return (await helper.run(what, capabilities=[metering(run.deps)])).output
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from typing import Any, Never, Unpack

from envelopes.limits import LLM_TOKENS_DEFAULT
from workers.adapters.bounds import Unmeterable, prompt_bytes, refuse, refuse_costly
from workers.adapters.tap import Tap
from workers.adapters.terms import Adapted, Terms, Unfinished, caller, register
from workers.context import Context
from workers.meter import Call, Meter

try:
    from pydantic_ai import Agent, DeferredToolRequests, RunContext
    from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
    from pydantic_ai.exceptions import ContentFilterError, UsageLimitExceeded
    from pydantic_ai.messages import (
        BaseToolReturnPart,
        CachePoint,
        CompactionPart,
        FilePart,
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelResponse,
        TextContent,
        UserPromptPart,
    )
    from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
    from pydantic_ai.models.fallback import FallbackModel
    from pydantic_ai.models.wrapper import WrapperModel
    from pydantic_ai.settings import ModelSettings, merge_model_settings
    from pydantic_ai.usage import RequestUsage, UsageLimits
except ImportError as missing:
    raise ImportError(
        f"{missing}: this adapter needs pydantic-ai; pip install 'buckstop[pydantic-ai]'"
    ) from missing

_TEXT = (str, TextContent, CachePoint)


def from_pydantic_ai(
    name: str,
    existing: Agent[Any, Any],
    *,
    usage_limits: UsageLimits | None = None,
    **terms: Unpack[Terms],
) -> Callable[..., Awaitable[Any]]:
    """Register a pydantic-ai agent as the agent of this name, on these terms (terms.py)."""

    async def run(_: Context, tap: Tap, prompt: Any, deps: Any) -> Any:
        ours: Any = {"capabilities": [_Metering(tap)], "usage_limits": usage_limits}
        try:
            return _finished((await existing.run(prompt, deps=deps, **ours)).output)
        except (UsageLimitExceeded, ContentFilterError) as error:
            raise Unfinished(f"{type(error).__name__}: {error}") from error

    return register(Adapted(name=name, run=run, **terms), caller())


def _finished(output: Any) -> Any:
    if isinstance(output, DeferredToolRequests):
        raise Unfinished("it waits for tools to be approved or run elsewhere; nobody is there")
    return output


def metering(ctx: Context, max_tokens: int = LLM_TOKENS_DEFAULT) -> AbstractCapability[Any]:
    """Return the capability that puts another agent's run under the meter of this subtask."""
    return _Metering(Tap(ctx.meter, max_tokens))


class _Metering(AbstractCapability[Any]):
    """Wraps whichever model serves a request."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap

    def get_ordering(self) -> CapabilityOrdering:
        """Stand outside of all others: one that sends requests another way would pass us by."""
        return CapabilityOrdering(position="outermost")

    def get_wrapper_model(self, model: Model) -> Model:
        return _metered(model, self._tap)


def _metered(model: Model, tap: Tap) -> Model:
    """Put a model under the meter; of a fallback, each model it may turn to."""
    if isinstance(model, FallbackModel):
        each = copy(model)
        each.models = [_metered(inner, tap) for inner in model.models]
        return each
    return _Metered(model, tap)


class _Metered(WrapperModel):
    """A model whose every request is charged before it is sent."""

    def __init__(self, wrapped: Model, tap: Tap) -> None:
        super().__init__(wrapped)
        self._tap = tap

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        settings = self._merged(model_settings)
        async with self._call(messages, settings, model_request_parameters) as call:
            clamped = _clamped(settings, call)
            response = await self.wrapped.request(messages, clamped, model_request_parameters)
            _settle(call, response.usage)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        settings = self._merged(model_settings)
        async with self._call(messages, settings, model_request_parameters) as call:
            clamped = _clamped(settings, call)
            async with self.wrapped.request_stream(
                messages, clamped, model_request_parameters, run_context
            ) as stream:
                yield stream
            said = stream.get()
            # A connection that is closed in the middle looks complete, and is given a reason to
            # end by the framework; only what the provider itself said of it stands in the details.
            if said.state == "complete" and "finish_reason" in (said.provider_details or {}):
                _settle(call, said.usage)

    async def compact_messages(self, *_: Any, **__: Any) -> Never:
        """Refuse: what goes in and what comes out is the provider's own affair."""
        raise Unmeterable("compaction by the provider cannot be metered, so it is not run")

    async def batch_create(self, *_: Any, **__: Any) -> Never:
        """Refuse: a batch may end, and be billed, after the subtask that started it."""
        raise Unmeterable("a batch of requests cannot be metered, so it is not run")

    def _merged(self, given: ModelSettings | None) -> ModelSettings:
        """Return the model's own settings with the run's over them, as it would itself."""
        return merge_model_settings(self.wrapped.settings, given) or ModelSettings()

    def _call(
        self, messages: list[ModelMessage], settings: ModelSettings, asked: ModelRequestParameters
    ) -> AbstractAsyncContextManager[Call]:
        """Open the call, unless it is one that nothing bounds."""
        _refuse_unbounded(self._tap.meter, self.wrapped, settings, asked)
        _refuse_files(self._tap.meter, messages)
        return self._tap.acall(
            model=f"{self.wrapped.system}:{self.wrapped.model_name}",
            prompt_bytes=prompt_bytes(
                ModelMessagesTypeAdapter.dump_python(messages, mode="json"),
                asked,
                settings,
                tools=bool(asked.function_tools or asked.output_tools),
            ),
            max_tokens=settings.get("max_tokens"),
        )


def _clamped(settings: ModelSettings, call: Call) -> ModelSettings:
    """Return the settings of a request that is charged once, and so is sent once."""
    return ModelSettings(**{**settings, "max_tokens": call.max_tokens, "max_retries": 0})


def _settle(call: Call, usage: RequestUsage) -> None:
    """Put real figures in the place of the worst case, where the provider gave them."""
    if not usage.unmeasured_requests and usage.input_tokens:
        written = usage.cache_write_tokens
        call.used(usage.input_tokens, usage.output_tokens, written_tokens=written)


def _refuse_unbounded(
    meter: Meter, model: Model, settings: ModelSettings, asked: ModelRequestParameters
) -> None:
    """Refuse a request that its text and `max_tokens` do not bound."""
    for tool in asked.native_tools:
        refuse(meter, f"the provider's own tool {tool.kind}", "use a function tool")
    if asked.allow_image_output:
        refuse(meter, "an answer in pictures", "ask for text")
    if _hides_a_fallback(model):
        refuse(meter, "a FallbackModel inside a wrapper", "use the ModelFallback capability")
    refuse_costly(meter, settings, but="max_tokens")
    extra = settings.get("extra_body")
    refuse_costly(meter, extra if isinstance(extra, Mapping) else None)


def _hides_a_fallback(model: Model) -> bool:
    while isinstance(model, WrapperModel):
        model = model.wrapped
    return isinstance(model, FallbackModel)


def _refuse_files(meter: Meter, messages: Sequence[ModelMessage]) -> None:
    """Refuse what costs more than its bytes say, wherever it stands in a conversation."""
    for part in (part for message in messages for part in message.parts):
        if isinstance(part, FilePart | CompactionPart):
            refuse(meter, f"a conversation with a {part.part_kind} part", "start a new one")
        for file in _files(part):
            refuse(meter, f"a prompt with a {type(file).__name__}", "send text")


def _files(part: Any) -> Iterable[Any]:
    """Return what in a part is not text."""
    if isinstance(part, BaseToolReturnPart):
        return part.files
    if isinstance(part, UserPromptPart) and not isinstance(part.content, str):
        return [item for item in part.content if not isinstance(item, _TEXT)]
    return ()
