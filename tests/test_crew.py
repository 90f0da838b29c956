"""Agents, tenants, breakers, questions and calibration, on a real server and a real loop."""

import json
import os

import pytest

from envelopes import Amounts, Envelope, Fault, Handoff, Question, Status, limits
from envelopes.decision import Decision
from envelopes.seal import Signer
from envelopes.strict import parse
from orchestrator.calibration import calibrated
from orchestrator.cells.facade import agents_of
from orchestrator.client import Buckstop
from orchestrator.serve import Orchestrator
from orchestrator.settings import Settings
from orchestrator.store import Store
from orchestrator.wire import Wire
from tests.hands import Hand
from tests.test_serve import head, settle, submit
from tests.typed import typed


@pytest.fixture
def store(fresh):
    return Store(fresh.client, fresh.keys)


@pytest.fixture
def loop(fresh, store):
    return Orchestrator(store, Wire(Signer(os.urandom(32)), fresh.keys))


@pytest.fixture
def said(fresh, tmp_path):
    """Type a command of `buckstop` and return what it wrote, as JSON if that was asked for."""

    def run(*words):
        named = {"BUCKSTOP_URL": fresh.url, "BUCKSTOP_PREFIX": fresh.keys.prefix}
        done = typed(tmp_path, *words, **named)
        assert done.code == 0, done.err
        return done.json if "--json" in words else done.out

    return run


def decide(store, loop, task_id, **fields):
    """Let a person decide the task's open letter."""
    letter = head(store, task_id)["letter"]["id"]
    text = json.dumps({"letter": letter, "by": "ann", **fields})
    decision = parse(Decision, text, bytes_max=10_000, what="decision")
    assert store.post(
        task_id, f"decide\n{decision.model_dump_json()}".encode(), os.urandom(8).hex()
    )
    settle(loop)


def fail(hand, job, fault=Fault.RAISED):
    hand.answer(job, Envelope.failed("it fell over", fault))


def test_what_workers_say_without_sense_stops_nobody(fresh, store, loop):
    """Whoever may write what workers say mints no budget, and stops no orchestrator either."""
    keys, client = fresh.keys, fresh.client
    said = {
        b"a": b"\xff{",
        b"b": b"[]",
        b"c": b'{"skills": 5}',
        b"d": b'{"skills": [[]]}',
        b"\xff": b"1",
    }
    client.hset(keys.agents, mapping=said)
    client.hset(keys.declared_caps, mapping=dict.fromkeys(said, b"many"))
    for worker, about in ((b"v", b"{"), (b"w", b"7"), (b"\xff", b'{"agents": [[]]}')):
        client.zadd(keys.workers, {worker: 4e12})
        client.set(keys.worker("").encode() + worker, about)
    submit(store, agent="a")
    settle(loop)
    assert len(Hand(client, keys, "a").take()) == 1
    agents, figures = store.agents(), store.figures()
    assert store.workers() == []
    assert [(agents[name].facts, agents[name].cap) for name in "bcd"] == [({}, None)] * 3
    assert [figures.agents[name].cap for name in "bcd"] == [None] * 3


# --- breakers and bulkheads ----------------------------------------------------------------------


def test_an_agent_that_keeps_falling_over_is_sent_nothing_more(fresh, store, loop, said):
    """Issue: «consecutive faults (5) opens it ... while open, nothing is published to it»."""
    hand = Hand(fresh.client, fresh.keys, "shaky")
    for _ in range(limits.BREAKER_FAULTS):
        submit(store, agent="shaky", at_cap="abort")
        settle(loop)
        [job] = hand.take()
        fail(hand, job)
        settle(loop)
    waiting = submit(store, agent="shaky")
    settle(loop)
    assert hand.take() == []
    assert head(store, waiting)["rooms"] == ["shaky"]
    [shaky] = said("agents", "--json")
    assert shaky["breaker_open"]
    said("agents", "reset", "shaky")
    settle(loop)
    [job] = hand.take()
    assert job.headers.task == waiting


def test_verdicts_about_content_and_budget_stops_open_no_breaker(fresh, store, loop):
    """Issue: «Faults of the agent count, verdicts about content do not; a budget stop never»."""
    hand = Hand(fresh.client, fresh.keys, "strict")
    for fault in (None, Fault.BUDGET) * limits.BREAKER_FAULTS:
        submit(store, agent="strict", at_cap="abort")
        settle(loop)
        [job] = hand.take()
        fail(hand, job, fault)
        settle(loop)
    assert not store.agents()["strict"].breaker.open


def test_a_step_goes_to_somebody_with_the_skill_while_the_breaker_is_open(fresh, store, loop):
    """Issue: «while open, steps are re-planned to others with the skill or wait»."""
    hand = Hand(fresh.client, fresh.keys, "one", "two")
    hand.claims.register({name: {"handoffs": [], "skills": ["sum"]} for name in ("one", "two")})
    for _ in range(limits.BREAKER_FAULTS):
        submit(store, agent="one", at_cap="abort", replans_max=0)
        settle(loop)
        [job] = hand.take()
        fail(hand, job)
        settle(loop)
    submit(store, plan=[{"id": "a", "agent": "one"}, {"id": "b", "skill": "sum"}])
    loop.turn(idle_ms_max=1)
    assert [job.headers.agent for job in hand.take()] == ["two", "two"]


def test_no_more_is_in_flight_than_the_agent_takes(fresh, store, loop, said):
    """Issue: «Per agent caps on what is in flight»; the next goes out when one comes home."""
    hand = Hand(fresh.client, fresh.keys, "narrow")
    said("agents", "cap", "narrow", "2")
    submit(store, plan=[{"id": f"s{n}", "agent": "narrow"} for n in range(5)])
    settle(loop)
    ended = 0
    while jobs := hand.take():
        assert len(jobs) <= 2
        hand.answer(jobs[0], Envelope.success(1, 0.9))
        ended += 1
        settle(loop)
        if len(jobs) > 1:
            hand.answer(jobs[1], Envelope.success(1, 0.9))
            ended += 1
            settle(loop)
    assert ended == 5
    assert store.stats()["concluded_completed"] == 1


def test_a_tenant_at_its_cap_waits_and_is_admitted_when_a_place_is_free(fresh, store, loop, said):
    """Issue: «per tenant caps ... waiting tasks are admitted without polling»."""
    hand = Hand(fresh.client, fresh.keys, "research")
    said("tenants", "cap", "acme", "1")
    first, second = (submit(store, agent="research", tenant="acme") for _ in range(2))
    settle(loop)
    assert said("tenants", "--json") == {"acme": {"at_work": 1, "cap": 1, "waiting": 1}}
    [job] = hand.take()
    assert job.headers.task == first
    hand.answer(job, Envelope.success(1, 0.9))
    settle(loop)
    [job] = hand.take()
    assert job.headers.task == second


def test_a_cap_that_is_set_before_the_first_task_is_listed(said):
    """Whoever bounds a tenant sees the bound, whether or not it has a task yet."""
    assert said("tenants") == "no tenant has a task or a cap\n"
    said("tenants", "cap", "acme", "1")
    assert said("tenants", "--json") == {"acme": {"at_work": 0, "cap": 1, "waiting": 0}}
    said("tenants", "cap", "acme", "none")
    assert said("tenants", "--json") == {}


def test_an_agent_that_registered_a_moment_ago_is_not_taken_for_a_stranger(fresh, store, loop):
    """An agent is missed only on a list that is as new as the decision."""
    first = Hand(fresh.client, fresh.keys, "a", handoffs={"a": ["b"]})
    submit(store, agent="a")
    settle(loop)
    [job] = first.take()
    second = Hand(fresh.client, fresh.keys, "b")
    ask = Handoff(to="b")
    first.answer(job, Envelope(status=Status.PARTIAL, reason="not mine", ask=ask))
    settle(loop)
    assert [job.headers.agent for job in second.take()] == ["b"]


# --- questions -----------------------------------------------------------------------------------


def test_the_answer_comes_back_as_input_of_the_same_step_under_a_new_id(fresh, store, loop, said):
    """Issue: «the answer comes back as input of the same step under a new id»."""
    hand = Hand(fresh.client, fresh.keys, "clerk")
    task_id = submit(store, agent="clerk")
    settle(loop)
    [asked] = hand.take()
    question = Question(text="Which year?", choices=("2025", "2026"))
    wish = Envelope(status=Status.PARTIAL, reason="unclear", ask=question)
    hand.answer(asked, wish, Amounts(tokens=10))
    settle(loop)
    [letter] = said("letters", "--json")
    assert (letter["kind"], letter["story"]["question"]["text"]) == ("question", "Which year?")
    assert "answer" in letter["story"]["allowed"]
    decide(store, loop, task_id, verb="answer", answer="2026")
    [again] = hand.take()
    assert (again.headers.step, again.id) == (asked.headers.step, f"{task_id}/2")
    assert again.payload["answers"] == [{"question": "Which year?", "answer": "2026"}]


# --- calibration ---------------------------------------------------------------------------------


def test_what_people_decide_is_held_against_what_agents_claimed(fresh, store, loop, said):
    """Issue: «every human decision on a letter is recorded against the confidence claimed»."""
    hand = Hand(fresh.client, fresh.keys, "writer")
    for sure, verb in ((0.6, "abort"), (0.65, "approve"), (0.3, "abort")):
        task_id = submit(store, agent="writer")
        settle(loop)
        [job] = hand.take()
        hand.answer(job, Envelope.success("text", sure))
        settle(loop)
        decide(store, loop, task_id, verb=verb)
    [writer] = said("calibration", "--json")
    assert (writer["agent"], writer["judged"], writer["kept"]) == ("writer", 3, 1)
    assert writer["threshold"] == 0.65
    assert writer["confirmed"] == pytest.approx(1 / 3)
    assert "writer" in said("calibration")


def test_the_bar_is_the_lowest_that_would_have_given_the_wished_precision():
    """Issue: «the threshold that would have given a wished precision»."""
    judged = [(0.5, False), (0.6, True), (0.7, False), (0.8, True), (0.9, True)]
    lines = [
        json.dumps({"agent": "a", "confidence": sure, "confirmed": right}).encode()
        for sure, right in judged
    ]
    [half] = calibrated(lines, 0.6)
    assert (half.threshold, half.kept, half.claimed, half.confirmed) == (0.5, 5, 0.7, 0.6)
    [most] = calibrated(lines, 0.75)
    assert (most.threshold, most.kept) == (0.6, 4)
    [all_of_them] = calibrated([*lines[:3]], 1.0)
    assert (all_of_them.threshold, all_of_them.kept) == (None, 0)


def test_an_agent_of_long_ago_is_named_and_listed_only_when_asked_for(fresh, store, loop, said):
    """Nobody runs it, it has nothing to do and did nothing lately; all others are listed."""
    hand = Hand(fresh.client, fresh.keys, "alive", "lately", "long_ago")
    submit(store, agent="lately")
    settle(loop)
    [job] = hand.take()
    hand.answer(job, Envelope.success(1, 0.9), Amounts(tokens=1))
    submit(store, agent="nobody")
    settle(loop)
    hand.claims.beat([], json.dumps({"agents": ["alive"]}))
    [worker] = fresh.client.zrange(fresh.keys.workers, 0, -1)
    fresh.client.persist(fresh.keys.worker(worker.decode()))  # it lives, however slow this test is
    retired = {one["name"] for one in said("agents", "--json") if one["retired"]}
    assert retired == {"long_ago"}
    *listed, left_out = said("agents").splitlines()[1:]
    assert [line.split()[0] for line in listed] == ["alive", "lately", "nobody"]
    assert left_out == "retired: long_ago; see: buckstop agents --all"
    *_, last = said("agents", "--all").splitlines()
    assert last.split()[0] == "nobody"


def test_the_client_lists_agents_that_no_worker_runs(fresh, store, loop):
    """`buckstop agents`: whoever was sent something shows, with what waits for it."""
    submit(store, agent="nobody")
    settle(loop)
    with Buckstop(settings=Settings(fresh.url, "the test", fresh.keys.prefix)) as buckstop:
        [nobody] = buckstop.agents()
    assert (nobody.name, nobody.known, nobody.waiting, nobody.in_flight) == ("nobody", False, 1, 1)


def test_what_a_task_waits_for_is_said_without_reading_the_books(fresh, store, loop):
    """ARCHITECTURE: «The way in is thin»: each submission and each look at a task asks for it."""
    Hand(fresh.client, fresh.keys, "long_ago")
    task = submit(store, agent="nobody")
    settle(loop)
    with Buckstop(settings=Settings(fresh.url, "the test", fresh.keys.prefix)) as buckstop:
        fresh.client.config_resetstat()
        assert [one.name for one in agents_of(buckstop, task)] == ["long_ago", "nobody"]
        said = fresh.client.info("commandstats")
        asked = said["cmdstat_hgetall"]["calls"]
        assert [one.retired for one in buckstop.agents()] == [True, False]
        said = fresh.client.info("commandstats")
        assert said["cmdstat_hgetall"]["calls"] == 2 * asked + 2, "and of two days there"
