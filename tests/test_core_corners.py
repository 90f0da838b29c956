"""Corners of the core that a random driver, or somebody who had not written it, has found."""

import json

import pytest
from play import Play, ask, bad, beg, good, part, sent, step, whys

from envelopes import limits

WORKERS_OF_A_ROUND = 40
REFEREE = {"kind": "custom", "agent": "ref"}


def of(decision, *what):
    """Return what happened of all that was asked about."""
    return [why for why in whys(decision) if why in what]


# --- what never comes to an end ------------------------------------------------------------------


def test_a_plan_of_which_all_was_dropped_is_not_made_otherwise_for_ever():
    """It always stops: what the referee refuses can be dropped, and then there is nothing left."""
    play = Play(planner="plan", until=REFEREE).skilled(plan=(), a=(), ref=())
    play.wake()
    play.answer(1, good([step("a", optional=True)]))
    play.answer(2, good())
    no = good({"ok": False, "confidence": 0.9, "reason": "thin"})
    play.answer(3, no)
    if play.open:
        play.answer(play.open[0], no)
    assert play.task.letter is not None or play.outcome is not None


def test_nothing_goes_out_of_a_plan_whose_other_step_nobody_can_do():
    """A claim can only be taken away once its message has been committed."""
    first = [step("a"), {"id": "b", "skill": "fly"}]
    play = Play(plan=first, fallback_plans=[[step("c")]]).skilled(a=(), c=())
    play.now_ms = limits.PATIENCE_MS
    decision = play.wake()
    assert of(decision, "no_such_skill", "next_plan") == ["no_such_skill", "next_plan"]
    assert [each.agent for each in sent(decision)] == ["c"]


def test_nothing_goes_out_of_a_plan_whose_other_message_is_too_large():
    """A claim can only be taken away once its message has been committed."""
    long = step("b", input="x" * limits.PAYLOAD_BYTES_MAX)
    play = Play(plan=[step("a"), long], fallback_plans=[[step("c")]])
    decision = play.wake()
    assert of(decision, "payload_too_large", "next_plan") == ["payload_too_large", "next_plan"]
    assert [each.agent for each in sent(decision)] == ["c"]


# --- what a manager says -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["delegate", "replan"])
def test_a_name_that_gets_too_long_with_its_round_is_refused(kind):
    """An agent's plan is a wish; whoever made it is told why, and asked again."""
    play = Play(manager="boss").skilled(boss=(), w=())
    play.wake()
    name = "x" * limits.NAME_CHARS_MAX
    decision = play.answer(1, beg(kind, steps=[{"id": name, "agent": "w"}]))
    assert "round_refused" in whys(decision)
    assert "too long a name" in play.task.advice or "too long a name" in sent(decision)[0].payload


def test_a_brief_on_many_long_goals_and_results_fits_its_message():
    """Long results are cut, so that the brief always fits its message."""
    play = Play(manager="boss", budget={"tokens": 10**6}).skilled(boss=(), w=())
    play.wake()
    numbers = range(WORKERS_OF_A_ROUND)
    steps = [{"id": f"s{n}", "agent": "w", "goal": f"{n}" + "é" * 3_000} for n in numbers]
    play.answer(1, beg("delegate", steps=steps))
    for subtask in play.open:
        play.answer(subtask, good(f"{subtask}" + "é" * 700))
    [brief] = [each for each in sent(play.last) if each.agent == "boss"]
    assert len(brief.payload.encode()) <= limits.PAYLOAD_BYTES_MAX
    assert f"r1.s{WORKERS_OF_A_ROUND - 1}" in brief.payload


def test_a_brief_on_more_failures_than_fit_keeps_the_newest():
    """Long results are cut, so that the brief always fits its message."""
    play = Play(manager="boss", budget={"tokens": 10**6}, subtasks_max=2_000)
    play.skilled(boss=(), w=()).wake()
    steps = [{"id": f"s{n}", "agent": "w", "goal": f"{n}" + "é" * 100} for n in range(1_000)]
    play.answer(1, beg("delegate", steps=steps))
    play.wake(*(play.report(subtask, bad("é" * 100)) for subtask in play.open))
    [brief] = [each for each in sent(play.last) if each.agent == "boss"]
    assert len(brief.payload.encode()) <= limits.PAYLOAD_BYTES_MAX
    assert '"r1.s999"' in brief.payload


# --- judges --------------------------------------------------------------------------------------


def test_nobody_stands_in_for_a_judge_whose_breaker_is_open():
    """Validator agents are never the producer of what they judge."""
    play = Play(plan=[step("a")], validators=["val"]).skilled(a=("s",), val=("s",))
    play.wake()
    play.sees("val", shut=True, room=0)
    assert sent(play.answer(1, good())) == []
    assert play.task.rooms == ("val",)


def test_no_judge_stands_in_for_those_it_will_judge():
    """Validator agents are never the producer of what they judge."""
    asked = {"plan": [{"id": "a", "skill": "s"}], "validators": ["val"]}
    play = Play(**asked).skilled(val=("s",), zoe=("s",))
    assert [each.agent for each in sent(play.wake())] == ["zoe"]


def test_no_judge_is_a_fallback_in_a_plan_that_an_agent_made():
    """Validator agents are never the producer of what they judge."""
    play = Play(planner="plan", validators=["val"]).skilled(plan=(), a=(), val=())
    play.wake()
    decision = play.answer(1, good([step("a", fallbacks=["val"])]))
    assert "plan_refused" in whys(decision)


def test_a_judge_that_made_what_an_earlier_plan_left_is_not_asked_about_it():
    """Validator agents are never the producer of what they judge."""
    plans = {"plan": [step("a")], "fallback_plans": [[step("b")], [step("c")]]}
    play = Play(**plans, validators=["val"], at_cap="deliver", replans_max=1).knows(val=())
    play.wake()
    play.answer(1, bad())
    play.answer(2, bad())
    play.decide("reassign", agent="val")
    play.answer(3, part())
    decision = play.answer(4, bad())
    assert sent(decision) == []
    assert "made part of what it would judge" in play.last.commands[-1].story


def test_a_judge_that_is_unsure_of_its_envelope_has_given_its_verdict_all_the_same():
    """A verdict is {ok, confidence, reason}; it is weighed as it was given."""
    play = Play(plan=[step("a")], validators=["val"]).skilled(val=("judge",), vic=("judge",))
    play.wake()
    play.answer(1, good())
    play.answer(2, good({"ok": True, "confidence": 0.95}, confidence=0.5))
    assert play.outcome == "completed"


# --- people --------------------------------------------------------------------------------------


def test_a_retry_is_heard_at_a_deadline_that_came_before_a_question_was_put():
    """A person has the last word: retry is among what such a letter allows."""
    play = Play(plan=[step("a"), step("b")], timeout=60)
    play.wake()
    play.answer(1, beg("question", text="which?"))
    play.wake(after_ms=60_000)
    assert play.task.letter.why == "deadline"
    assert of(play.decide("answer", answer="x"), "refused_decision") == ["refused_decision"]
    assert of(play.decide("retry", time=60), "granted", "refused_decision") == ["granted"]
    assert play.task.letter.why == "question", "now it is its turn"


def test_a_retry_without_replans_asks_for_the_first_plan_again():
    """A person has the last word; the first plan is no re-plan."""
    play = Play(planner="plan", replans_max=0).skilled(plan=(), a=())
    play.wake()
    play.answer(1, bad())
    assert [each.agent for each in sent(play.decide("retry"))] == ["plan"]
    play.answer(2, good([step("a")]))
    play.answer(3, good())
    assert play.outcome == "completed"


def test_a_manager_hears_what_the_gate_has_against_its_answer() -> None:
    """The gate: what fails it "may have another plan"; the line was crossed, the schema not met."""
    play = Play(
        manager="m",
        until={"kind": "confidence", "at_least": 0.9},
        result_schema={"type": "object"},
    ).knows(m=())
    play.wake()
    decision = play.answer(1, good("text", 0.95))
    assert [each.agent for each in sent(decision)] == ["m"]
    assert "result breaks its schema" in json.loads(play.published[2].payload)["input"]["advice"]
    play.answer(2, good({"said": "text"}, 0.95))
    assert (play.outcome, play.result()) == ("completed", {"said": "text"})


def test_what_crossed_the_line_is_what_leaves() -> None:
    """A surer result of an earlier plan does not take the place of the one that was asked for."""
    wanted = {"kind": "result_matches", "json_schema": {"required": ["b"]}}
    play = Play(plan=[step("a"), step("x", "a")], fallback_plans=[[step("b"), step("y", "b")]],
                until=wanted)  # fmt: skip
    play.wake()
    play.answer(1, good("surer", 0.99))
    play.answer(2, bad())
    play.answer(3, good("wanted", 0.8))
    assert (play.outcome, play.result()) == ("completed", {"b": "wanted"})


def test_nothing_is_handed_over_to_whoever_will_judge_it() -> None:
    """Validators are "never the producer of what they judge"."""
    play = Play(agent="a", validators=["v"]).knows(a=("v",), v=())
    play.wake()
    assert "handoff_refused" in whys(play.answer(1, ask("v")))
