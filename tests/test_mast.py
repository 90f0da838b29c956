"""The fourteen ways in which teams of agents fail, each injected, and what becomes of it.

Names and codes are those of MAST, the taxonomy of "Why Do Multi-Agent LLM Systems Fail?"
(arXiv 2503.13657, version 3). Three words say what becomes of each:

    prevented                        the failure cannot happen, or has no effect
    detected                         a rule of ours sees it, and the owner or a person decides
    not detectable without a judge   it is a matter of meaning; the test shows which judge catches
                                     it where a task has one, and that nothing else does

The table is the one in README.md.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from play import Play, ask, bad, beg, good, note, part, sent, step, whys

from envelopes import Envelope, Refused, TaskRequest
from envelopes.strict import parse
from orchestrator.core.task import Phase

README = Path(__file__).parents[1] / "README.md"
PREVENTED, DETECTED, JUDGED = "prevented", "detected", "not detectable without a judge"


@dataclass(frozen=True)
class Mode:
    """One failure mode, and what becomes of it here."""

    code: str
    name: str
    word: str
    how: str


MODES = (
    Mode(
        "FM-1.1",
        "Disobey task specification",
        JUDGED,
        "what the caller declares (schema, predicates) is checked; the rest needs a validator",
    ),
    Mode(
        "FM-1.2",
        "Disobey role specification",
        PREVENTED,
        "agents hand over only where they may, only managers delegate, nobody judges its own "
        "work; a role that is broken in words only needs a judge",
    ),
    Mode(
        "FM-1.3",
        "Step repetition",
        DETECTED,
        "same message or same answer at a third hop, the same plan again: the owner decides",
    ),
    Mode(
        "FM-1.4",
        "Loss of conversation history",
        PREVENTED,
        "state is the owner's: every message carries its inputs, every round all results so far",
    ),
    Mode(
        "FM-1.5",
        "Unaware of termination conditions",
        PREVENTED,
        "no task without a finish line, a deadline and a ceiling; the core evaluates them",
    ),
    Mode(
        "FM-2.1",
        "Conversation reset",
        PREVENTED,
        "an agent that starts anew changes no recorded fact; the same plan again is refused",
    ),
    Mode(
        "FM-2.2",
        "Fail to ask for clarification",
        JUDGED,
        "asking is possible and cheap; whether it should have asked only a judge can say",
    ),
    Mode(
        "FM-2.3",
        "Task derailment",
        JUDGED,
        "goal and result are shown to validators; hops, budget and deadline bound the damage",
    ),
    Mode(
        "FM-2.4",
        "Information withholding",
        JUDGED,
        "what was handed back is passed on whole; what was never said only a judge can miss",
    ),
    Mode(
        "FM-2.5",
        "Ignored other agent's input",
        JUDGED,
        "inputs are delivered; whether they were used only a judge can say",
    ),
    Mode(
        "FM-2.6",
        "Reasoning-action mismatch",
        JUDGED,
        "envelopes that contradict themselves are refused; words against deeds need a judge",
    ),
    Mode(
        "FM-3.1",
        "Premature termination",
        PREVENTED,
        "the finish line decides, not the agent: done too early means another round; how much "
        "the line sees is the caller's to say",
    ),
    Mode(
        "FM-3.2",
        "No or incomplete verification",
        PREVENTED,
        "every check that a task declares is made before anything leaves, and a judge's silence "
        "is no consent; what nobody declared nobody checks",
    ),
    Mode(
        "FM-3.3",
        "Incorrect verification",
        JUDGED,
        "a wrong yes cannot raise a confidence; a second judge or a person can overrule it",
    ),
)

LIE = "the Elbe is 12 km long"
"""A result that looks like any other."""


def fresh(**fields: Any) -> Play:
    """Begin a task that names its agents a, b and m."""
    play = Play(**fields).knows(a=("b",), b=("a",), m=(), c=())
    play.wake()
    return play


def judged(result: object, objection: str, **fields: Any) -> Play:
    """Let one agent make a result, and a validator object to it."""
    play = fresh(agent="a", validators=["v"], **fields)
    play.answer(1, good(result))
    play.answer(2, good({"ok": False, "confidence": 0.9, "reason": objection}))
    return play


def not_caught(result: object, **fields: Any) -> bool:
    """Say whether this leaves a task that has nobody to judge it."""
    play = fresh(agent="a", **fields)
    play.answer(1, good(result))
    return play.outcome == "completed"


def caught(play: Play, objection: str) -> bool:
    """Say whether a person was asked, and told what the judge has said."""
    return play.task.phase is Phase.ON_DESK and objection in note(play.last, "escalate").text


# --- system design -------------------------------------------------------------------------------


def test_fm_1_1_disobey_task_specification() -> None:
    """Declared constraints are checked; what was only written in the goal needs a judge."""
    predicates = [{"at": "/sources", "must": "have_at_least", "value": 2}]
    play = fresh(agent="a", goal="cite two sources", predicates=predicates)
    decision = play.answer(1, good({"sources": ["one"]}))
    assert "/sources must have at least 2" in note(decision, "gate").text
    assert play.task.phase is Phase.ON_DESK
    assert not_caught({"sources": ["one"]}, goal="cite two sources"), "nobody declared it"
    assert caught(judged({"sources": ["one"]}, "one source", goal="cite two"), "one source")


def test_fm_1_2_disobey_role_specification() -> None:
    """What a role may do to others is the owner's to allow, whatever its prompt makes of it."""
    play = fresh(agent="a")
    assert "handoff_refused" in whys(play.answer(1, ask("c"))), "to whom it may not"
    for kind in ("delegate", "replan"):
        play = fresh(agent="a")
        decision = play.answer(1, beg(kind, steps=[step("x", agent="b")]))
        assert sent(decision) == [], "a worker that acts as a manager"
    play = fresh(agent="a", validators=["b"])
    play.answer(1, ask("b"))
    assert sent(play.answer(2, good("mine"))) == [], "a validator that did the work"
    assert not_caught("I am the critic, and here is the poem"), "in words only"


def test_fm_1_3_step_repetition() -> None:
    """The most frequent mode of all: messages, answers and plans are counted."""
    play = fresh(agent="a", holders_min=0)
    for number in range(1, 5):
        play.answer(number, ask("b" if number % 2 else "a", goal="find out"))
    assert play.task.letter is not None
    assert play.task.letter.why == "repetition"
    play = fresh(manager="m", hops_max=100)
    for number in range(3):
        steps = [step("x", agent="a", goal=f"again, {number}")]
        play.answer(play.open[0], beg("delegate", steps=steps))
        play.answer(play.open[0], good("I cannot access the file."))
    assert play.task.stop_reason == "same_answer"


def test_fm_1_4_loss_of_conversation_history() -> None:
    """An agent that remembers nothing is given everything: no history lives in a worker."""
    play = fresh(manager="m")
    for number in range(1, 4):
        play.answer(play.open[0], beg("delegate", steps=[step("x", agent="a", goal=f"{number}")]))
        play.answer(play.open[0], good(f"fact {number}"))
    told = json.loads(sent(play.last)[0].payload)["input"]
    assert [each["result"] for each in told["results"].values()] == ["fact 1", "fact 2", "fact 3"]
    play = fresh(agent="a")
    play.fetch(1)
    [again] = sent(play.wake(after_ms=10_000))
    assert again.payload == play.published[1].payload, "also where a worker died over it"


def test_fm_1_5_unaware_of_termination_conditions() -> None:
    """No finish line, no submit; and an agent that never says done is stopped by it."""
    without = {"goal": "g", "agent": "a", "budget": {"tokens": 9}, "timeout": 9}
    with pytest.raises(Refused, match="finish line"):
        parse(TaskRequest, json.dumps(without), bytes_max=10**4, what="request")
    play = fresh(manager="m", until={"kind": "rounds", "at_least": 2})
    while play.open:
        asked = play.published[play.open[0]]
        goes_on = beg("delegate", steps=[step("x", agent="a", goal=f"{asked.subtask}")])
        play.answer(asked.subtask, goes_on if asked.agent == "m" else good(asked.subtask))
    assert play.task.stop_reason == "rounds>=2"


# --- inter-agent misalignment --------------------------------------------------------------------


def test_fm_2_1_conversation_reset() -> None:
    """An agent that starts from the beginning: what is done stays done, what was tried is known."""
    plan = [step("x", agent="a"), step("y", "x", agent="b")]
    play = fresh(planner="c")
    play.answer(1, good(plan))
    play.answer(2, good("X"))
    play.answer(3, bad("no"))
    decision = play.answer(4, good(plan))
    assert note(decision, "plan_refused").text == "same plan: it was in force before"
    told = json.loads(sent(decision)[0].payload)["input"]
    assert told["results"]["x"]["result"] == "X"
    play.answer(5, good([plan[0], step("y", "x", agent="a")]))
    assert [each.step for each in sent(play.last)] == ["y"], "what is done is not done again"


def test_fm_2_2_fail_to_ask_for_clarification() -> None:
    """A question waits for a person; that none was asked is seen by a judge, or by nobody."""
    play = fresh(agent="a", goal="book it")
    play.answer(1, beg("question", text="for when?"))
    assert play.task.phase is Phase.ON_DESK
    guess = {"booked for": "Tuesday"}
    assert not_caught(guess, goal="book it")
    assert caught(judged(guess, "nobody said Tuesday", goal="book it"), "nobody said Tuesday")


def test_fm_2_3_task_derailment() -> None:
    """The judge sees the goal beside the result; without one it leaves, inside the bounds."""
    goal = "how long is the Elbe?"
    play = judged("a poem about otters", "that is no length", goal=goal)
    shown = json.loads(play.published[2].payload)["input"]
    assert (shown["goal"], shown["result"]) == (goal, "a poem about otters")
    assert caught(play, "that is no length")
    assert not_caught("a poem about otters", goal=goal)
    with_a_schema = {"result_schema": {"type": "integer"}}
    assert not not_caught("a poem about otters", goal=goal, **with_a_schema), "a schema helps"


def test_fm_2_4_information_withholding() -> None:
    """All that was handed back reaches who needs it; what was kept back is missed by a judge."""
    play = fresh(plan=[step("x", agent="a"), step("y", "x", agent="b")], validators=["v"])
    finding = {"answer": 1, "doubt": "the source is from 1911"}
    play.answer(1, part(finding, 0.9))
    assert play.result() is None
    play = fresh(plan=[step("x", agent="a"), step("y", "x", agent="b")], validators=["v"])
    play.answer(1, good(finding))
    assert json.loads(sent(play.last)[0].payload)["inputs"]["x"] == finding
    play.answer(2, good({"answer": 1}))
    play.answer(3, good({"ok": False, "confidence": 0.8, "reason": "where is it from?"}))
    assert caught(play, "where is it from?")
    assert not_caught({"answer": 1})


def test_fm_2_5_ignored_other_agents_input() -> None:
    """It was delivered; the journal and the trail can prove that, and nothing more."""
    plan = [step("x", agent="a"), step("y", "x", agent="b")]
    for validators in (["v"], []):
        play = fresh(plan=plan, validators=validators)
        play.answer(1, good("it is closed on Mondays"))
        assert json.loads(sent(play.last)[0].payload)["inputs"] == {"x": "it is closed on Mondays"}
        play.answer(2, good("go on Monday"))
        if validators:
            objection = {"ok": False, "confidence": 0.9, "reason": "closed on Mondays"}
            play.answer(3, good(objection))
            assert caught(play, "closed on Mondays")
        else:
            assert play.outcome == "completed", "nobody was there to notice"


def test_fm_2_6_reasoning_action_mismatch() -> None:
    """A contradiction in form is refused at the edge; one in meaning needs a judge."""
    done_and_not_done = {
        "status": "success",
        "confidence": 1,
        "ask": {"kind": "handoff", "to": "b"},
    }
    failed_and_not_failed = {"status": "failed", "reason": "no", "result": "but here it is"}
    for contradiction in (done_and_not_done, failed_and_not_failed):
        with pytest.raises(Refused, match="say partial"):
            parse(Envelope, json.dumps(contradiction), bytes_max=10**4, what="envelope")
    said = {"reasoning": "we must not delete it", "action": "delete"}
    assert not_caught(said)
    assert caught(judged(said, "it does what it says it must not"), "what it says it must not")


# --- task verification ---------------------------------------------------------------------------


def test_fm_3_1_premature_termination() -> None:
    """An agent that stops early has not ended the task: the finish line has not been crossed."""
    play = fresh(manager="m", until={"kind": "result_matches", "json_schema": {"type": "integer"}})
    decision = play.answer(1, good("I am done"))
    assert "not_yet" in whys(decision)
    assert [each.agent for each in sent(decision)] == ["m"]
    play = fresh(plan=[step("x", agent="a"), step("y", "x", agent="b")])
    assert play.answer(1, good("that is all")).task.phase is Phase.WORKING
    play = fresh(agent="a")
    play.answer(1, part("as far as I got", 0.9))
    assert play.outcome == "partial", "and what is not all is never called completed"
    assert not_caught("that is all"), "where its word is the finish line, its word ends it"


def test_fm_3_2_no_or_incomplete_verification() -> None:
    """Every declared check is made: a judge that is silent, late or senseless has not agreed."""
    for verdict in (good("looks fine"), bad("no time"), good({"ok": True})):
        play = fresh(agent="a", validators=["v", "w"])
        play.answer(1, good(LIE))
        play.answer(2, good({"ok": True, "confidence": 0.9}))
        assert play.outcome is None, "one of two is not enough"
        play.answer(3, verdict)
        assert caught(play, "w gave no verdict")
    play = fresh(agent="a", validators=["v"], timeout=60)
    play.answer(1, good(LIE))
    play.wake(after_ms=300_000)
    while play.task.phase is Phase.WORKING:
        play.wake(after_ms=120_000)
    assert play.task.phase is Phase.ON_DESK, "nor is a judge that never answers"
    assert not_caught(LIE), "what nobody declared nobody checks"


def test_fm_3_3_incorrect_verification() -> None:
    """A judge that is wrong: it opens nothing that was shut, and a second one can shut it."""
    yes, no = ({"ok": ok, "confidence": 0.95, "reason": "length"} for ok in (True, False))
    play = fresh(agent="a", validators=["v"])
    play.answer(1, good(LIE, 0.5))
    assert sent(play.last) == [], "it is not even asked about what is below the bar"
    play = fresh(agent="a", validators=["v"])
    play.answer(1, good(LIE, 0.8))
    play.answer(2, good(yes))
    assert (play.outcome, play.task.confidence) == ("completed", 0.8), "not caught by one judge"
    play = fresh(agent="a", validators=["v", "w"])
    play.answer(1, good(LIE, 0.8))
    play.answer(2, good(yes))
    play.answer(3, good(no))
    assert caught(play, "w says no")


# --- the table -----------------------------------------------------------------------------------


def table() -> str:
    """Write the modes as they stand in the README."""
    rows = [f"| {each.code} | {each.name} | **{each.word}** | {each.how} |" for each in MODES]
    return "\n".join(["| code | failure mode | here | how |", "|---|---|---|---|", *rows])


def test_the_readme_says_the_same() -> None:
    """The issue: "README table with the same three words"."""
    found = re.search(r"<!-- mast -->\n(.*?)\n<!-- /mast -->", README.read_text(), re.DOTALL)
    assert found is not None
    assert found[1] == table()


def test_there_is_one_test_for_each_mode() -> None:
    """Fourteen, in the paper's order, each with one of three words."""
    codes = [each.code for each in MODES]
    assert [code[:4] for code in codes] == ["FM-1"] * 5 + ["FM-2"] * 6 + ["FM-3"] * 3
    names = {
        f"test_{each.code} {each.name}".lower()
        .replace("'", "")
        .translate(str.maketrans("-. ", "___"))
        for each in MODES
    }
    assert names <= globals().keys()
    assert {each.word for each in MODES} == {PREVENTED, DETECTED, JUDGED}
