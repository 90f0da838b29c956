"""Asking a model: booked before, clamped, settled after, on real books and over real HTTP."""

import asyncio
import json
import logging
import os
import signal

import pytest

from envelopes import Amounts, Fault, Limits, Status
from envelopes.limits import LLM_PREAMBLE_TOKENS, LLM_TOOL_PREAMBLE_TOKENS
from tests.llm_server import (
    KEY,
    WAIT_S,
    Bench,
    ask,
    completion,
    refusal,
    usage,
    wait_for,
)
from workers import BudgetExhausted, Context, Envelope, Late, Price, PriceUnknown, Revoked
from workers.agent import Agent
from workers.context import Grant
from workers.llm import Answer, BadAnswer, Chat, LLMError, Tokens
from workers.meter import Meter
from workers.runtime import outcome

CHEAP = Price.per_million("1", "10")


@pytest.fixture
def bench(fresh):
    with Bench(fresh) as bench:
        yield bench


def bound(bench: Bench, number: int = -1) -> int:
    """Return what a request the server saw may be charged as input."""
    raw = bench.server.seen[number].raw
    around = LLM_TOOL_PREAMBLE_TOKENS if b'"tools"' in raw else LLM_PREAMBLE_TOKENS
    body = json.loads(raw)
    body.pop("max_tokens", None)
    body.pop("max_completion_tokens", None)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode()) + around


# --- the five lines ------------------------------------------------------------------------------


def test_an_agent_of_five_lines_asks_and_is_settled(bench):
    """A metered client for OpenAI-compatible servers: chat."""
    chat = bench.chat("gpt-5-mini")

    async def write(ctx: Context, goal: str) -> Envelope:
        answer = await chat.ask(ctx, goal, max_tokens=80)
        return Envelope.success({"text": answer.text}, confidence=0.8)

    agent = Agent("write", write, ("goal",), is_async=True, price="openai:gpt-5-mini")
    bench.said(completion("otters", used=usage(12, 7)))
    envelope = outcome(bench.open(agent=agent, payload={"goal": "the Elbe"}))
    assert envelope.status == Status.SUCCESS
    assert envelope.result == {"text": "otters"}
    assert (envelope.usage.tokens, envelope.usage.calls) == (19, 1)
    assert envelope.usage.usd_micros == 17  # 12 * 0.25 + 7 * 2
    [seen] = bench.server.seen
    assert seen.line == "POST /v1/chat/completions HTTP/1.1"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.body == {
        "model": "gpt-5-mini",
        "messages": [{"role": "user", "content": "the Elbe"}],
        "max_tokens": 80,
    }


def test_an_answer_says_all_that_came(bench):
    """.text .tool_calls .finish_reason .usage."""
    bench.said(completion("cut o", finish_reason="length"))
    chat = bench.chat()
    assert ask(chat, bench.open().context) == Answer(
        "cut o", (), "length", Tokens(10, 5), None, "m-1", "c-1"
    )


def test_a_plain_function_asks_as_well(bench):
    """Agents may be plain functions."""
    chat = bench.chat()

    def write(ctx: Context, goal: str) -> Envelope:
        return Envelope.success(chat.blocking.ask(ctx, goal).text, confidence=0.8)

    agent = Agent("plain", write, ("goal",), is_async=False)
    envelope = outcome(bench.open(agent=agent))
    assert (envelope.result, envelope.usage.tokens) == ("hello", 15)


def test_blocking_on_a_loop_is_refused(bench):
    """It would hold up every agent of the process."""
    chat = bench.chat()
    run = bench.open()

    async def wrong() -> None:
        chat.blocking.ask(run.context, "hi")

    with pytest.raises(RuntimeError, match="await chat"):
        asyncio.run(wrong())
    assert not bench.server.seen


# --- before the call -----------------------------------------------------------------------------


def test_the_bytes_of_the_request_are_booked_before_it_is_sent(bench):
    """Prompt counted before the call: bytes bound the tokens from above."""
    run = bench.open()
    messages = [
        {"role": "system", "content": "ä" * 50},
        {"role": "user", "content": "\n\U0001f9a6"},
    ]
    ask(bench.chat(), run.context, messages, max_tokens=100, temperature=0.5)
    (first, worst), (second, _) = bench.journal
    assert (first, second) == ("charged", "seen")
    assert worst == Amounts(bound(bench) + 100, 0, 1)
    assert bound(bench) > 50 * 2 + 4 + LLM_PREAMBLE_TOKENS


def test_tools_are_part_of_the_prompt(bench):
    """Bytes of the request's messages and tools."""

    def look(where: str) -> str:
        """Look somewhere."""
        return where

    ask(bench.chat(), bench.open().context, tools=[look], max_tokens=10)
    assert bench.journal[0][1].tokens == bound(bench) + 10
    assert "Look somewhere" in bench.server.seen[0].raw.decode()


def test_max_tokens_is_clamped_to_what_is_left(bench):
    """`max_tokens` clamped to what is left, and the clamped figure is what is sent."""
    run = bench.open(allowance=Limits(tokens=400))
    ask(bench.chat(), run.context, max_tokens=5_000)
    assert bench.server.seen[0].body["max_tokens"] == 400 - bound(bench)
    assert bench.journal[0][1].tokens == 400


def test_dollars_clamp_as_well(bench):
    run = bench.open(allowance=Limits(usd_micros=1_000), price=CHEAP)
    ask(bench.chat(), run.context, max_tokens=5_000)
    assert bench.server.seen[0].body["max_tokens"] == (1_000 - bound(bench)) // 10


@pytest.mark.parametrize("more", [{}, {"least_tokens": 50, "max_tokens": 60}])
def test_what_cannot_fit_is_refused_and_never_reaches_the_server(bench, more):
    """What cannot fit is refused with BudgetExhausted and no request reaches the server."""
    run = bench.open(allowance=Limits(tokens=LLM_PREAMBLE_TOKENS + (90 if more else 50)))
    with pytest.raises(BudgetExhausted):
        ask(bench.chat(), run.context, **more)
    assert bench.server.seen == []
    assert bench.booked(run) == Amounts()


def test_an_unknown_price_under_a_usd_ceiling_is_refused_before_anything_is_sent(bench):
    """A usd ceiling with an unknown price: PriceUnknown before anything is sent."""
    run = bench.open(allowance=Limits(usd_micros=1_000_000))
    with pytest.raises(PriceUnknown, match="m-unheard-of"):
        ask(bench.chat("m-unheard-of"), run.context)
    assert bench.server.seen == []
    ask(bench.chat("m-unheard-of", price="openai:gpt-5-mini"), run.context)
    assert len(bench.server.seen) == 1


def test_the_clients_own_price_goes_before_the_agents(bench):
    """Chat: the one named in Chat(price=...); else the agent's; else the model's name."""
    for own, declared, micros in (
        ("openai:gpt-5-mini", CHEAP, 12.5),
        (None, CHEAP, 60),
        (None, None, 12.5),
    ):
        run = bench.open(allowance=Limits(usd_micros=1_000_000), price=declared)
        ask(bench.chat("gpt-5-mini", price=own), run.context)
        assert bench.booked(run).usd_micros == -(-micros // 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 2),
        ("n", True),
        ("best_of", 3),
        ("modalities", ["text", "audio"]),
        ("web_search_options", {}),
        ("service_tier", "priority"),
        ("prediction", {"type": "content", "content": "x"}),
    ],
)
def test_a_parameter_without_a_bound_is_refused(bench, name, value):
    """Never n > 1 or best_of; nor what else makes the cost unbounded."""
    with pytest.raises(ValueError, match=name):
        ask(bench.chat(), bench.open().context, **{name: value})
    assert bench.journal == []


@pytest.mark.parametrize("name", ["model", "stream", "max_completion_tokens", "stream_options"])
def test_the_clients_own_parameters_cannot_be_replaced(bench, name):
    with pytest.raises(TypeError, match=name):
        ask(bench.chat(), bench.open().context, **{name: 1})
    assert bench.journal == []


def test_other_parameters_are_passed_on(bench):
    """Pass-through of other parameters: temperature, response_format, seed."""
    more = {"temperature": 0.1, "seed": 7, "n": 1, "response_format": {"type": "json_object"}}
    ask(bench.chat(), bench.open().context, **more)
    assert more.items() <= bench.server.seen[0].body.items()


def test_a_picture_needs_a_figure(bench):
    """Bytes bound text; what a picture costs is not to be seen in its address."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/otter.png"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "what?"}, picture]}]
    chat, run = bench.chat(), bench.open()
    with pytest.raises(ValueError, match="media_tokens"):
        ask(chat, run.context, messages)
    assert bench.journal == []
    ask(chat, run.context, messages, media_tokens=1_500, max_tokens=10)
    assert bench.journal[0][1].tokens == bound(bench) + 1_500 + 10


def test_a_tool_that_runs_at_the_server_is_refused(bench):
    with pytest.raises(ValueError, match="web_search"):
        ask(bench.chat(), bench.open().context, tools=[{"type": "web_search"}])
    assert bench.journal == []


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1/", "max_completion_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
    ],
)
def test_the_longest_answer_is_named_as_the_server_names_it(url, field):
    """`max_tokens` vs `max_completion_tokens`: some servers ignore the name they do not know."""
    assert Chat("m", base_url=url, api_key=KEY)._limit_field == field


def test_the_name_can_be_chosen(bench):
    """By a setting."""
    chat = bench.chat(limit_field="max_completion_tokens")
    ask(chat, bench.open().context, max_tokens=9)
    assert bench.server.seen[0].body["max_completion_tokens"] == 9
    assert "max_tokens" not in bench.server.seen[0].body


# --- after the call ------------------------------------------------------------------------------


def test_what_the_server_says_it_used_is_settled(bench):
    """Real usage settles."""
    run = bench.open(price=CHEAP)
    bench.said(completion(used=usage(30, 20)))
    ask(bench.chat(), run.context)
    assert bench.booked(run) == Amounts(50, 30 + 200, 1)


def test_reasoning_is_counted_once(bench):
    """Reasoning tokens are in completion tokens; where they are not, the total shows it."""
    inside = usage(10, 50, completion_tokens_details={"reasoning_tokens": 40})
    beside = usage(10, 6) | {"total_tokens": 110}
    larger = usage(10, 0, completion_tokens_details={"reasoning_tokens": 60}) | {"total_tokens": 70}
    for used, output in ((inside, 50), (beside, 100), (larger, 60)):
        run = bench.open()
        bench.said(completion(used=used))
        assert ask(bench.chat(), run.context).usage.output == output
        assert bench.booked(run).tokens == 10 + output


def test_cached_input_is_paid_as_cached(bench):
    """Real usage settles: cached tokens."""
    run = bench.open(allowance=Limits(usd_micros=1_000_000))
    used = usage(1_000, 100, prompt_tokens_details={"cached_tokens": 800})
    bench.said(completion(used=used), completion(used=used))
    ask(bench.chat("gpt-5-mini"), run.context)
    assert bench.booked(run).usd_micros == 270  # 200 * 0.25 + 800 * 0.025 + 100 * 2
    dear = bench.open(allowance=Limits(usd_micros=1_000_000), price=CHEAP)
    ask(bench.chat("gpt-5-mini"), dear.context)
    assert bench.booked(dear).usd_micros == 2_000, "the agent's own price knows no cache"


@pytest.mark.parametrize(
    "used",
    [
        False,
        None,
        {},
        "12",
        usage(0, 5),
        usage(-1, 5),
        usage(10, 0),
        usage(1.5, 5),
        usage(True, 5),
        {"prompt_tokens": "10", "completion_tokens": "5"},
        {"prompt_tokens": 10},
        usage(10**13, 5),
        usage(10, 10**12),
        usage(10, 5, completion_tokens_details={"reasoning_tokens": -4}),
    ],
)
def test_usage_that_is_missing_or_cannot_be_true_leaves_the_worst_case_booked(bench, used):
    """Without usage in the reply the worst case stays booked."""
    run = bench.open()
    bench.said(completion(used=False) if used is False else completion("hello", usage=used))
    if used is not False:
        bench.said(completion("hello", used=False, usage=used))
    answer = ask(bench.chat(), run.context, max_tokens=77)
    assert answer.usage is None
    assert bench.booked(run).tokens == bound(bench) + 77


def test_usage_larger_than_promised_is_believed_and_stops_the_agent(bench):
    """Never less than reality can be; and never more than the allowance is charged."""
    run = bench.open(allowance=Limits(tokens=500))
    bench.said(completion(used=usage(10, 9_000)))
    chat = bench.chat()
    assert ask(chat, run.context, max_tokens=5).usage.output == 9_000
    with pytest.raises(BudgetExhausted):
        ask(chat, run.context, max_tokens=5)
    claim = bench.office.claim(run.grant.subtask)
    assert int(claim["t"]) <= 500
    assert len(bench.server.seen) == 1


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"not json", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"choices": 5}', "choices"),
        (b'{"choices": []}', "no choice"),
        (b"{}", "no choice"),
        (b'{"error": {"message": "upstream gave up"}}', "upstream gave up"),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error_and_stays_booked(bench, raw, said):
    """BadAnswer; the worst case stays booked, and it is not asked for again."""
    run = bench.open()
    reply = completion()
    bench.said(type(reply)([raw]))
    with pytest.raises(BadAnswer, match=said):
        ask(bench.chat(), run.context, max_tokens=9)
    assert bench.booked(run).tokens == bound(bench) + 9
    assert len(bench.server.seen) == 1


def test_an_answer_without_a_choice_is_paid_as_the_server_says(bench):
    run = bench.open()
    bench.said(completion(choices=[]))
    with pytest.raises(BadAnswer):
        ask(bench.chat(), run.context)
    assert bench.booked(run) == Amounts(15, 0, 1)


# --- the runtime, the log and the secret ---------------------------------------------------------


def test_an_error_becomes_a_failed_envelope_with_a_readable_reason(bench):
    """Errors are exceptions, so that the runtime makes them `failed` envelopes (raised)."""
    chat = bench.chat()

    async def write(ctx: Context) -> Envelope:
        return Envelope.success((await chat.ask(ctx, "hi")).text, confidence=1)

    bench.said(refusal(401, f"Incorrect API key provided: {KEY}"))
    envelope = outcome(bench.open(agent=Agent("x", write, (), is_async=True)))
    assert envelope.fault == Fault.RAISED
    assert envelope.reason == (
        "RefusedByServer: 127.0.0.1 answered 401: Incorrect API key provided: ***"
    )


def test_the_key_is_in_no_repr_no_log_and_no_error(bench, caplog):
    """Api key never in repr, log or exception."""
    caplog.set_level(logging.DEBUG)
    chat = bench.chat()
    for reply in (
        refusal(400, f"you sent {KEY}"),
        completion(f"{KEY}", choices=KEY),
        completion(error={"message": KEY}),
        refusal(500, f"you sent {KEY}"),
    ):
        bench.said(*[reply] * 4)
        with pytest.raises(LLMError) as caught:
            ask(chat, bench.open().context, max_tokens=9)
        assert KEY not in repr(caught.value)
    with pytest.raises(ValueError, match="api_key") as refused:
        Chat("m", api_key=f"{KEY}\nX-Evil: 1")
    with pytest.raises(ValueError, match="password"):
        Chat("m", base_url=f"http://me:{KEY}@127.0.0.1/v1")
    shown = (repr(chat), repr(vars(chat)), repr(refused.value), caplog.text)
    assert not [text for text in shown if KEY in text]


def test_a_request_is_logged_in_opentelemetrys_words(bench, caplog):
    """OTel GenAI names."""
    caplog.set_level(logging.INFO, "buckstop.agent")
    run = bench.open(allowance=Limits(tokens=400))
    ask(bench.chat(), run.context, max_tokens=5_000)
    [line] = [each for each in caplog.records if each.message == "a model was asked"]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "gen_ai.request.max_tokens": bench.server.seen[0].body["max_tokens"],
        "gen_ai.response.model": "m-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "subtask": run.grant.subtask,
    }
    assert expected.items() <= {k: v for k, v in vars(line).items() if k in expected}.items()


def test_the_environment_names_server_and_key(bench, monkeypatch):
    """Defaults from OPENAI_BASE_URL and OPENAI_API_KEY."""
    monkeypatch.setenv("OPENAI_BASE_URL", bench.server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-outside")
    ask(Chat("m"), bench.open().context)
    assert bench.server.seen[0].headers["authorization"] == "Bearer sk-from-outside"


def test_one_client_per_loop_is_shared_by_all_questions(bench):
    """One client per process and loop."""
    chat, run = bench.chat(), bench.open()

    async def both() -> list[object]:
        await asyncio.gather(chat.ask(run.context, "a"), chat.ask(run.context, "b"))
        return [client for _, client in chat._server._clients.values()]

    first, second = wait_for(chat, both), wait_for(chat, both)
    assert len(first) == len(second) == 1
    assert first != second
    assert run.context.meter.usage().calls == 4


class Generous:
    """Books that a forked process can reach: the real line's threads stayed behind."""

    def charge(self, *_):
        return "ok"


def test_a_fork_asks_over_connections_of_its_own(bench):
    """Safe after fork."""
    chat, context = bench.chat(), bench.open().context
    chat.blocking.ask(context, "before")
    child = os.fork()
    if child == 0:
        signal.alarm(WAIT_S)
        try:
            meter = Meter(Generous(), Limits(tokens=10_000), over_at=context.deadline)
            answer = chat.blocking.ask(Context(Grant(context.headers, "", 1e12), meter), "within")
            os._exit(0 if answer.text == "hello" else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    chat.blocking.ask(context, "after")
    asked = [each.body["messages"][0]["content"] for each in bench.server.seen]
    assert asked == ["before", "within", "after"]


def test_after_the_deadline_nothing_is_sent(bench):
    """The deadline."""
    run = bench.open(timeout_ms=1_000)
    run.context.meter._now = lambda: run.grant.over_at
    with pytest.raises(Late):
        ask(bench.chat(), run.context)
    assert bench.server.seen == []


def test_a_revoked_subtask_asks_nothing(bench):
    run = bench.open()
    run.context.cancel()
    with pytest.raises(Revoked):
        ask(bench.chat(), run.context)
    assert bench.server.seen == []
