"""What follows a broken step, a wish to hand over, and a cap."""

import json

import pytest
from play import Play, ask, bad, good, note, part, sent, step, whys

from envelopes import Envelope, Fault, limits
from orchestrator.core.task import Phase, StepPhase

LEASE = limits.LEASE_MS


# --- replanning ----------------------------------------------------------------------------------


@pytest.mark.parametrize("envelope", [bad(), part("half", 0.9)])
def test_a_broken_step_goes_to_the_next_agent_at_the_next_hop(envelope: Envelope) -> None:
    """`next_agents`: "re-plan logic, not just retry"."""
    play = Play(plan=[step("a", fallbacks=["b", "c"])])
    play.wake()
    [second] = sent(play.answer(1, envelope))
    assert (second.agent, second.hop, second.subtask) == ("b", 2, 2)
    [third] = sent(play.answer(2, bad()))
    assert (third.agent, third.hop) == ("c", 3)
    assert play.task.replans == 2
    assert len(set(play.task.plan_fingerprints)) == 3


def test_all_broken_steps_of_one_wake_are_one_replan() -> None:
    """A re-plan is a new plan, however many steps it moves."""
    play = Play(plan=[step("a", fallbacks=["c"]), step("b", fallbacks=["c"])])
    play.wake()
    play.wake(play.report(1, bad()), play.report(2, bad()))
    assert play.task.replans == 1


def test_an_agent_that_was_handed_the_step_is_no_fallback_for_it() -> None:
    """The promise: "Never the same again": who just failed with it is not asked again."""
    play = Play(plan=[step("a", fallbacks=["b", "c"])]).knows(a=("b",), b=())
    play.wake()
    play.answer(1, ask("b"))
    [third] = sent(play.answer(2, bad()))
    assert third.agent == "c"


def test_an_optional_step_that_nobody_can_do_is_done_without() -> None:
    """`drop_optional`: its users get null in its place, and its doubts do not count."""
    play = Play(plan=[step("a", optional=True), step("b", "a")])
    play.wake()
    decision = play.answer(1, bad())
    assert whys(decision) == ["envelope", "dropped", "publish"]
    assert json.loads(sent(decision)[0].payload)["inputs"] == {"a": None}
    play.answer(2, good())
    assert play.outcome == "completed"


def test_a_dropped_last_step_does_not_lower_the_confidence_of_the_rest() -> None:
    """The weakest link "of all steps that contributed": a dropped one gave nothing."""
    play = Play(plan=[step("a"), step("extra", optional=True)])
    play.wake()
    play.answer(2, part("a hunch", 0.1))
    play.answer(1, good("sure", 0.9))
    assert (play.outcome, play.result(), play.task.confidence) == ("completed", "sure", 0.9)


def test_an_optional_step_is_dropped_before_the_plan_is() -> None:
    """`drop_optional` stands above `next_plan`: what is nice to have costs no plan."""
    plan = [step("a", optional=True), step("b")]
    play = Play(plan=plan, fallback_plans=[[step("z")]])
    play.wake()
    play.answer(1, bad())
    assert play.step("a").phase is StepPhase.DROPPED
    assert (play.task.plan_number, play.open) == (0, [2])


def test_a_new_plan_begins_anew_with_what_was_not_done() -> None:
    """Only what is done is carried over: the step that broke is sent again, once."""
    plan = [step("a"), step("b", "a")]
    play = Play(plan=[*plan, step("c")], fallback_plans=[plan])
    play.wake()
    play.answer(1, good("kept"))
    play.answer(2, good())
    [again] = sent(play.answer(3, bad()))
    assert (again.step, again.hop) == ("b", 3)


def test_a_fallback_plan_takes_over_and_keeps_what_is_done() -> None:
    """`next_plan`: steps that the new plan repeats and that are done stay done."""
    play = Play(plan=[step("a"), step("b", "a")], fallback_plans=[[step("a"), step("z", "a")]])
    play.wake()
    play.answer(1, good("kept"))
    decision = play.answer(2, bad("cannot"))
    assert whys(decision) == ["envelope", "next_plan", "publish"]
    [last] = sent(decision)
    assert (last.step, last.hop) == ("z", 3)
    assert json.loads(last.payload)["inputs"] == {"a": "kept"}


def test_a_plan_equal_to_an_earlier_one_does_not_count_as_new() -> None:
    """The promise: "A plan that repeats the last one does not count as a new one"."""
    play = Play(plan=[step("a")], fallback_plans=[[step("a")], [step("b")]])
    play.wake()
    [second] = sent(play.answer(1, bad()))
    assert (second.agent, play.task.plan_number, play.task.replans) == ("b", 2, 1)


def test_a_result_below_the_bar_gives_the_next_plan_a_chance() -> None:
    """`finish_line`: what fails the gate may have another plan."""
    play = Play(plan=[step("a")], fallback_plans=[[step("b")]])
    play.wake()
    decision = play.answer(1, good("meh", 0.5))
    assert whys(decision) == ["envelope", "next_plan", "publish"]
    play.answer(2, good("sure", 0.9))
    assert (play.outcome, play.result()) == ("completed", "sure")


def test_time_and_money_do_not_begin_anew_with_a_plan() -> None:
    """A plan whose finish line is crossed already is not put in force: none of it would run."""
    play = Play(
        plan=[step("a")],
        fallback_plans=[[step("b")], [step("c")]],
        until={"kind": "elapsed", "seconds": 30},
    )
    play.wake()
    decision = play.wake(after_ms=30_000)
    assert "next_plan" not in whys(decision)
    assert play.task.plan_number == 0
    assert play.task.phase is Phase.ON_DESK


def test_replans_have_a_cap_of_their_own() -> None:
    """`replan_cap`: there is another agent, and it may not be asked."""
    play = Play(plan=[step("a", fallbacks=["b", "c"])], replans_max=1)
    play.wake()
    play.answer(1, bad())
    decision = play.answer(2, bad("again"))
    assert "1 re-plan is used up; step a at b: again" in note(decision, "replan_cap").text


def test_without_another_plan_the_owner_judges() -> None:
    """`no_plan_left`, and says who could not do what, and why."""
    play = Play()
    play.wake()
    decision = play.answer(1, bad("no key"))
    assert note(decision, "no_plan_left").text == "step only at solo: no key"


def test_what_is_out_comes_home_before_the_owner_judges() -> None:
    """It is paid for; and nothing new goes out meanwhile."""
    play = Play(plan=[step("a"), step("b"), step("c", "b")])
    play.wake()
    assert play.answer(1, bad()).notes[-1].why == "envelope"
    assert sent(play.answer(2, good("kept"))) == []
    assert play.result() == {"b": "kept"}
    assert (play.outcome, play.task.stop_reason) == ("partial", "no_plan_left")


# --- handing over --------------------------------------------------------------------------------


def test_a_handoff_is_asked_of_the_owner_and_costs_a_hop() -> None:
    """The promise: "A worker never passes work to another worker: it asks the owner"."""
    play = Play(agent="a").knows(a=("b",), b=())
    play.wake()
    decision = play.answer(1, ask("b", "its field", goal="go deeper", input={"n": 1}))
    assert whys(decision) == ["envelope", "handoff", "publish"]
    [second] = sent(decision)
    assert (second.agent, second.hop) == ("b", 2)
    assert json.loads(second.payload) == {"goal": "go deeper", "input": {"n": 1}, "inputs": {}}


@pytest.mark.parametrize("known", [{}, {"a": ("b",)}, {"a": (), "b": ()}, {"b": ("a",)}], ids=str)
def test_a_handoff_that_is_not_allowed_breaks_the_step(known: dict) -> None:
    """The owner checks "the agent's allowed targets", and that the target exists."""
    play = Play(agent="a").knows(**known)
    play.wake()
    decision = play.answer(1, ask("b"))
    assert note(decision, "handoff_refused").text == "a may not hand over to b"


def test_ping_pong_stops_at_the_hop_cap() -> None:
    """`hop_cap`: "global hop counter with hard cap, 12"."""
    play = Play(agent="a", holders_min=0).knows(a=("b",), b=("a",))
    play.wake()
    for subtask in range(1, 12):
        to = "b" if subtask % 2 else "a"
        [each] = sent(play.answer(subtask, ask(to, input=subtask)))
        assert each.hop == subtask + 1
    decision = play.answer(12, ask("a", input=12))
    assert "hop cap 12 reached at b → a" in note(decision, "hop_cap").text
    assert sent(decision) == []


def test_a_replan_at_the_hop_cap_is_called_by_its_name() -> None:
    """The letter says what really stopped it: there was a plan, and no hop for it."""
    play = Play(plan=[step("a", fallbacks=["b", "c"])], hops_max=2, replans_max=9)
    play.wake()
    play.answer(1, bad())
    decision = play.answer(2, bad("again"))
    assert whys(decision)[1] == "hop_cap"
    assert "step a at b: again" in note(decision, "hop_cap").text


# --- the other caps ------------------------------------------------------------------------------


def test_subtasks_are_capped_over_the_whole_life() -> None:
    """`subtask_cap`: "refused before any is published"."""
    play = Play(plan=[step("a"), step("b", fallbacks=["c"])], subtasks_max=2)
    play.wake()
    play.answer(1, good("kept"))
    decision = play.answer(2, bad())
    assert "2 subtasks published, 1 more asked for, at most 2" in note(decision, "subtask_cap").text
    assert sent(decision) == []


def test_the_same_message_a_third_time_goes_to_the_owner() -> None:
    """`repetition`: same agent, same payload; the second time is a warning in the journal."""
    play = Play(agent="a").knows(a=("b",), b=("a",))
    play.wake()
    play.answer(1, ask("b", goal="find out"))
    decision = play.answer(2, ask("a", goal="Find   OUT!"))
    assert "repeats" in whys(decision)
    play.answer(3, ask("b", goal="find out"))
    decision = play.answer(4, ask("a", goal="find out"))
    assert "a was about to get the same payload again" in note(decision, "repetition").text
    assert sent(decision) == []


def test_a_repeat_is_noted_when_it_is_sent_and_never_while_it_waits() -> None:
    """The promise: "A wake without news changes nothing": not even the journal."""
    plan = [
        step("a", allowance={"tokens": 500}, goal="same"),
        step("b", agent="x", allowance={"tokens": 900}),
    ]
    play = Play(plan=plan, budget={"tokens": 1500, "ending_share": 0}).knows(a=("c",), c=("a",))
    play.wake()
    play.answer(1, ask("c", goal="other"))
    waiting = play.answer(3, ask("a", goal="same"), tokens=300)
    assert (whys(waiting), sent(waiting)) == (["envelope", "handoff"], [])
    assert play.wake().notes == ()
    sent_at_last = play.answer(2, good())
    assert whys(sent_at_last) == ["envelope", "publish", "repeats"]


def test_equal_steps_of_one_stage_are_no_loop() -> None:
    """Counted once per hop: a fan-out of equal steps repeats nothing."""
    plan = [step(f"s{n}", agent="same") for n in range(10)]
    play = Play(plan=plan)
    first = play.wake()
    assert whys(first) == ["publish"] * 10
    assert len({each.payload for each in sent(first)}) == 1


def test_no_budget_for_any_ready_step_is_the_owners() -> None:
    """`budget`: "not enough free: the owner is asked, nothing is published"."""
    play = Play(
        plan=[step("a"), step("b", "a", allowance={"tokens": 500})], budget={"tokens": 1000}
    )
    play.wake()
    decision = play.answer(1, good("kept"), tokens=450)
    assert "what is free holds none of them: 450 tokens" in note(decision, "budget").text
    assert (play.outcome, play.result()) == ("partial", {"a": "kept"})


def test_a_plan_that_is_done_short_of_its_finish_line_is_the_owners() -> None:
    """`plan_exhausted`: every step is done and the line is not crossed."""
    play = Play(until={"kind": "confidence", "at_least": 0.95})
    play.wake()
    decision = play.answer(1, good("r", 0.9))
    assert "plan_exhausted" in whys(decision)
    assert (play.outcome, play.task.stop_reason) == ("partial", "plan_exhausted")


def test_the_hop_cap_holds_for_steps_that_follow_a_replan() -> None:
    """A plan that fitted at submit may not fit any more when a step of it needed a second try."""
    plan = [step("a", fallbacks=["x"]), step("b", "a")]
    play = Play(plan=plan, hops_max=2)
    play.wake()
    play.answer(1, bad())
    decision = play.answer(2, good("kept"))
    assert sent(decision) == []
    assert "hop cap 2 reached at b → b" in note(decision, "hop_cap").text
    assert (play.outcome, play.result()) == ("partial", {"a": "kept"})


def test_a_stage_that_does_not_fit_the_subtask_cap_is_not_begun() -> None:
    """All of a stage or nothing of it: half a stage is paid for and of no use."""
    play = Play(plan=[step("a"), step("b", "a"), step("c", "a"), step("d")], subtasks_max=4)
    play.wake()
    play.answer(2, Envelope.failed("told to go", Fault.STOPPED))
    decision = play.answer(1, good("kept"))
    assert sent(decision) == []
    assert "subtask_cap" in whys(play.answer(3, good("d")))


def test_a_repeat_that_is_lost_and_sent_again_is_no_third_time() -> None:
    """Counted once per hop: a dead worker is not held against the agents, or noted twice."""
    play = Play(agent="a").knows(a=("b",), b=("a",))
    play.wake()
    play.answer(1, ask("b", goal="other"))
    assert "repeats" in whys(play.answer(2, ask("a", goal="find out")))
    play.fetch(3)
    assert whys(play.wake(after_ms=limits.LEASE_MS)) == ["lost", "publish"]


def test_a_loop_is_seen_across_plans() -> None:
    """A new plan does not forget what the old ones have sent."""
    same = {"agent": "a", "goal": "the same"}
    others = [[step("y", **same), step("b")], [step("z", **same), step("c")]]
    play = Play(plan=[step("x", **same)], fallback_plans=others)
    play.wake()
    assert "repeats" in whys(play.answer(1, bad()))
    assert "repetition" in whys(play.answer(2, bad()))


# --- what earlier plans have produced ------------------------------------------------------------


def test_what_an_earlier_plan_produced_is_delivered_when_the_next_one_fails_too() -> None:
    """Promise 7: «Paid work is kept: when a cap hits, the owner gets what was produced»."""
    play = Play(plan=[step("a"), step("b", "a")], fallback_plans=[[step("z")]])
    play.wake()
    play.answer(1, good("paid for", 0.9))
    play.answer(2, bad())
    play.answer(3, bad())
    assert (play.outcome, play.result()) == ("partial", {"a": "paid for"})


def test_a_done_step_is_not_carried_over_when_what_it_was_made_from_is_made_anew() -> None:
    """A step receives its needs' results: those of the plan in force, not of an earlier one."""
    again = [step("a", agent="other"), step("b", "a"), step("c", "b")]
    play = Play(plan=[step("a"), step("b", "a"), step("c", "b")], fallback_plans=[again])
    play.wake()
    play.answer(1, good("old", 0.9))
    play.answer(2, good("from old", 0.9))
    decision = play.answer(3, bad())
    assert [(each.step, each.agent) for each in sent(decision)] == [("a", "other")]


def test_a_step_without_an_input_of_its_own_has_the_tasks() -> None:
    """README: «a step without its own has these»."""
    play = Play(input={"river": "Elbe"}, plan=[step("a"), step("b", input=1)])
    first, second = sent(play.wake())
    assert json.loads(first.payload)["input"] == {"river": "Elbe"}
    assert json.loads(second.payload)["input"] == 1
