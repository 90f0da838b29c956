"""The books: nothing is promised twice, and nothing is spent that was not promised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelopes import Amounts, Ledger, Limits, limits

FIGURES = st.integers(0, 10**6)
SUMS = st.builds(Amounts, FIGURES, FIGURES, FIGURES)
BOUNDS = st.none() | FIGURES
CEILINGS = st.builds(Limits, BOUNDS, BOUNDS, BOUNDS)
SHARES = st.floats(0, limits.ENDING_SHARE_MAX)


def holds(ledger: Ledger) -> bool:
    """Say whether `0 <= spent`, `0 <= reserved`, `spent + reserved <= ceiling`, by plain sums."""
    for name in ("tokens", "usd_micros", "calls"):
        spent, reserved = getattr(ledger.spent, name), getattr(ledger.reserved, name)
        ceiling = getattr(ledger.ceiling, name)
        if spent < 0 or reserved < 0 or (ceiling is not None and spent + reserved > ceiling):
            return False
    return True


# --- opening -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ceiling", "share", "ending"),
    [
        (Limits(tokens=1000), 0.1, Amounts(tokens=100)),
        (Limits(tokens=1001), 0.1, Amounts(tokens=101)),
        (Limits(calls=3), 0.1, Amounts(calls=1)),
        (Limits(calls=1), 0.1, Amounts()),
        (Limits(calls=10), 0, Amounts()),
        (Limits(usd_micros=250_000), 0.2, Amounts(usd_micros=50_000)),
        (Limits(), 0.5, Amounts()),
        (Limits(tokens=0), 0.5, Amounts()),
    ],
)
def test_the_ending_is_held_back_rounded_up_and_never_the_whole(
    ceiling: Limits, share: float, ending: Amounts
) -> None:
    """Intake: "a share (default 10 %, at least one owner call) is the ending reserve"."""
    ledger = Ledger.opened(ceiling, share)
    assert ledger.ending == ending
    assert ledger.free() == ceiling.less(ending)


# --- reserving and settling ----------------------------------------------------------------------


def test_reserving_takes_exactly_what_is_free_and_not_one_more() -> None:
    """Publish reserves an allowance: "Not enough free: nothing is published"."""
    ledger = Ledger.opened(Limits(tokens=100), 0.1)
    assert ledger.reserve(Limits(tokens=91)) is None
    reserved = ledger.reserve(Limits(tokens=90))
    assert reserved is not None
    assert reserved.reserved == Amounts(tokens=90)
    assert reserved.reserve(Limits(tokens=1)) is None


def test_two_dimensions_fit_together_or_not_at_all() -> None:
    """One dimension that does not fit reserves nothing in the other."""
    ledger = Ledger.opened(Limits(tokens=100, calls=2), 0)
    assert ledger.reserve(Limits(tokens=10, calls=3)) is None
    assert ledger.reserved == Amounts()


def test_an_unbounded_dimension_holds_anything() -> None:
    """None is unbounded."""
    ledger = Ledger.opened(Limits(tokens=100), 0)
    assert ledger.reserve(Limits(tokens=1, usd_micros=10**9)) is not None
    assert ledger.free() == Limits(tokens=100)


def test_settling_books_what_was_charged_and_gives_the_rest_back() -> None:
    """The envelope settles the reservation."""
    ledger = Ledger.opened(Limits(tokens=100), 0).reserve(Limits(tokens=60))
    assert ledger is not None
    settled = ledger.settle(Limits(tokens=60), Amounts(tokens=25))
    assert (settled.spent, settled.reserved) == (Amounts(tokens=25), Amounts())
    assert settled.free() == Limits(tokens=75)


@pytest.mark.parametrize(
    ("charged", "booked"),
    [
        (Amounts(tokens=61), Amounts(tokens=60)),
        (Amounts(tokens=-5), Amounts()),
        (Amounts(tokens=1, usd_micros=7), Amounts(tokens=1, usd_micros=7)),
        (Amounts(usd_micros=10**15), Amounts(usd_micros=limits.AMOUNT_CEILING)),
    ],
)
def test_what_a_worker_says_is_clamped_to_what_it_was_allowed(
    charged: Amounts, booked: Amounts
) -> None:
    """Promise: "the core clamps what they say to the allowance"."""
    ledger = Ledger.opened(Limits(tokens=100), 0).reserve(Limits(tokens=60))
    assert ledger is not None
    assert ledger.settle(Limits(tokens=60), charged).spent == booked


def test_a_person_raises_only_bounds_that_there_are() -> None:
    """retry(+budget): what was never bounded stays so."""
    ledger = Ledger.opened(Limits(tokens=100), 0.1).raised(Amounts(tokens=5, calls=7))
    assert ledger.ceiling == Limits(tokens=105)
    assert ledger.ending == Amounts(tokens=10)


@given(CEILINGS, SHARES, st.lists(st.tuples(CEILINGS, SUMS, st.booleans()), max_size=20))
def test_the_invariant_holds_in_every_dimension_whatever_happens(
    ceiling: Limits, share: float, events: list[tuple[Limits, Amounts, bool]]
) -> None:
    """Promise 2: "`spent + reserved <= ceiling` in every dimension … at every moment"."""
    ledger, promised = Ledger.opened(ceiling, share), []
    for allowance, charged, settle in events:
        whole = ceiling.holding(allowance)
        if (reserved := ledger.reserve(whole)) is not None:
            ledger = reserved
            promised.append(whole)
            assert holds(ledger)
        if settle and promised:
            ledger = ledger.settle(promised.pop(0), charged)
            assert holds(ledger)
    for allowance in promised:
        ledger = ledger.settle(allowance, Amounts())
    assert ledger.reserved == Amounts()
    assert holds(ledger)


@given(CEILINGS, SHARES, st.lists(st.integers(1, 1000), min_size=1, max_size=50))
def test_shares_never_add_up_to_more_than_the_whole(
    ceiling: Limits, share: float, weights: list[int]
) -> None:
    """Allowances by weight are rounded down, so all of them always fit."""
    ledger: Ledger | None = Ledger.opened(ceiling, share)
    assert ledger is not None
    free = ledger.free()
    for weight in weights:
        ledger = ledger.reserve(free.share(weight, sum(weights)))
        assert ledger is not None


# --- sums and bounds -----------------------------------------------------------------------------


@given(SUMS, SUMS)
def test_what_is_added_can_be_taken_away_again(one: Amounts, other: Amounts) -> None:
    """Integers only: no cent is lost in a sum."""
    assert one + other - other == one
    assert (one + other) == (other + one)


@given(SUMS, CEILINGS)
def test_a_clamped_sum_is_within_its_limits(charged: Amounts, bound: Limits) -> None:
    """Clamping changes only what does not fit."""
    clamped = charged.clamped(bound)
    assert clamped.within(bound)
    assert (clamped == charged) == charged.within(bound)


@pytest.mark.parametrize(
    ("bound", "empty"),
    [
        (Limits(), False),
        (Limits(tokens=1), False),
        (Limits(tokens=0), True),
        (Limits(tokens=5, calls=0), True),
    ],
)
def test_an_allowance_is_empty_when_no_call_can_be_made(bound: Limits, *, empty: bool) -> None:
    """One dimension at zero is enough to stop every call."""
    assert bound.empty is empty


def test_what_a_step_asks_for_takes_the_place_of_its_share_by_name() -> None:
    """An allowance asked for replaces the share; an unbounded dimension stays unbounded."""
    share = Limits(tokens=50, calls=5)
    assert share.holding(None) == share
    assert share.holding(Limits(calls=9, usd_micros=3)) == Limits(tokens=50, calls=9)


def test_less_never_goes_below_zero() -> None:
    """A ceiling that is overdrawn on paper has nothing free, not a debt."""
    assert Limits(5, None, 1).less(Amounts(9, 9, 9)) == Limits(0, None, 0)
