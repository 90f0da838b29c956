"""The LangGraph adapter: every model call of a graph passes the meter, wherever a node makes it."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel.remote import RemoteGraph
from langgraph.types import interrupt

from envelopes import Fault, Limits, Status
from tests.adapted import (
    PLENTY,
    TERMS,
    OpenAIChat,
    StreamingChat,
    came_of,
    graph_of,
    named,
    refusal_under_a_ceiling,
)
from tests.openai_server import Calls, Fails, OpenAIServer, Says
from workers import BudgetExhausted, telemetry
from workers.adapters.langgraph import from_langgraph

pytestmark = pytest.mark.usefixtures("own_registry")


def came(graph: Any, allowance: Limits = PLENTY, **terms):
    name = named()
    from_langgraph(name, graph, **(TERMS | terms))
    return came_of(name, allowance)


def chat(server: OpenAIServer, **more: Any) -> OpenAIChat:
    return OpenAIChat(url=server.url, **({"max_retries": 0} | more))


def one_node(node: Any) -> Any:
    return graph_of(None, tools=(), call=node)


# --- what passes the meter -----------------------------------------------------------------------


def test_a_node_that_is_a_plain_function_is_metered() -> None:
    """langgraph.py: "sync or async, single, in a batch or as a stream"."""
    with OpenAIServer(Says("x is 42")) as server:
        model = chat(server)
        done = came(one_node(lambda state: {"messages": [model.invoke(state["messages"])]}))
    assert done.envelope.result == "x is 42"
    assert done.usage.tokens == 47


def test_a_batch_is_as_many_calls_as_it_has_prompts() -> None:
    with OpenAIServer(Says("a"), Says("b"), Says("c")) as server:
        model = chat(server)

        async def think(_: MessagesState) -> dict[str, Any]:
            return {"messages": (await model.abatch(["one", "two", "three"]))[-1:]}

        done = came(one_node(think))
    assert done.usage.calls == len(server.requests) == 3


@pytest.mark.parametrize(
    ("said", "booked"),
    [
        (Says("x is 42", usage=(33, 4)), lambda _: 37),
        (Says("x is 42", usage=None), lambda worst: worst),
        (Says("x is 42", cut=True), lambda worst: worst),
    ],
)
def test_a_stream_is_settled_to_what_it_said_or_stays_at_its_worst(said, booked) -> None:
    """DESIGN: "exact worst case, never a guess"."""
    with OpenAIServer(said) as server:
        model = StreamingChat(url=server.url, max_retries=0)

        async def think(_: MessagesState) -> dict[str, Any]:
            pieces = [piece async for piece in model.astream("hi")]
            return {"messages": ["".join(str(piece.text) for piece in pieces)]}

        done = came(one_node(think))
    assert server.requests[0]["stream"]
    assert done.usage.tokens == booked(done.worst[0])


def test_a_node_that_leaves_our_callbacks_out_is_metered_all_the_same() -> None:
    """langgraph.py: "hooked into whatever callbacks are configured within the run"."""
    with OpenAIServer(Says("never")) as server:
        model = chat(server)

        async def think(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke(state["messages"], {"callbacks": []})]}

        done = came(one_node(think), Limits(tokens=50))
    assert done.envelope.fault is Fault.BUDGET
    assert server.requests == []


def test_models_that_are_called_at_the_same_time_share_one_allowance() -> None:
    """DESIGN: "It never overspends ... under any fan-out"."""
    with OpenAIServer(*[Says("x")] * 4) as server:
        model = chat(server)

        async def think(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke("hi")]}

        graph = StateGraph(MessagesState)
        for name in "abcd":
            graph.add_node(name, think)
            graph.add_edge(START, name)
        done = came(graph.compile(), Limits(calls=3))
    assert done.envelope.fault is Fault.BUDGET
    assert len(server.requests) <= 3
    assert done.usage.calls <= 3


def test_a_retry_of_the_graphs_own_passes_the_meter_each_time() -> None:
    """langgraph.py: "`.with_retry()` or a node's RetryPolicy, which pass the meter each time"."""
    with OpenAIServer(Fails(500), Says("x is 42")) as server:
        model = chat(server).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)

        async def think(_: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke("hi")]}

        done = came(one_node(think))
    assert done.envelope.result == "x is 42"
    assert done.usage.calls == len(server.requests) == 2
    assert done.usage.tokens == done.worst[0] + 47


def test_a_call_that_failed_is_told_to_have_ended_like_any_other(monkeypatch) -> None:
    """telemetry.py: "every metered call, whoever makes it": one without an end is never sent."""
    ended: list[type[BaseException] | None] = []

    class Told(telemetry.Asking):
        def over(self, error: type[BaseException] | None) -> None:
            ended.append(error)

    class Heard(telemetry.Invocation):
        def asking(self, _model: str, _max_tokens: int) -> telemetry.Asking:
            return Told()

    monkeypatch.setattr(telemetry, "UNTOLD", Heard())
    with OpenAIServer(Fails(500), Says("x is 42")) as server:
        model = chat(server).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
        came(one_node(lambda state: {"messages": [model.invoke(state["messages"])]}))
    failed, done = ended
    assert failed is not None
    assert done is None


def test_an_answer_that_is_longer_than_what_is_left_is_not_asked_for() -> None:
    """langgraph.py: "a call is refused where that much is not left": it cannot be clamped."""
    with OpenAIServer(Says("never")) as server:
        done = came(graph_of(chat(server, max_tokens=5_000)), Limits(tokens=5_000))
    assert done.envelope.fault is Fault.BUDGET
    assert server.requests == []


def test_a_refusal_is_the_reason_even_where_a_node_says_something_else() -> None:
    """tap.py: "the owner must hear that the budget was the reason"."""
    with OpenAIServer(Says("never")) as server:
        model = chat(server)

        async def think(_: MessagesState) -> dict[str, Any]:
            try:
                return {"messages": [await model.ainvoke("hi")]}
            except BudgetExhausted:
                raise RuntimeError("sorry") from None

        done = came(one_node(think), Limits(tokens=50))
    assert done.envelope.fault is Fault.BUDGET


def test_a_structured_response_is_the_answer_where_there_is_one() -> None:
    async def think(_: Any) -> dict[str, Any]:
        return {"structured_response": {"x": 42}}

    class State(MessagesState):
        structured_response: dict[str, int]

    graph = StateGraph(State).add_node("think", think).add_edge(START, "think").compile()
    assert came(graph).envelope.result == {"x": 42}


def test_a_graph_of_another_state_gets_its_own_prompt_and_hands_over_its_state() -> None:
    """terms.py: `prompt` and `result`."""

    async def double(state: dict[str, int]) -> dict[str, int]:
        return {"n": state["n"] * 2}

    graph = StateGraph(dict).add_node("double", double).add_edge(START, "double").compile()
    assert came(graph, prompt=lambda *_: {"n": 21}).envelope.result == {"n": 42}


# --- what is refused -----------------------------------------------------------------------------


def refused(server: OpenAIServer, graph: Any, **terms) -> str:
    return refusal_under_a_ceiling(server, lambda ceiling: came(graph, ceiling, **terms))


def test_a_model_without_max_tokens_is_refused_under_a_ceiling() -> None:
    """Issue: "An adapter that cannot meter a path says so and refuses to run"."""
    with OpenAIServer(Says("x")) as server:
        assert "set max_tokens" in refused(server, graph_of(chat(server, max_tokens=None)))


@pytest.mark.parametrize("retries", [{"max_retries": 3}, {"max_retries": None}])
def test_a_model_whose_client_retries_by_itself_is_refused_under_a_ceiling(retries) -> None:
    """langgraph.py: "each hidden retry is a paid call that nobody charged"; by default too."""
    with OpenAIServer(Says("x")) as server:
        assert "max_retries=0" in refused(server, graph_of(chat(server, **retries)))


@pytest.mark.parametrize(("retries", "fault"), [(0, None), (1, Fault.PRICE)])
def test_a_model_that_cannot_be_written_down_shows_its_retries_all_the_same(retries, fault) -> None:
    class Opaque(OpenAIChat):
        @classmethod
        def is_lc_serializable(cls) -> bool:
            return False

    with OpenAIServer(Says("x")) as server:
        done = came(graph_of(Opaque(url=server.url, max_retries=retries)))
    assert done.envelope.fault is fault


def test_a_tool_that_the_provider_runs_is_refused_under_a_ceiling() -> None:
    with OpenAIServer(Says("x")) as server:
        model = chat(server).bind(tools=[{"type": "web_search"}])

        async def think(_: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke("hi")]}

        assert "web_search" in refused(server, one_node(think))


def test_a_setting_that_makes_a_call_dearer_is_refused_under_a_ceiling() -> None:
    with OpenAIServer(Says("x")) as server:
        model = chat(server).bind(n=3)

        async def think(_: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke("hi")]}

        assert "n=3" in refused(server, one_node(think))


def test_a_picture_is_refused_under_a_ceiling() -> None:
    """bounds.py: "A picture ... costs more than its bytes say"."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    prompt = {"messages": [HumanMessage([picture])]}
    with OpenAIServer(Says("x")) as server:
        assert "image" in refused(server, graph_of(chat(server)), prompt=lambda *_: prompt)


def test_a_blocking_call_on_the_loop_is_refused() -> None:
    """langgraph.py: "the whole process would wait for the model"."""
    with OpenAIServer(Says("never")) as server:
        model = chat(server)

        async def think(_: MessagesState) -> dict[str, Any]:
            return {"messages": [model.invoke("hi")]}

        done = came(one_node(think))
    assert "ainvoke" in done.envelope.reason
    assert server.requests == []


def test_a_graph_that_runs_elsewhere_is_not_taken() -> None:
    with pytest.raises(TypeError, match="compiled in this process"):
        from_langgraph(named(), RemoteGraph("x", url="http://127.0.0.1:9"), confidence=1)


# --- ends of the framework's own -----------------------------------------------------------------


def test_a_recursion_limit_is_a_verdict_and_no_fault() -> None:
    """Issue: framework exceptions become envelopes with clear reasons; no breaker counts them."""
    with OpenAIServer(*[Calls("look_up", {"what": "x"})] * 9) as server:
        done = came(graph_of(chat(server)), recursion_limit=3)
    assert done.envelope.status is Status.FAILED
    assert done.envelope.fault is None
    assert "Recursion limit of 3" in done.envelope.reason


def test_a_graph_that_asks_a_person_does_not_pass_as_an_answer() -> None:
    async def ask(_: MessagesState) -> dict[str, Any]:
        return {"messages": [interrupt("may I?")]}

    done = came(one_node(ask))
    assert done.envelope.status is Status.FAILED
    assert "interrupted" in done.envelope.reason


def test_nothing_is_metered_outside_of_our_runs() -> None:
    """Issue: "without rewriting it"."""
    with OpenAIServer(Says("x")) as server:
        graph = graph_of(chat(server, max_tokens=None, max_retries=1))
        from_langgraph(named(), graph, confidence=1)
        state = asyncio.run(graph.ainvoke({"messages": "hi"}))
    assert state["messages"][-1].text == "x"
