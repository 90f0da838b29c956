"""The finish line, crossed: each kind, joined and alone, on recorded facts; and what fired it.

test_until.py says what a line is on the wire; here is when it is crossed.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from play import Play, ask, beg, good, note, part, request, sent, step, whys
from pydantic import TypeAdapter

from envelopes import (
    Confidence,
    Custom,
    Elapsed,
    FinishLine,
    PlanDone,
    Refused,
    ResultMatches,
    Rounds,
    Spent,
    Stalled,
    TaskRequest,
)
from envelopes.strict import parse
from orchestrator.core.task import Phase

LINE = TypeAdapter(FinishLine)
EVERY_KIND = [
    PlanDone(),
    Confidence(0.85),
    Rounds(6),
    Stalled(3),
    Spent(0.5),
    Elapsed(60),
    ResultMatches({"required": ["url"]}),
    Custom("referee"),
]


# --- on the wire ---------------------------------------------------------------------------------


def test_these_are_all_kinds_there_are() -> None:
    """The issue names eight; whoever adds a ninth tests it here."""
    kinds = set(LINE.json_schema()["discriminator"]["mapping"])
    assert {line.kind for line in EVERY_KIND} | {"all", "any"} == kinds


@given(st.lists(st.tuples(st.sampled_from(EVERY_KIND), st.booleans()), min_size=1, max_size=6))
def test_every_kind_joins_with_every_other_and_survives_the_wire(
    parts: list[tuple[FinishLine, bool]],
) -> None:
    """The issue: "with `&` and `|`, ... JSON round trip"."""
    line = parts[0][0]
    for other, both in parts[1:]:
        line = line & other if both else line | other
    assert LINE.validate_json(LINE.dump_json(line)) == line
    told = json.loads(LINE.dump_json(line))
    assert request(manager="m", until=told).until == line


def test_a_request_without_one_is_refused_with_an_example_of_one() -> None:
    """The issue: "A request without one is refused with an example of one"."""
    without = {"goal": "g", "agent": "a", "budget": {"tokens": 1}, "timeout": 60}
    with pytest.raises(Refused) as refused:
        parse(TaskRequest, json.dumps(without), bytes_max=10**4, what="request")
    assert refused.value.field == "until"
    example = str(refused.value).partition('"until": ')[2]
    assert LINE.validate_json(example) == PlanDone()


def test_only_a_task_with_a_manager_has_rounds() -> None:
    """A line that can never be crossed is none."""
    with pytest.raises(Refused, match="only a task with a manager has rounds"):
        request(
            until={"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "rounds", "at_least": 1}]}
        )


# --- when it is crossed --------------------------------------------------------------------------


def ended(play: Play) -> tuple[str | None, str | None]:
    return play.outcome, play.task.stop_reason


def test_plan_done() -> None:
    """Every step has its result."""
    play = Play(plan=[step("a"), step("b")], until=PlanDone().model_dump())
    play.wake()
    play.answer(1, good())
    assert play.outcome is None
    play.answer(2, good())
    assert ended(play) == ("completed", "plan_done")


@pytest.mark.parametrize(("sure", "end"), [(0.85, "confidence>=0.85"), (0.84, "plan_exhausted")])
def test_confidence(sure: float, end: str) -> None:
    """The composed result is at least this confident; short of it is not crossed."""
    play = Play(until=Confidence(0.85).model_dump())
    play.wake()
    play.answer(1, good("r", sure))
    assert play.task.stop_reason == end


def test_rounds() -> None:
    """The manager has been asked so often, and what it asked for is home."""
    play = Play(manager="m", until=Rounds(1).model_dump()).knows(m=(), a=())
    play.wake()
    play.answer(1, beg("delegate", steps=[step("x", agent="a")]))
    assert play.outcome is None
    play.answer(2, good("X"))
    assert ended(play) == ("partial", "rounds>=1")
    assert play.result() == "X"


def test_stalled() -> None:
    """No change can be where a task means to end, and then it is no trouble."""
    play = Play(agent="a", until=Stalled(2).model_dump()).knows(a=("b",), b=("a",))
    play.wake()
    for number, to in enumerate("ba", start=1):
        said = ask(to, input=number).model_dump() | {"result": "same", "confidence": 0.9}
        play.answer(number, type(good()).model_validate(said | {"progress": False}))
    assert ended(play) == ("partial", "stalled>=2")
    assert play.result() == "same"


def test_spent() -> None:
    """A share of the ceiling, in whichever dimension is first."""
    play = Play(
        plan=[step("a"), step("b", "a")],
        until=Spent(0.4).model_dump(),
        budget={"tokens": 1000, "calls": 1000},
    )
    play.wake()
    play.answer(1, good("A"), tokens=400)
    assert ended(play) == ("partial", "spent>=0.4")


def test_elapsed() -> None:
    """The clock alone moves it across: the alarm is set for that very moment."""
    play = Play(plan=[step("a"), step("b")], until=Elapsed(7).model_dump())
    play.wake()
    play.answer(1, good("A"))
    assert play.last.alarm_ms == 7_000
    play.wake(after_ms=6_999)
    assert play.outcome is None
    play.wake(after_ms=1)
    assert ended(play) == ("partial", "elapsed>=7.0s")


@pytest.mark.parametrize("whole", [True, False])
def test_result_matches(whole: bool) -> None:  # noqa: FBT001  a parameter of pytest's
    """What has been produced so far fits the schema; then the rest is not done."""
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"required": ["url"]}}}
    play = Play(plan=[step("a"), step("b", "a")], until=ResultMatches(schema).model_dump())
    play.wake()
    decision = play.answer(1, good({"url" if whole else "uri": "x"}))
    assert (play.outcome == "completed") is whole
    assert (len(sent(decision)) == 1) is not whole


def test_a_schema_that_cannot_be_applied_is_never_matched() -> None:
    """The caller's schema, the caller's trouble: the task ends all the same."""
    play = Play(until=ResultMatches({"$ref": "#/nowhere"}).model_dump())
    play.wake()
    play.answer(1, good("r"))
    assert ended(play) == ("partial", "plan_exhausted")


def test_custom() -> None:
    """The issue: "Custom(predicate agent)": its recorded word on the result as it is."""
    play = Play(agent="a", until=Custom("ref").model_dump())
    play.wake()
    [asked] = sent(play.answer(1, good("r")))
    assert (asked.agent, json.loads(asked.payload)["input"]["result"]) == ("ref", "r")
    play.answer(2, good({"ok": True, "confidence": 0.9, "reason": "enough"}))
    assert ended(play) == ("completed", "custom:ref")


@pytest.mark.parametrize(
    "said",
    [good({"ok": False, "confidence": 0.9, "reason": "thin"}), good("yes"), part("ok")],
    ids=["no", "senseless", "part"],
)
def test_a_referee_that_does_not_say_yes_has_said_no(said: object) -> None:
    """And it is not asked again about the same result."""
    play = Play(agent="a", until=Custom("ref").model_dump())
    play.wake()
    play.answer(1, good("r"))
    decision = play.answer(2, said)
    assert "verdict" in whys(decision)
    assert ended(play) == ("partial", "plan_exhausted")


def test_a_referee_is_asked_anew_about_another_result() -> None:
    """A verdict is about one result."""
    play = Play(manager="m", until=Custom("ref").model_dump()).knows(m=(), a=())
    play.wake()
    play.answer(1, beg("delegate", steps=[step("x", agent="a")]))
    assert [each.agent for each in sent(play.answer(2, good("thin")))] == ["ref"]
    decision = play.answer(3, good({"ok": False, "confidence": 1, "reason": "too thin"}))
    assert [each.agent for each in sent(decision)] == ["m"]
    play.answer(4, beg("delegate", steps=[step("x", agent="a", goal="more")]))
    assert [each.agent for each in sent(play.answer(5, good("thick")))] == ["ref"]
    play.answer(6, good({"ok": True, "confidence": 1}))
    assert ended(play) == ("completed", "custom:ref")


# --- joined --------------------------------------------------------------------------------------


def test_both_sides_of_an_and_are_named_when_it_is_crossed() -> None:
    """The issue: "the reason it fired recorded as `stop_reason`"."""
    line = PlanDone() & Confidence(0.8)
    play = Play(until=line.model_dump())
    play.wake()
    play.answer(1, good("r", 0.9))
    assert ended(play) == ("completed", "plan_done & confidence>=0.8")


def test_the_side_of_an_or_that_fired_is_named() -> None:
    """The first that holds, as it is written."""
    line = PlanDone() & Spent(0.9) | ResultMatches({"const": "r"}) | Elapsed(60)
    play = Play(until=line.model_dump())
    play.wake()
    play.answer(1, good("r"))
    assert ended(play) == ("completed", "result_matches")


def test_a_line_that_is_crossed_below_the_bar_delivers_nothing() -> None:
    """The gate stands behind every line."""
    play = Play(until=Spent(0.1).model_dump(), budget={"tokens": 1000})
    play.wake()
    decision = play.answer(1, good("r", 0.5), tokens=200)
    assert note(decision, "gate").text == "spent>=0.1, but confidence 0.50 is below 0.70"
    assert play.task.phase is Phase.ON_DESK


def test_what_is_out_is_taken_back_once_the_line_is_crossed() -> None:
    """Nobody goes on spending on a task that is done."""
    play = Play(plan=[step("a"), step("b")], until=Spent(0.3).model_dump(), budget={"tokens": 1000})
    play.wake()
    play.fetch(2)
    play.charge(2, 70)
    play.answer(1, good("A"), tokens=300)
    assert ended(play) == ("partial", "spent>=0.3")
    assert play.task.ledger.spent.tokens == 370
