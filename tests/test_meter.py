"""The meter, on the server's own books: it never overspends, and says so before the call."""

import asyncio
import threading
import time
from decimal import Decimal

import pytest

from envelopes import Amounts, Limits
from tests.shop import Hands, Office
from tests.until import PATIENCE_S
from workers import BudgetExhausted, Late, Price, PriceUnknown, Revoked
from workers.agent import Agent
from workers.meter import Meter
from workers.prices import Rate, price_of
from workers.runtime import report

NOBODY = Agent("a", lambda _: None, (), is_async=False)
CHEAP = Price.per_million("1", "10")  # one micro-dollar per token in, ten per token out


@pytest.fixture
def office(fresh) -> Office:
    return Office(fresh.client, fresh.keys)


@pytest.fixture
def hands(fresh) -> Hands:
    return Hands(fresh.client, fresh.keys)


@pytest.fixture
def opened(office: Office, hands: Hands):
    """Open a subtask with an allowance; return its run."""

    def opened(*, price: Price | None = None, **more):
        office.send("a", **more)
        run = hands.open(NOBODY)
        run.context.meter.price = price
        return run

    return opened


def charged(office: Office, run) -> Amounts:
    claim = office.claim(run.grant.subtask)
    return Amounts(int(claim.get("t", 0)), int(claim.get("u", 0)), int(claim.get("c", 0)))


# --- charge, clamp, settle -----------------------------------------------------------------------


def test_the_worst_case_is_booked_before_the_block_and_the_real_cost_after_it(office, opened):
    """The worker's meter charges before each paid call; after the call it settles."""
    run = opened(allowance=Limits(tokens=1000, usd_micros=100_000, calls=5), price=CHEAP)
    with run.context.meter.call(prompt="x" * 100, max_tokens=50) as call:
        assert charged(office, run) == Amounts(150, 100 + 500, 1)
        call.used(30, 20)
    assert run.context.meter.left() == Limits(950, 100_000 - 30 - 200, 4)
    assert charged(office, run) == Amounts(150, 600, 1), "settling is lazy"
    run.context.meter.charge(tokens=1)
    assert charged(office, run) == Amounts(51, 230, 2), "it travels with the next charge"


def test_the_report_settles_the_last_call(office, opened) -> None:
    run = opened()
    with run.context.meter.call(input_tokens=10, max_tokens=90) as call:
        call.used(10, 5)
    from workers import Envelope

    assert report(run, Envelope.success(1, 1.0)) == "ok"
    assert office.report(run.grant.subtask).charged == Amounts(15, 0, 1)


def test_a_prompt_is_counted_in_bytes_not_in_characters(office, opened) -> None:
    """Worst case = counted input (bytes bound it from above)."""
    run = opened()
    with run.context.meter.call(prompt="ä" * 10, max_tokens=1):
        assert charged(office, run).tokens == 21


def test_max_tokens_is_clamped_to_what_is_left_of_tokens_and_of_dollars(opened) -> None:
    """... + `max_tokens`, which is clamped to what is left."""
    by_tokens = opened(allowance=Limits(tokens=100))
    with by_tokens.context.meter.call(input_tokens=60, max_tokens=500) as call:
        assert call.max_tokens == 40
    by_dollars = opened(allowance=Limits(usd_micros=160), price=CHEAP)
    with by_dollars.context.meter.call(input_tokens=60, max_tokens=500) as call:
        assert call.max_tokens == 10


def test_a_call_that_cannot_fit_is_refused_without_a_round_trip(office, opened) -> None:
    """A call that cannot fit is refused with `BudgetExhausted`; it is not made."""
    run = opened(allowance=Limits(tokens=100, calls=1))
    before = office.store.stats()
    for input_tokens, min_tokens in ((100, 1), (101, 0), (60, 41)):
        with (
            pytest.raises(BudgetExhausted),
            run.context.meter.call(
                input_tokens=input_tokens, max_tokens=500, min_tokens=min_tokens
            ),
        ):
            pytest.fail("the call was made")
    assert office.store.stats() == before
    with pytest.raises(BudgetExhausted):
        run.context.meter.charge(tokens=101)
    assert office.store.stats() == before
    assert run.context.meter.usage().tokens == 0


def test_calls_are_bounded_like_tokens(office, opened) -> None:
    run = opened(allowance=Limits(calls=1))
    run.context.meter.charge()
    with pytest.raises(BudgetExhausted):
        run.context.meter.charge()
    assert "refused_charges" not in office.store.stats()


def test_exactly_the_allowance_can_be_spent(office, opened) -> None:
    run = opened(allowance=Limits(tokens=100, calls=2))
    with run.context.meter.call(input_tokens=50, max_tokens=50) as call:
        call.used(50, 49)
    run.context.meter.charge(tokens=1)
    assert charged(office, run) == Amounts(100, 0, 2)


def test_a_call_of_unknown_cost_stays_booked_at_its_worst(office, opened) -> None:
    """Unknown usage is charged in full."""
    run = opened()
    with (
        pytest.raises(OSError, match="cut"),
        run.context.meter.call(input_tokens=10, max_tokens=90),
    ):
        raise OSError("the stream was cut")
    with run.context.meter.call(input_tokens=10, max_tokens=90):
        pass  # it never said what it used
    run.context.meter.charge()
    assert charged(office, run) == Amounts(200, 0, 3)


def test_a_call_that_said_what_it_used_and_then_failed_is_settled(office, opened) -> None:
    run = opened()

    def answered_and_failed() -> None:
        with run.context.meter.call(input_tokens=10, max_tokens=90) as call:
            call.used(10, 2)
            raise OSError("could not be parsed")

    with pytest.raises(OSError, match="parsed"):
        answered_and_failed()
    run.context.meter.charge()
    assert charged(office, run) == Amounts(12, 0, 2)


def test_what_was_billed_beats_what_the_tables_say(opened) -> None:
    run = opened(allowance=Limits(usd_micros=10_000), price=CHEAP)
    with run.context.meter.call(input_tokens=10, max_tokens=10) as call:
        call.used(10, 10, usd="0.0005")
    assert run.context.meter.left().usd_micros == 9_500


def test_less_than_a_micro_dollar_is_booked_as_one(opened) -> None:
    """Sums are micro-dollars, rounded up: a ceiling is a ceiling."""
    run = opened(allowance=Limits(usd_micros=1_000))
    run.context.meter.charge(usd="0.0000001")
    with run.context.meter.call(input_tokens=1, max_tokens=1, model=CHEAP) as call:
        call.used(1, 1, usd="0.0000101")
    assert run.context.meter.left().usd_micros == 1_000 - 1 - 11


@pytest.mark.parametrize("amount", [-1, float("nan"), 1.5, True, 10**13, "7"])
def test_what_is_no_amount_is_refused_before_anything_is_booked(office, opened, amount) -> None:
    """A NaN passes `n > ceiling`."""
    run = opened()
    meter = run.context.meter
    with pytest.raises(ValueError, match="whole number"):
        meter.charge(tokens=amount)
    with pytest.raises(ValueError, match="whole number"):
        meter.call(input_tokens=amount, max_tokens=1)
    with pytest.raises(ValueError, match="whole number"):
        meter.call(input_tokens=1, max_tokens=amount)
    with (
        pytest.raises(ValueError, match="whole number"),
        meter.call(input_tokens=1, max_tokens=1) as call,
    ):
        call.used(amount, 0)
    assert charged(office, run).calls == 1


def test_the_size_of_the_input_is_said_exactly_once(opened) -> None:
    meter = opened().context.meter
    with pytest.raises(TypeError, match="how large the input is"):
        meter.call(max_tokens=1)
    with pytest.raises(TypeError, match="how large the input is"):
        meter.call(max_tokens=1, prompt="x", input_tokens=1)


# --- side by side --------------------------------------------------------------------------------


def test_64_threads_on_one_allowance_that_fits_20_overspend_nothing(office, opened) -> None:
    """It never overspends, under any fan-out."""
    run = opened(allowance=Limits(tokens=2000))
    made, refused = [], []

    def spend() -> None:
        try:
            with run.context.meter.call(input_tokens=10, max_tokens=90, min_tokens=90) as call:
                made.append(call.max_tokens)
        except BudgetExhausted:
            refused.append(1)

    threads = [threading.Thread(target=spend) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (len(made), len(refused)) == (20, 44)
    assert charged(office, run) == Amounts(2000, 0, 20)


def test_room_that_a_settlement_gives_back_is_there_at_once_for_the_next(office, opened) -> None:
    run = opened(allowance=Limits(tokens=100))
    for _ in range(20):
        with run.context.meter.call(input_tokens=10, max_tokens=50, min_tokens=50) as call:
            call.used(1, 1)
    assert office.store.stats().get("refused_charges", 0) == 0
    assert run.context.meter.usage().tokens == 40


def test_a_charge_does_not_overtake_the_settlement_that_makes_room_for_it(opened) -> None:
    """The server must not refuse what fits, because it does not know yet what a call gave back."""
    run = opened(allowance=Limits(tokens=100))
    books = run.context.meter._books

    class SlowWithSettlements:
        def charge(self, op, worst, settled, model):
            threading.Event().wait(0.2 if settled else 0)
            return books.charge(op, worst, settled, model)

    meter = Meter(SlowWithSettlements(), Limits(tokens=100), over_at=run.grant.over_at)
    with meter.call(input_tokens=10, max_tokens=90) as call:
        call.used(5, 5)
    refused = []

    def spend() -> None:
        try:
            meter.charge(tokens=40)
        except BudgetExhausted as error:
            refused.append(error)

    threads = [threading.Thread(target=spend) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert refused == []


def test_a_settlement_travels_once(opened) -> None:
    run = opened()
    with run.context.meter.call(input_tokens=1, max_tokens=9) as call:
        call.used(1, 1)
    assert len(run.context.meter.settlements()) == 1
    run.context.meter.charge()
    assert [op for op, _ in run.context.meter.settlements()] == ["2"], "the charge's own"


def test_a_call_that_ends_while_another_is_charged_is_settled_all_the_same(opened) -> None:
    run = opened()
    meter, books = run.context.meter, run.context.meter._books
    with meter.call(input_tokens=1, max_tokens=9) as first:
        first.used(1, 1)

        class EndsTheFirst:
            def charge(self, op, worst, settled, model):
                first.__exit__(None, None, None)
                return books.charge(op, worst, settled, model)

        meter._books = EndsTheFirst()
        meter.charge()
        assert [op for op, _ in meter.settlements()] == ["1", "2"]
        first._real = None  # it has ended already


def test_async_calls_side_by_side_do_not_wait_for_each_other(hands, opened) -> None:
    """Parallel calls in one subtask are fine."""
    run = opened(allowance=Limits(tokens=10_000))
    inside: list[int] = []
    all_inside = asyncio.Event()

    async def one(number: int) -> None:
        async with run.context.meter.call(input_tokens=1, max_tokens=9) as call:
            inside.append(number)
            if len(inside) == 40:
                all_inside.set()
            await all_inside.wait()  # for ever, if one had to end before the next is let in
            call.used(1, 1)
        await run.context.meter.acharge(tokens=1)

    async def many() -> None:
        await asyncio.gather(*(one(number) for number in range(40)))

    hands.loop.submit(many()).result(PATIENCE_S)
    assert run.context.meter.usage().tokens == 40 * 3


def test_a_plain_with_on_a_loop_is_refused_since_it_would_hold_up_all(hands, opened) -> None:
    run = opened()

    async def wrong() -> None:
        with run.context.meter.call(input_tokens=1, max_tokens=1):
            pass

    async def wrong_too() -> None:
        run.context.meter.charge()

    for coroutine in (wrong(), wrong_too()):
        with pytest.raises(RuntimeError, match=r"async with|await meter\.acharge"):
            hands.loop.submit(coroutine).result(PATIENCE_S)


# --- the server has the last word ----------------------------------------------------------------


def test_a_zombie_is_refused_and_then_asks_no_more(office, opened) -> None:
    """A zombie whose claim was revoked is refused."""
    run = opened()
    office.store.look(office.task, [], [1])
    with pytest.raises(Revoked):
        run.context.meter.charge()
    with pytest.raises(Revoked):
        run.context.meter.charge()
    assert office.store.stats()["fenced_charges"] == 1
    assert run.context.meter.usage().calls == 0


def test_the_servers_books_are_the_authority(office, opened, fresh) -> None:
    """The script is the authority: a meter that believes in more than was allowed gets nothing."""
    run = opened(allowance=Limits(tokens=100))
    generous = Meter(run.context.meter._books, Limits(tokens=10**6), over_at=run.grant.over_at)
    with pytest.raises(BudgetExhausted, match="server"):
        generous.charge(tokens=101)
    assert generous.usage().tokens == 0
    generous.charge(tokens=100)
    assert charged(office, run).tokens == 100


def test_nothing_is_charged_after_the_subtasks_time(office, opened) -> None:
    """No charge after the deadline; the server's clock decides, ours only saves the trip."""
    run = opened(timeout_ms=1)
    slow_clock = Meter(run.context.meter._books, Limits(tokens=100), over_at=float("inf"))
    threading.Event().wait(0.01)
    with pytest.raises(Late):
        run.context.meter.charge()
    assert office.store.stats().get("late_charges", 0) == 0
    with pytest.raises(Late, match="server's clock"):
        slow_clock.charge()
    assert office.store.stats()["late_charges"] == 1


# --- prices --------------------------------------------------------------------------------------


def test_an_unknown_price_is_refused_only_under_a_usd_ceiling(opened) -> None:
    """Unknown price refused under a usd ceiling. Unknown is not zero."""
    bounded = opened(allowance=Limits(usd_micros=1000)).context.meter
    with pytest.raises(PriceUnknown, match="no-such-model"):
        bounded.call(model="no-such-model", input_tokens=1, max_tokens=1)
    with pytest.raises(PriceUnknown, match="names no model"):
        bounded.call(input_tokens=1, max_tokens=1)
    free = opened(allowance=Limits(tokens=1000)).context.meter
    with free.call(model="no-such-model", input_tokens=1, max_tokens=1):
        pass


def test_a_model_without_a_price_for_its_output_has_no_price() -> None:
    with pytest.raises(PriceUnknown):
        price_of("openai:text-embedding-3-small")


def test_a_known_model_is_found_by_name_with_and_without_its_maker() -> None:
    """Prices come from `genai-prices` (Decimal, tiers)."""
    assert price_of("openai:gpt-5-mini") == price_of("gpt-5-mini")
    assert price_of("gpt-5-mini").exact(1_000_000, 0) == 250_000


def test_what_is_written_to_a_cache_is_billed_at_the_dearest_rate() -> None:
    """Promise 2: what a provider charges more for is not booked at the lower price."""
    price = price_of("anthropic:claude-sonnet-4-5")
    plain, written = price.exact(1000, 10), price.exact(1000, 10, 1000)
    assert plain < price.exact(1000, 10, 400) < written
    assert written <= price.worst(1000, 10)
    assert price.exact(1000, 10, 5000) == written


def test_money_is_rounded_up_and_exact_beyond_floats() -> None:
    price = Price.per_million("0.1", "0.3")
    assert price.exact(1, 0) == 1
    assert price.exact(10, 0) == 1
    assert price.exact(11, 0) == 2
    assert price.exact(3, 7 * 10**11) == 210_000_000_001


def test_a_longer_prompt_can_cost_more_per_token_and_the_bound_knows() -> None:
    tiered = Rate(Decimal(3), ((200_000, Decimal(6)),))
    assert (tiered.at(200_000), tiered.at(200_001)) == (3, 6)
    falling = Rate(Decimal(6), ((100, Decimal(3)),))
    assert falling.at(200) == 3
    assert falling.worst(200) == 6, "a shorter prompt than the bound would cost more"


def test_the_worst_case_is_never_below_the_real_cost() -> None:
    price = price_of("anthropic:claude-sonnet-4-5")
    for bound in (10, 200_000, 300_000):
        for real in (1, bound // 2, bound):
            assert price.worst(bound, 500) >= price.exact(real, 500)


def test_the_output_that_a_sum_buys_costs_no_more_than_that_sum() -> None:
    price = price_of("openai:gpt-5-mini")
    for micros in (1, 7, 100, 12_345):
        bought = price.output_tokens_for(micros, 13)
        assert bought is not None
        assert bought == 0 or price.worst(13, bought) <= micros
        assert price.worst(13, bought + 1) > micros
