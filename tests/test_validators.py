"""The gate: schema, predicates, confidence, validator agents; and how sure a composed result is.

"Nothing below the bar gets out." What costs nothing comes first; a judge can lower the confidence
of a result and never raise it; nobody judges what it made.
"""

import json

import pytest
from play import Play, ask, bad, beg, good, note, sent, step, whys

from envelopes import Refused
from orchestrator.core.task import Phase


def judged(*verdicts: dict, confidence: float = 0.9, **fields: object) -> Play:
    """Make a result, and let one validator after the other say this of it."""
    names = [f"v{n}" for n in range(1, len(verdicts) + 1)]
    play = Play(agent="a", validators=names, **fields)
    play.wake()
    play.answer(1, good("r", confidence))
    for number, verdict in enumerate(verdicts, start=2):
        play.answer(number, good(verdict))
    return play


def verdict(ok: bool, confidence: float, reason: str = "so") -> dict:  # noqa: FBT001  as it is read
    return {"ok": ok, "confidence": confidence, "reason": reason}


# --- what costs nothing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predicate", "result", "said"),
    [
        ({"at": "/url", "must": "exist"}, {}, "/url must exist, but is not there"),
        ({"at": "/url", "must": "exist"}, {"url": None}, None),
        ({"must": "equal", "value": 1}, 1, None),
        ({"must": "equal", "value": 1}, True, "the result must equal 1, but is true"),
        ({"must": "equal", "value": 1}, 1.0, None),
        ({"must": "differ", "value": "TODO"}, "TODO", 'must differ "TODO"'),
        ({"at": "/n", "must": "be_one_of", "value": ["x", "y"]}, {"n": "z"}, "must be one of"),
        ({"at": "/n", "must": "be_at_least", "value": 2}, {"n": 2}, None),
        ({"at": "/n", "must": "be_at_least", "value": 2}, {"n": 1.9}, "must be at least 2"),
        ({"at": "/n", "must": "be_at_least", "value": 2}, {"n": "3"}, "must be at least 2"),
        ({"at": "/n", "must": "be_at_most", "value": 2}, {"n": 3}, "must be at most 2"),
        ({"at": "/s", "must": "have_at_least", "value": 2}, {"s": ["one"]}, "must have at least 2"),
        ({"at": "/s", "must": "have_at_least", "value": 2}, {"s": 22}, "must have at least 2"),
        ({"at": "/s", "must": "have_at_most", "value": 3}, {"s": "four"}, "must have at most 3"),
        ({"must": "contain", "value": "elbe"}, "Otters of the ELBE", None),
        ({"must": "contain", "value": 1}, [True], "must contain 1, but is [true]"),
        ({"must": "contain", "value": "url"}, {"url": 1}, None),
        (
            {"at": "/draft", "must": "not_contain", "value": "todo"},
            {"draft": "TODO: end"},
            "must not",
        ),
        ({"at": "/list/1/x", "must": "exist"}, {"list": [0, {"x": 1}]}, None),
        ({"at": "/list/2", "must": "exist"}, {"list": [0, 1]}, "not there"),
        ({"at": "/a~1b/~0", "must": "exist"}, {"a/b": {"~": 1}}, None),
    ],
    ids=str,
)
def test_a_declared_predicate_is_held_against_the_result(
    predicate: dict, result: object, said: str | None
) -> None:
    """The issue: "JSON Schema, declared predicates, confidence threshold"."""
    play = Play(agent="a", predicates=[predicate])
    play.wake()
    decision = play.answer(1, good(result))
    if said is None:
        assert play.outcome == "completed"
    else:
        assert said in note(decision, "gate").text
        assert play.task.phase is Phase.ON_DESK


@pytest.mark.parametrize(
    "wrong",
    [
        {"must": "be_nice"},
        {"must": "be_at_least", "value": "2"},
        {"must": "be_at_least", "value": True},
        {"must": "be_one_of", "value": "xy"},
        {"must": "exist", "at": "url"},
        {"must": "exist", "at": "/a~2"},
    ],
    ids=str,
)
def test_what_is_no_predicate_is_refused_at_submit(wrong: dict) -> None:
    """Parsed once at the edge: a task is never accepted with a rule that cannot be applied."""
    with pytest.raises(Refused, match="predicates"):
        Play(predicates=[wrong])


def test_judges_are_not_asked_about_what_fails_for_nothing() -> None:
    """What costs nothing comes first."""
    play = Play(agent="a", validators=["v"], result_schema={"type": "object"})
    play.wake()
    decision = play.answer(1, good("text"))
    assert sent(decision) == []
    assert "result breaks its schema" in note(decision, "gate").text


# --- validator agents ----------------------------------------------------------------------------


def test_a_validator_is_shown_the_result_before_it_leaves() -> None:
    """The issue: "validator agents"; the judge sees goal, input, result, its confidence, schema."""
    play = Play(agent="a", input={"n": 1}, validators=["v"], result_schema={"type": "string"})
    play.wake()
    decision = play.answer(1, good("r", 0.8))
    assert whys(decision) == ["envelope", "ask", "publish"]
    [asked] = sent(decision)
    assert (asked.agent, asked.hop) == ("v", 1)
    assert json.loads(asked.payload)["input"] == {
        "goal": "find out",
        "input": {"n": 1},
        "result": "r",
        "confidence": 0.8,
        "result_schema": {"type": "string"},
    }
    assert play.outcome is None


def test_all_validators_are_asked_at_once() -> None:
    """They do not see each other's word, and nobody waits for the other."""
    play = Play(agent="a", validators=["v", "w"])
    play.wake()
    assert [each.agent for each in sent(play.answer(1, good()))] == ["v", "w"]


@pytest.mark.parametrize(
    ("verdicts", "sure"),
    [
        ([verdict(True, 0.95)], 0.9),
        ([verdict(True, 0.8)], 0.8),
        ([verdict(True, 1.0), verdict(True, 0.75)], 0.75),
        ([verdict(False, 0.2)], 0.8),
        ([verdict(True, 0.9), verdict(False, 0.0)], 0.9),
    ],
    ids=str,
)
def test_a_verdict_lowers_the_confidence_and_never_raises_it(
    verdicts: list[dict], sure: float
) -> None:
    """The issue: "disagreement lowers confidence, never raises it"."""
    play = judged(*verdicts)
    assert (play.outcome, play.task.confidence) == ("completed", sure)


def test_a_sure_objection_keeps_the_result_back() -> None:
    """Promise 8: what the judges object to goes to a person, with their words."""
    play = judged(verdict(True, 0.9, "fine"), verdict(False, 0.9, "the source is made up"))
    assert play.task.phase is Phase.ON_DESK
    assert "v2 says no (0.90): the source is made up" in note(play.last, "gate").text
    assert [each.by for each in play.task.verdicts] == ["v1", "v2"]


def test_the_verdict_is_recorded() -> None:
    """The issue: "their verdict {ok, confidence, reason} is recorded"."""
    play = judged(verdict(True, 0.8, "two sources"))
    [recorded] = play.task.verdicts
    assert (recorded.ok, recorded.confidence, recorded.reason) == (True, 0.8, "two sources")
    assert note(play.last, "verdict").text == "ok: two sources"


@pytest.mark.parametrize(
    "said",
    [
        good("looks fine"),
        good({"ok": True}),
        good({"ok": "yes", "confidence": 0.9}),
        good({"ok": True, "confidence": 1.1}),
        good({"ok": True, "confidence": True}),
        bad("out of tokens"),
        ask("a"),
        beg("question", text="is it fine?"),
    ],
    ids=lambda said: f"{said.status}-{said.result or said.reason}",
)
def test_a_judge_that_gives_no_verdict_has_not_agreed(said: object) -> None:
    """Whatever is no {ok, confidence, reason} is none, and the result does not leave."""
    play = Play(agent="a", validators=["v"]).knows(v=("a",), a=())
    play.wake()
    play.answer(1, good())
    decision = play.answer(2, said)
    assert note(decision, "verdict").text.startswith("no verdict")
    assert play.task.phase is Phase.ON_DESK
    assert "v gave no verdict" in note(decision, "gate").text


def test_nobody_judges_what_it_made() -> None:
    """The issue: "never the producer of what they judge": refused at submit where it shows."""
    for fields in ({"agent": "a"}, {"plan": [step("x", agent="b", fallbacks=["a"])]}):
        with pytest.raises(Refused, match="a makes part of what it would judge"):
            Play(validators=["a"], **fields)
    with pytest.raises(Refused, match="named twice"):
        Play(validators=["v", "v"])


def test_a_validator_that_a_person_gave_the_work_to_does_not_judge_it() -> None:
    """And it is found where it shows only later."""
    play = Play(agent="a", validators=["v"]).knows(a=(), v=())
    play.wake()
    play.answer(1, bad())
    play.decide("reassign", agent="v")
    decision = play.answer(2, good("mine"))
    assert sent(decision) == []
    assert "v gave no verdict: it made part of what it would judge" in note(decision, "gate").text


def test_a_verdict_holds_for_one_result_only() -> None:
    """A person's retry makes another result, and that one is judged anew."""
    play = judged(verdict(False, 0.9))
    play.decide("retry")
    decision = play.answer(3, good("another"))
    [asked] = sent(decision)
    assert (asked.agent, json.loads(asked.payload)["input"]["result"]) == ("v1", "another")


def test_a_validator_works_on_what_is_held_back_for_the_ending() -> None:
    """DESIGN 5: the ending reserve is for "the owner, the gate and synthesis"."""
    play = Play(agent="a", validators=["v"], budget={"tokens": 1000})
    play.wake()
    [asked] = sent(play.answer(1, good(), tokens=900))
    assert asked.allowance.tokens == 50
    assert play.task.ledger.free(for_ending=True).tokens == 50


def test_where_nothing_is_left_for_a_judge_a_person_judges() -> None:
    """A gate that cannot be paid is no open gate."""
    play = Play(agent="a", validators=["v"], budget={"tokens": 1000, "ending_share": 0})
    play.wake()
    decision = play.answer(1, good(), tokens=1000)
    assert play.task.phase is Phase.ON_DESK
    assert "nothing is left to pay it with" in note(decision, "gate").text


def test_a_partial_result_is_judged_too() -> None:
    """At a cap: "deliver partial if what is kept passes the gate"."""
    play = Play(plan=[step("a"), step("b", "a")], validators=["v"])
    play.wake()
    play.answer(1, good("A"))
    [asked] = sent(play.answer(2, bad()))
    assert (asked.agent, json.loads(asked.payload)["input"]["result"]) == ("v", {"a": "A"})
    play.answer(3, good(verdict(True, 0.8)))
    assert (play.outcome, play.task.stop_reason) == ("partial", "no_plan_left")


def test_a_lost_validator_is_asked_again() -> None:
    """A worker that dies has not judged."""
    play = Play(agent="a", validators=["v"])
    play.wake()
    play.answer(1, good())
    play.fetch(2)
    [again] = sent(play.wake(after_ms=10_000))
    assert (again.agent, again.subtask) == ("v", 3)


# --- how sure a composed result is ---------------------------------------------------------------


@pytest.mark.parametrize(("compose", "sure"), [("weakest", 0.8), ("mean", 0.85), ("product", 0.72)])
def test_a_result_made_of_several_is_as_sure_as_the_task_says(compose: str, sure: float) -> None:
    """The issue: "weakest link by default, `mean`, `product` or a synthesis agent"."""
    play = Play(plan=[step("a"), step("b")], compose=compose)
    play.wake()
    play.answer(1, good("A", 0.8))
    play.answer(2, good("B", 0.9))
    assert play.task.confidence == pytest.approx(sure)


def test_the_weakest_link_is_the_default() -> None:
    """A chain is as sure as its weakest link, also where that is not its last."""
    play = Play(plan=[step("a"), step("b", "a")])
    play.wake()
    play.answer(1, good("A", 0.71))
    play.answer(2, good("B", 0.99))
    assert play.task.confidence == 0.71


def test_a_synthesis_agent_speaks_for_itself() -> None:
    """It makes one result of the last steps' and says how sure that is, on the ending's money."""
    play = Play(plan=[step("a"), step("b")], synthesis="s", budget={"tokens": 1000})
    play.wake()
    play.answer(1, good("A", 0.5), tokens=450)
    [last] = sent(play.answer(2, good("B", 0.6), tokens=300))
    assert (last.agent, last.hop) == ("s", 2)
    assert json.loads(last.payload)["inputs"] == {"a": "A", "b": "B"}
    play.answer(3, good("AB", 0.95))
    assert (play.result(), play.task.confidence) == ("AB", 0.95)


def test_a_validator_may_not_make_the_synthesis() -> None:
    """It would judge its own words."""
    with pytest.raises(Refused, match="s makes part of what it would judge"):
        Play(plan=[step("a")], synthesis="s", validators=["s"])
