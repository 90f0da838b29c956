"""The OpenAI Agents SDK adapter: every request of a run passes the meter, whoever makes it."""

import asyncio

import pytest

from envelopes import Fault, Limits, Status
from tests.adapted import (
    PLENTY,
    TERMS,
    came_of,
    named,
    openai,
    provider_of,
    refusal_under_a_ceiling,
    sdk_agent,
)
from tests.openai_server import Calls, Fails, OpenAIServer, Says
from workers import Context
from workers.adapters.openai_agents import from_openai_agents

from agents import (  # isort: skip - tests.adapted has to be imported first: it says why
    Agent,
    GuardrailFunctionOutput,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    OutputGuardrail,
    RunConfig,
    RunContextWrapper,
    Runner,
    WebSearchTool,
    function_tool,
    handoff,
    set_trace_processors,
)
from agents.tracing import TracingProcessor  # isort: skip - as above


pytestmark = pytest.mark.usefixtures("own_registry")


def chat_of(server: OpenAIServer, name: str = "gpt-5-mini") -> OpenAIChatCompletionsModel:
    return OpenAIChatCompletionsModel(name, openai(server))


def came(server: OpenAIServer, agent: Agent, allowance: Limits = PLENTY, **terms):
    name = named()
    responses = terms.pop("responses", False)
    more = TERMS | {"provider": provider_of(server, responses=responses)} | terms
    from_openai_agents(name, agent, **more)
    return came_of(name, allowance)


# --- what passes the meter -----------------------------------------------------------------------


def test_max_tokens_is_clamped_to_what_is_left() -> None:
    """DESIGN: "`max_tokens`, which is clamped to what is left"."""
    with OpenAIServer(Says("x")) as server:
        came(server, sdk_agent(), Limits(tokens=5_000), max_tokens=50_000)
    assert 0 < server.requests[0]["max_tokens"] < 5_000


def test_agents_that_are_handed_over_to_are_metered_each_at_its_own_price() -> None:
    """Issue: handoffs inside the SDK are allowed, but every call is metered."""
    script = (Calls("transfer_to_expert"), Says("x is 42"))
    with OpenAIServer(*script) as server:
        expert = Agent(name="expert", model=chat_of(server, "gpt-5-nano"))
        lead = sdk_agent(handoffs=[handoff(expert)])
        done = came(server, lead)
    assert done.envelope.result == "x is 42"
    assert done.usage.calls == len(server.requests) == 2
    assert [request["model"] for request in server.requests] == ["gpt-5-mini", "gpt-5-nano"]


def test_an_agent_that_is_a_tool_is_metered() -> None:
    """As above, for agents as tools: by name, or with a Model object of their own."""
    script = (Calls("ask", {"input": "x"}), Says("x is 42"), Says("so it is"))
    for model in (chat_of, lambda _: "gpt-5-mini"):
        with OpenAIServer(*script) as server:
            expert = Agent(name="expert", model=model(server))
            lead = sdk_agent(tools=[expert.as_tool("ask", "Ask an expert.")])
            done = came(server, lead)
        assert done.envelope.result == "so it is"
        assert done.usage.calls == len(server.requests) == 3


def test_an_agent_that_is_a_tool_cannot_overrun_either() -> None:
    """DESIGN: "A call that could overrun its allowance is not made"."""
    with OpenAIServer(Calls("ask", {"input": "x"}), Says("never"), Says("never")) as server:
        expert = Agent(name="expert", model=chat_of(server))
        lead = sdk_agent(tools=[expert.as_tool("ask", "Ask an expert.")])
        done = came(server, lead, Limits(calls=1))
    assert done.envelope.fault is Fault.BUDGET
    assert len(server.requests) == 1


@pytest.mark.parametrize("responses", [False, True])
def test_a_stream_is_settled_to_what_it_said_at_its_end(responses: bool) -> None:  # noqa: FBT001 - pytest's
    """Issue: streaming is metered like everything else."""
    script = (Calls("ask", {"input": "x"}), Says("x is 42", usage=(33, 4)), Says("so it is"))
    with OpenAIServer(*script) as server:
        kind = OpenAIResponsesModel if responses else OpenAIChatCompletionsModel
        expert = Agent(name="expert", model=kind("gpt-5-mini", openai(server)))
        ask = expert.as_tool("ask", "Ask an expert.", on_stream=lambda _: None)
        done = came(server, sdk_agent(tools=[ask]))
    assert [bool(request.get("stream")) for request in server.requests] == [False, True, False]
    assert done.envelope.result == "so it is"
    assert done.usage.tokens == 47 + 37 + 47


@pytest.mark.parametrize("said", [Says("x is 42", cut=True), Says("x", usage=None)])
def test_a_stream_that_breaks_or_says_nothing_stays_booked_at_its_worst(said: Says) -> None:
    """DESIGN: "exact worst case, never a guess"."""
    script = (Calls("ask", {"input": "x"}), said, Says("so it is"))
    with OpenAIServer(*script) as server:
        expert = Agent(name="expert", model=chat_of(server))
        ask = expert.as_tool("ask", "Ask an expert.", on_stream=lambda _: None)
        done = came(server, sdk_agent(tools=[ask]))
    assert done.usage.tokens == 47 + done.worst[1] + 47


def test_a_model_object_is_what_it_was_outside_of_our_runs() -> None:
    """Issue: "without rewriting it"."""
    with OpenAIServer(Says("in"), Says("out")) as server:
        agent = sdk_agent(chat_of(server))
        assert came(server, agent).envelope.result == "in"
    with OpenAIServer(Says("out")) as server:
        agent.model._wrapped._client = openai(server)
        out = asyncio.run(Runner.run(agent, "hi", run_config=RunConfig(tracing_disabled=True)))
    assert out.final_output == "out"
    assert "max_tokens" not in server.requests[0]


def test_tools_are_given_the_context_where_the_terms_say_so() -> None:
    """terms.py: "so that a tool that costs something can say `await ctx.meter.acharge(...)`"."""

    @function_tool
    async def look_up(run: RunContextWrapper[Context], what: str) -> str:
        await run.context.meter.acharge(usd="0.001", calls=5)
        return f"{what} is 42"

    with OpenAIServer(Calls("look_up", {"what": "x"}), Says("x")) as server:
        done = came(server, sdk_agent(tools=[look_up]), deps=lambda ctx: ctx)
    assert done.usage.calls == 7


def test_nothing_is_traced_to_anybody() -> None:
    """openai_agents.py: the SDK's tracing "sends prompts to another server"."""
    seen = []

    class Spy(TracingProcessor):
        def on_trace_start(self, trace) -> None:
            seen.append(trace)

        def on_span_start(self, span) -> None:
            seen.append(span)

        def on_trace_end(self, trace) -> None: ...

        def on_span_end(self, span) -> None: ...

        def shutdown(self) -> None: ...

        def force_flush(self) -> None: ...

    set_trace_processors([Spy()])
    with OpenAIServer(Calls("look_up", {"what": "x"}), Says("x")) as server:
        assert came(server, sdk_agent()).envelope.status is Status.SUCCESS
    assert seen == []


# --- what is refused -----------------------------------------------------------------------------


def refused(server: OpenAIServer, agent: Agent, **terms) -> str:
    return refusal_under_a_ceiling(server, lambda ceiling: came(server, agent, ceiling, **terms))


def test_a_hosted_tool_is_refused_under_a_ceiling() -> None:
    """Issue: "An adapter that cannot meter a path says so and refuses to run"."""
    with OpenAIServer(Says("x")) as server:
        reason = refused(server, sdk_agent(tools=[WebSearchTool()]), responses=True)
    assert "web_search" in reason
    assert "ceiling of calls only" in reason


def test_a_picture_is_refused_under_a_ceiling() -> None:
    """bounds.py: "A picture ... costs more than its bytes say"."""
    picture = {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "auto"}
    prompt = [{"role": "user", "content": [picture]}]
    with OpenAIServer(Says("x")) as server:
        assert "input_image" in refused(server, sdk_agent(), prompt=lambda *_: prompt)


@pytest.mark.parametrize(
    "settings",
    [
        {"extra_args": {"n": 3}},
        {"extra_body": {"service_tier": "priority"}},
        {"extra_body": {"max_tokens": 99_999}},
        {"extra_body": {"previous_response_id": "r0"}},
    ],
)
def test_a_setting_that_makes_a_call_dearer_is_refused_under_a_ceiling(settings) -> None:
    """bounds.py: "settings that change what an answer may cost behind the meter's back"."""
    agent = sdk_agent(model_settings=ModelSettings(**settings))
    with OpenAIServer(Says("x")) as server:
        refused(server, agent)


def test_a_prompt_that_the_provider_stores_is_refused_under_a_ceiling() -> None:
    with OpenAIServer(Says("x")) as server:
        agent = sdk_agent(prompt={"id": "p1"})
        assert "stores" in refused(server, agent, responses=True)


def test_an_agent_that_was_made_up_on_the_way_is_refused_under_a_ceiling() -> None:
    """openai_agents.py: "an agent made up on the way that brings a `Model` of its own"."""
    with OpenAIServer(Calls("transfer_to_expert"), Says("never")) as server:
        hidden = handoff(Agent(name="expert"))
        hidden._agent_ref = None

        async def made_up(*_: object) -> Agent:
            return Agent(name="expert", model=chat_of(server))

        hidden.on_invoke_handoff = made_up
        done = came(server, sdk_agent(handoffs=[hidden]))
    assert done.envelope.fault is Fault.PRICE
    assert "expert" in done.envelope.reason
    assert len(server.requests) == 1


# --- ends of the framework's own -----------------------------------------------------------------


def test_turns_that_are_used_up_are_a_verdict_and_no_fault() -> None:
    """Issue: framework exceptions become envelopes with clear reasons; no breaker counts them."""
    with OpenAIServer(*[Calls("look_up", {"what": "x"})] * 9) as server:
        done = came(server, sdk_agent(), max_turns=2)
    assert done.envelope.status is Status.FAILED
    assert done.envelope.fault is None
    assert "MaxTurnsExceeded" in done.envelope.reason
    assert done.usage.calls == 2


def test_a_guardrail_is_a_verdict_and_no_fault() -> None:
    async def never(*_: object) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info="rude", tripwire_triggered=True)

    with OpenAIServer(Says("x")) as server:
        done = came(server, sdk_agent(output_guardrails=[OutputGuardrail(never)]))
    assert done.envelope.fault is None
    assert "Tripwire" in done.envelope.reason


def test_a_tool_that_waits_for_approval_does_not_pass_as_an_answer() -> None:
    @function_tool(needs_approval=True)
    def look_up(what: str) -> str:
        return what

    with OpenAIServer(Calls("look_up", {"what": "x"})) as server:
        done = came(server, sdk_agent(tools=[look_up]))
    assert done.envelope.status is Status.FAILED
    assert "approved" in done.envelope.reason


def test_a_servers_error_is_the_agents_fault() -> None:
    """DESIGN: "Faults of the agent count, verdicts about content do not"."""
    with OpenAIServer(Fails(401)) as server:
        done = came(server, sdk_agent())
    assert done.envelope.fault is Fault.RAISED
    assert "401" in done.envelope.reason
