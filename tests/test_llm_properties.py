"""Whatever a model server does, nothing is sent that was not charged, and no budget is overrun."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envelopes import Limits
from tests.llm_server import (
    CUT,
    DONE,
    Bench,
    Reply,
    completion,
    delta,
    last,
    refusal,
    streamed,
    usage,
    wait_for,
)
from workers import BudgetExhausted
from workers.llm import LLMError

figures = st.integers(-2, 3_000) | st.sampled_from([10**12, 10**15])
used = st.builds(usage, figures, figures) | st.sampled_from([False, {}, "x", []])
whole = st.builds(lambda text, used: completion(text, used=used), st.text(max_size=20), used)
refused = st.builds(refusal, st.sampled_from([400, 401, 429, 500, 503]))
garbage = st.builds(lambda raw: Reply([raw]), st.binary(min_size=1, max_size=40))
event = st.one_of(
    st.builds(delta, st.text(max_size=9), st.sampled_from([None, "stop"])),
    st.builds(last, used),
    st.binary(min_size=1, max_size=9),
    st.sampled_from([DONE, CUT]),
)
broken = st.builds(lambda steps: streamed(delta("a"), *steps), st.lists(event, max_size=4))
scripts = st.lists(st.one_of(whole, refused, garbage, broken), max_size=6)


@pytest.fixture
def bench(fresh):
    with Bench(fresh) as bench:
        yield bench


async def read(chat, ctx, most: int) -> None:
    async with chat.stream(ctx, "hi", max_tokens=most) as pieces:
        async for _ in pieces:
            pass


@given(
    scripts,
    st.integers(150, 3_000),
    st.lists(st.tuples(st.booleans(), st.integers(1, 500)), min_size=1, max_size=4),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_whatever_a_server_does_each_request_was_charged_before_it_was_sent(
    bench, script, allowance, questions
):
    """Sum charged <= allowance, and every request the server saw was charged before it was sent."""
    bench.journal.clear()
    bench.said(*script)
    run, chat = bench.open(allowance=Limits(tokens=allowance, calls=6)), bench.chat()

    async def work() -> None:
        for streams, most in questions:
            try:
                if streams:
                    await read(chat, run.context, most)
                else:
                    await chat.ask(run.context, "hi", max_tokens=most)
            except (LLMError, BudgetExhausted):
                continue

    wait_for(chat, work)
    kinds = [kind for kind, _ in bench.journal]
    assert kinds == ["charged", "seen"] * (len(kinds) // 2)
    for (_, worst), (_, body) in zip(bench.journal[::2], bench.journal[1::2], strict=True):
        sent = len(json.dumps(body["messages"]).encode()) + body["max_tokens"]
        assert sent <= worst.tokens <= allowance
    booked = bench.booked(run)
    assert booked.tokens <= allowance
    assert len(kinds) // 2 == booked.calls <= 6
