"""What the simulation has found: each a small play of what went wrong in one of its worlds."""

from play import Play, bad, beg, good, note, sent, step, whys

from envelopes.ledger import Amounts
from orchestrator import intake
from orchestrator.core.facts import Report


def test_a_plan_that_broke_and_a_planner_that_cannot_be_paid_end_at_the_budget() -> None:
    """DESIGN: "It always stops": also the decision itself, which went round for ever here."""
    play = Play(plan=[step("a")], planner="p", budget={"tokens": 100}).knows(a=(), p=())
    play.wake()
    [first] = sent(play.last)
    spent = Report(1, Amounts(tokens=first.allowance.tokens or 0), bad())
    decision = play.wake(spent)
    assert whys(decision)[:3] == ["envelope", "ask", "budget"]


def test_a_manager_plans_anew_no_more_often_than_it_may() -> None:
    """DESIGN: "re-plan cap": one plan too many was carried out before the cap was noticed."""
    play = Play(manager="m", replans_max=1).knows(m=(), a=())
    play.wake()
    play.answer(1, beg("replan", steps=[{"id": "x", "agent": "a", "input": 1}]))
    play.answer(2, good("X"))
    decision = play.answer(3, beg("replan", steps=[{"id": "x", "agent": "a", "input": 2}]))
    assert note(decision, "round_refused").text == "1 re-plan is used up"
    assert not sent(decision)


def test_nobody_is_asked_about_a_task_that_never_got_its_place() -> None:
    """The issue: "waiting tasks are admitted"; until then nothing goes out, not even the end."""
    play = Play(owner="o").knows(o=(), solo=())
    play.admitted = False
    play.wake()
    decision = play.wake(after_ms=600_000)
    assert whys(decision) == ["deadline", "below_the_bar", "escalate"]
    assert not sent(decision)


def test_a_judge_that_asks_a_person_has_given_no_verdict() -> None:
    """DESIGN: an ending waits for nobody; a judge's question kept the task until its deadline."""
    play = Play(validators=["v"]).knows(v=(), solo=())
    play.wake()
    play.answer(1, good("x"))
    decision = play.answer(2, beg("question", reason="who knows?", text="is it good?"))
    assert note(decision, "verdict").text == "no verdict: who knows?"
    assert play.task.letter is not None


def test_what_a_manager_gives_up_takes_along_all_that_was_to_be_built_on_it() -> None:
    """A step whose input will never come was tried by its fallback agent, without the input."""
    play = Play(manager="m").knows(m=(), a=(), b=(), c=())
    play.wake()
    chain = [step("x", agent="a"), step("y", "x", agent="b", fallbacks=["c"])]
    play.answer(1, beg("delegate", steps=chain))
    decision = play.answer(2, bad())
    assert whys(decision) == ["envelope", "given_up", "given_up", "ask", "publish"]
    assert [each.agent for each in sent(decision)] == ["m"]


def test_a_task_without_a_plan_of_its_own_is_accepted() -> None:
    """The issue: "The plan may come from an agent"; intake looked for a first step."""
    bounds = {"goal": "x", "budget": {"calls": 9}, "timeout": 60, "until": {"kind": "plan_done"}}
    assert intake.read({**bounds, "planner": "p"}).plans == ((),)
    assert intake.read({**bounds, "manager": "m"}).plans == ((),)
