"""Run an agent of the OpenAI Agents SDK as a Buckstop agent.

    from workers.adapters.openai_agents import from_openai_agents

    from_openai_agents("triage", my_agent, confidence=0.8)

Every model of the run is put under the meter: those that are looked up by name, through the run's
`ModelProvider`; and `Model` objects that agents carry themselves, which are put into a `_Switch`
that meters inside our runs and is as if it were not there outside of them. So every request is
charged before it is sent: tool loops, streams, handoffs inside the SDK, agents as tools.
`max_tokens` is clamped to what is left. Usage is settled to what the provider reported; where it
reported none, and where a stream breaks, the worst case stays booked. (A chat stream that is closed
early and without an error looks whole to the SDK: if it had named a usage by then, that counts.)

The run's hidden retries are off, the client's and the runner's: each would be a paid call that
nobody charged. So is the SDK's tracing, which sends prompts to another server.

Refused under a ceiling of tokens or usd: hosted tools (web search, code interpreter, ...), pictures
and files, conversations and prompts that the provider stores, an agent made up on the way that
brings a `Model` of its own, and the settings in bounds.py. Not seen: a run with a `RunConfig` of
its own, such as `Runner.run` inside a tool; make it `agent.as_tool(...)`, or give it the tool's own
`run_config`.
"""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, Final, Unpack

from workers.adapters.bounds import prompt_bytes, refuse, refuse_costly
from workers.adapters.tap import Tap
from workers.adapters.terms import Adapted, Terms, Unfinished, caller, register
from workers.context import Context
from workers.meter import Call, Meter

try:
    from agents import (
        Agent,
        CustomTool,
        FunctionTool,
        Handoff,
        InputGuardrailTripwireTriggered,
        MaxTurnsExceeded,
        Model,
        ModelProvider,
        ModelResponse,
        ModelRetrySettings,
        ModelSettings,
        MultiProvider,
        OutputGuardrailTripwireTriggered,
        RunConfig,
        RunContextWrapper,
        RunHooks,
        Runner,
        RunResult,
    )
    from agents.exceptions import (
        ModelRefusalError,
        ToolInputGuardrailTripwireTriggered,
        ToolOutputGuardrailTripwireTriggered,
    )
    from agents.items import TResponseInputItem, TResponseStreamEvent
    from agents.run_config import DEFAULT_MAX_TURNS
except ImportError as missing:
    raise ImportError(
        f"{missing}: this adapter needs openai-agents; pip install 'buckstop[openai-agents]'"
    ) from missing

_ENDED: Final = (
    MaxTurnsExceeded,
    ModelRefusalError,
    InputGuardrailTripwireTriggered,
    OutputGuardrailTripwireTriggered,
    ToolInputGuardrailTripwireTriggered,
    ToolOutputGuardrailTripwireTriggered,
)
"""What the SDK raises where a run ended by its own rules, without a fault of the agent."""
_TEXT: Final = {
    *(None, "message", "text", "input_text", "output_text", "refusal", "reasoning"),
    *("summary_text", "reasoning_text", "function_call", "function_call_output"),
    *("custom_tool_call", "custom_tool_call_output"),
}
"""Types of items whose bytes bound their tokens."""
_LAST: Final = {"response.completed", "response.incomplete", "response.failed"}
"""Events that end a stream and bring the usage."""

_STORED: Final = ("previous_response_id", "conversation_id", "prompt")
"""What makes the provider read more than it was sent."""
_ASKED: Final = inspect.Signature(
    list(inspect.signature(Model.get_response).parameters.values())[1:]
)

_tap: ContextVar[Tap | None] = ContextVar("buckstop_openai_agents", default=None)


def from_openai_agents(
    name: str,
    existing: Agent[Any],
    *,
    provider: ModelProvider | None = None,
    max_turns: int = DEFAULT_MAX_TURNS,
    **terms: Unpack[Terms],
) -> Callable[..., Awaitable[Any]]:
    """Register an agent of the SDK as the agent of this name, on these terms (terms.py)."""
    models = _Provider(provider or MultiProvider())

    async def run(_: Context, tap: Tap, prompt: Any, deps: Any) -> Any:
        ours: Any = {"run_config": _config(models), "hooks": _Guard(tap.meter)}
        with _tapped(existing, tap):
            return _finished(
                await Runner.run(existing, prompt, context=deps, max_turns=max_turns, **ours)
            )

    return register(Adapted(name=name, run=run, **terms), caller())


def _finished(done: RunResult) -> Any:
    if done.interruptions:
        raise Unfinished("it waits for a tool call to be approved, and nobody is there")
    return done.final_output


def _config(models: ModelProvider) -> RunConfig:
    return RunConfig(
        model_provider=models,
        tracing_disabled=True,
        # Nought here turns off the client's own retries too, and agents as tools inherit it.
        model_settings=ModelSettings(retry=ModelRetrySettings(max_retries=0)),
    )


@contextmanager
def _tapped(existing: Agent[Any], tap: Tap) -> Iterator[None]:
    """Let every model that the run can reach see its meter."""
    for each in _reachable(existing, set()):
        if isinstance(each.model, Model) and not isinstance(each.model, _Switch):
            each.model = _Switch(each.model)
    token = _tap.set(tap)
    try:
        yield
    except _ENDED as error:
        raise Unfinished(f"{type(error).__name__}: {error}") from error
    finally:
        _tap.reset(token)


def _reachable(start: Agent[Any], seen: set[int]) -> Iterator[Agent[Any]]:
    """Return an agent, and all that it hands over to or uses as tools."""
    if id(start) in seen:
        return
    seen.add(id(start))
    yield start
    for step in (*start.handoffs, *start.tools):
        following = _agent_behind(step)
        if following is not None:
            yield from _reachable(following, seen)


def _agent_behind(step: Any) -> Agent[Any] | None:
    if isinstance(step, Agent):
        return step
    if isinstance(step, Handoff):
        step = step._agent_ref() if step._agent_ref else None  # noqa: SLF001 - the SDK has no public way
    else:
        step = getattr(step, "_agent_instance", None)
    return step if isinstance(step, Agent) else None


class _Guard(RunHooks[Any]):
    """Refuses an agent that was made up on the way, and brings a model nobody has wrapped."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def on_llm_start(
        self,
        context: RunContextWrapper[Any],  # noqa: ARG002 - the SDK's signature
        agent: Agent[Any],
        system_prompt: str | None,  # noqa: ARG002 - the SDK's signature
        input_items: list[TResponseInputItem],  # noqa: ARG002 - the SDK's signature
    ) -> None:
        """Look at the agent before its request is made."""
        if isinstance(agent.model, Model) and not isinstance(agent.model, _Switch):
            refuse(
                self._meter,
                f"agent {agent.name}, made during the run with a Model object of its own,",
                "give it the model's name",
            )


class _Provider(ModelProvider):
    """Looks models up as before, and puts each under the meter."""

    def __init__(self, wrapped: ModelProvider) -> None:
        self._wrapped = wrapped

    def get_model(self, model_name: str | None) -> Model:
        """Return the metered model of this name."""
        return _Switch(self._wrapped.get_model(model_name))

    async def aclose(self) -> None:
        await self._wrapped.aclose()


class _Switch(Model):
    """A model whose every request inside our runs is charged before it is sent."""

    def __init__(self, wrapped: Model) -> None:
        self._wrapped = wrapped

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        """Charge, ask, settle."""
        tap = _tap.get()
        if tap is None:
            return await self._wrapped.get_response(*args, **named)
        asked = _asked(args, named)
        async with self._call(tap, asked) as call:
            response = await self._wrapped.get_response(**_clamped(asked, call))
            _settle(call, response.usage)
        return response

    async def stream_response(
        self, *args: Any, **named: Any
    ) -> AsyncGenerator[TResponseStreamEvent]:
        """Charge, stream, and settle when the last event says what it cost."""
        tap = _tap.get()
        if tap is None:
            async for event in self._wrapped.stream_response(*args, **named):
                yield event
            return
        asked = _asked(args, named)
        async with self._call(tap, asked) as call:
            async for event in self._wrapped.stream_response(**_clamped(asked, call)):
                if event.type in _LAST:
                    _settle(call, getattr(event, "response", None))
                yield event

    async def close(self) -> None:
        """Close the model inside."""
        await self._wrapped.close()

    async def _cleanup_on_run_end(self, owner: object) -> None:
        await self._wrapped._cleanup_on_run_end(owner)  # noqa: SLF001 - a part of the SDK's interface

    def _call(self, tap: Tap, asked: dict[str, Any]) -> AbstractAsyncContextManager[Call]:
        """Open the call, unless it is one that nothing bounds."""
        settings: ModelSettings = asked["model_settings"]
        _refuse_unbounded(tap.meter, asked, settings)
        _refuse_files(tap.meter, asked["input"])
        return tap.acall(
            model=str(getattr(self._wrapped, "model", None) or "a nameless model"),
            prompt_bytes=_bound(asked, settings),
            max_tokens=settings.max_tokens,
        )


def _asked(args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Return what a model is asked, by the names of the SDK's interface."""
    return dict(_ASKED.bind(*args, **named).arguments)


def _clamped(asked: dict[str, Any], call: Call) -> dict[str, Any]:
    """Return the same request with the answer it can afford; a stream shall say what it cost."""
    settings = replace(asked["model_settings"], max_tokens=call.max_tokens, include_usage=True)
    return {**asked, "model_settings": settings}


def _settle(call: Call, said: Any) -> None:
    """Put real figures in the place of the worst case, where the provider gave them."""
    usage = getattr(said, "usage", said)
    if usage is not None and usage.input_tokens:
        call.used(usage.input_tokens, usage.output_tokens)


def _bound(asked: dict[str, Any], settings: ModelSettings) -> int:
    """Return what the tokens of the whole prompt cannot exceed."""
    tools = [_shown(tool) for tool in asked["tools"]]
    handoffs = [(h.tool_name, h.tool_description, h.input_json_schema) for h in asked["handoffs"]]
    schema = asked["output_schema"]
    return prompt_bytes(
        asked["system_instructions"],
        asked["input"],
        tools,
        handoffs,
        None if schema is None or schema.is_plain_text() else schema.json_schema(),
        settings.to_json_dict(),
        tools=bool(tools or handoffs),
    )


def _shown(tool: Any) -> Any:
    """Return what a model is told of a tool; the code behind it is nobody's business."""
    if isinstance(tool, FunctionTool):
        return tool.name, tool.description, tool.params_json_schema
    return tool.name, getattr(tool, "description", None), getattr(tool, "format", None)


def _refuse_unbounded(meter: Meter, asked: dict[str, Any], settings: ModelSettings) -> None:
    """Refuse a request that its text and `max_tokens` do not bound."""
    for tool in asked["tools"]:
        if not isinstance(tool, FunctionTool | CustomTool):
            refuse(meter, f"the hosted tool {tool.name}", "use a function tool")
    for name in _STORED:
        if asked.get(name) is not None:
            refuse(meter, f"what the provider stores ({name})", "send the conversation itself")
    extra = settings.extra_body
    refuse_costly(meter, extra if isinstance(extra, Mapping) else None)
    refuse_costly(meter, settings.extra_args)
    refuse_costly(meter, {"context_management": settings.context_management})


def _refuse_files(meter: Meter, conversation: str | list[Any]) -> None:
    """Refuse what costs more than its bytes say, wherever it stands in a conversation."""
    for item in [] if isinstance(conversation, str) else conversation:
        inner = [item.get("content"), item.get("output")]
        parts = [part for each in inner if isinstance(each, list) for part in each]
        for part in (item, *parts):
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind not in _TEXT:
                refuse(meter, f"a conversation with an item of type {kind}", "send text")
