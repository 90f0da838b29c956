"""How much a worker fetches: a slot's worth of slow work, a little more of quick work."""

import pytest

from envelopes.limits import AHEAD_MAX
from workers.held import Held, Hold


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def held(clock) -> Held:
    return Held(lambda: 4, clock)


def add(held: Held, name: str, queue: str = "q") -> None:
    held.add(Hold(name, f"token-{name}", queue, b"raw"))


def run(held: Held, clock: Clock, count: int, seconds: float, queue: str = "q") -> None:
    """Let that many subtasks of this length begin and end, one after the other."""
    for number in range(count):
        add(held, f"{queue}{number}", queue)
        assert held.begin(f"{queue}{number}")
        clock.now += seconds
        held.end(f"{queue}{number}")


def test_an_unknown_agent_gets_no_more_than_the_free_slots(held) -> None:
    """0 while unknown or slow."""
    assert held.room(["q"]) == (4, 0)
    for name in "abc":
        add(held, name)
    assert held.room(["q"]) == (1, 0)


def test_a_slow_agent_gets_no_more_than_the_free_slots(held, clock) -> None:
    run(held, clock, 10, 0.06)
    assert held.room(["q"]) == (4, 0)


def test_a_quick_agent_gets_what_it_ends_in_a_quarter_of_a_second(held, clock) -> None:
    run(held, clock, 1000, 0.005)
    free, ahead = held.room(["q"])
    assert free == 4
    assert 40 <= ahead <= 60


def test_there_is_a_cap_on_what_is_taken_ahead(held, clock) -> None:
    run(held, clock, 5000, 0.0001)
    assert held.room(["q"])[1] == AHEAD_MAX


def test_what_was_quick_a_second_ago_is_no_longer_counted_on(held, clock) -> None:
    """Slots that are all taken by slow work must not hoard quick work besides."""
    run(held, clock, 1000, 0.001)
    clock.now += 1.5
    assert held.room(["q"]) == (4, 0)


def test_only_the_queues_of_quick_agents_are_taken_ahead(held, clock) -> None:
    run(held, clock, 5, 1.0, "slow")
    run(held, clock, 1000, 0.001, "quick")
    assert held.quick(["slow", "quick", "new"]) == ["quick"]
    assert held.room(["slow"])[1] == 0


def test_what_waits_here_counts_against_what_is_taken_ahead(held, clock) -> None:
    run(held, clock, 5000, 0.0001)
    for number in range(100):
        add(held, f"w{number}")
    assert held.room(["q"]) == (0, AHEAD_MAX + 4 - 100)


def test_a_full_worker_asks_to_be_woken_and_is_woken_once(held) -> None:
    woken = []
    for name in "abcd":
        add(held, name)
    assert not held.may_fetch(lambda: woken.append(1))
    held.end("a")
    held.end("b")
    assert woken == [1]
    assert held.may_fetch(lambda: woken.append(2))


def test_a_quick_worker_is_not_woken_for_every_single_slot(held, clock) -> None:
    run(held, clock, 5000, 0.0001)
    woken = []
    for number in range(AHEAD_MAX + 4):
        add(held, f"w{number}")
    assert not held.may_fetch(lambda: woken.append(1))
    for number in range(AHEAD_MAX // 2):
        held.begin(f"w{number}")
        held.end(f"w{number}")
    assert woken == []
    held.end(f"w{AHEAD_MAX // 2}")
    assert woken == [1]


def test_a_closed_worker_fetches_nothing(held) -> None:
    held.close()
    assert held.room(["q"]) == (0, 0)
    assert not held.may_fetch(lambda: None)


def test_only_what_has_not_begun_is_given_back_the_youngest_first(held) -> None:
    for name in "abcd":
        add(held, name)
    assert held.begin("b")
    assert [hold.subtask for hold in held.drop_unbegun()] == ["d", "c", "a"]
    assert [hold.subtask for hold in held.all()] == ["b"]
    assert not held.begin("a"), "it was given back: it must not run here"


def test_one_lost_claim_is_let_go_alone_and_only_if_it_has_not_begun(held) -> None:
    add(held, "a")
    add(held, "b")
    held.begin("a")
    assert held.drop_unbegun("a") == []
    assert [hold.subtask for hold in held.drop_unbegun("b")] == ["b"]
