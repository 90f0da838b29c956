"""Run a compiled LangGraph graph as a Buckstop agent.

    from workers.adapters.langgraph import from_langgraph

    from_langgraph("research", builder.compile(), confidence=0.8)

A graph's nodes call LangChain models where and how they like. Every one of those calls, sync or
async, single, in a batch or as a stream, goes through LangChain's callbacks; so a handler of ours
is hooked into whatever callbacks are configured within the run. It charges when a model is about to
be called, and raises where the call must not be made; it settles to what the provider reported.
Where it reported none, and where a call fails, the worst case stays booked. (A stream that is
closed early and without an error looks whole to LangChain: if it had named a usage by then, that
counts.)

A callback sees a call and can stop it, but cannot change it. So the answer cannot be clamped: a
model must name its own `max_tokens`, and a call is refused where that much is not left.

Refused under a ceiling of tokens or usd: a model without `max_tokens`, one whose client retries by
itself (each hidden retry is a paid call that nobody charged; say `max_retries=0`, and
`.with_retry()` or a node's RetryPolicy, which pass the meter each time), tools that the provider
runs, pictures and files, and the settings in bounds.py. Not seen: embeddings, a provider's client
that a node uses without LangChain, and a thread that a node starts by itself; charge those in the
node (`deps=lambda ctx: ctx` makes the Context the run's `runtime.context`). A graph that runs on
another server is not taken.

By default the graph gets the payload as one user message, and its answer is `structured_response`
where its state has one, else the text of the last message, else the state.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Unpack
from uuid import UUID

from workers.adapters.bounds import prompt_bytes, refuse, refuse_costly
from workers.adapters.tap import Tap
from workers.adapters.terms import Adapted, Terms, Unfinished, as_text, caller, register
from workers.context import Context
from workers.meter import Call, Meter

try:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import BaseLanguageModel
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult
    from langchain_core.tracers.context import register_configure_hook
    from langgraph.errors import GraphRecursionError
    from langgraph.pregel import Pregel
except ImportError as missing:
    raise ImportError(
        f"{missing}: this adapter needs LangGraph; pip install 'buckstop[langgraph]'"
    ) from missing

_LONGEST: Final = (
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens"),
    *("max_tokens_to_sample", "max_new_tokens", "num_predict"),
)
"""What providers call the longest answer."""
_OURS: Final = (*_LONGEST, "model", "tools")
"""Settings that are looked at by themselves."""
_TEXT: Final = {
    *("text", "text-plain", "thinking", "redacted_thinking", "reasoning", "refusal"),
    *("tool_use", "tool_call", "tool_result", "function_call", "input_json_delta"),
}
"""Types of content blocks whose bytes bound their tokens."""


def from_langgraph(
    name: str,
    existing: "Pregel[Any, Any, Any, Any]",
    *,
    recursion_limit: int | None = None,
    **terms: Unpack[Terms],
) -> Callable[..., Awaitable[Any]]:
    """Register a compiled graph as the agent of this name, on these terms (terms.py)."""
    if not isinstance(existing, Pregel):
        raise TypeError(
            f"{type(existing).__name__} cannot be metered: from_langgraph takes a graph that was "
            "compiled in this process"
        )

    more = {} if recursion_limit is None else {"recursion_limit": recursion_limit}

    async def run(ctx: Context, tap: Tap, prompt: Any, deps: Any) -> Any:
        # A graph with a checkpointer needs to know whose memory it is.
        config: Any = {"configurable": {"thread_id": ctx.subtask}, **more}
        with _hooked(tap):
            return _finished(await existing.ainvoke(prompt, config, context=deps))

    shaped: Terms = {"prompt": _as_messages, "result": _answer, **terms}
    return register(Adapted(name=name, run=run, **shaped), caller())


@contextmanager
def _hooked(tap: Tap) -> Iterator[None]:
    """Let every model that is called within see its meter."""
    token = _handler.set(_Metering(tap))
    try:
        yield
    except GraphRecursionError as error:
        raise Unfinished(str(error)) from error
    finally:
        _handler.reset(token)


def _finished(state: Any) -> Any:
    if isinstance(state, dict) and "__interrupt__" in state:
        raise Unfinished("it was interrupted to ask a person, and nobody is there")
    return state


class _Metering(BaseCallbackHandler):
    """Charges when a model is about to be called, and settles when it has answered."""

    raise_error = True
    """Without it LangChain would log a refusal, and make the call."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._open: dict[UUID, Call] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        **kwargs: Any,
    ) -> None:
        """Charge a call to a chat model."""
        with self._tap.watched():
            _refuse_files(self._tap.meter, (each for batch in messages for each in batch))
            self._charge(run_id, serialized, messages, _settings(kwargs))

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Charge a call to a model that completes text."""
        with self._tap.watched():
            self._charge(run_id, serialized, prompts, _settings(kwargs))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Put real figures in the place of the worst case, where the provider gave them."""
        call = self._open.pop(run_id, None)
        if call is None:
            return
        usage = _usage(response)
        if usage is not None:
            into, out, written = usage
            call.used(into, out, written_tokens=written)
        call.__exit__(None, None, None)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Leave the worst case booked: nobody knows what a failed call cost."""
        call = self._open.pop(run_id, None)
        if call is not None:
            call.__exit__(type(error), error, None)

    def _charge(
        self, run_id: UUID, model: dict[str, Any], sent: Sequence[Any], settings: dict[str, Any]
    ) -> None:
        _refuse_on_a_loop()
        _refuse_unbounded(self._tap.meter, model, settings)
        longest = _longest(settings)
        call = self._tap.call(
            model=str(settings.get("model") or settings.get("model_name") or "a nameless model"),
            prompt_bytes=prompt_bytes(sent, settings, tools=bool(settings.get("tools"))),
            max_tokens=longest,
            min_tokens=longest or 1,
        )
        self._open[run_id] = call.__enter__()


_handler: ContextVar[_Metering | None] = ContextVar("buckstop_langgraph", default=None)
register_configure_hook(_handler, inheritable=True)


def _as_messages(goal: str | None, given: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"messages": [("user", as_text(goal, given, inputs))]}


def _answer(state: Any) -> Any:
    """Return what a graph of messages is asked for: its structured answer, or its last words."""
    if not isinstance(state, dict):
        return state
    if state.get("structured_response") is not None:
        return state["structured_response"]
    messages = state.get("messages")
    if messages and isinstance(messages[-1], BaseMessage):
        return str(messages[-1].text)
    return state


def _usage(response: LLMResult) -> tuple[int, int, int] | None:
    """Return input and output tokens, as the message says or the provider's raw answer."""
    for generation in (each for batch in response.generations for each in batch):
        said = getattr(getattr(generation, "message", None), "usage_metadata", None)
        if said and said.get("input_tokens"):
            written = (said.get("input_token_details") or {}).get("cache_creation") or 0
            return said["input_tokens"], said["output_tokens"], written
    raw = (response.llm_output or {}).get("token_usage") or {}
    if raw.get("prompt_tokens"):
        return raw["prompt_tokens"], raw.get("completion_tokens") or 0, 0
    return None


def _settings(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call's settings: what the model says of itself, and LangChain's own words for it."""
    ours = said.get("metadata") or {}
    known = {"max_tokens": ours.get("ls_max_tokens"), "model": ours.get("ls_model_name")}
    return known | (said.get("invocation_params") or {})


def _longest(settings: Mapping[str, Any]) -> int | None:
    """Return the longest answer a model may give by its own settings."""
    named = [settings.get(name) for name in _LONGEST]
    return max((each for each in named if isinstance(each, int) and each > 0), default=None)


def _refuse_on_a_loop() -> None:
    """Refuse a blocking call in async code: the whole process would wait for the model."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "an async node calls a model with invoke(), which holds up every agent of the process; "
        "say await model.ainvoke(...)"
    )


def _refuse_unbounded(meter: Meter, model: dict[str, Any], settings: dict[str, Any]) -> None:
    """Refuse a call that its text and its longest answer do not bound."""
    name = str((model.get("id") or ["a model"])[-1])
    if _longest(settings) is None:
        refuse(meter, f"{name} without max_tokens", "set max_tokens on the model")
    if _retries(name, model, settings):
        refuse(meter, f"{name}, whose client may retry by itself,", "set max_retries=0 on it")
    for tool in settings.get("tools") or ():
        if not _is_ours(tool):
            refuse(meter, f"the provider's own tool {tool.get('type')}", "use a tool of your own")
    nested = [settings.get(name) for name in ("model_kwargs", "extra_body")]
    for each in ({k: v for k, v in settings.items() if k not in _OURS}, *nested):
        refuse_costly(meter, each if isinstance(each, Mapping) else None)


def _retries(name: str, model: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Say whether a model's client may send one request more than once, for all that is known."""
    shown = {**(model.get("kwargs") or {}), **settings}
    if "max_retries" in shown:
        return bool(shown["max_retries"] != 0)
    fields = [each.model_fields for each in _subclasses(BaseLanguageModel) if each.__name__ == name]
    defaults = [known["max_retries"].default for known in fields if "max_retries" in known]
    if model.get("type") == "constructor":  # what it does not show is as by default
        return any(each != 0 for each in defaults)
    return bool(defaults) and "max_retries=0" not in model.get("repr", "")


def _subclasses(of: type[Any]) -> Iterator[type[Any]]:
    for each in of.__subclasses__():
        yield each
        yield from _subclasses(each)


def _is_ours(tool: Any) -> bool:
    """Say whether a tool is run by the graph: providers' own have a type of their own."""
    return not isinstance(tool, Mapping) or tool.get("type", "function") in ("function", "custom")


def _refuse_files(meter: Meter, messages: Iterable[BaseMessage]) -> None:
    """Refuse what costs more than its bytes say, wherever it stands in a conversation."""
    for message in messages:
        for block in message.content if isinstance(message.content, list) else ():
            kind = block.get("type") if isinstance(block, Mapping) else "text"
            if kind not in _TEXT:
                refuse(meter, f"a conversation with a block of type {kind}", "send text")
