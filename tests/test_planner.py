"""A plan that an agent makes is a wish: what must be true of it before anything is published.

A planner is asked at the beginning and whenever a plan broke; each plan after the first, and each
that is refused, counts as a re-plan. Rules: `ask_planner`, `planned`, `plan_refused`.
"""

import json

import pytest
from play import Play, ask, bad, beg, good, note, sent, step, whys

from envelopes import Refused
from orchestrator.core.task import Phase, StepPhase

FIRST = [step("x", agent="a"), step("y", "x", agent="b")]


def planned(plan: object = FIRST, **fields: object) -> Play:
    """Have a planner answer with this plan; a, b and c are there to do it."""
    play = Play(planner="p", **fields).knows(p=(), a=(), b=(), c=())
    play.wake()
    play.answer(1, good(plan))
    return play


# --- the first plan ------------------------------------------------------------------------------


def test_the_planner_is_asked_before_anything_else() -> None:
    """The issue: "The plan may come from an agent (its envelope's result is a plan)"."""
    play = Play(planner="p", goal="cross the Elbe", input={"by": "boat"}).knows(p=(), a=())
    decision = play.wake()
    assert whys(decision) == ["ask", "publish"]
    [asked] = sent(decision)
    assert (asked.agent, asked.hop, asked.goal) == ("p", 1, "cross the Elbe")
    told = json.loads(asked.payload)["input"]
    assert (told["wanted"], told["input"]) == ("plan", {"by": "boat"})
    assert told["agents"] == {"a": {"skills": [], "busy": False}}


def test_its_plan_is_put_in_force_one_hop_further() -> None:
    """The plan's steps are caused by the planner's answer; the planner's own step is gone."""
    play = planned()
    assert whys(play.last) == ["envelope", "planned", "publish"]
    assert [(each.step, each.agent, each.hop) for each in sent(play.last)] == [("x", "a", 2)]
    assert [each.plan.id for each in play.task.steps] == ["x", "y"]
    play.answer(2, good("X"))
    [last] = sent(play.last)
    assert json.loads(last.payload)["inputs"] == {"x": "X"}
    play.answer(3, good("Y"))
    assert (play.outcome, play.result(), play.task.stop_reason) == ("completed", "Y", "plan_done")


def test_the_first_plan_is_no_replan() -> None:
    """Only what comes after a plan is a re-plan."""
    assert planned().task.replans == 0


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ("do it well", "not a plan"),
        ([], "not a plan"),
        ([{"id": "x"}], "not a plan"),
        ([step("x", "y", agent="a"), step("y", "x", agent="b")], "cycle: x → y → x"),
        ([step("x", "z", agent="a")], "'z', which is no step"),
        ([step("x", agent="stranger")], "nobody is called, or can do: stranger"),
        ([{"id": "x", "skill": "fly"}], "nobody is called, or can do: fly"),
        ([step("x", agent="v")], "v will judge the result and can make no part of it"),
        ([step(f"s{n}", *([f"s{n - 1}"] if n else []), agent="a") for n in range(4)], "4 stages"),
        ([step(f"s{n}", agent="a") for n in range(9)], "9 steps, but 7 subtasks are left"),
        ([step("x", agent="a", allowance={"tokens": 9_001})], "left is 9,000 tokens"),
    ],
)
def test_an_unsound_plan_is_refused_and_the_planner_told_why(plan: object, why: str) -> None:
    """The issue: "validated: known agents, no cycles, depth ≤ cap, affordable"."""
    play = Play(planner="p", hops_max=4, subtasks_max=8, validators=["v"])
    play.knows(p=(), a=(), b=(), v=()).wake()
    decision = play.answer(1, good(plan))
    assert whys(decision) == ["envelope", "plan_refused", "ask", "publish"]
    assert why in note(decision, "plan_refused").text
    [again] = sent(decision)
    assert why in json.loads(again.payload)["input"]["advice"]
    assert play.task.replans == 1


@pytest.mark.parametrize("envelope", [bad("no idea"), ask("a"), beg("delegate", steps=FIRST)])
def test_a_planner_that_does_not_plan_is_asked_again(envelope: object) -> None:
    """A planner answers with a plan; whatever else it says is none."""
    play = Play(planner="p").knows(p=("a",), a=(), b=())
    play.wake()
    decision = play.answer(1, envelope)
    assert whys(decision) == ["envelope", "plan_refused", "ask", "publish"]


def test_a_planner_that_never_plans_ends_at_the_replan_cap() -> None:
    """Promise 3: "It always stops"."""
    play = Play(planner="p", replans_max=2).knows(p=(), a=())
    play.wake()
    play.answer(1, good("one"))
    decision = play.answer(2, good("two"))
    assert sent(decision) == []
    assert "2 re-plans are used up; not a plan" in note(decision, "replan_cap").text
    assert play.task.phase is Phase.ON_DESK


def test_an_agent_that_has_gone_is_a_stranger_to_a_plan() -> None:
    """Known are those that a worker has said it runs, not every name that was ever sent to."""
    play = Play(planner="p").knows(p=(), a=()).sees("a", known=False)
    play.wake()
    decision = play.answer(1, good([step("x", agent="a")]))
    assert note(decision, "plan_refused").text == "nobody is called, or can do: a"


# --- plans after one that broke ------------------------------------------------------------------


def test_a_replan_is_asked_with_what_succeeded_what_failed_and_what_is_left() -> None:
    """The issue: "asked from it with what succeeded, what failed and why, and what is left"."""
    play = planned()
    play.answer(2, good("X"), tokens=500)
    [again] = sent(play.answer(3, bad("the bridge is out"), tokens=100))
    assert (again.agent, again.hop) == ("p", 3)
    told = json.loads(again.payload)["input"]
    assert told["wanted"] == "another plan"
    assert told["results"]["x"]["result"] == "X"
    assert [(each["step"], each["reason"]) for each in told["failed"]] == [
        ("y", "the bridge is out")
    ]
    assert (told["left"]["tokens"], told["left"]["hops"]) == (8_400, 9)


def test_the_next_plan_keeps_what_is_done_and_costs_a_hop() -> None:
    """What the new plan repeats and is done stays done: it is paid for."""
    play = planned()
    play.answer(2, good("X"))
    play.answer(3, bad())
    decision = play.answer(4, good([FIRST[0], step("y", "x", agent="c")]))
    assert [(each.step, each.agent, each.hop) for each in sent(decision)] == [("y", "c", 4)]
    assert (play.task.replans, len(set(play.task.plan_fingerprints))) == (1, 2)


def test_the_same_plan_again_is_refused() -> None:
    """The issue: "A re-plan must differ (fingerprint)"."""
    play = planned()
    play.answer(2, good("X"))
    play.answer(3, bad())
    decision = play.answer(4, good(FIRST))
    assert note(decision, "plan_refused").text == "same plan: it was in force before"
    renamed = [step("other", agent="a"), step("names", "other", agent="b")]
    decision = play.answer(5, good(renamed))
    assert note(decision, "plan_refused").text == "same plan: it was in force before"


def test_a_plan_that_was_in_force_with_a_stand_in_is_not_new_either() -> None:
    """Who really did a step does not make the plan another one: it is what was asked for."""
    first = [step("x", agent="a", fallbacks=["c"]), step("y", "x", agent="b")]
    other = [first[0], step("y", "x", agent="b", goal="otherwise")]
    play = planned(first, replans_max=9)
    play.answer(2, bad())
    play.answer(3, good("X, by c"))
    play.answer(4, bad())
    play.answer(5, good(other))
    play.answer(6, bad())
    decision = play.answer(7, good(other))
    assert "plan_refused" in whys(decision)


def test_declared_ways_out_come_before_the_planner() -> None:
    """Another agent costs no planner's call; a fallback plan neither."""
    plan = [step("x", agent="a", fallbacks=["b"])]
    play = Play(plan=plan, fallback_plans=[[step("z", agent="c")]], planner="p")
    play.knows(p=(), a=(), b=(), c=()).wake()
    assert [each.agent for each in sent(play.answer(1, bad()))] == ["b"]
    assert [each.agent for each in sent(play.answer(2, bad()))] == ["c"]
    assert [each.agent for each in sent(play.answer(3, bad()))] == ["p"]


def test_what_is_out_comes_home_before_the_planner_is_asked() -> None:
    """What succeeds meanwhile need not be planned again; nothing new goes out for the old plan."""
    wide = [step("x", agent="a"), step("y", agent="b"), step("z", "y", agent="c")]
    play = planned(wide)
    assert sent(play.answer(2, bad())) == []
    decision = play.answer(3, good("Y"))
    assert [each.agent for each in sent(decision)] == ["p"]
    assert play.step("z").phase is StepPhase.WAITING


def test_a_result_that_the_gate_refuses_is_planned_otherwise() -> None:
    """A verdict about content is a reason for another plan, told to the planner."""
    play = planned([step("x", agent="a")], result_schema={"type": "object"})
    decision = play.answer(2, good("text"))
    assert whys(decision) == ["envelope", "refused", "ask", "publish"]
    told = json.loads(sent(decision)[0].payload)["input"]
    assert "result breaks its schema" in told["failed"][0]["reason"]
    play.answer(3, good([step("x", agent="b")]))
    play.answer(4, good({"text": 1}))
    assert (play.outcome, play.result()) == ("completed", {"text": 1})


def test_the_replan_cap_holds_for_planners_too() -> None:
    """`replan_cap`: the planner may have another idea, and is not asked."""
    play = planned([step("x", agent="a")], replans_max=0)
    decision = play.answer(2, bad("no luck"))
    assert sent(decision) == []
    assert "0 re-plans are used up; step x at a: no luck" in note(decision, "replan_cap").text


def test_a_synthesis_step_is_added_to_the_planners_plan() -> None:
    """Whoever asked for a synthesis gets one of every plan, also of one that an agent has made."""
    play = planned([step("x", agent="a"), step("y", agent="b")], synthesis="s")
    play.answer(2, good("X"))
    [last] = sent(play.answer(3, good("Y")))
    assert (last.agent, json.loads(last.payload)["inputs"]) == ("s", {"x": "X", "y": "Y"})
    play.answer(4, good("X and Y", 0.8))
    assert (play.result(), play.task.confidence) == ("X and Y", 0.8)


def test_a_lost_planner_is_asked_again_at_the_same_hop() -> None:
    """A worker that dies says nothing about the plan: it is no re-plan."""
    play = Play(planner="p").knows(p=(), a=())
    play.wake()
    play.fetch(1)
    [again] = sent(play.wake(after_ms=10_000))
    assert (again.agent, again.hop, play.task.replans) == ("p", 1, 0)


def test_a_planner_stands_in_for_nobody() -> None:
    """A request says how it begins in one way only."""
    with pytest.raises(Refused, match="not both"):
        Play(agent="a", planner="p")


def test_a_stand_in_does_not_bring_a_plan_back_that_was_in_force() -> None:
    """Promise 6: "a plan that repeats the last one does not count as a new one"."""
    first, second = (step("x", agent=each, fallbacks=["a"]) for each in ("a", "b"))
    play = Play(plan=[first], fallback_plans=[[second]])
    play.wake()
    play.answer(1, bad())
    assert [each.agent for each in sent(play.last)] == ["b"]
    decision = play.answer(2, bad())
    assert sent(decision) == []
    assert "no_plan_left" in whys(decision)


def test_after_a_persons_retry_an_earlier_plan_may_be_tried_again() -> None:
    """DESIGN: "Retry is a word for people": a person may repeat a plan."""
    play = planned([step("x", agent="a")], replans_max=1)
    play.answer(2, bad())
    play.answer(3, good([step("x", agent="b")]))
    play.answer(4, bad())
    assert play.task.phase is Phase.ON_DESK
    [again] = sent(play.decide("retry", why="the bridge is open again"))
    assert again.agent == "b"
    play.answer(5, bad())
    decision = play.answer(6, good([step("x", agent="a")]))
    assert [each.agent for each in sent(decision)] == ["a"]
