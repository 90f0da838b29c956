"""What is bounded on the way to a model and back: sizes, connections, prices, and who may leave."""

import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from envelopes import Amounts, Limits, limits
from tests.llm_server import (
    CUT,
    HOLD,
    KEY,
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
)
from tests.until import until
from workers import Context, Price
from workers.context import Grant
from workers.llm import BadAnswer, LLMError, RefusedByServer
from workers.meter import Meter
from workers.prices import price_of

CHEAP = Price.per_million("0.01", "0.01")
DEAR = Price.per_million("100", "100")
DOLLARS = Limits(usd_micros=1_000_000)


@pytest.fixture
def bench(fresh):
    with Bench(fresh) as bench:
        yield bench


def worst(bench) -> int:
    """Return what was booked for the last request."""
    return [amounts.tokens for kind, amounts in bench.journal if kind == "charged"][-1]


def read(bench, reply):
    """Read a stream to its end; return its texts and its answer."""
    chat, ctx = bench.chat(), bench.open().context
    bench.said(reply)

    async def work():
        async with chat.stream(ctx, "hi", max_tokens=9) as pieces:
            return [text async for text in pieces], pieces.answer

    return wait_for(chat, work)


# --- sizes ---------------------------------------------------------------------------------------


def test_no_more_of_an_error_is_read_than_its_message_needs(bench):
    """A refusal without end is not read for ever, and is not repeated at length."""
    part = b"x" * (limits.LLM_LINE_BYTES_MAX // 2 + 1)
    bench.said(Reply([part, part, HOLD], 400))
    with pytest.raises(RefusedByServer, match="answered 400: xxx") as caught:
        ask(bench.chat(), bench.open().context)
    assert len(str(caught.value)) < limits.LLM_ERROR_CHARS_MAX + 100


def test_no_more_of_an_answer_is_read_than_any_can_hold(bench, monkeypatch):
    """Every limit: the largest answer."""
    monkeypatch.setattr(limits, "LLM_ANSWER_BYTES_MAX", 10_000)
    bench.said(Reply([b" " * 6_000, b" " * 6_000, HOLD]))
    run = bench.open()
    with pytest.raises(BadAnswer, match="larger than any answer"):
        ask(bench.chat(), run.context, max_tokens=9)
    assert bench.booked(run).tokens == worst(bench)


def test_a_line_of_a_stream_is_bounded(bench):
    """One event of a stream: a token, or at most a whole tool call."""
    with pytest.raises(BadAnswer, match="line without end"):
        read(bench, streamed(b"data: " + b"x" * limits.LLM_LINE_BYTES_MAX, HOLD))


@pytest.mark.parametrize("status", [200, 400])
def test_a_message_is_cut_after_the_key_is_taken_out(bench, status):
    """Api key never in an exception: not the half of it that a cut leaves, either."""
    for before in range(limits.LLM_ERROR_CHARS_MAX - 60, limits.LLM_ERROR_CHARS_MAX, 6):
        bench.said(refusal(status, "x" * before + KEY + "y" * limits.LLM_ERROR_CHARS_MAX))
        with pytest.raises(LLMError) as caught:
            ask(bench.chat(), bench.open().context, max_tokens=9)
        assert KEY[:4] not in str(caught.value)
        assert len(str(caught.value)) < limits.LLM_ERROR_CHARS_MAX + 100


# --- streams in every dress ----------------------------------------------------------------------


def test_a_stream_may_end_its_lines_as_it_likes(bench):
    """Servers differ: comments, names of events, CRLF, a last line without its end."""
    said = b": ping\r\n" + b"event: chunk\r\nid: 4\r\nretry: 10\r\n"
    crlf = delta("a", "stop").replace(b"\n", b"\r\n")
    texts, answer = read(bench, streamed(said, crlf[:20], crlf[20:], last(usage(7, 8)).strip()))
    assert texts == ["a"]
    assert (answer.usage.input, answer.usage.output) == (7, 8)


def test_only_the_choice_that_was_asked_for_is_read(bench):
    """`n` is 1: what a server says beyond that is not mixed into the answer."""
    choices = [
        {"index": each, "message": {"content": text}, "finish_reason": "stop"}
        for each, text in enumerate(("this", "that"))
    ]
    bench.said(completion(choices=choices))
    assert ask(bench.chat(), bench.open().context).text == "this"


def test_a_text_may_come_in_parts_and_a_refusal_beside_it(bench):
    """What is needed is read, however a server writes it."""
    parts = [{"type": "text", "text": "ot"}, {"type": "text", "text": "ters"}]
    bench.said(completion(message={"content": parts, "refusal": "no more"}))
    answer = ask(bench.chat(), bench.open().context)
    assert (answer.text, answer.refusal) == ("otters", "no more")


# --- what a refusal or a break costs -------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_request_that_no_model_saw_costs_no_tokens(bench, status):
    """401, 403, 404: no tokens, one call."""
    run = bench.open()
    bench.said(refusal(status))
    with pytest.raises(RefusedByServer):
        ask(bench.chat(), run.context)
    assert bench.booked(run) == Amounts(0, 0, 1)


@pytest.mark.parametrize("status", [302, 400, 422])
def test_a_request_that_a_model_may_have_seen_stays_booked(bench, status):
    """Anything else: the worst case stays booked."""
    run = bench.open()
    bench.said(refusal(status))
    with pytest.raises(RefusedByServer):
        ask(bench.chat(), run.context)
    assert bench.booked(run) == Amounts(worst(bench), 0, 1)


def test_a_connection_that_breaks_after_sending_stays_booked(bench):
    """A model goes on after its reader has left: in doubt it was spent."""
    run = bench.open()
    bench.said(Reply([CUT]), refusal(408), completion())
    assert ask(bench.chat(), run.context, max_tokens=9).text == "hello"
    assert bench.booked(run) == Amounts(2 * worst(bench) + 15, 0, 3)


def test_a_redirect_is_not_followed(bench):
    """Every request is booked before it is sent; one that httpx sends by itself is not."""
    bench.said(refusal(307, Location=f"{bench.server.url}/elsewhere"))
    with pytest.raises(RefusedByServer, match="answered 307"):
        ask(bench.chat(), bench.open().context)
    assert len(bench.server.seen) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("models", ["a", "b"]),
        ("use_beam_search", True),
        ("audio", {}),
        ("plugins", []),
        ("chat_template", "x"),
    ],
)
def test_what_may_change_the_price_or_the_prompt_is_refused(bench, name, value):
    """What makes the cost unbounded is refused before anything is charged."""
    with pytest.raises(ValueError, match=name):
        ask(bench.chat(), bench.open().context, **{name: value})
    assert bench.journal == []


def test_sound_that_a_message_refers_to_needs_a_figure(bench):
    """What has no bound: pictures and sound, unless the agent says how many tokens they are."""
    messages = [{"role": "assistant", "audio": {"id": "a-1"}}, {"role": "user", "content": "?"}]
    with pytest.raises(ValueError, match="media_tokens"):
        ask(bench.chat(), bench.open().context, messages)
    assert bench.journal == []


def test_an_address_holds_no_secret(bench):
    """A password in the address would stand in every log; so would a query."""
    for url in ("http://me:pass@127.0.0.1/v1", "http://127.0.0.1/v1?key=pass"):
        with pytest.raises(ValueError, match="no password and no query"):
            bench.chat(base_url=url)


# --- prices --------------------------------------------------------------------------------------


def test_a_cheap_price_does_not_cover_a_dearer_model(bench):
    """Promise 2: an agent that declares a cheap price and calls a dear model books the dear one."""
    for declared, micros in ((CHEAP, 17), (DEAR, 1_900), (Price.per_million("9", "1"), 17)):
        run = bench.open(allowance=DOLLARS, price=declared)
        bench.journal.clear()
        bench.said(completion(used=usage(12, 7)))
        ask(bench.chat("gpt-5-mini"), run.context, max_tokens=100)
        assert bench.journal[0][1].usd_micros >= 200, "100 tokens of output at 2 USD a million"
        assert bench.booked(run).usd_micros == micros


def test_a_dearer_model_is_clamped_at_its_own_price(bench):
    """`max_tokens` is clamped to what is left, at what the model really costs."""
    run = bench.open(allowance=Limits(usd_micros=1_000), price=CHEAP)
    ask(bench.chat("gpt-5-mini"), run.context, max_tokens=50_000)
    assert bench.server.seen[0].body["max_tokens"] < 500


def test_who_pays_less_than_the_tables_say_names_the_price(bench):
    """Chat(price=...): a Price, for a model that one runs oneself; it knows no cache."""
    run = bench.open(allowance=DOLLARS, price=DEAR)
    bench.said(completion(used=usage(100, 100, prompt_tokens_details={"cached_tokens": 90})))
    ask(bench.chat("gpt-5-mini", price=CHEAP), run.context)
    assert bench.booked(run).usd_micros == 2


def test_a_model_that_nobody_lists_is_booked_as_the_agent_declares(bench):
    """An unknown model is refused, unless the agent declares its price."""
    run = bench.open(allowance=DOLLARS, price=DEAR)
    ask(bench.chat("m-unheard-of"), run.context)
    assert bench.booked(run).usd_micros == 1_500


@pytest.mark.parametrize(
    ("declared", "covers"),
    [(("12", "22.5"), True), (("6", "22.5"), False), (("12", "15"), False), (("3", "15"), False)],
)
def test_a_price_covers_another_only_for_prompts_of_every_length(declared, covers):
    """The dearer of the two is booked: where a long prompt is dearer, too."""
    mine, listed = Price.per_million(*declared), price_of("anthropic:claude-sonnet-4-5")
    assert mine.covers(listed) is covers
    sizes = [(into, out) for into in (1, 200_000, 200_001, 900_000) for out in (0, 1, 64_000)]
    assert covers == all(mine.worst(*size) >= listed.worst(*size) for size in sizes)


def test_what_a_cache_takes_in_is_paid_as_listed(bench):
    """Real usage settles: tokens written to a cache are dearer, and no more than were sent."""
    claude = "anthropic:claude-sonnet-4-5"
    for details, model, micros in (
        ({"cache_write_tokens": 800}, claude, 600 + 3_000 + 1_500),
        ({"cached_tokens": 5_000}, "openai:gpt-5-mini", 25 + 200),
    ):
        run = bench.open(allowance=DOLLARS)
        bench.said(completion(used=usage(1_000, 100, prompt_tokens_details=details)))
        ask(bench.chat(price=model), run.context)
        assert bench.booked(run).usd_micros == micros


def test_reasoning_beside_the_answer_is_paid(bench):
    """Servers that leave reasoning out of `completion_tokens` show it in the details."""
    run = bench.open()
    used = {"prompt_tokens": 10, "completion_tokens": 3}
    bench.said(completion(used=used | {"completion_tokens_details": {"reasoning_tokens": 60}}))
    ask(bench.chat(), run.context)
    assert bench.booked(run).tokens == 73


# --- leaving -------------------------------------------------------------------------------------


@pytest.mark.parametrize("listens", [True, False])
def test_leaving_a_stream_closes_its_connection_at_once(bench, listens):
    """Leaving the block closes the connection; not the end of the client."""
    chat, run = bench.chat(), bench.open()
    bench.said(streamed(delta("Ot"), HOLD))

    async def work():
        async with chat.stream(run.context, "hi", max_tokens=9) as pieces:
            if listens:
                await anext(pieces)
        return await asyncio.to_thread(bench.server.gone.wait, WAIT_S / 2)

    assert wait_for(chat, work)
    assert bench.booked(run).tokens == worst(bench)


def test_an_agents_own_timeout_stays_its_own(bench):
    """Only the attempt's own time makes a server away."""
    chat, run = bench.chat(), bench.open()
    bench.said(streamed(delta("Ot"), HOLD))

    async def work():
        async with chat.stream(run.context, "hi", max_tokens=9):
            raise TimeoutError("the agent's own")

    with pytest.raises(TimeoutError, match="the agent's own"):
        wait_for(chat, work)


class Terminated(Exception):
    """What a signal handler raises."""


def test_a_signal_ends_the_wait_and_the_question(bench):
    """Whatever ends a plain function's wait ends the question: a signal, too."""
    chat, run = bench.chat(), bench.open()
    bench.said(Reply([b" ", HOLD]))

    def end(*_):
        raise Terminated

    def strike():
        until("a request", lambda: bench.server.seen)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, end)
    striker = threading.Thread(target=strike)
    try:
        striker.start()
        with pytest.raises(Terminated):
            chat.blocking.ask(run.context, "hi", max_tokens=9)
    finally:
        striker.join()
        signal.signal(signal.SIGUSR1, before)
    assert bench.server.gone.wait(WAIT_S / 2)
    assert run.context.meter.usage().tokens == worst(bench)


# --- connections ---------------------------------------------------------------------------------


class Generous:
    """Books that a forked process can reach: the real line's threads stayed behind."""

    def charge(self, *_):
        return "ok"


def context_of(real: Context) -> Context:
    """Return a context with threads of this process's own."""
    meter = Meter(
        Generous(), Limits(tokens=10_000), over_at=real.deadline, executor=ThreadPoolExecutor(1)
    )
    return Context(Grant(real.headers, "", 1e12), meter)


def test_a_forked_process_shares_no_connection_even_on_an_inherited_loop(bench):
    """Safe after fork: two processes on one connection would read each other's answers."""
    chat, real = bench.chat(), bench.open().context
    loop = asyncio.new_event_loop()
    loop.run_until_complete(chat.ask(context_of(real), "before"))
    child = os.fork()
    if child == 0:
        signal.alarm(WAIT_S)
        try:
            answer = loop.run_until_complete(chat.ask(context_of(real), "within"))
            os._exit(0 if answer.text == "hello" else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    before, within = (each.peer for each in bench.server.seen)
    assert before != within
    loop.run_until_complete(chat.aclose())
    loop.close()


def test_questions_of_one_loop_take_one_connection(bench):
    """One pool for each event loop; closing it closes its connections."""
    chat, run = bench.chat(), bench.open()

    async def work():
        await chat.ask(run.context, "a", max_tokens=9)
        await chat.ask(run.context, "b", max_tokens=9)
        await chat.aclose()
        await asyncio.to_thread(until, "a closed connection", lambda: not bench.server._open)

    wait_for(chat, work)
    first, second = (each.peer for each in bench.server.seen)
    assert first == second
