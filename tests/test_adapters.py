"""What every adapter promises, with the real frameworks and a server that answers as it is told."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envelopes import Envelope, Fault, Limits, Status
from envelopes.envelope import Handoff
from envelopes.limits import LLM_PREAMBLE_TOKENS, LLM_TOOL_PREAMBLE_TOKENS
from tests.adapted import STANDS, Books, came_of, look_up, named, opened
from tests.openai_server import Calls, Fails, Hangs, OpenAIServer, Says
from workers import Price
from workers.adapters.bounds import prompt_bytes
from workers.adapters.function import from_callable
from workers.adapters.terms import as_text
from workers.agent import registry
from workers.runtime import outcome

ROOT = Path(__file__).parents[1]
EXTRAS = {
    "pydantic_ai": "pydantic-ai",
    "openai_agents": "openai-agents",
    "langgraph": "langgraph",
}
BLOCKED = {"pydantic_ai": "pydantic_ai", "openai_agents": "agents", "langgraph": "langgraph"}


pytestmark = pytest.mark.usefixtures("own_registry")


@pytest.fixture(params=STANDS)
def stand(request):
    return STANDS[request.param]


# --- the run -------------------------------------------------------------------------------------


def test_an_existing_agent_runs_as_it_is_and_answers_by_envelope(stand) -> None:
    """Issue: adapters "put an existing agent under the meter without rewriting it"."""
    with OpenAIServer(Calls("look_up", {"what": "x"}), Says("x is 42")) as server:
        came = came_of(stand(server))
    assert came.envelope.status is Status.SUCCESS
    assert came.envelope.result == "x is 42"
    assert came.envelope.confidence == 0.9
    assert len(server.requests) == 2
    assert "What is x?" in str(server.requests[0])
    assert "x is 42" in str(server.requests[1]), "the tool was really run"


def test_every_request_is_charged_before_it_is_sent_and_settled_to_what_it_used(stand) -> None:
    """DESIGN: the meter "charges before each paid call ... settles to the real usage"."""
    script = (Calls("look_up", {"what": "x"}, usage=(50, 10)), Says("x is 42", usage=(70, 5)))
    with OpenAIServer(*script) as server:
        came = came_of(stand(server))
    assert (came.usage.calls, came.usage.tokens) == (2, 135)
    assert came.usage.usd_micros > 0, "priced by the model's own name"
    sizes = [len(str(request.get("messages") or request["input"])) for request in server.requests]
    assert all(worst >= size + 300 for worst, size in zip(came.worst, sizes, strict=True))


def test_no_request_reaches_the_server_uncharged(stand) -> None:
    """DESIGN: "A call that could overrun its allowance is not made"."""
    charged_at_request = []
    script = (Calls("look_up", {"what": "x"}), Says("x is 42"))
    with OpenAIServer(*script) as server:
        name = stand(server)
        books = Books()
        server._on_request = lambda: charged_at_request.append(len(books.charges))
        outcome(opened(name, books))
    assert charged_at_request == [1, 2]


def test_a_call_that_cannot_fit_ends_the_run_and_is_not_sent(stand) -> None:
    """DESIGN: "a call that cannot fit is refused with `BudgetExhausted`"."""
    with OpenAIServer(Calls("look_up", {"what": "x"}), Says("never")) as server:
        came = came_of(stand(server), Limits(calls=1))
    assert came.envelope.fault is Fault.BUDGET
    assert came.envelope.status is Status.FAILED
    assert len(server.requests) == 1
    assert came.usage.calls == 1


def test_a_first_call_that_cannot_fit_is_not_sent_either(stand) -> None:
    """DESIGN: "It never overspends"."""
    with OpenAIServer(Says("never")) as server:
        came = came_of(stand(server), Limits(tokens=50))
    assert came.envelope.fault is Fault.BUDGET
    assert server.requests == []


def test_what_the_provider_does_not_report_stays_booked_at_its_worst(stand) -> None:
    """DESIGN: "exact worst case, never a guess"."""
    with OpenAIServer(Says("x is 42", usage=None)) as server:
        came = came_of(stand(server))
    assert came.envelope.status is Status.SUCCESS
    assert [came.usage.tokens] == came.worst


def test_a_failed_call_is_not_repeated_behind_the_meters_back(stand) -> None:
    """DESIGN: "charges before each paid call": hidden retries of a client would be uncharged."""
    with OpenAIServer(Fails(500), Says("never")) as server:
        came = came_of(stand(server))
    assert came.envelope.status is Status.FAILED
    assert came.envelope.fault is Fault.RAISED
    assert len(server.requests) == 1
    assert came.usage.calls == 1
    assert [came.usage.tokens] == came.worst, "nobody knows what it cost"


def test_a_run_ends_when_its_time_is_over_and_its_call_stays_booked(stand) -> None:
    """DESIGN: "every step also has its own timeout"; "calls in flight: exact worst case"."""
    requests: list[dict[str, Any]] = []
    for seconds in (0.5, 5, 50):  # until it comes to its call in that time
        if not requests:
            with OpenAIServer(Hangs()) as server:
                books, requests = Books(), server.requests
                envelope = outcome(opened(stand(server), books, seconds=seconds))
            assert envelope.fault is Fault.TIMEOUT
            assert envelope.usage.tokens == sum(each.tokens for each in books.charges)
    assert len(requests) == 1


# --- prices and bounds ---------------------------------------------------------------------------


def test_a_model_without_a_price_does_not_run_under_a_usd_ceiling(stand) -> None:
    """DESIGN: "an unknown model is refused when a usd ceiling is set"."""
    with OpenAIServer(Says("never")) as server:
        came = came_of(stand(server, "nobody-knows-this"))
    assert came.envelope.fault is Fault.PRICE
    assert "nobody-knows-this" in came.envelope.reason
    assert server.requests == []


def test_a_prompt_is_bounded_by_its_bytes_and_what_a_server_adds_of_its_own() -> None:
    """bounds.py: "with a little for what a server's chat template adds of its own"."""
    assert prompt_bytes("ä", tools=False) == 4 + LLM_PREAMBLE_TOKENS
    assert prompt_bytes("ä", None, tools=True) == 4 + 4 + LLM_TOOL_PREAMBLE_TOKENS


def test_a_declared_price_is_used_for_every_model(stand) -> None:
    """DESIGN: "... unless the agent declares its price"."""
    price = Price.per_million("1", "10")
    with OpenAIServer(Says("x", usage=(40, 7))) as server:
        came = came_of(stand(server, "nobody-knows-this", price=price))
    assert came.envelope.status is Status.SUCCESS
    assert came.usage.usd_micros == 40 + 70


def test_a_model_without_a_price_runs_where_no_dollars_are_bounded(stand) -> None:
    """DESIGN: only "when a usd ceiling is set"."""
    with OpenAIServer(Says("x")) as server:
        came = came_of(stand(server, "nobody-knows-this"), Limits(tokens=10_000, calls=3))
    assert came.envelope.status is Status.SUCCESS
    assert came.usage.tokens == 47


# --- terms ---------------------------------------------------------------------------------------


def test_confidence_is_taken_from_the_output_where_a_function_says_how(stand) -> None:
    """Brief: confidence is "never invented silently"."""
    with OpenAIServer(Says("x is 42")) as server:
        came = came_of(stand(server, confidence=lambda output: 0.25 if output else 1.0))
    assert came.envelope.confidence == 0.25


@pytest.mark.parametrize("wrong", [1.5, -1])
def test_a_confidence_that_is_none_is_refused_where_the_agent_is_declared(stand, wrong) -> None:
    with OpenAIServer() as server, pytest.raises(ValueError, match="from 0 to 1"):
        stand(server, confidence=wrong)


def test_an_agent_without_a_confidence_is_not_taken() -> None:
    """DESIGN: "Nothing below the bar gets out": what nobody said is above no bar."""
    with pytest.raises(TypeError, match="confidence"):
        from_callable(named(), str, tokens=1)


def test_a_confidence_out_of_range_becomes_a_failed_envelope(stand) -> None:
    """DESIGN: "anything else it returns ... becomes a `failed` envelope with a reason"."""
    with OpenAIServer(Says("x")) as server:
        came = came_of(stand(server, confidence=lambda _: 7))
    assert came.envelope.fault is Fault.CONTRACT


def test_the_prompt_and_the_result_can_be_shaped(stand) -> None:
    """terms.py: what the framework is given, and what of the output is handed over."""
    with OpenAIServer(Says("x is 42")) as server:
        came = came_of(stand(server, result=lambda _: {"answer": 42}))
    assert came.envelope.result == {"answer": 42}


def test_a_result_may_be_an_envelope_and_ask_for_a_handoff(stand) -> None:
    """terms.py: "It may be an Envelope: then that is the answer"."""
    ask = Envelope.partial("x", 0.5, "not mine", ask=Handoff(to="other"))
    with OpenAIServer(Says("x")) as server:
        came = came_of(stand(server, result=lambda _: ask, handoffs=["other"]))
    assert came.envelope.ask == Handoff(to="other")
    assert came.usage.tokens == 47


def test_a_dearer_model_than_the_one_declared_is_booked_at_its_own_price(stand) -> None:
    """Promise 2: an agent that declares a cheap model and calls a dear one books the dear one."""
    cheap = Price.per_million("0.000001", "0.000001")
    with OpenAIServer(Says("x")) as server:
        came = came_of(stand(server, price=cheap))
    assert came.usage.usd_micros > 1


def test_an_adapted_agent_says_what_any_other_says_of_itself(stand) -> None:
    """`handoffs, skills, in_flight_max`: as for any other agent."""
    with OpenAIServer(Says("x")) as server:
        came_of(stand(server, handoffs=["other"], skills=["sums"], in_flight_max=4))
    facts = next(reversed(registry.values())).facts()
    assert (facts["handoffs"], facts["skills"], facts["in_flight_max"]) == (["other"], ["sums"], 4)


def test_a_result_that_is_no_json_is_a_failed_envelope(stand) -> None:
    """DESIGN: "A worker answers by envelope or not at all"."""
    with OpenAIServer(Says("x")) as server:
        came = came_of(stand(server, result=lambda _: object()))
    assert came.envelope.fault is Fault.CONTRACT
    assert "result=" in came.envelope.reason


def test_a_payload_is_written_as_the_goal_and_what_it_is_about() -> None:
    assert as_text("Do it", None, {}) == "Do it"
    assert as_text(None, {"a": "ä"}, {}) == 'Input:\n{"a": "ä"}'
    assert as_text("Do it", 0, {"s": 1}).split("\n\n") == [
        "Do it",
        "Input:\n0",
        'Results of earlier steps:\n{"s": 1}',
    ]


def test_two_agents_of_one_name_are_refused() -> None:
    """agent.py: "two agents are called ..."; an import that is repeated is not one."""
    name = named()
    for _ in range(2):
        from_callable(name, str, confidence=1, tokens=1)
    with pytest.raises(ValueError, match="two agents"):
        from_callable(name, str, confidence=1, tokens=1)


# --- any callable --------------------------------------------------------------------------------


def test_a_function_is_booked_at_its_declared_worst_case_before_it_runs() -> None:
    """Issue: "and any callable"; its worst case is booked whole."""
    seen = []
    name = named()
    from_callable(
        name,
        lambda prompt: seen.append(prompt) or look_up("x"),
        confidence=1.0,
        tokens=500,
        usd="0.01",
        calls=2,
    )
    came = came_of(name)
    assert seen == ["What is x?"]
    assert came.envelope.result == "x is 42"
    assert (came.usage.tokens, came.usage.usd_micros, came.usage.calls) == (500, 10_000, 2)


def test_an_async_function_runs_too() -> None:
    async def answer(prompt: str) -> str:
        return prompt.upper()

    name = named()
    from_callable(name, answer, confidence=1.0, tokens=1, usd=0)
    assert came_of(name).envelope.result == "WHAT IS X?"


@pytest.mark.parametrize(
    ("declared", "ceiling", "missing"),
    [
        ({}, Limits(usd_micros=10), "usd"),
        ({"tokens": 5}, Limits(usd_micros=10), "usd"),
        ({}, Limits(tokens=10), "tokens"),
        ({"usd": 0}, Limits(tokens=10, calls=3), "tokens"),
    ],
)
def test_a_function_of_unknown_cost_is_not_run_under_a_ceiling(declared, ceiling, missing) -> None:
    """Issue: "An adapter that cannot meter a path says so and refuses to run"."""
    name = named()
    from_callable(name, lambda _: pytest.fail("it ran"), confidence=1.0, **declared)
    came = came_of(name, ceiling)
    assert came.envelope.fault is Fault.PRICE
    assert f"{missing}=..." in came.envelope.reason


def test_a_function_of_unknown_cost_counts_as_one_call() -> None:
    name = named()
    from_callable(name, str, confidence=1.0)
    assert came_of(name, Limits(calls=1)).usage.calls == 1


def test_a_function_that_could_overrun_is_not_run() -> None:
    """DESIGN: "A call that could overrun its allowance is not made"."""
    name = named()
    from_callable(name, lambda _: pytest.fail("it ran"), confidence=1.0, tokens=11, usd=0)
    assert came_of(name, Limits(tokens=10)).envelope.fault is Fault.BUDGET


# --- extras --------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", EXTRAS)
def test_a_missing_framework_is_named_with_the_extra_that_brings_it(module: str) -> None:
    """Issue: "each as an optional extra"."""
    code = f"import sys; sys.modules['{BLOCKED[module]}'] = None; import workers.adapters.{module}"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert f"pip install 'buckstop[{EXTRAS[module]}]'" in ran.stderr.splitlines()[-1]


def test_a_plain_function_needs_no_framework() -> None:
    code = "import sys, workers.adapters.function as f; print('agents' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "False\n"


def test_a_subtask_that_was_taken_away_makes_no_more_calls(stand) -> None:
    """DESIGN: "a zombie whose claim was revoked is refused"."""
    with OpenAIServer(Says("never")) as server:
        run = opened(stand(server), Books())
        run.context.cancel()
        assert outcome(run) is None
    assert server.requests == []
