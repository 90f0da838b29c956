"""What a person can say, and what the owner does before and without one."""

import json

import pytest
from play import Play, ask, bad, beg, commands, good, note, sent, step, whys

from envelopes import Amounts, Limits, limits
from envelopes.decision import Decision, Verb
from orchestrator.core.commands import (
    CloseLetter,
    Conclude,
    Escalate,
    Granted,
    Judged,
)
from orchestrator.core.facts import Report
from orchestrator.core.task import Phase

LEASE = limits.LEASE_MS


# --- the owner's policy --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_cap", "ends"),
    [
        ("deliver", ("partial", Phase.DONE)),
        ("abort", ("aborted", Phase.DONE)),
        ("escalate", (None, Phase.ON_DESK)),
    ],
)
def test_the_caller_says_what_a_cap_leads_to(at_cap: str, ends: tuple) -> None:
    """The owner's policy: deliver, else ask a person, else abort."""
    play = Play(plan=[step("a"), step("b", "a")], at_cap=at_cap)
    play.wake()
    play.answer(1, good("kept"))
    play.answer(2, bad())
    assert (play.outcome, play.task.phase) == ends
    if at_cap != "escalate":
        assert play.result() == {"a": "kept"}


# --- the desk ------------------------------------------------------------------------------------


def desk(**fields: object) -> Play:
    """Bring a task onto the desk with a result below the bar."""
    play = Play(**fields)
    play.wake()
    play.answer(1, good("meh", 0.5), tokens=10)
    assert play.task.phase is Phase.ON_DESK
    return play


def test_a_person_can_approve_what_is_below_the_bar() -> None:
    """`person_decided`, approve: "nothing leaves below the gate without a person's decision"."""
    play = desk()
    decision = play.decide("approve", why="good enough")
    assert (play.outcome, play.result()) == ("completed", "meh")
    assert play.task.stop_reason == "decided: approve by ann"
    confirmed = (Judged("solo", 0.5, confirmed=True),)
    said = Decision(letter="t.1", verb=Verb.APPROVE, by="ann").fingerprint()
    closed = CloseLetter("t.1", "approve", "ann", "good enough", said, confirmed)
    assert commands(decision, CloseLetter) == [closed]
    assert commands(decision, Conclude) == [Conclude("completed")]


def test_a_person_can_amend_the_result() -> None:
    play = desk()
    play.decide("amend", result={"by": "hand"})
    assert (play.outcome, play.result()) == ("completed", {"by": "hand"})


def test_a_person_can_abort() -> None:
    play = desk()
    play.decide("abort")
    assert (play.outcome, play.result()) == ("aborted", "meh")


def test_a_retry_of_a_result_below_the_bar_runs_its_weakest_link_again() -> None:
    """retry: what was not good enough is made again, with what was built on it and no more."""
    play = Play(plan=[step("a"), step("b"), step("c", "a", "b"), step("d", "b")])
    play.wake()
    for subtask, confidence in ((1, 0.5), (2, 0.9)):
        play.answer(subtask, good(subtask, confidence))
    play.wake(play.report(3, good("c")), play.report(4, good("d")))
    assert play.task.phase is Phase.ON_DESK
    [again] = sent(play.decide("retry"))
    assert (again.step, again.hop) == ("a", 2)
    [last] = sent(play.answer(5, good("better", 0.8)))
    assert (last.step, last.hop) == ("c", 3)
    assert json.loads(last.payload)["inputs"] == {"a": "better", "b": 2}
    play.answer(6, good("c2", 0.8))
    assert (play.outcome, play.result()) == ("completed", {"c": "c2", "d": "d"})


def test_a_retry_runs_all_that_is_below_the_bar_and_nothing_above_it() -> None:
    """More than one link can be weak."""
    play = Play(plan=[step("a"), step("b"), step("c")])
    play.wake()
    mail = [play.report(n, good(n, sure)) for n, sure in ((1, 0.5), (2, 0.9), (3, 0.6))]
    play.wake(*mail)
    assert [each.step for each in sent(play.decide("retry"))] == ["a", "c"]


def test_a_retry_of_a_plan_that_missed_its_line_runs_the_weakest_link() -> None:
    """All are above the bar, and the finish line asks for more."""
    line = {"kind": "confidence", "at_least": 0.95}
    play = Play(plan=[step("a"), step("b")], until=line, at_cap="escalate")
    play.wake()
    play.wake(play.report(1, good(1, 0.9)), play.report(2, good(2, 0.8)))
    assert [each.step for each in sent(play.decide("retry"))] == ["b"]


def test_a_retry_gives_the_replans_back() -> None:
    """The count starts anew: a person has looked at it."""
    play = Play(plan=[step("a", fallbacks=["b", "c"])], replans_max=1)
    play.wake()
    play.answer(1, bad())
    play.answer(2, bad())
    play.decide("retry")
    [third] = sent(play.answer(3, bad()))
    assert third.agent == "c"


def test_approving_what_somebody_was_still_to_better_is_a_partial_result() -> None:
    """Whole is what nothing of the plan is left to do for."""
    play = Play(plan=[step("a", fallbacks=["b"])])
    play.wake()
    play.answer(1, good("meh", 0.5))
    play.answer(2, bad())
    play.decide("approve")
    assert (play.outcome, play.result()) == ("partial", "meh")


def test_a_retry_that_fails_falls_back_on_what_was_kept() -> None:
    """What was paid for is still there when the second try gives nothing."""
    play = desk()
    play.decide("retry")
    play.answer(2, bad())
    assert play.task.phase is Phase.ON_DESK
    play.decide("approve")
    assert (play.outcome, play.result()) == ("partial", "meh")


def test_a_retry_grants_budget_hops_and_time() -> None:
    """retry(+budget, +hops, +time): the deadline stood still on the desk."""
    play = Play(timeout=60, budget={"tokens": 1000}, hops_max=1)
    play.wake()
    play.now_ms = 20_000
    play.answer(1, bad())
    play.now_ms = 500_000
    decision = play.decide("retry", budget={"tokens": 500}, hops=3, time=30)
    assert play.task.ledger.ceiling == Limits(tokens=1500)
    assert play.task.hops_max == 4
    assert play.task.deadline_ms == 500_000 + 40_000 + 30_000
    granted = note(decision, "granted").granted
    assert granted == Granted(Limits(tokens=1500), 4, 570_000)
    assert [each.hop for each in sent(decision)] == [2]


def test_no_number_of_retries_raises_the_hops_beyond_what_workers_take() -> None:
    """A cap nobody can reach is no cap; and a header beyond its bound would stop every message."""
    play = Play(hops_max=100)
    play.wake()
    for subtask in range(1, 5):
        play.answer(subtask, bad())
        play.decide("retry", hops=100)
    assert play.task.hops_max == limits.HOPS_EVER_MAX


def test_after_a_retry_a_loop_is_counted_anew() -> None:
    """A person may repeat a plan."""
    play = Play()
    play.wake()
    for subtask in range(1, 6):
        play.answer(subtask, bad())
        decision = play.decide("retry")
        assert len(sent(decision)) == 1
        assert "repetition" not in whys(decision)


def test_the_first_decision_wins_and_a_later_one_is_recorded() -> None:
    """The promise: "First decision wins; all are recorded"."""
    play = desk()
    decision = play.wake(play.decision("abort"), play.decision("approve", by="bob"))
    assert play.outcome == "aborted"
    assert note(decision, "late_decision").text == "approve by bob: the letter is closed"


def test_a_decision_on_another_letter_changes_nothing() -> None:
    play = desk()
    before = play.task
    decision = play.decide("abort", letter="t.9")
    assert whys(decision) == ["late_decision"]
    assert decision.task is before


def test_a_decision_that_makes_no_sense_leaves_the_letter_open() -> None:
    """Approving nothing, or amending against the schema, is said to be refused."""
    play = Play(result_schema={"type": "integer"})
    play.wake()
    play.answer(1, bad())
    approved = note(play.decide("approve"), "refused_decision")
    assert approved.text == "approve by ann: nothing is kept that could be delivered"
    amended = note(play.decide("amend", result="five"), "refused_decision")
    assert "is not of type 'integer'" in amended.text
    play.decide("amend", result=5)
    assert play.result() == 5


@pytest.mark.parametrize(
    ("verb", "given", "said"),
    [
        ("approve", {}, ""),
        ("amend", {"result": {"sum": 5}}, '{"sum":5}'),
        ("retry", {"budget": {"tokens": 5000}, "hops": 2}, "5,000 more tokens, 2 more hops"),
    ],
)
def test_what_came_with_a_decision_stays_with_the_letter(
    verb: str, given: dict[str, object], said: str
) -> None:
    """`decided`: who reads the letter later sees what was decided, not only that it was."""
    play = desk()
    [closed] = commands(play.decide(verb, **given), CloseLetter)
    assert (closed.verb, closed.said) == (verb, said)


@pytest.mark.parametrize(("default", "ends"), [("abort", "aborted"), ("approve", "completed")])
def test_if_nobody_decides_the_declared_default_applies(default: str, ends: str) -> None:
    """`nobody_decided`: "the declared default, recorded"."""
    play = desk(desk_timeout=100, desk_default=default)
    assert play.wake(after_ms=99_999).notes == ()
    decision = play.wake(after_ms=1)
    assert (play.outcome, play.task.stop_reason, play.result()) == (ends, "nobody_decided", "meh")
    [closed] = commands(decision, CloseLetter)
    assert (closed.verb, closed.by) == (default, "nobody")


def test_nobody_can_approve_nothing() -> None:
    """With nothing kept, the default to approve is an abort."""
    play = Play(desk_timeout=100, desk_default="approve")
    play.wake()
    play.answer(1, bad())
    play.wake(after_ms=100_000)
    assert (play.outcome, play.result()) == ("aborted", None)


def test_a_decision_in_time_beats_the_clock_that_ran_out_meanwhile() -> None:
    """A person has the last word, even when the orchestrator wakes late."""
    play = desk(desk_timeout=100)
    play.wake(play.decision("approve"), after_ms=200_000)
    assert play.outcome == "completed"


def test_nothing_is_done_while_a_person_thinks() -> None:
    """`on_the_desk`: the deadline stands still, and late mail is only recorded."""
    play = desk(timeout=60)
    decision = play.wake(Report(1, Amounts(), good()), after_ms=3_600_000)
    assert whys(decision) == ["late_envelope"]
    assert play.task.phase is Phase.ON_DESK


# --- somebody else -------------------------------------------------------------------------------


def allowed(play: Play) -> list[str]:
    [letter] = [each for made in play.decisions for each in commands(made, Escalate)][-1:]
    return json.loads(letter.story)["allowed"]


def test_a_broken_step_can_be_given_to_another_agent() -> None:
    """reassign(agent): what would be run again goes to this agent, and nothing is granted."""
    play = Play(plan=[step("a"), step("b", "a")], at_cap="escalate").knows(a=(), b=(), c=())
    play.wake()
    play.answer(1, good("kept"))
    play.answer(2, bad())
    before = play.task
    decision = play.decide("reassign", agent="c", why="b is on holiday")
    [again] = sent(decision)
    assert (again.step, again.agent, again.hop) == ("b", "c", 3)
    assert json.loads(again.payload)["inputs"] == {"a": "kept"}
    assert (play.task.ledger.ceiling, play.task.hops_max) == (
        before.ledger.ceiling,
        before.hops_max,
    )
    assert note(decision, "granted").text == "ann lets the task go on with c"
    play.answer(3, good("done"))
    assert (play.outcome, play.result()) == ("completed", "done")


def test_a_retry_may_name_another_agent() -> None:
    """Retry (+tokens/usd, +hops, +time, optionally another agent)."""
    play = desk().knows(solo=(), other=())
    [again] = sent(play.decide("retry", agent="other", budget={"tokens": 500}))
    assert again.agent == "other"
    assert play.task.ledger.ceiling == Limits(tokens=10_500)


def test_a_question_can_be_given_to_somebody_who_need_not_ask() -> None:
    """reassign: "a question's step too"; the question is asked no more."""
    play = Play(agent="a").knows(a=(), b=())
    play.wake()
    play.answer(1, beg("question", text="which?"))
    assert "reassign" in allowed(play)
    decision = play.decide("reassign", agent="b")
    assert commands(decision, CloseLetter)[0].said == "to b"
    [again] = sent(decision)
    assert again.agent == "b"
    assert "answers" not in json.loads(again.payload)
    assert play.step("only").ask is None
    play.answer(2, good())
    assert play.outcome == "completed"


def test_a_handoff_that_came_to_the_hop_cap_can_go_to_somebody_else() -> None:
    """The step asks for b; the person says c, and means it."""
    play = Play(agent="a", hops_max=1, at_cap="escalate").knows(a=("b",), b=(), c=())
    play.wake()
    play.answer(1, ask("b"))
    [again] = sent(play.decide("retry", agent="c", hops=5))
    assert again.agent == "c"


@pytest.mark.parametrize("verb", ["retry", "reassign"])
def test_a_task_goes_to_nobody_who_is_not_there(verb: str) -> None:
    """A misspelt name would wait on a queue that nobody reads."""
    play = desk().knows(solo=()).sees("known-by-its-queue", known=False)
    for nobody in ("nobody", "known-by-its-queue"):
        refused = note(play.decide(verb, agent=nobody), "refused_decision")
        assert refused.text.startswith(f"{verb} by ann: no worker runs {nobody}")
    assert play.task.phase is Phase.ON_DESK


def test_where_no_step_can_be_done_by_another_that_is_said() -> None:
    """A manager is asked again whoever is named; so nobody can be."""
    play = Play(manager="m", at_cap="escalate", timeout=60).knows(m=(), b=())
    play.wake(after_ms=60_000)
    assert play.task.phase is Phase.ON_DESK
    assert "reassign" not in allowed(play)
    refused = note(play.decide("reassign", agent="b"), "refused_decision")
    assert "no step that another agent could do" in refused.text


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_what_is_said_of_messages_is_refused_of_tasks(verb: str) -> None:
    """A letter has one kind of decision."""
    play = desk()
    refused = note(play.decide(verb), "refused_decision")
    assert "a task waits on this letter" in refused.text
    assert not {"replay", "discard"} & set(allowed(play))


def test_a_person_s_result_is_held_to_the_predicates_too() -> None:
    """amend: "validated against the task's schema before it is accepted", and its predicates."""
    play = desk(predicates=[{"at": "/price", "must": "be_at_most", "value": 10}])
    refused = note(play.decide("amend", result={"price": 11}), "refused_decision")
    assert refused.text.endswith("/price must be at most 10, but is 11")
    play.decide("amend", result={"price": 10})
    assert (play.outcome, play.result()) == ("completed", {"price": 10})
