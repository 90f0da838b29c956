"""What a server and a network do to a client: refusals, silence, broken streams, leaving."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from envelopes import Amounts, Limits
from tests.llm_server import (
    CUT,
    DONE,
    HOLD,
    WAIT_S,
    Bench,
    Reply,
    ask,
    completion,
    delta,
    last,
    refusal,
    streamed,
    usage,
    wait_for,
    wants,
)
from tests.until import until
from workers import BudgetExhausted, Context, Envelope, Late, Revoked
from workers.agent import Agent
from workers.llm import BadAnswer, LLMError, Patience, RefusedByServer, ServerAway
from workers.runtime import outcome


@pytest.fixture
def bench(fresh):
    with Bench(fresh) as bench:
        yield bench


def read(chat, ctx, **more):
    """Read a whole stream; return its texts and its answer."""

    async def work():
        async with chat.stream(ctx, "hi", **more) as pieces:
            return [text async for text in pieces], pieces.answer

    return wait_for(chat, work)


def worst(bench) -> int:
    """Return what was booked for the last request."""
    return [amounts.tokens for kind, amounts in bench.journal if kind == "charged"][-1]


# --- trying again --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
def test_a_server_that_is_busy_is_asked_again_and_each_request_is_charged(bench, status):
    """Retry with jitter on 429/5xx; every attempt is charged before it is sent."""
    run = bench.open()
    bench.said(refusal(status), completion())
    assert ask(bench.chat(), run.context, max_tokens=9).text == "hello"
    assert [kind for kind, _ in bench.journal] == ["charged", "seen"] * 2
    booked = bench.booked(run)
    assert booked.calls == 2
    assert booked.tokens == 15 + (0 if status == 429 else worst(bench))


def test_a_503_that_names_a_time_cost_nothing(bench):
    """In doubt the worst case stays booked; a planned refusal is no doubt."""
    run = bench.open()
    bench.said(refusal(503, Retry_After="0"), completion())
    ask(bench.chat(), run.context)
    assert bench.booked(run) == Amounts(15, 0, 2)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 422])
def test_a_refusal_is_not_asked_again(bench, status):
    """400/401/404 are not retried: a clear error."""
    bench.said(refusal(status, "no such thing"))
    with pytest.raises(RefusedByServer, match=f"answered {status}: no such thing") as caught:
        ask(bench.chat(), bench.open().context)
    assert caught.value.status == status
    assert len(bench.server.seen) == 1


def test_a_spent_quota_is_no_reason_to_wait(bench):
    said = Reply([b'{"error": {"code": "insufficient_quota", "message": "pay first"}}'], 429)
    bench.said(Reply([said.steps[0].replace(b": ", b":")], 429))
    with pytest.raises(RefusedByServer, match="pay first"):
        ask(bench.chat(), bench.open().context)


def test_nobody_asks_for_ever(bench):
    bench.said(*[refusal(429)] * 9)
    with pytest.raises(ServerAway, match="attempt 3, the last"):
        ask(bench.chat(patience=Patience(3, 0.001)), bench.open().context)
    assert len(bench.server.seen) == 3


def test_a_pause_beyond_the_deadline_is_not_begun(bench):
    """Retry-After respected, only while the deadline holds."""
    for seconds, said in (("59", "no time for another"), ("3600", "asks for 3600 s")):
        bench.said(refusal(429, Retry_After=seconds))
        with pytest.raises(ServerAway, match=said):
            ask(bench.chat(), bench.open(timeout_ms=30_000).context)
    assert len(bench.server.seen) == 2


def test_asking_again_ends_where_the_allowance_does(bench):
    """Only inside the allowance."""
    bench.said(*[refusal(500)] * 9)
    run = bench.open(allowance=Limits(calls=2))
    with pytest.raises(BudgetExhausted):
        ask(bench.chat(), run.context)
    assert len(bench.server.seen) == 2


def test_a_server_that_cannot_be_reached_costs_no_tokens(bench):
    """An attempt that certainly cost nothing: connection refused; calls counts requests."""
    run = bench.open()
    with pytest.raises(ServerAway, match="ConnectError"):
        ask(bench.chat(base_url="http://127.0.0.1:1/v1"), run.context)
    assert bench.booked(run) == Amounts(0, 0, 4)


# --- silence and leaving -------------------------------------------------------------------------


def test_silence_ends_with_the_attempts_own_time(bench):
    """Timeouts; in doubt the worst case stays booked."""
    run = bench.open()
    bench.said(Reply([HOLD]), Reply([HOLD]))
    chat = bench.chat(timeout_s=1.5, patience=Patience(2, 0.001))
    with pytest.raises(ServerAway, match=r"did not finish its answer in 1\.5 s .attempt 2"):
        ask(chat, run.context, max_tokens=9)
    assert bench.booked(run) == Amounts(2 * worst(bench), 0, 2)


def test_no_attempt_outlives_the_subtask(bench):
    """A timeout per attempt never beyond ctx.seconds_left()."""
    bench.said(Reply([HOLD]))
    with pytest.raises(Late):
        ask(bench.chat(), bench.open(timeout_ms=1_500).context)


@pytest.mark.parametrize("is_async", [True, False])
def test_taking_the_subtask_away_closes_the_connection(bench, is_async):
    """Cancellation closes the connection at once."""
    chat = bench.chat()

    async def agent(ctx: Context) -> Envelope:
        return Envelope.success((await chat.ask(ctx, "hi")).text, 1)

    def plain(ctx: Context) -> Envelope:
        return Envelope.success(chat.blocking.ask(ctx, "hi").text, 1)

    run = bench.open(agent=Agent("x", agent if is_async else plain, (), is_async=is_async))
    bench.said(Reply([b" ", HOLD]))

    def take_away() -> bool:
        until("a request", lambda: bench.server.seen)
        run.context.cancel()
        return bench.server.gone.wait(WAIT_S / 2)  # long before the subtask's own time is over

    with ThreadPoolExecutor(1) as threads:
        closed = threads.submit(take_away)
        assert outcome(run) is None
        assert closed.result()
    assert run.context.meter.usage().tokens == worst(bench)


# --- streams -------------------------------------------------------------------------------------


def test_a_stream_comes_piece_by_piece_and_is_settled(bench):
    """Streaming; streams ask for `stream_options: {"include_usage": true}`."""
    run = bench.open()
    bench.said(
        streamed(
            b": ping\n\n",
            delta("Ot"),
            delta("t\u2028ers"),
            delta(None, "stop"),
            last(usage()),
            DONE,
        )
    )
    texts, answer = read(bench.chat(), run.context)
    assert texts == ["Ot", "t\u2028ers"]
    assert (answer.text, answer.finish_reason) == ("Ott\u2028ers", "stop")
    assert bench.booked(run) == Amounts(15, 0, 1)
    assert bench.server.seen[0].body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("end", "error"),
    [
        ([CUT], ServerAway),
        ([b"garbage\n"], BadAnswer),
        ([b"data: {nonsense\n\n"], BadAnswer),
        ([b'data: {"error": {"message": "overloaded"}}\n\n'], BadAnswer),
        ([], BadAnswer),
        ([DONE], BadAnswer),
        ([last(usage()), CUT], ServerAway),
    ],
)
def test_a_stream_that_breaks_stays_booked_at_its_worst(bench, end, error):
    """A stream that breaks settles; where nothing final was said the worst case stays booked."""
    run = bench.open()
    bench.said(streamed(delta("Ot"), *end))
    with pytest.raises(error):
        read(bench.chat(), run.context, max_tokens=50)
    assert bench.booked(run).tokens == worst(bench)
    assert len(bench.server.seen) == 1, "it is not asked again once something came"


@pytest.mark.parametrize("end", [[CUT], [b"garbage\n"]])
def test_a_stream_that_breaks_after_its_usage_is_settled_to_it(bench, end):
    """Usage settled also when a stream breaks."""
    run = bench.open()
    bench.said(streamed(delta("Ot", "stop"), last(usage()), *end))
    with pytest.raises(LLMError):
        read(bench.chat(), run.context)
    assert bench.booked(run) == Amounts(15, 0, 1)


def test_leaving_a_stream_closes_it_and_keeps_its_worst_case(bench):
    """Cancelled by the agent."""
    run, chat = bench.open(), bench.chat()
    bench.said(streamed(delta("Ot"), HOLD))

    async def work():
        async with chat.stream(run.context, "hi", max_tokens=50) as pieces:
            return await anext(pieces)

    assert wait_for(chat, work) == "Ot"
    assert bench.server.gone.wait(WAIT_S)
    assert bench.booked(run).tokens == worst(bench)


# --- tools and shapes ----------------------------------------------------------------------------


def test_a_model_calls_functions_until_it_answers(bench):
    """Arguments are validated, results fed back, every round charged."""
    run, chat, called = bench.open(), bench.chat(), []

    def add(ctx: Context, a: int, b: int = 1) -> int:
        """Add."""
        called.append((ctx is run.context, a, b))
        return a + b

    bench.said(wants(("add", {"a": 2}), ("add", {"a": "x"}), ("gone", {})), completion("3"))
    answer = wait_for(chat, lambda: chat.run(run.context, "2+1?", tools=[add], max_tokens=9))
    assert (answer.text, called) == ("3", [(True, 2, 1)])
    told = [each["content"] for each in bench.server.seen[1].body["messages"][-3:]]
    assert told[0] == "3"
    assert "the arguments are wrong" in told[1]
    assert "there is no tool 'gone'" in told[2]
    assert bench.booked(run) == Amounts(30, 0, 2)


def test_a_loop_over_tools_is_bounded(bench):
    """Bounded: the last round may call none."""
    run, chat = bench.open(), bench.chat()

    def again() -> str:
        return "again"

    bench.said(*[wants(("again", {}))] * 9)
    with pytest.raises(BadAnswer, match="after 3 rounds"):
        wait_for(
            chat,
            lambda: chat.run(run.context, "go", tools=[again], rounds_max=3, max_tokens=9),
        )
    choices = [seen.body.get("tool_choice") for seen in bench.server.seen]
    assert choices == [None, None, "none"]


def test_an_answer_is_parsed_and_mended_once(bench):
    """Structured output: a pydantic model or a clear error; one repair round, charged."""
    from pydantic import BaseModel

    class Otter(BaseModel):
        legs: int

    run, chat = bench.open(), bench.chat()
    bench.said(completion("four"), completion('```json\n{"legs": 4}\n```'))
    found = wait_for(chat, lambda: chat.parse(run.context, Otter, "?", max_tokens=9))
    assert found == Otter(legs=4)
    assert bench.booked(run).calls == 2
    bench.said(completion("four"))
    with pytest.raises(BadAnswer, match="no Otter"):
        wait_for(chat, lambda: chat.parse(run.context, Otter, "?", repair=False, max_tokens=9))


def test_many_questions_at_once_stay_inside_one_allowance(bench):
    """Whatever happens at once, the sum charged is within the allowance."""
    run, chat = bench.open(allowance=Limits(tokens=700)), bench.chat()

    async def work():
        asked = [chat.ask(run.context, "hi", max_tokens=100) for _ in range(10)]
        return await asyncio.gather(*asked, return_exceptions=True)

    came = wait_for(chat, work)
    assert all(isinstance(each, BudgetExhausted) or each.text == "hello" for each in came)
    assert bench.booked(run).tokens <= 700
    assert not [each for each in came if isinstance(each, Revoked)]
