"""Existing agents of real frameworks, run by the real runtime on books that write everything down.

A `Stand` is one framework: an agent with one tool, `look_up`, that talks to the scripted server.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import agents as sdk
import pydantic_ai
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    convert_to_openai_messages,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool as langchain_tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from openai import AsyncOpenAI, OpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from envelopes import Amounts, Envelope, Fault, Headers, Ledger, Limits
from envelopes.envelope import Usage
from tests.openai_server import OpenAIServer
from workers.adapters.langgraph import from_langgraph
from workers.adapters.openai_agents import from_openai_agents
from workers.adapters.pydantic_ai import from_pydantic_ai
from workers.agent import registry
from workers.context import Grant
from workers.loop import Loop
from workers.runtime import Run, outcome

PLENTY = Limits(tokens=100_000, usd_micros=1_000_000, calls=20)
TERMS: dict[str, Any] = {"confidence": 0.9, "max_tokens": 300}


@dataclass
class Books:
    """The server's side of the meter: takes every charge, and remembers it."""

    charges: list[Amounts] = field(default_factory=list)
    settled: dict[str, Amounts] = field(default_factory=dict)

    def charge(self, *claim_and_op: Any) -> str:
        worst, settled, _model = claim_and_op[3:]
        self.charges.append(worst)
        self.settled |= dict(settled)
        return "ok"


@dataclass(frozen=True)
class Came:
    """What came of a run."""

    envelope: Envelope
    books: Books
    run: Run

    @property
    def usage(self) -> Usage:
        assert self.envelope.usage is not None
        return self.envelope.usage

    @property
    def worst(self) -> list[int]:
        """Return how many tokens each call was charged before it was made."""
        return [each.tokens for each in self.books.charges]


LOOP = Loop()


def opened(
    name: str, books: Books, allowance: Limits = PLENTY, *, seconds: float = 60, **payload: Any
) -> Run:
    """Open a subtask for a registered agent."""
    headers = Headers(
        task="t1",
        subtask=1,
        agent=name,
        queue=f"agent.{name}",
        step="s",
        attempt=1,
        hop=1,
        hops_max=12,
        ledger=Ledger(Limits()),
        allowance=allowance,
        issued_ms=1,
        deadline_ms=2,
        timeout_ms=60_000,
        tenant="default",
        nonce="0" * 32,
        body_sha256="0" * 64,
    )
    text = json.dumps({"goal": "What is x?", "input": None, "inputs": {}} | payload)
    grant = Grant(headers, "token", time.monotonic() + seconds)
    return Run.of(registry[name], grant, text, books, LOOP)


def came_of(name: str, allowance: Limits = PLENTY, **payload: Any) -> Came:
    """Run a registered agent, as a worker does."""
    books = Books()
    run = opened(name, books, allowance, **payload)
    envelope = outcome(run)
    assert envelope is not None
    return Came(envelope, books, run)


def named() -> str:
    """Return a name that no other agent has."""
    return f"a{uuid4().hex[:12]}"


# --- one agent for each framework ----------------------------------------------------------------


def look_up(what: str) -> str:
    """Look something up."""
    return f"{what} is 42"


def openai(server: OpenAIServer | str) -> AsyncOpenAI:
    """Return a client as people make it: with hidden retries."""
    url = server if isinstance(server, str) else server.url
    return AsyncOpenAI(base_url=url, api_key="none", max_retries=2)


def pydantic_agent(server: OpenAIServer | str, model: str = "gpt-5-mini", **more: Any) -> Any:
    provider = OpenAIProvider(openai_client=openai(server))
    more = {"tools": [look_up]} | more
    return pydantic_ai.Agent(OpenAIChatModel(model, provider=provider), **more)


def with_pydantic_ai(server: OpenAIServer, model: str = "gpt-5-mini", **terms: Any) -> str:
    name = named()
    from_pydantic_ai(name, pydantic_agent(server, model), **(TERMS | terms))
    return name


def provider_of(server: OpenAIServer | str, *, responses: bool = False) -> sdk.OpenAIProvider:
    return sdk.OpenAIProvider(openai_client=openai(server), use_responses=responses)


def sdk_agent(model: Any = "gpt-5-mini", **more: Any) -> sdk.Agent[Any]:
    more = {"tools": [sdk.function_tool(look_up)]} | more
    return sdk.Agent(name="lead", instructions="Answer.", model=model, **more)


def with_openai_agents(server: OpenAIServer, model: str = "gpt-5-mini", **terms: Any) -> str:
    name = named()
    more = TERMS | {"provider": provider_of(server)} | terms
    from_openai_agents(name, sdk_agent(model), **more)
    return name


def with_openai_responses(server: OpenAIServer, model: str = "gpt-5-mini", **terms: Any) -> str:
    provider = provider_of(server, responses=True)
    return with_openai_agents(server, model, provider=provider, **terms)


class OpenAIChat(BaseChatModel):
    """A LangChain model that asks the scripted server, through OpenAI's own client."""

    url: str
    model: str = "gpt-5-mini"
    max_tokens: int | None = 300
    max_retries: int | None = None

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def bind_tools(self, tools: Sequence[Any], **more: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(each) for each in tools], **more)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - the framework's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - as above
        **more: Any,
    ) -> ChatResult:
        retries = 2 if self.max_retries is None else self.max_retries
        client = OpenAI(base_url=self.url, api_key="none", max_retries=retries)
        given = convert_to_openai_messages(messages)
        said = client.chat.completions.create(
            model=self.model, messages=given, max_tokens=self.max_tokens or 300, **more
        )
        return ChatResult(generations=[ChatGeneration(message=_as_message(said))])


def _as_message(said: Any) -> AIMessage:
    message = said.choices[0].message
    calls = [
        {"name": c.function.name, "args": json.loads(c.function.arguments), "id": c.id}
        for c in message.tool_calls or ()
    ]
    usage = said.usage and {
        "input_tokens": said.usage.prompt_tokens,
        "output_tokens": said.usage.completion_tokens,
        "total_tokens": said.usage.total_tokens,
    }
    return AIMessage(message.content or "", tool_calls=calls, usage_metadata=usage)


class StreamingChat(OpenAIChat):
    """The same, as a stream."""

    def _stream(self, messages, stop=None, run_manager=None, **more):  # noqa: ARG002 - theirs
        client = OpenAI(base_url=self.url, api_key="none", max_retries=0)
        stream = client.chat.completions.create(
            model=self.model,
            messages=convert_to_openai_messages(messages),
            max_tokens=self.max_tokens,
            stream=True,
            stream_options={"include_usage": True},
            **more,
        )
        for chunk in stream:
            usage = chunk.usage and {
                "input_tokens": chunk.usage.prompt_tokens,
                "output_tokens": chunk.usage.completion_tokens,
                "total_tokens": chunk.usage.total_tokens,
            }
            text = (chunk.choices[0].delta.content or "") if chunk.choices else ""
            message = AIMessageChunk(text, usage_metadata=usage)
            yield ChatGenerationChunk(message=message)


def graph_of(model: Any, *, tools: Sequence[Any] = (look_up,), call: Any = None) -> Any:
    """Return the usual loop of a model and its tools, compiled."""
    tools = [langchain_tool(each) for each in tools]
    bound = model.bind_tools(tools) if tools else model

    async def think(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", call or think)
    graph.add_edge(START, "think")
    if tools:
        graph.add_node("tools", ToolNode(tools))
        graph.add_conditional_edges("think", tools_condition)
        graph.add_edge("tools", "think")
    return graph.compile()


def with_langgraph(server: OpenAIServer, model: str = "gpt-5-mini", **terms: Any) -> str:
    name = named()
    chat = OpenAIChat(url=server.url, model=model, max_retries=0)
    from_langgraph(name, graph_of(chat), **(TERMS | terms))
    return name


STANDS: dict[str, Callable[..., str]] = {
    "pydantic_ai": with_pydantic_ai,
    "openai_agents": with_openai_agents,
    "openai_responses": with_openai_responses,
    "langgraph": with_langgraph,
}


def refusal_under_a_ceiling(server: OpenAIServer, run: Callable[[Limits], Any]) -> str:
    """Return why it is refused under a ceiling of tokens or usd; under one of calls it is not."""
    by_tokens, by_usd = map(run, (Limits(tokens=100_000), Limits(usd_micros=1_000_000)))
    assert by_tokens.envelope.fault is by_usd.envelope.fault is Fault.PRICE
    assert server.requests == []
    assert run(Limits(calls=2)).envelope.fault is not Fault.PRICE
    assert server.requests
    return by_usd.envelope.reason
