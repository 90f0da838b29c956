"""An agent is checked where it is declared, not where it first fails."""

from collections.abc import Iterator

import pytest

from workers import Context, Envelope, Price, agent
from workers.agent import Agent, registry


@pytest.fixture(autouse=True)
def _own_registry() -> Iterator[None]:
    before = dict(registry)
    registry.clear()
    yield
    registry.clear()
    registry.update(before)


def declared(name: str) -> Agent:
    return registry[name]


def test_a_function_becomes_an_agent_and_stays_itself() -> None:
    """`@agent`: plain functions work."""

    @agent("write", handoffs=["review"], price=Price.per_million("0.25", "2"))
    def write(ctx: Context, goal: str, inputs: dict) -> Envelope:
        return Envelope.success(f"{goal} {inputs}", 1.0)

    assert write(None, "g", {}).result == "g {}"  # type: ignore[arg-type]
    made = declared("write")
    assert made.takes == ("goal", "inputs")
    assert not made.is_async
    assert made.facts() == {
        "handoffs": ["review"],
        "skills": [],
        "in_flight_max": None,
        "price": "0.25/2 USD per million tokens",
    }


def test_an_async_function_is_known_as_one() -> None:
    """`async def` works too."""

    @agent("research", price="openai:gpt-5-mini")
    async def research(ctx: Context) -> Envelope:
        return Envelope.success(None, 1.0)

    assert declared("research").is_async
    assert declared("research").facts()["price"] == "openai:gpt-5-mini"


def test_an_optional_parameter_of_its_own_is_no_obstacle() -> None:
    @agent("a")
    def a(ctx: Context, goal: str, retries: int = 3) -> Envelope:
        return Envelope.success(retries, 1.0)

    assert declared("a").takes == ("goal",)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda: None, "must take a Context first"),
        (lambda ctx, topic: (ctx, topic), "takes 'topic'"),
        (lambda ctx, *inputs: (ctx, inputs), "takes 'inputs'"),
        (lambda *, ctx: ctx, "must take a Context first"),
    ],
)
def test_a_function_that_cannot_be_called_is_refused_by_name(function, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        agent("a")(function)


def test_a_generator_is_refused() -> None:
    def a(ctx: Context):
        yield 1

    async def b(ctx: Context):
        yield 1

    for function in (a, b):
        with pytest.raises(TypeError, match="yields"):
            agent("a")(function)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a:b", "x" * 65, "ä"])
def test_a_name_that_cannot_be_a_queue_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the name of an agent"):
        agent(name)
    with pytest.raises(ValueError, match="the name of an agent"):
        agent("a", handoffs=[name])


def test_two_agents_of_one_name_are_refused_but_a_module_may_be_imported_again() -> None:
    def one(ctx: Context) -> Envelope:
        return Envelope.success(1, 1.0)

    def other(ctx: Context) -> Envelope:
        return Envelope.success(2, 1.0)

    agent("a")(one)
    agent("a")(one)
    with pytest.raises(ValueError, match="two agents are called 'a'"):
        agent("a")(other)


@pytest.mark.parametrize("usd", ["-1", "NaN", "inf", "a lot", ""])
def test_a_declared_price_is_an_amount(usd: str) -> None:
    with pytest.raises(ValueError, match="a price is an amount"):
        Price.per_million(usd, "1")
