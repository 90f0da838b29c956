"""An agent may ask a person; the answer comes back as input of the same step, under a new id.

Rules: `question`, `answered`. A question is a letter like any other: it has a due time, and what
happens when nobody answers.
"""

import json

import pytest
from play import Play, bad, beg, commands, good, note, sent, step, whys

from envelopes import Refused
from orchestrator.core.commands import CloseLetter, Escalate
from orchestrator.core.task import Phase, StepPhase


def asking(*choices: str, **fields: object) -> Play:
    """Let the agent of a task ask which river is meant."""
    play = Play(agent="a", **fields)
    play.wake()
    play.answer(1, beg("question", text="which river?", choices=list(choices)))
    return play


def answers(play: Play) -> list[dict]:
    return json.loads(sent(play.last)[0].payload)["answers"]


def test_the_task_waits_on_the_desk_with_the_question() -> None:
    """The issue: "the task waits on the desk as input-required"."""
    play = asking("Elbe", "Rhine")
    [letter] = commands(play.last, Escalate)
    assert (letter.kind, letter.why) == ("question", "a asks: which river?")
    story = json.loads(letter.story)
    assert story["question"]["choices"] == ["Elbe", "Rhine"]
    assert story["allowed"] == ["amend", "answer", "reassign", "abort"]
    assert play.task.phase is Phase.ON_DESK
    assert play.open == []


def test_the_answer_comes_back_as_input_of_the_same_step_under_a_new_id() -> None:
    """The issue: "the answer comes back as input of the same step under a new id"."""
    play = asking()
    decision = play.decide("answer", answer="the Elbe")
    assert whys(decision) == ["decided", "answered", "publish"]
    [again] = sent(decision)
    assert (again.step, again.agent, again.subtask, again.hop) == ("only", "a", 2, 2)
    assert answers(play) == [{"question": "which river?", "answer": "the Elbe"}]
    play.answer(2, good("found"))
    assert play.outcome == "completed"


def test_an_agent_may_ask_again_and_has_all_answers() -> None:
    """Each answer is kept with its question; a question costs a hop, so it ends."""
    play = asking(hops_max=3)
    play.decide("answer", answer="the Elbe")
    play.answer(2, beg("question", text="which bank?"))
    play.decide("answer", answer="the left")
    assert [each["answer"] for each in answers(play)] == ["the Elbe", "the left"]
    play.answer(3, beg("question", text="which stone?"))
    decision = play.decide("answer", answer="this one")
    assert sent(decision) == []
    assert "hop_cap" in whys(decision)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"verb": "answer", "answer": "Oder"}, "the answer is one of: Elbe, Rhine"),
        ({"verb": "retry"}, "an agent waits for an answer; answer it, or abort"),
        ({"verb": "approve"}, "nothing is kept that could be delivered"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_question_is_refused_and_it_stays_on_the_desk(
    said: dict, why: str
) -> None:
    """A person's slip costs nothing: the letter stays open."""
    play = asking("Elbe", "Rhine")
    decision = play.decide(**said)
    assert note(decision, "refused_decision").text.endswith(why)
    assert play.task.phase is Phase.ON_DESK
    play.decide("answer", answer="Elbe")
    assert play.task.phase is Phase.WORKING


def test_an_answer_to_nobodys_question_is_refused() -> None:
    """On an escalation there is nothing to answer."""
    play = Play(agent="a")
    play.wake()
    play.answer(1, bad())
    decision = play.decide("answer", answer="42")
    assert note(decision, "refused_decision").text.endswith("nobody has asked anything")


def test_an_answer_has_a_text_and_nothing_else_has_one() -> None:
    """Parsed once at the edge."""
    for wrong in ({"verb": "answer"}, {"verb": "abort", "answer": "no"}):
        with pytest.raises(Refused, match="answer needs the text"):
            asking().decision(**wrong)


@pytest.mark.parametrize(("verb", "outcome"), [("abort", "aborted"), ("amend", "completed")])
def test_a_person_can_end_it_instead_of_answering(verb: str, outcome: str) -> None:
    """A person has the last word."""
    play = asking()
    play.decide(verb, **({"result": "never mind"} if verb == "amend" else {}))
    assert play.outcome == outcome


def test_a_question_that_nobody_answers_ends_the_task_in_time() -> None:
    """The desk: "a due time and what happens if nobody answers": abort."""
    play = asking(desk_timeout=60)
    play.wake(after_ms=60_000)
    assert (play.outcome, play.task.stop_reason) == ("aborted", "nobody_decided")
    assert commands(play.last, CloseLetter)[0].by == "nobody"


def test_what_is_out_comes_home_before_a_person_is_asked() -> None:
    """On the desk nothing is open; and nothing new goes out meanwhile."""
    play = Play(plan=[step("a"), step("b"), step("c", "b")])
    play.wake()
    play.answer(1, beg("question", text="which?"))
    assert play.task.phase is Phase.WORKING
    decision = play.answer(2, good("B"))
    assert sent(decision) == []
    assert play.task.phase is Phase.ON_DESK
    decision = play.decide("answer", answer="this")
    assert [each.step for each in sent(decision)] == ["a", "c"]


def test_two_questions_are_asked_one_after_the_other() -> None:
    """One letter at a time."""
    play = Play(plan=[step("a"), step("b")])
    play.wake()
    questions = [play.report(n, beg("question", text=f"{n}?")) for n in (1, 2)]
    play.wake(*questions)
    assert json.loads(commands(play.last, Escalate)[0].story)["question"]["text"] == "1?"
    decision = play.decide("answer", answer="one")
    assert json.loads(commands(decision, Escalate)[0].story)["question"]["text"] == "2?"
    decision = play.decide("answer", answer="two")
    assert [each.step for each in sent(decision)] == ["a", "b"]


def test_the_time_on_the_desk_is_not_the_tasks() -> None:
    """The deadline stands still while a person thinks."""
    play = asking(timeout=60)
    play.wake(after_ms=500_000)
    play.decide("answer", answer="the Elbe")
    assert play.task.deadline_ms == 560_000
    assert play.step("only").phase is StepPhase.OPEN


def test_what_an_agent_has_made_so_far_is_kept_with_its_question() -> None:
    """Paid work is kept: it can be approved instead of answering."""
    play = Play(agent="a")
    play.wake()
    play.answer(1, beg("question", text="go on?", result="half", confidence=0.5))
    play.decide("approve")
    assert (play.outcome, play.result()) == ("partial", "half")
