"""What is shared is sent to each: how much comes of one request, one plan, one decision."""

import json

import pytest

from envelopes import Refused, limits
from orchestrator import intake
from orchestrator.core.commands import Escalate
from tests.play import Play, beg, commands, good, note, sent, step

PAGE = "x" * 100_000


def test_a_plan_whose_messages_are_too_much_together_is_refused_at_submit() -> None:
    """A request of 100 KB that becomes a gigabyte holds up the server for everybody."""
    plan = [step(f"s{n}", agent="a") for n in range(1_000)]
    usual = {"goal": "g", "budget": {"tokens": 9}, "timeout": 9, "until": {"kind": "plan_done"}}
    with pytest.raises(Refused, match=r"sent to each \(100,005 bytes\)") as refused:
        intake.read({**usual, "input": PAGE, "plan": plan, "subtasks_max": 1_000})
    assert refused.value.field == "plan"
    several = {"plan": plan[:1], "fallback_plans": [plan[:2], plan]}
    with pytest.raises(Refused) as refused:
        intake.read({**usual, **several, "input": PAGE, "subtasks_max": 1_000})
    assert refused.value.field == "fallback_plans.1"
    each_its_own = [{**one, "input": 1} for one in plan]
    intake.read({**usual, "input": PAGE, "plan": each_its_own, "subtasks_max": 1_000})


def test_one_decision_sends_so_much_and_the_next_comes_at_once() -> None:
    """No commit holds up the server: the rest of a wide stage goes out with the next one."""
    play = Play(plan=[step(f"s{n}", agent="a") for n in range(100)], input=PAGE)
    first = play.wake(after_ms=1)
    assert 0 < sum(len(each.payload) for each in sent(first)) <= limits.PUBLISH_BYTES_MAX
    assert first.alarm_ms == play.now_ms
    numbers = [len(sent(first))]
    while len(play.open) < 100:
        numbers.append(len(sent(play.wake())))
    assert numbers == [41, 41, 18]
    assert {each.hop for decision in play.decisions for each in sent(decision)} == {1}


def test_a_decision_sends_one_message_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound puts off, and never stops a task."""
    monkeypatch.setattr(limits, "PUBLISH_BYTES_MAX", 1)
    play = Play(plan=[step(f"s{n}", agent="a") for n in range(3)])
    assert [len(sent(play.wake())) for _ in range(4)] == [1, 1, 1, 0]


def test_what_a_planner_or_manager_makes_is_bounded_alike() -> None:
    """ARCHITECTURE: «the core checks what comes of it as intake checks a caller's plan»."""
    play = Play(manager="m", until={"kind": "rounds", "at_least": 3}, input=PAGE)
    play.knows(m=(), a=())
    play.wake()
    many = [step(f"s{n}", agent="a") for n in range(200)]
    decision = play.answer(1, beg("delegate", steps=many))
    assert "together" in note(decision, "round_refused").text
    few = play.answer(2, beg("delegate", steps=many[:2]))
    assert len(sent(few)) == 2
    assert json.loads(sent(few)[0].payload)["input"] == PAGE


def test_a_result_too_large_to_be_delivered_is_a_person_s_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What many steps made together is written in one commit, which holds up the server too."""
    monkeypatch.setattr(limits, "RESULT_CHARS_MAX", 1_000)
    play = Play(plan=[step("a"), step("b")], at_cap="escalate")
    play.wake()
    play.answer(1, good("x" * 600))
    decision = play.answer(2, good("y" * 600))
    [letter] = commands(decision, Escalate)
    assert "1,215 characters" in letter.why
    story = json.loads(letter.story)
    assert (story["kept"], "approve" in story["allowed"]) == (None, False)
    play.decide("abort")
    assert (play.outcome, play.task.result) == ("aborted", None)
    assert [each.kept is not None for each in play.task.steps] == [True, True], "paid work is kept"
