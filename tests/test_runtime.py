"""Whatever an agent does, exactly one envelope comes of it; on the server's own claims."""

import asyncio
import json
import logging
import threading
import time

import pytest

from envelopes import Amounts, Envelope, Fault, Limits, Status, Usage
from envelopes.limits import ENVELOPE_BYTES_MAX
from tests.shop import Hands, Office, Report
from tests.until import PATIENCE_S, until
from workers import BudgetExhausted, Context, Price
from workers.agent import Agent, _takes
from workers.beat import Beat
from workers.runtime import perform, report, stopped

FOR_EVER_S = 600
"""Longer than a test may take."""


@pytest.fixture
def office(fresh) -> Office:
    return Office(fresh.client, fresh.keys)


@pytest.fixture
def hands(fresh) -> Hands:
    return Hands(fresh.client, fresh.keys)


@pytest.fixture
def run(office: Office, hands: Hands):
    """Publish a subtask for a function, open it, and return its run."""

    def run(function, *, price=None, **message):
        office.send("a", **message)
        is_async = asyncio.iscoroutinefunction(function)
        return hands.open(Agent("a", function, _takes(function), is_async=is_async, price=price))

    return run


@pytest.fixture
def came_of(office: Office, run):
    """Run a function as an agent; return what its owner was told."""

    def came_of(function, **more) -> Report:
        opened = run(function, **more)
        perform(opened)
        reports = office.reports()
        assert list(reports) == [opened.grant.subtask], "exactly one envelope"
        return reports[opened.grant.subtask]

    return came_of


def raising(error: BaseException):
    def raising(ctx: Context) -> Envelope:
        raise error

    return raising


def returning(value: object):
    def returning(ctx: Context) -> object:
        return value

    return returning


# --- an envelope, and only an envelope -----------------------------------------------------------


def test_an_agent_gets_what_it_names_and_its_envelope_is_handed_on(came_of) -> None:
    payload = {"goal": "tides", "input": {"a": 1}, "inputs": {"s": [2]}}

    def agent(ctx: Context, inputs: dict, goal: str) -> Envelope:
        return Envelope.success([ctx.subtask, goal, inputs], 0.9)

    told = came_of(agent, payload=payload)
    assert told.envelope.status is Status.SUCCESS
    assert told.envelope.result[1:] == ["tides", {"s": [2]}]


def test_only_metered_figures_count(came_of) -> None:
    """Lies about usage: metered numbers count."""

    def agent(ctx: Context) -> Envelope:
        ctx.meter.charge(tokens=7)
        return Envelope.success(1, 1.0, usage=Usage(tokens=10**9))

    told = came_of(agent)
    assert told.envelope.usage == Usage(tokens=7, usd_micros=0, calls=1)
    assert told.charged == Amounts(7, 0, 1)


@pytest.mark.parametrize(
    ("returned", "named"),
    [
        ("all done!", "str 'all done!'"),
        (None, "nothing"),
        ({"status": "success"}, "dict {'status': 'success'}"),
        (object, "type <class 'object'>"),
        ("x" * 10_000, "…"),
    ],
)
def test_anything_else_it_returns_is_a_failure_that_names_it(came_of, returned, named) -> None:
    """A worker answers by envelope or not at all."""
    told = came_of(returning(returned)).envelope
    assert (told.status, told.fault) == (Status.FAILED, Fault.CONTRACT)
    assert named in (told.reason or "")
    assert len(told.reason or "") < 300


def test_even_what_cannot_be_written_down_is_named(came_of) -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "Shy" in (came_of(returning(Shy())).envelope.reason or "")


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "made",
    [
        lambda: Envelope.success(1, float("nan")),
        lambda: Envelope.success(1, 1.5),
        lambda: Envelope.success(float("inf"), 1.0),
        lambda: Envelope.failed(""),
        lambda: Envelope(status=Status.FAILED, reason="no", result=1),
        lambda: Envelope.model_construct(status=Status.SUCCESS, result=1, confidence=float("nan")),
        lambda: Envelope.model_construct(status="great", result=1, confidence=1.0),
        lambda: Envelope.model_construct(status=Status.SUCCESS, result=object(), confidence=1.0),
        lambda: Envelope.success("x" * ENVELOPE_BYTES_MAX, 1.0),
        lambda: Envelope.success("x" * (ENVELOPE_BYTES_MAX - 130), 1.0),
        lambda: Envelope.model_construct(status=Status.SUCCESS, result=_nested(50), confidence=1.0),
        lambda: Envelope.model_construct(status=Status.SUCCESS, result="\ud800", confidence=1.0),
        lambda: Envelope.model_construct(status=Status.SUCCESS, result=10**5000, confidence=1.0),
    ],
)
def test_an_envelope_that_breaks_the_rules_is_a_failure(came_of, made) -> None:
    """Wrong envelope, NaN confidence: `failed` with reason."""

    def agent(ctx: Context) -> Envelope:
        return made()

    told = came_of(agent).envelope
    assert (told.status, told.fault) == (Status.FAILED, Fault.CONTRACT), told
    assert told.reason


def test_a_fault_is_not_for_an_agent_to_claim(came_of) -> None:
    told = came_of(returning(Envelope.failed("poor me", Fault.LOST))).envelope
    assert (told.reason, told.fault) == ("poor me", None)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad"),
        SystemExit(3),
        KeyboardInterrupt(),
        MemoryError("no room"),
        RecursionError("deep"),
        TimeoutError("model"),
        BaseExceptionGroup("both", [OSError("x")]),
    ],
)
def test_whatever_it_raises_is_a_failure_that_names_it(came_of, error) -> None:
    """Agent raises: `failed` with reason."""
    told = came_of(raising(error)).envelope
    assert (told.status, told.fault) == (Status.FAILED, Fault.RAISED)
    assert type(error).__name__ in (told.reason or "")


def test_an_exception_that_cannot_be_read_is_still_reported(came_of) -> None:
    class Shy(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "Shy" in (came_of(raising(Shy())).envelope.reason or "")


def test_half_a_character_in_an_exception_does_not_stop_the_report(came_of, monkeypatch) -> None:
    # pytest-xdist cannot carry half a character in a captured log.
    monkeypatch.setattr(logging.getLogger("buckstop.runtime"), "disabled", True)
    assert "bad \\" not in (came_of(raising(ValueError("bad \ud800"))).envelope.reason or "")


# --- cut short -----------------------------------------------------------------------------------


def spender(ctx: Context) -> Envelope:
    """Spend for ever, and keep what there is."""
    for number in range(1000):
        with ctx.meter.call(input_tokens=10, max_tokens=30, min_tokens=30) as call:
            call.used(10, 20)
        ctx.keep(number, 0.5)
    raise AssertionError("never stopped")


def test_a_spender_is_stopped_before_the_call_that_would_overrun_and_its_work_is_kept(
    came_of,
) -> None:
    """Paid work is kept: when a cap hits, the owner gets what was already produced."""
    told = came_of(spender, allowance=Limits(tokens=100))
    assert (told.envelope.status, told.envelope.fault) == (Status.PARTIAL, Fault.BUDGET)
    assert (told.envelope.result, told.envelope.confidence) == (2, 0.5)
    assert told.charged == Amounts(90, 0, 3)


def test_without_anything_kept_an_empty_budget_is_a_failure(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        ctx.meter.charge(tokens=101)
        raise AssertionError

    told = came_of(agent, allowance=Limits(tokens=100)).envelope
    assert (told.status, told.fault) == (Status.FAILED, Fault.BUDGET)
    assert "100 tokens" in (told.reason or "")


def test_a_refusal_is_recognised_through_whatever_wraps_it(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        try:
            ctx.meter.charge(tokens=10**6)
        except BudgetExhausted as error:
            raise RuntimeError("the framework failed") from error
        raise AssertionError

    assert came_of(agent).envelope.fault is Fault.BUDGET


def test_the_best_of_what_was_kept_is_handed_back(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        for result, confidence in (("a", 0.2), ("b", 0.6), ("c", 0.6), ("d", 0.4)):
            ctx.keep(result, confidence)
        ctx.meter.charge(tokens=10**6)
        raise AssertionError

    assert came_of(agent).envelope.result == "c"


def test_what_cannot_be_read_cannot_be_kept(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        ctx.keep("x" * ENVELOPE_BYTES_MAX, 0.5)
        raise AssertionError

    assert came_of(agent).envelope.fault is Fault.CONTRACT


def test_an_async_agent_is_cancelled_when_its_time_is_over(came_of) -> None:
    """Never returns: step timeout; partial kept."""

    async def agent(ctx: Context) -> Envelope:
        ctx.keep("half", 0.5)
        await asyncio.sleep(FOR_EVER_S)
        raise AssertionError

    told = came_of(agent, timeout_ms=2_000).envelope
    assert (told.status, told.fault, told.result) == (Status.PARTIAL, Fault.TIMEOUT, "half")


def test_an_async_agents_own_timeout_is_its_own_failure(came_of) -> None:
    async def agent(ctx: Context) -> Envelope:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(FOR_EVER_S)
        raise AssertionError

    told = came_of(agent).envelope
    assert told.fault is Fault.RAISED
    assert "TimeoutError" in (told.reason or "")


def test_nobody_waits_for_a_coroutine_that_ignores_its_cancellation(came_of) -> None:
    over = threading.Event()

    async def agent(ctx: Context) -> Envelope:
        while not over.is_set():
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                ctx.log.info("not now")
        return Envelope.success(1, 1.0)

    assert came_of(agent, timeout_ms=2_000).envelope.fault is Fault.TIMEOUT
    over.set()  # until then it goes on, and a test that waited for it would do so for ever


def test_a_sync_agent_learns_from_its_meter_that_its_time_is_over(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        while True:
            ctx.meter.charge(calls=0)
            time.sleep(0.02)

    assert came_of(agent, timeout_ms=200).envelope.fault is Fault.TIMEOUT


def test_what_expired_before_it_was_started_is_not_run(office, run) -> None:
    """Expired before start: no model call."""

    def agent(ctx: Context) -> Envelope:
        raise AssertionError("it was run")

    opened = run(agent, timeout_ms=1)
    time.sleep(0.01)
    perform(opened)
    told = office.report(opened.grant.subtask).envelope
    assert (told.status, told.fault) == (Status.FAILED, Fault.TIMEOUT)


def test_an_unknown_price_under_a_usd_ceiling_is_refused_before_the_agent_runs(came_of) -> None:
    """Unknown price refused under a usd ceiling."""

    def agent(ctx: Context) -> Envelope:
        raise AssertionError("it was run")

    told = came_of(agent, price="acme:unheard-of", allowance=Limits(usd_micros=100)).envelope
    assert (told.status, told.fault) == (Status.FAILED, Fault.PRICE)
    assert "unheard-of" in (told.reason or "")


def test_without_a_usd_ceiling_an_unknown_price_is_no_matter(came_of) -> None:
    ok = returning(Envelope.success(1, 1.0))
    told = came_of(ok, price="acme:unheard-of", allowance=Limits(tokens=100)).envelope
    assert told.status is Status.SUCCESS


def test_a_declared_price_is_charged(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        with ctx.meter.call(input_tokens=5, max_tokens=5) as call:
            call.used(5, 2)
        return Envelope.success(1, 1.0)

    told = came_of(agent, price=Price.per_million(1, 10), allowance=Limits(usd_micros=100))
    assert told.charged == Amounts(7, 25, 1)


# --- taken away ----------------------------------------------------------------------------------


def test_of_a_subtask_that_was_taken_away_nothing_is_reported(office, run) -> None:
    """A zombie's later writes are refused; the new outcome stands."""

    def agent(ctx: Context) -> Envelope:
        office.store.look(office.task, [], [1])
        ctx.meter.charge()
        raise AssertionError

    assert perform(run(agent)) is None
    assert office.reports() == {}


def test_a_zombies_success_is_refused_and_counted(office, run) -> None:
    def agent(ctx: Context) -> Envelope:
        office.store.look(office.task, [], [1])
        return Envelope.success("too late", 1.0)

    assert perform(run(agent)) is None
    assert office.reports() == {}
    assert office.store.stats()["fenced_reports"] == 1


def test_an_async_agent_is_cancelled_when_its_subtask_is_taken_away(office, run) -> None:
    """On revoked: ctx.cancelled is set, and async agents are cancelled."""
    ended = []

    async def agent(ctx: Context) -> Envelope:
        threading.Thread(target=ctx.cancel).start()
        try:
            await asyncio.sleep(FOR_EVER_S)
        finally:
            ended.append(ctx.cancelled.is_set())
        raise AssertionError

    assert perform(run(agent)) is None
    assert ended == [True]
    assert office.reports() == {}


def test_what_fails_after_a_cancellation_silences_no_other_agent(office, hands, run) -> None:
    """A claim without a beat is taken away; the answer to a beat names those that are not ours."""
    told, beat = [], Beat(hands.claims, lambda: "{}", every_ms=20)
    lost, other = run(returning(None)), run(returning(None))
    lost.context.when_cancelled(lambda: told.append(1 / 0))
    lost.context.when_cancelled(lambda: told.append("the next"))
    for each in (lost, other):
        beat.add(each.grant.subtask, each.grant.token, each.context.cancel)
    office.store.look(office.task, [], [1])
    until("all of them were told", lambda: told == ["the next"])
    before = int(office.claim(other.grant.subtask)["beat_ms"])
    until("it beats", lambda: int(office.claim(other.grant.subtask)["beat_ms"]) > before)
    beat.stop()


def test_a_sync_agent_can_ask_whether_it_is_still_wanted(office, run) -> None:
    def agent(ctx: Context) -> Envelope:
        threading.Thread(target=ctx.cancel).start()
        assert ctx.cancelled.wait(PATIENCE_S)
        return Envelope.success(1, 1.0)

    opened = run(agent)
    perform(opened)
    assert opened.context.cancelled.is_set()


# --- asks, progress, the end ---------------------------------------------------------------------


def test_a_handoff_is_a_partial_that_asks(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        return ctx.handoff("write", goal="now write", input=[1], reason="all is found")

    told = came_of(agent).envelope
    assert told.status is Status.PARTIAL
    assert told.reason == "all is found"
    assert json.loads(told.ask.model_dump_json()) == {
        "kind": "handoff",
        "to": "write",
        "goal": "now write",
        "input": [1],
    }


def test_progress_is_said_on_the_way_or_in_the_envelope(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        ctx.progress(False)
        return Envelope.success(1, 1.0)

    assert came_of(agent).envelope.progress is False


def test_a_stopped_agent_hands_back_what_it_kept(office, run) -> None:
    """Those still running are reported as stopped; paid work is kept."""
    opened = run(returning(None))
    opened.context.keep("half", 0.5)
    opened.context.meter.charge(tokens=3)
    assert report(opened, stopped(opened, "its worker was told to stop")) == "ok"
    told = office.report(opened.grant.subtask)
    assert (told.envelope.status, told.envelope.fault) == (Status.PARTIAL, Fault.STOPPED)
    assert (told.envelope.result, told.charged) == ("half", Amounts(3, 0, 1))


def test_a_report_through_an_outage_arrives_once(office, run, fresh, server) -> None:
    """Redis SIGKILL + restart: a paid result is worth waiting for."""

    def agent(ctx: Context) -> Envelope:
        ctx.meter.charge(tokens=5)
        server.kill()
        threading.Timer(0.8, server.restart).start()
        return Envelope.success("paid for", 1.0)

    opened = run(agent)
    assert perform(opened) is not None
    until("the server is back", lambda: server.alive)


def test_the_context_says_where_it_stands(came_of) -> None:
    def agent(ctx: Context) -> Envelope:
        left = 20 < ctx.seconds_left() <= 60
        return Envelope.success([ctx.headers.hop, ctx.headers.tenant, left], 1.0)

    assert came_of(agent, hop=4, tenant="acme").envelope.result == [4, "acme", True]
