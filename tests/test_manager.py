"""Rounds: a manager is asked with all that is known, and the finish line decides when it is done.

A round is `delegate` (these too), `replan` (these instead) or a success ("done"). Rules:
`next_round`, `delegated`, `replanned`, `round_refused`, `satisfied`, `not_yet`, `given_up`.
"""

import json

import pytest
from play import Play, ask, bad, beg, good, note, part, sent, step, whys

from envelopes import Refused
from orchestrator.core.task import Phase, StepPhase


def managed(**fields: object) -> Play:
    """Begin a task with a manager; a, b and c are there to do the work."""
    play = Play(manager="m", **fields).knows(m=(), a=(), b=(), c=())
    play.wake()
    return play


def delegate(*steps: dict, **more: object) -> object:
    return beg("delegate", steps=list(steps), **more)


def told(play: Play) -> dict:
    """Return what the manager was told last."""
    [asked] = [each for each in sent(play.last) if each.agent == "m"]
    return json.loads(asked.payload)["input"]


# --- rounds --------------------------------------------------------------------------------------


def test_each_round_is_a_hop_and_all_it_asks_for_goes_out_together() -> None:
    """DESIGN 6: "Handoff, re-plan and adaptive round each cost one"."""
    play = managed()
    decision = play.answer(1, delegate(step("f", agent="a"), step("g", agent="b")))
    assert whys(decision) == ["envelope", "delegated", "publish", "publish"]
    assert [(each.step, each.hop) for each in sent(decision)] == [("r1.f", 2), ("r1.g", 2)]
    play.answer(2, good("F"))
    [second] = sent(play.answer(3, good("G")))
    assert (second.agent, second.hop) == ("m", 2)


def test_the_manager_is_told_all_that_was_learned_so_far() -> None:
    """The issue: "consulted in rounds with everything learned so far"."""
    play = managed()
    play.answer(1, delegate(step("f", agent="a"), step("g", agent="b")))
    play.answer(2, good("F"), tokens=300)
    play.answer(3, bad("no G"))
    brief = told(play)
    assert (brief["round"], brief["wanted"]) == (2, "next")
    assert brief["results"]["r1.f"]["result"] == "F"
    assert [(each["step"], each["reason"]) for each in brief["failed"]] == [("r1.g", "no G")]
    assert brief["left"]["tokens"] == 8_700
    assert brief["until"] == {"kind": "plan_done"}


def test_what_could_not_be_done_of_a_round_is_given_up_with_what_needs_it() -> None:
    """`given_up`: the manager learns of it in its next round, and decides what to do about it."""
    play = managed()
    play.answer(1, delegate(step("f", agent="a"), step("g", "f", agent="b")))
    decision = play.answer(2, bad("no"))
    assert [each.step for each in decision.notes if each.why == "given_up"] == ["r1.f", "r1.g"]
    assert play.step("r1.g").phase is StepPhase.DROPPED
    assert [each["step"] for each in told(play)["failed"]] == ["r1.f", "r1.g"]


def test_a_later_round_can_build_on_an_earlier_one() -> None:
    """Steps of earlier rounds can be needed by the name they have in the brief."""
    play = managed()
    play.answer(1, delegate(step("f", agent="a")))
    play.answer(2, good("F"))
    decision = play.answer(3, delegate(step("f", "r1.f", agent="b")))
    [second] = sent(decision)
    assert (second.step, json.loads(second.payload)["inputs"]) == ("r2.f", {"r1.f": "F"})


def test_a_revised_plan_is_a_replan() -> None:
    """`replanned`: "answers with delegates, a revised plan or done"; it counts, and must differ."""
    play = managed()
    play.answer(1, delegate(step("f", agent="a")))
    play.answer(2, good("F"))
    decision = play.answer(3, beg("replan", steps=[step("f", agent="b")]))
    assert whys(decision) == ["envelope", "replanned", "publish"]
    assert play.task.replans == 1
    play.answer(4, bad("no"))
    decision = play.answer(5, beg("replan", steps=[step("other", agent="b")]))
    assert note(decision, "round_refused").text == "same plan: it was in force before"


# --- done ----------------------------------------------------------------------------------------


def test_a_manager_that_is_done_gives_the_answer() -> None:
    """Its own word is the result; without one it is what the steps have made."""
    play = managed()
    play.answer(1, delegate(step("f", agent="a")))
    play.answer(2, good("F", 0.8))
    decision = play.answer(3, good("F it is", 0.9))
    assert "satisfied" in whys(decision)
    assert (play.outcome, play.result(), play.task.confidence) == ("completed", "F it is", 0.9)


def test_done_without_an_answer_delivers_what_the_steps_have_made() -> None:
    """A manager need not repeat a result to approve of it."""
    play = managed()
    play.answer(1, delegate(step("f", agent="a")))
    play.answer(2, good("F", 0.8))
    play.answer(3, good(None, 1.0))
    assert (play.result(), play.task.confidence) == ("F", 0.8)


def test_goal_already_achieved_ends_early_and_saves_the_rest() -> None:
    """The issue: "Goal already achieved ends early and saves the rest of the budget"."""
    play = managed(budget={"tokens": 1000})
    play.answer(1, good("it is there already", 0.95), tokens=40)
    assert (play.outcome, play.task.ledger.spent.tokens) == ("completed", 40)
    assert len(play.published) == 1


def test_the_finish_line_decides_and_not_the_manager() -> None:
    """The issue: "the finish line decides, not the manager": done too early, it is told so."""
    play = managed(until={"kind": "rounds", "at_least": 3})
    decision = play.answer(1, good("done", 0.9))
    assert note(decision, "not_yet").text == "the finish line is not crossed"
    assert told(play)["advice"] == "the finish line is not crossed"
    play.answer(2, delegate(step("f", agent="a")))
    assert play.outcome is None
    play.answer(3, good("F"))
    play.answer(4, good("F", 0.9))
    assert (play.outcome, play.task.stop_reason) == ("completed", "rounds>=3")


def test_the_finish_line_ends_a_manager_that_never_has_enough() -> None:
    """DESIGN 8: "it runs until the finish line ... never until it feels like it"."""
    play = managed(until={"kind": "confidence", "at_least": 0.85})
    play.answer(1, delegate(step("f", agent="a"), result="a guess", confidence=0.3))
    play.answer(2, good("F"))
    play.answer(3, delegate(step("g", agent="b"), result="nearly", confidence=0.9))
    assert play.outcome is None, "what the round has asked for is done first"
    play.answer(4, good("G"))
    assert (play.result(), play.task.stop_reason) == ("nearly", "confidence>=0.85")


def test_between_rounds_is_when_confidence_is_measured() -> None:
    """Somebody at work may still change the result; nobody is made to stop for a number."""
    play = managed(until={"kind": "confidence", "at_least": 0.8})
    play.answer(1, delegate(step("f", agent="a"), step("g", agent="b")))
    play.answer(2, good("F", 0.9))
    assert play.outcome is None
    play.answer(3, good("G", 0.9))
    assert play.result() == {"r1.f": "F", "r1.g": "G"}


# --- rounds that are none ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (bad("no idea"), "no idea"),
        (part("half", 0.5, "more to come"), "more to come"),
        (ask("a", "you do it"), "you do it"),
        (delegate(step("f", agent="stranger")), "nobody is called, or can do: stranger"),
        (delegate(step("f", "nowhere", agent="a")), "'nowhere', which is no step"),
        (delegate(step("f", "g", agent="a"), step("g", "f", agent="a")), "cycle"),
        (delegate(step("f", agent="v")), "v will judge the result"),
        (delegate(*(step(f"s{n}", agent="a") for n in range(300))), "255 subtasks are left"),
    ],
)
def test_a_round_that_cannot_be_done_is_refused_and_the_manager_told_why(
    said: object, why: str
) -> None:
    """`round_refused`: a wish is checked like a planner's plan before anything is published."""
    play = managed(validators=["v"]).knows(v=())
    decision = play.answer(1, said)
    assert whys(decision) == ["envelope", "round_refused", "ask", "publish"]
    assert why in note(decision, "round_refused").text
    assert why in told(play)["advice"]
    assert (play.task.replans, play.task.stalls) == (1, 1)


def test_a_manager_that_never_makes_sense_ends_at_the_replan_cap() -> None:
    """Promise 3: each refused round counts as a re-plan."""
    play = managed(replans_max=1, stalls_max=0)
    play.answer(1, bad("what?"))
    decision = play.answer(2, bad("what?"))
    assert "2 re-plans are used up; what?" in note(decision, "replan_cap").text
    assert sent(decision) == []


def test_rounds_stop_at_the_hop_cap() -> None:
    """DESIGN 8: "hop cap, budget and deadline always apply on top"."""
    play = managed(hops_max=3)
    play.answer(1, delegate(step("f", agent="a", goal="1")))
    play.answer(2, good("F"))
    play.answer(3, delegate(step("f", agent="a", goal="2")))
    play.answer(4, good("G"))
    decision = play.answer(5, delegate(step("f", agent="a", goal="3")))
    assert "1 stage deep, but 0 hops are left" in note(decision, "round_refused").text
    assert (sent(decision), play.task.stop_reason) == ([], "hop_cap")
    assert play.result() == {"r1.f": "F", "r2.f": "G"}


def test_only_a_manager_delegates() -> None:
    """DESIGN 8: whoever is no manager hands over, asks a person, or does it."""
    play = Play(agent="a").knows(a=("b",), b=())
    play.wake()
    decision = play.answer(1, delegate(step("f", agent="b")))
    assert "only a manager delegates" in note(decision, "handoff_refused").text


def test_a_managers_question_does_not_become_a_round() -> None:
    """A manager may ask a person; the round goes on with the answer."""
    play = managed()
    play.answer(1, beg("question", text="which river?"))
    assert (play.task.phase, play.task.rounds) == (Phase.ON_DESK, 0)
    decision = play.decide("answer", answer="the Elbe")
    [again] = sent(decision)
    assert again.agent == "m"
    assert json.loads(again.payload)["answers"] == [
        {"question": "which river?", "answer": "the Elbe"}
    ]


# --- progress ------------------------------------------------------------------------------------


def test_rounds_that_bring_nothing_change_the_plan_and_then_the_owner_judges() -> None:
    """The issue: "stall counter; 3 → re-plan, then owner"."""
    play = managed(hops_max=30)
    seen: list[str] = []
    while play.task.phase is Phase.WORKING:
        [subtask] = play.open
        asked = play.published[subtask]
        said = delegate(step("look", agent="a", goal=f"look {subtask}"))
        if asked.agent == "a":
            said = good(f"nothing at {subtask}").model_copy(update={"progress": False})
        seen += whys(play.answer(subtask, said))
    assert [why for why in seen if why in {"unstuck", "stalled"}] == ["unstuck", "stalled"]
    assert play.task.stop_reason == "stalled"
    assert len([each for each in play.published.values() if each.agent == "a"]) == 6


def test_the_manager_is_told_to_plan_anew_when_nothing_moves() -> None:
    """Where nothing moves, the plan changes once: the manager hears of it as advice."""
    play = managed(stalls_max=1)
    play.answer(1, delegate(step("look", agent="a")))
    decision = play.answer(2, good("nothing").model_copy(update={"progress": False}))
    assert whys(decision) == ["envelope", "unstuck", "ask", "publish"]
    assert told(play)["advice"] == "1 answers more without progress than with it: plan anew"


def test_progress_takes_back_what_a_stall_has_counted() -> None:
    """The counter goes up by one on none, down by one on progress, and never below nothing."""
    play = managed(hops_max=30)
    counts = []
    for number, progress in enumerate([True, False, False, True, True, True]):
        play.answer(2 * number + 1, delegate(step("look", agent="a", goal=str(number))))
        said = good(f"found {number}").model_copy(update={"progress": progress})
        play.answer(2 * number + 2, said)
        counts.append(play.task.stalls)
    assert counts == [0, 1, 2, 1, 0, 0]


# --- what a request with a manager may say -------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"agent": "a"},
        {"plan": [step("a")]},
        {"planner": "p"},
        {"synthesis": "s"},
        {"fallback_plans": [[step("a")]]},
        {"validators": ["m"]},
    ],
    ids=lambda more: next(iter(more)),
)
def test_a_manager_decides_alone_who_does_what(more: dict) -> None:
    """Two ways to say who is to begin would be none; and nobody judges what it made."""
    with pytest.raises(Refused):
        Play(manager="m", **more)
