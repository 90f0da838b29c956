"""Whatever comes, in whatever order: what must hold of every task at every decision.

A task is drawn (drawn.py), then a life (life.py); after every decision the promises are checked
against the events, not against the core's own arithmetic (must_hold.py).
"""

import os
from itertools import pairwise
from typing import Any

import pytest
from drawn import PAUSES, plans, requests
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from life import Life
from play import Play, request

from envelopes import Amounts, Envelope, Limits
from orchestrator.core import state
from orchestrator.core.commands import Decision, Look
from orchestrator.core.decide import RULES, decide
from orchestrator.core.facts import Claim, ClaimState, Report, Sight
from orchestrator.core.replan import plan_fingerprint
from orchestrator.core.task import Phase

# --- properties ----------------------------------------------------------------------------------

LONG = "BUCKSTOP_MODEL_EXAMPLES" in os.environ
"""Draw anew at every run; without it, the same examples each time, so that no run is luck."""

EXAMPLES = 150 if LONG else 40
"""Lives for each property. A life is long; the simulation (make simulate) lives many more."""

lively = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=not LONG,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def begun(data: st.DataObject, most: int = 12) -> Life:
    """Begin a task and let it live for a while."""
    life = Life(data.draw(requests()))
    life.admitted = data.draw(st.integers(0, 9)) > 0
    life.wake()
    for _ in range(data.draw(st.integers(0, most))):
        life.live(data)
    return life


@settings(lively, max_examples=4 * EXAMPLES)
@given(st.data())
def test_every_promise_holds_at_every_decision(data: st.DataObject) -> None:
    """Any mail in any order, repeated, late, unknown: invariants 3, 4, 7, 9, 13 and 15."""
    begun(data, most=25)


@lively
@given(st.data())
def test_a_wake_without_news_changes_nothing(data: st.DataObject) -> None:
    """Invariant 13: the same object, no commands, not even a line in the journal."""
    life = begun(data)
    before, looks = life.task, len(life.looks)
    decision = life.wake()
    assert decision.commands == ()
    assert decision.notes == ()
    assert decision.alarm_ms == life.decisions[-2].alarm_ms or life.looks[looks:]
    if len(life.looks) == looks:
        assert decision.task is before
    assert life.wake().task is decision.task


@lively
@given(st.data())
def test_absorbing_mail_twice_changes_nothing(data: st.DataObject) -> None:
    """Invariant 13: a letter that is read again leaves at most a line that says so."""
    life = begun(data)
    mail = data.draw(st.lists(life.letters(), min_size=1, max_size=3))
    life.wake(*mail)
    before = life.task
    if before.phase is Phase.ON_DESK or any(not isinstance(one, Report) for one in mail):
        return
    decision = life.wake(*mail)
    assert decision.task is before or life.looks
    assert decision.commands == ()
    assert {note.why for note in decision.notes} <= {"late_envelope"}


@lively
@given(st.data())
def test_the_same_mail_in_one_wake_counts_once(data: st.DataObject) -> None:
    """Duplicated in one batch: the second copy is late, and the task is the same."""
    life = begun(data)
    mail = data.draw(st.lists(life.letters(), min_size=1, max_size=3))
    reports = [letter for letter in mail if isinstance(letter, Report)]
    once = decide(life.task, reports, life.sight(), life.now_ms)
    twice = decide(life.task, [*reports, *reports], life.sight(), life.now_ms)
    assert isinstance(once, Look) == isinstance(twice, Look)
    if isinstance(once, Decision) and isinstance(twice, Decision):
        assert once.task == twice.task
        assert once.commands == twice.commands


@lively
@given(st.data())
def test_deciding_is_deterministic_and_leaves_its_arguments_alone(data: st.DataObject) -> None:
    """A pure function: asked again, after a crash or elsewhere, it says the same."""
    life = begun(data)
    mail = data.draw(st.lists(life.letters(), max_size=3))
    claims = data.draw(st.none() | st.just(dict(life.claims)))
    sight = Sight(agents=life.agents, claims=claims, admitted=life.admitted)
    now_ms = life.now_ms + data.draw(PAUSES)
    written = state.write(None, life.task)
    read_back = state.read(life.task.id, 0, life.asked, written[0])
    answers = [decide(task, mail, sight, now_ms) for task in (life.task, life.task, read_back)]
    assert answers[0] == answers[1] == answers[2]
    assert state.write(None, life.task) == written


@lively
@given(st.data())
def test_a_rule_that_is_left_out_would_have_passed(data: st.DataObject) -> None:
    """Where there is no trouble the rules for it are skipped, and nothing comes out otherwise."""
    life = begun(data)
    mail = data.draw(st.lists(life.letters(), max_size=3))
    skipped = decide(life.task, mail, life.sight(), life.now_ms)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.core.decide.SMOOTH", RULES)
        assert decide(life.task, mail, life.sight(), life.now_ms) == skipped


@lively
@given(st.data())
def test_a_shell_that_dies_after_taking_claims_away_costs_nothing(data: st.DataObject) -> None:
    """A revoked claim that the next shell finds is settled, and the task goes on."""
    life = begun(data)
    look = decide(life.task, [], life.sight(), life.now_ms + 10_000)
    if isinstance(look, Look):
        for subtask in data.draw(st.lists(st.sampled_from(look.subtasks), unique=True)):
            if life.claims[subtask].state in {ClaimState.ISSUED, ClaimState.CLAIMED}:
                life._claim(subtask, state=ClaimState.REVOKED)
    life.wake(after_ms=10_000)
    assert all(life.claims[subtask].state is not ClaimState.REVOKED for subtask in life.open)


@lively
@given(st.data())
def test_left_alone_every_task_ends(data: st.DataObject) -> None:
    """Promise 3, "it always stops": by nothing but its own alarms, in so many wakes at most."""
    life = begun(data)
    reported = [n for n in life.open if life.claims[n].state is ClaimState.REPORTED]
    for subtask in reported:
        life.wake(Report(subtask, Amounts(), Envelope.failed("at last")))
    for subtask in life.open:
        life.lose_message(subtask)
    wakes = 0
    while life.task.phase is not Phase.DONE:
        alarm_ms = life.last.alarm_ms
        assert alarm_ms is not None
        life.wake(after_ms=max(1, alarm_ms - life.now_ms))
        wakes += 1
        assert wakes < 5_000
    event(f"wakes to the end: {len(str(wakes))} digits")


@lively
@given(st.data())
def test_a_replan_differs_from_every_plan_before_it(data: st.DataObject) -> None:
    """Invariant 14: no plan is ever in force a second time without a person."""
    life = begun(data, most=25)
    task = life.task
    if task.letters or task.terms.manager is not None:
        return  # a person may repeat a plan; a manager may want the same done again in each round
    plans = task.plan_fingerprints
    assert len(set(plans)) == len(plans)
    if task.terms.planner is None:
        assert len(plans) >= task.replans + 1


@settings(lively, max_examples=100)
@given(plans(), plans())
def test_plans_have_one_name_if_and_only_if_they_are_equal(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    """Same plan again: "plans are fingerprinted"."""
    for step in (*one, *other):  # in which order needs are named makes no other plan
        step["needs"] = sorted(step.get("needs", ()))
    first, second = (state.begin("t", request(plan=plan), 0).steps for plan in (one, other))
    assert (plan_fingerprint(first) == plan_fingerprint(second)) == (first == second)


@settings(lively, max_examples=100)
@given(st.lists(st.sampled_from([1.0, 0.5, 0.7]), min_size=1, max_size=4))
def test_a_chain_is_as_sure_as_its_weakest_link(confidences: list[float]) -> None:
    """Composed confidence "defaults to the weakest link"; every stage is one hop."""
    chain: list[dict[str, Any]] = [
        {"id": f"s{n}", "agent": "a", "needs": [f"s{n - 1}"] if n else []}
        for n in range(len(confidences))
    ]
    play = Play(request(plan=chain, confidence_min=0.0))
    play.wake()
    for number, confidence in enumerate(confidences, start=1):
        play.answer(number, Envelope.success(number, confidence))
    assert play.task.confidence == min(confidences)
    hops = [each.hop for each in play.published.values()]
    assert all(after == before + 1 for before, after in pairwise(hops))


def test_a_spoilt_book_is_found() -> None:
    """The checks above can fail."""
    life = Life(request(agent="ann", budget={"tokens": 100}))
    life.wake()
    assert life.claims == {1: Claim(ClaimState.ISSUED)}
    life.allowed[1] = Limits(tokens=91)
    try:
        life.wake()
    except AssertionError:
        return
    raise AssertionError("books that do not add up were not noticed")
