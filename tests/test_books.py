"""The books of the days: what was spent, by whom and by which model, is what the ledgers say.

Every test runs on the simulated store and on a real server, but for the last ones, which are about
the meter and about the keys.
"""

from dataclasses import replace

import pytest

from envelopes import Amounts, Limits, Refused, limits
from orchestrator.books import OTHER, Spend
from orchestrator.store import Settled
from tests.conftest import Fresh
from tests.shop import Hands, Office
from tests.worlds import (
    KINDS,
    NOTHING,
    RealWorld,
    World,
    commit,
    fetch_one,
    make,
    make_kind,
    message,
    once,
    outgoing,
    publish,
    refuses,
    running,
    settled,
    submission,
)
from workers import Price
from workers.agent import Agent
from workers.runtime import outcome

DAY_MS = 24 * 3600 * 1000
ENVELOPE = b'{"status":"success"}'


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest) -> World:
    """Give an empty world of each kind."""
    return at_noon(make(request))


def at_noon(world: World) -> World:
    """Let it be noon: no day of the books ends while a test looks."""
    world.pass_time((DAY_MS // 2 - world.store.claim(0).now_ms) % DAY_MS)
    return world


def rows(world: World, days: int = 1) -> list[tuple[str, str, str, int, int, int]]:
    return [
        (row.tenant, row.agent, row.model, row.tokens, row.usd_micros, row.calls)
        for row in world.store.spend(days)
    ]


def settle(world: World, *numbers: int, version: int = 2, **more: object) -> None:
    """Commit the end of these subtasks."""
    assert world.store.commit([commit(version, f"end{version}", settled=settled(*numbers, **more))])


# --- what is booked ---------------------------------------------------------------------------


def test_what_a_subtask_has_spent_is_booked_when_it_is_settled(world: World) -> None:
    """Budget page: «spend by tenant, agent, model, day»."""
    worker, token = running(world)
    assert worker.charge("t1/1", token, "c1", Amounts(60, 500, 1), [], "small") == "ok"
    ended = [("c1", Amounts(40, 300, 1))]
    assert worker.charge("t1/1", token, "c2", Amounts(50, 400, 1), ended, "large") == "ok"
    worker.report("t1/1", token, [("c2", Amounts(20, 100, 1))], ENVELOPE)
    assert world.store.spend(1) == []
    end = commit(2, "end", mail_read=1, settled=settled(1, verdict="ok"))
    once(world, lambda: world.store.commit([end]))
    small, large = (row for row in reversed(world.store.spend(1)))
    assert replace(small, day="") == Spend("", "default", "a", "small", 40, 300, 1, 1, 0, 0)
    assert replace(large, day="") == Spend("", "default", "a", "large", 20, 100, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("verdict", "counts"), [("ok", (1, 0, 0)), ("fault", (0, 1, 0)), ("", (0, 0, 1))]
)
def test_a_subtask_counts_for_what_it_says_of_its_agent(
    world: World, verdict: str, counts: tuple[int, int, int]
) -> None:
    running(world)
    world.store.look("t1", [], [1])
    settle(world, 1, verdict=verdict)
    [row] = world.store.spend(1)
    assert (row.ok, row.fault, row.other) == counts
    assert (row.agent, row.model, row.tokens) == ("a", "", 0)


def test_a_call_that_names_no_model_is_booked_without_one(world: World) -> None:
    worker, token = running(world)
    worker.charge("t1/1", token, "c1", Amounts(10, 1, 1), [])
    worker.charge("t1/1", token, "c2", Amounts(20, 2, 1), [], "small")
    world.store.look("t1", [], [1])
    settle(world, 1)
    assert rows(world) == [("default", "a", "", 10, 1, 1), ("default", "a", "small", 20, 2, 1)]


def test_a_killed_workers_calls_in_flight_are_booked_at_their_worst_and_by_their_model(
    world: World,
) -> None:
    """A lost worker settles at what its meter had recorded plus calls in flight."""
    worker, token = running(world)
    worker.charge("t1/1", token, "c1", Amounts(30, 3, 1), [], "small")
    worker.charge("t1/1", token, "c2", Amounts(40, 4, 1), [("c1", Amounts(5, 1, 1))], "large")
    assert world.store.look("t1", [], [1])[1].charged == Amounts(45, 5, 2)
    settle(world, 1, verdict="fault")
    assert rows(world) == [("default", "a", "large", 40, 4, 1), ("default", "a", "small", 5, 1, 1)]


def test_what_is_refused_is_booked_nowhere(world: World) -> None:
    """A zombie's charge, and one that could overrun the allowance: neither call was made."""
    worker, token = running(world)
    assert worker.charge("t1/1", token, "c1", Amounts(101, 0, 1), [], "dear") == "exhausted"
    assert worker.charge("t1/1", token, "c2", Amounts(7, 0, 1), [], "small") == "ok"
    world.store.look("t1", [], [1])
    assert worker.charge("t1/1", token, "c3", Amounts(1, 0, 1), [], "late") == "revoked"
    settle(world, 1)
    assert rows(world) == [("default", "a", "small", 7, 0, 1)]


def test_beyond_the_allowance_nothing_is_booked_by_any_model(world: World) -> None:
    """A provider took more than the worst case: the ledger books the allowance, and so do these."""
    worker, token = running(world, allowance=Limits(100, None, None))
    worker.charge("t1/1", token, "c1", Amounts(60, 0, 1), [], "small")
    worker.charge("t1/1", token, "c2", Amounts(40, 0, 1), [], "large")
    worker.charge("t1/1", token, "c3", NOTHING, [("c1", Amounts(90, 0, 1))])
    charged = world.store.look("t1", [], [1])[1].charged
    settle(world, 1)
    booked = rows(world)
    assert charged == Amounts(100, 0, 2)
    assert sum(tokens for *_, tokens, _, _ in booked) == charged.tokens
    assert {model: tokens for _, _, model, tokens, _, _ in booked} == {"small": 90, "large": 10}


def test_where_the_claim_is_gone_the_ledgers_own_figure_is_booked(world: World) -> None:
    """The record is gone, and the worst is booked: here as there."""
    publish(world, 1)
    gone = Settled(9, "a", "", Amounts(100, 1000, 3))
    assert world.store.commit([commit(2, "end", settled=(gone,))]) == [True]
    assert rows(world) == [("default", "a", "", 100, 1000, 3)]


def test_a_subtask_is_booked_once_however_often_it_is_settled(world: World) -> None:
    worker, token = running(world)
    worker.charge("t1/1", token, "c1", Amounts(10, 1, 1), [], "small")
    world.store.look("t1", [], [1])
    settle(world, 1, 1)
    [row] = world.store.spend(1)
    assert (row.tokens, row.other) == (10, 1)


def test_a_commit_that_is_refused_books_nothing(world: World) -> None:
    publish(world, 1)
    fetch_one(world)
    assert world.store.commit([commit(2, "end", settled=settled(1))]) == [False]
    assert world.store.spend(1) == []
    world.store.look("t1", [], [1])
    refuses(world, lambda: world.store.commit([commit(2, "x", settled=settled(1, agent="b"))]))
    unsound = Settled(1, "a", "", Amounts(-1, 0, 0))
    refuses(world, lambda: world.store.commit([commit(2, "y", settled=(unsound,))]))


def test_tenants_and_agents_have_rows_of_their_own(world: World) -> None:
    for tenant in ("acme", "zeta"):
        world.store.submit(submission(tenant, tenant=tenant))
        sent = [
            outgoing(world, number, agent, message=message(tenant, number))
            for number, agent in enumerate(("a", "b"), 1)
        ]
        world.store.commit([commit(1, "p", tenant, publish=tuple(sent))])
        world.store.look(tenant, [], [1, 2])
        ends = (*settled(1, agent="a"), *settled(2, agent="b"))
        world.store.commit([commit(2, "e", tenant, settled=ends)])
    whose = [(row.tenant, row.agent) for row in world.store.spend(1)]
    assert whose == [("acme", "a"), ("acme", "b"), ("zeta", "a"), ("zeta", "b")]


def test_a_wide_stage_adds_up_in_one_row(world: World) -> None:
    publish(world, *range(1, 301))
    world.store.look("t1", [], list(range(1, 301)))
    settle(world, *range(1, 301))
    [row] = world.store.spend(1)
    assert row.other == 300


# --- days -------------------------------------------------------------------------------------


def test_each_day_has_its_own_books_and_the_oldest_comes_first(world: World) -> None:
    publish(world, 1, 2)
    world.store.look("t1", [], [1, 2])
    settle(world, 1)
    world.pass_time(2 * DAY_MS)
    settle(world, 2, version=3)
    [today] = world.store.spend(1)
    assert [row.day for row in world.store.spend(2)] == [today.day]
    first, last = world.store.spend(3)
    assert (first.day < last.day, last.day, len(first.day)) == (True, today.day, len("2026-07-19"))


@pytest.mark.parametrize("days", [0, -1, limits.SPEND_DAYS_MAX + 1])
def test_as_many_days_are_read_as_are_kept(world: World, days: int) -> None:
    with pytest.raises(Refused, match="days"):
        world.store.spend(days)


# --- bounds -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_day_has_a_bounded_number_of_rows_and_nothing_is_left_out(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Callers make up tenants, and workers models: the rest is added up in one row."""
    monkeypatch.setattr(limits, "SPEND_ROWS_MAX", 2)
    world = at_noon(make_kind(request, kind))
    worker, token = running(world)
    for number, model in enumerate(("a", "b", "c", "d", "a")):
        assert worker.charge("t1/1", token, f"c{number}", Amounts(10, 0, 0), [], model) == "ok"
    world.store.look("t1", [], [1])
    settle(world, 1)
    everywhere = (OTHER, OTHER, OTHER, 20, 0, 0)
    assert rows(world) == [
        everywhere,
        ("default", "a", "a", 20, 0, 0),
        ("default", "a", "b", 10, 0, 0),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_subtask_tells_a_bounded_number_of_models_apart(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(limits, "CLAIM_MODELS_MAX", 2)
    world = at_noon(make_kind(request, kind))
    worker, token = running(world)
    for number, model in enumerate(("a", "b", "c", "d", "b")):
        assert worker.charge("t1/1", token, f"c{number}", Amounts(10, 0, 0), [], model) == "ok"
    ended = [("c2", Amounts(1, 0, 0)), ("c4", Amounts(2, 0, 0))]
    worker.charge("t1/1", token, "last", NOTHING, ended)
    world.store.look("t1", [], [1])
    settle(world, 1)
    assert {row.model: row.tokens for row in world.store.spend(1)} == {OTHER: 11, "a": 10, "b": 12}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_that_is_full_stops_no_commit(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Nothing is rolled back in a script, so nothing in it may fail for a figure's size."""
    monkeypatch.setattr(limits, "SPEND_CEILING", 150)
    world = at_noon(make_kind(request, kind))
    publish(world, 1, 2)
    world.store.look("t1", [], [1, 2])
    ends = tuple(Settled(number, "a", "", Amounts(100, 0, 0)) for number in (8, 9))
    assert world.store.commit([commit(2, "end", settled=ends)]) == [True]
    assert [row.tokens for row in world.store.spend(1)] == [150]


def test_books_expire_and_not_before_a_year(fresh: Fresh) -> None:
    world = RealWorld(fresh)
    publish(world, 1)
    world.store.look("t1", [], [1])
    settle(world, 1)
    [key] = fresh.client.keys(fresh.keys.spend("*"))
    assert limits.SPEND_KEPT_MS - 60_000 < fresh.client.pttl(key) <= limits.SPEND_KEPT_MS


@pytest.mark.parametrize("model", ["a;b", "a|b", "a\nb", "x" * (limits.MODEL_BYTES_MAX + 1)])
def test_a_name_that_would_break_the_books_is_refused_by_the_script(
    fresh: Fresh, model: str
) -> None:
    """Workers are not trusted with the form of a key's contents."""
    world = RealWorld(fresh)
    running(world)
    args = ["token", "op", 1, 1, 1, model, 0]
    refuses(world, lambda: world._workers.run("charge", [fresh.keys.claim("t1/1")], args))


def test_a_model_of_any_name_can_be_called(fresh: Fresh) -> None:
    """What separates names in the books is replaced; the call is made all the same."""
    world = at_noon(RealWorld(fresh))
    worker, token = running(world)
    strange = "gpt|4;\n" + "é" * limits.MODEL_BYTES_MAX + "\ud800"
    assert worker.charge("t1/1", token, "c1", Amounts(1, 0, 1), [], strange) == "ok"
    world.store.look("t1", [], [1])
    settle(world, 1)
    [row] = world.store.spend(1)
    assert row.model == "gpt_4__" + "é" * ((limits.MODEL_BYTES_MAX - 7) // 2)


# --- by whose name the meter books ---------------------------------------------------------------

CHEAP = Price.per_million("1", "10")


def named(fresh: Fresh, act: object, price: Price | str | None) -> list[str]:
    """Run an agent that does this, and return by which models its claim is booked."""
    office, hands = Office(fresh.client, fresh.keys), Hands(fresh.client, fresh.keys)
    office.send("a")
    run = hands.open(Agent("a", act, (), is_async=False, price=price))
    outcome(run)
    models = office.claim(run.grant.subtask).get("models", "")
    return [entry.split(":", 3)[3] for entry in models.split(";") if entry]


@pytest.mark.parametrize(
    ("price", "said", "names"),
    [
        (None, {}, []),
        (CHEAP, {}, []),
        ("openai:gpt-5-mini", {}, ["openai:gpt-5-mini"]),
        ("nobody:knows-this", {}, ["nobody:knows-this"]),
        ("openai:gpt-5-mini", {"model": "openai:gpt-5"}, ["openai:gpt-5"]),
        (None, {"model": CHEAP}, []),
        (None, {"model": CHEAP, "booked_as": "ours"}, ["ours"]),
        ("openai:gpt-5-mini", {"booked_as": "gpt-5-mini"}, ["gpt-5-mini"]),
    ],
)
def test_a_call_is_booked_by_the_name_it_is_given_or_the_agent_has_declared(
    fresh: Fresh, price: Price | str | None, said: dict, names: list[str]
) -> None:
    def act(ctx) -> None:
        with ctx.meter.call(input_tokens=1, max_tokens=9, **said) as call:
            call.used(1, 1)

    assert named(fresh, act, price) == names


def test_a_tool_is_booked_by_no_model(fresh: Fresh) -> None:
    assert named(fresh, lambda ctx: ctx.meter.charge(tokens=1), "openai:gpt-5-mini") == []
