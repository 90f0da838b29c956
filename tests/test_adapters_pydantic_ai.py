"""The pydantic-ai adapter: every request of a run passes the meter, whatever sends it."""

import asyncio

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, ImageUrl, RunContext, Tool, UsageLimits
from pydantic_ai.capabilities import (
    AbstractCapability,
    ModelFallback,
    NativeTool,
    ProcessEventStream,
)
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.native_tools import WebSearchTool
from pydantic_ai.providers.openai import OpenAIProvider

from envelopes import Fault, Limits, Status
from tests.adapted import (
    PLENTY,
    TERMS,
    came_of,
    look_up,
    named,
    openai,
    pydantic_agent,
    refusal_under_a_ceiling,
)
from tests.openai_server import Calls, Fails, OpenAIServer, Says
from workers import Context
from workers.adapters.pydantic_ai import from_pydantic_ai, metering

pytestmark = pytest.mark.usefixtures("own_registry")


def model_of(server: OpenAIServer, name: str = "gpt-5-mini") -> OpenAIChatModel:
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=openai(server)))


def came(agent: Agent, allowance: Limits = PLENTY, **terms):
    name = named()
    from_pydantic_ai(name, agent, **(TERMS | terms))
    return came_of(name, allowance)


class Finding(BaseModel):
    """An answer that says how sure it is."""

    text: str
    sure: float


async def read(_: RunContext, events) -> None:
    """Consume a run's events, which makes the framework stream every request."""
    async for _event in events:
        pass


# --- what passes the meter -----------------------------------------------------------------------


def test_a_typed_output_becomes_the_result_and_says_how_sure_it_is() -> None:
    """Issue: confidence is the output's own where a function says where it stands."""
    finding = {"text": "42", "sure": 0.75}
    with OpenAIServer(Calls("final_result", finding)) as server:
        done = came(
            pydantic_agent(server, output_type=Finding), confidence=lambda output: output.sure
        )
    assert done.envelope.status is Status.SUCCESS
    assert done.envelope.result == finding
    assert done.envelope.confidence == 0.75


def test_an_output_that_has_to_be_repaired_is_charged_twice() -> None:
    """Issue: "EVERY model call of the run passes", output retries among them."""
    good = Calls("final_result", {"text": "42", "sure": 1})
    with OpenAIServer(Calls("final_result", {"text": "42"}), good) as server:
        done = came(pydantic_agent(server, output_type=Finding))
    assert done.envelope.status is Status.SUCCESS
    assert done.usage.calls == len(server.requests) == 2


def test_max_tokens_is_clamped_to_what_is_left() -> None:
    """DESIGN: "`max_tokens`, which is clamped to what is left"."""
    with OpenAIServer(Says("x")) as server:
        came(pydantic_agent(server), Limits(tokens=5_000), max_tokens=50_000)
        [request] = server.requests
    assert 0 < request["max_completion_tokens"] < 5_000


def test_a_max_tokens_of_the_agents_own_is_kept() -> None:
    with OpenAIServer(Says("x")) as server:
        came(pydantic_agent(server, model_settings={"max_tokens": 77}))
        [request] = server.requests
    assert request["max_completion_tokens"] == 77


def test_a_stream_is_settled_to_what_it_said_at_its_end() -> None:
    """Issue: streaming is metered like everything else."""
    with OpenAIServer(Says("x is 42", usage=(33, 4))) as server:
        done = came(pydantic_agent(server, capabilities=[ProcessEventStream(read)]))
    assert server.requests[0]["stream"]
    assert done.envelope.result == "x is 42"
    assert done.usage.tokens == 37


@pytest.mark.parametrize("said", [Says("x is 42", cut=True), Says("x", usage=None)])
def test_a_stream_that_breaks_or_says_nothing_stays_booked_at_its_worst(said) -> None:
    """DESIGN: "exact worst case, never a guess"."""
    with OpenAIServer(said) as server:
        done = came(pydantic_agent(server, capabilities=[ProcessEventStream(read)]))
    assert [done.usage.tokens] == done.worst


def test_what_a_broken_stream_has_said_so_far_is_not_what_it_cost() -> None:
    """pydantic_ai.py: "where a stream breaks, the worst case stays booked"."""
    settings = {"openai_continuous_usage_stats": True}
    with OpenAIServer(Says("x is 42", cut=True)) as server:
        agent = pydantic_agent(
            server, capabilities=[ProcessEventStream(read)], model_settings=settings
        )
        done = came(agent)
    assert [done.usage.tokens] == done.worst


def test_each_model_of_a_fallback_is_charged_by_itself() -> None:
    """Issue: "EVERY model call of the run passes": a FallbackModel makes two of one."""
    with OpenAIServer(Fails(500), Says("x")) as server:
        model = FallbackModel(model_of(server), model_of(server, "gpt-5-nano"))
        done = came(Agent(model))
    assert done.envelope.result == "x"
    assert done.usage.calls == len(server.requests) == 2
    assert [request["model"] for request in server.requests] == ["gpt-5-mini", "gpt-5-nano"]


def test_a_fallback_that_is_a_capability_is_charged_too() -> None:
    """As above: the framework asks for a wrapper for whichever model serves an attempt."""
    with OpenAIServer(Fails(500), Says("x")) as server:
        fallback = ModelFallback(model_of(server, "gpt-5-nano"))
        done = came(Agent(model_of(server), capabilities=[fallback]))
    assert done.envelope.result == "x"
    assert done.usage.calls == len(server.requests) == 2


def test_a_capability_that_sends_requests_another_way_does_not_pass_us_by() -> None:
    """pydantic_ai.py: "a capability of ours is added to the agent's own, outermost of all"."""
    with OpenAIServer(Says("x")) as server:
        other = model_of(server, "gpt-5-nano")

        class Elsewhere(WrapperModel):
            async def request(self, *asked):
                return await other.request(*asked)

        class Reroute(AbstractCapability):
            def get_wrapper_model(self, model):
                return Elsewhere(model)

        done = came(Agent(model_of(server), capabilities=[Reroute()]))
    assert done.envelope.result == "x"
    assert done.usage.calls == len(server.requests) == 1


def test_a_dearer_fallback_that_does_not_fit_is_not_called() -> None:
    """DESIGN: "A call that could overrun its allowance is not made", and the owner hears why."""
    with OpenAIServer(Fails(500), Says("never")) as server:
        fallback = ModelFallback(model_of(server, "gpt-5-nano"))
        done = came(Agent(model_of(server), capabilities=[fallback]), Limits(calls=1))
    assert done.envelope.fault is Fault.BUDGET
    assert len(server.requests) == 1


def test_an_agent_inside_a_tool_is_metered_with_what_the_tool_is_given() -> None:
    """pydantic_ai.py: "Hand `metering(ctx)` to it"."""
    script = (Calls("ask", {"what": "x"}), Says("x is 42"), Says("so it is"))
    with OpenAIServer(*script) as server:
        helper = Agent(model_of(server))

        async def ask(run: RunContext[Context], what: str) -> str:
            return (await helper.run(what, capabilities=[metering(run.deps, 100)])).output

        lead = Agent(model_of(server), deps_type=Context, tools=[ask])
        done = came(lead, deps=lambda ctx: ctx)
    assert done.envelope.result == "so it is"
    assert done.usage.calls == len(server.requests) == 3


def test_outside_of_our_runs_the_agent_is_what_it_was() -> None:
    """Issue: "without rewriting it"."""
    with OpenAIServer(Says("in"), Says("out")) as server:
        agent = pydantic_agent(server)
        assert came(agent).envelope.result == "in"
    with OpenAIServer(Says("out")) as server:
        fresh = pydantic_agent(server)
        from_pydantic_ai(named(), fresh, **TERMS)
        assert asyncio.run(fresh.run("hi")).output == "out"
    assert "max_completion_tokens" not in server.requests[0]


# --- what is refused -----------------------------------------------------------------------------


def refused(server: OpenAIServer, agent: Agent, **terms) -> str:
    return refusal_under_a_ceiling(server, lambda ceiling: came(agent, ceiling, **terms))


def test_a_tool_that_the_provider_runs_is_refused_under_a_ceiling() -> None:
    """Issue: "An adapter that cannot meter a path says so and refuses to run"."""
    with OpenAIServer(Says("x")) as server:
        provider = OpenAIProvider(openai_client=openai(server))
        model = OpenAIResponsesModel("gpt-5-mini", provider=provider)
        agent = Agent(model, capabilities=[NativeTool(WebSearchTool())])
        assert "web_search" in refused(server, agent)


def test_a_picture_is_refused_under_a_ceiling() -> None:
    """bounds.py: "A picture ... costs more than its bytes say"."""
    picture = ["What is this?", ImageUrl(url="https://example.org/a.png")]
    with OpenAIServer(Says("x")) as server:
        assert "ImageUrl" in refused(server, pydantic_agent(server), prompt=lambda *_: picture)


@pytest.mark.parametrize(
    "settings",
    [
        {"extra_body": {"n": 3}},
        {"extra_body": {"max_completion_tokens": 99_999}},
        {"openai_service_tier": "priority"},
        {"openai_prediction": {"type": "content", "content": "x"}},
    ],
)
def test_a_setting_that_makes_a_call_dearer_is_refused_under_a_ceiling(settings) -> None:
    """bounds.py: "settings that change what an answer may cost behind the meter's back"."""
    with OpenAIServer(Says("x")) as server:
        refused(server, pydantic_agent(server, model_settings=settings))


def test_a_fallback_hidden_in_a_wrapper_is_refused_under_a_ceiling() -> None:
    with OpenAIServer(Says("x")) as server:
        model = WrapperModel(FallbackModel(model_of(server), model_of(server)))
        assert "ModelFallback" in refused(server, Agent(model))


# --- ends of the framework's own -----------------------------------------------------------------


def test_a_limit_of_the_frameworks_own_is_a_verdict_and_no_fault() -> None:
    """Issue: framework exceptions become envelopes with clear reasons; no breaker counts them."""
    with OpenAIServer(*[Calls("look_up", {"what": "x"})] * 9) as server:
        done = came(pydantic_agent(server), usage_limits=UsageLimits(request_limit=2))
    assert done.envelope.status is Status.FAILED
    assert done.envelope.fault is None
    assert "UsageLimitExceeded" in done.envelope.reason
    assert done.usage.calls == 2


def test_a_tool_that_waits_for_approval_does_not_pass_as_an_answer() -> None:
    with OpenAIServer(Calls("look_up", {"what": "x"})) as server:
        tools = [Tool(look_up, requires_approval=True)]
        done = came(pydantic_agent(server, tools=tools, output_type=[str, DeferredToolRequests]))
    assert done.envelope.status is Status.FAILED
    assert "approved" in done.envelope.reason


def test_what_was_kept_goes_with_the_verdict() -> None:
    """DESIGN: "Paid work is kept"."""
    with OpenAIServer(Calls("look_up", {"what": "x"})) as server:

        def look_up(run: RunContext[Context], what: str) -> str:
            run.deps.keep(f"half of {what}", 0.4)
            return "more"

        agent = Agent(model_of(server), deps_type=Context, tools=[look_up])
        limit = UsageLimits(request_limit=1)
        done = came(agent, deps=lambda ctx: ctx, usage_limits=limit)
    assert done.envelope.status is Status.PARTIAL
    assert done.envelope.result == "half of x"
    assert "UsageLimitExceeded" in done.envelope.reason
