"""The rules of the core, one by one, and every `why` they give; more of them beside this file.

test_absorb.py: mail and claims. test_replan.py: re-plans, handovers, caps. test_desk.py: people.
"""

import json

import pytest
from play import Play, bad, commands, good, note, request, sent, step, whys

from envelopes import Amounts, limits
from orchestrator.core.commands import (
    CloseLetter,
    Decision,
    Escalate,
)
from orchestrator.core.decide import RULES, Ruling, advance, decide
from orchestrator.core.facts import Cancelled, Claim, ClaimState, Sight
from orchestrator.core.task import Phase, StepPhase
from orchestrator.core.turn import Turn

LEASE = limits.LEASE_MS


# --- publishing ----------------------------------------------------------------------------------


def test_the_first_wake_publishes_what_needs_nothing() -> None:
    """Independent steps in parallel: one stage, one hop."""
    play = Play(plan=[step("a"), step("b"), step("c", "a", "b")])
    first = play.wake()
    assert [(each.step, each.hop, each.attempt) for each in sent(first)] == [
        ("a", 1, 1),
        ("b", 1, 1),
    ]
    assert play.task.hop == 1
    assert play.step("c").phase is StepPhase.WAITING


def test_a_step_receives_the_results_of_its_needs() -> None:
    """The promise: "A step receives its needs' results", by name, one hop further."""
    play = Play(plan=[step("a"), step("b"), step("c", "a", "b", goal="join", input=[1])])
    play.wake()
    assert sent(play.answer(1, good({"x": 1}))) == []
    [last] = sent(play.answer(2, good("two")))
    assert (last.step, last.hop) == ("c", 2)
    assert json.loads(last.payload) == {
        "goal": "join",
        "input": [1],
        "inputs": {"a": {"x": 1}, "b": "two"},
    }


def test_an_allowance_is_the_share_by_weight_of_what_is_free() -> None:
    """Allowances by weight, of what the ending reserve leaves."""
    play = Play(plan=[step("a", weight=3), step("b")], budget={"tokens": 1000})
    first = play.wake()
    assert [each.allowance.tokens for each in sent(first)] == [675, 225]
    assert play.task.ledger.reserved == Amounts(tokens=900)
    assert play.task.ledger.ending == Amounts(tokens=100)


def test_a_step_that_still_waits_keeps_its_share() -> None:
    """What comes later is not starved by what comes first."""
    play = Play(plan=[step("a"), step("b", "a")], budget={"tokens": 1000})
    assert [each.allowance.tokens for each in sent(play.wake())] == [450]
    assert [each.allowance.tokens for each in sent(play.answer(1, good(), tokens=100))] == [800]


def test_less_than_one_call_is_one_call_for_who_comes_first() -> None:
    """A budget of 2 calls for 3 steps runs them one after the other, not never."""
    play = Play(plan=[step("a"), step("b"), step("c")], budget={"calls": 3, "ending_share": 0})
    assert [each.allowance.calls for each in sent(play.wake())] == [1, 1, 1]
    play = Play(plan=[step("a"), step("b"), step("c")], budget={"calls": 2, "ending_share": 0})
    assert [each.step for each in sent(play.wake())] == ["a", "b"]
    assert [each.step for each in sent(play.answer(1, good()))] == ["c"]


def test_a_share_of_nothing_is_no_allowance() -> None:
    """One token for two steps: no call could be made with either half."""
    play = Play(plan=[step("a"), step("b")], budget={"tokens": 1})
    decision = play.wake()
    assert sent(decision) == []
    assert "budget" in whys(decision)


def test_what_does_not_fit_waits_until_something_is_settled() -> None:
    """Overspend 0 with parallel steps under a ceiling that fits some."""
    asked = {"allowance": {"tokens": 400}}
    play = Play(
        plan=[step("a", **asked), step("b", **asked), step("c", **asked)],
        budget={"tokens": 1000},
    )
    assert [each.step for each in sent(play.wake())] == ["a", "b"]
    assert [each.step for each in sent(play.answer(1, good(), tokens=50))] == ["c"]


def test_a_payload_too_large_breaks_its_step_and_no_other() -> None:
    """Larger work travels by reference; what is too large is never sent."""
    play = Play(plan=[step("a"), step("b"), step("c", "a"), step("d", "b")])
    play.wake()
    decision = play.answer(1, good("x" * limits.PAYLOAD_BYTES_MAX))
    assert "payload_too_large" in whys(decision)
    assert play.step("c").phase is StepPhase.BROKEN
    assert play.outcome is None
    play.answer(2, good())
    assert play.task.phase is Phase.ON_DESK or play.outcome is not None


# --- the rules that end a task -------------------------------------------------------------------


def test_final_is_final() -> None:
    """`ended`: "final is final"."""
    play = Play()
    play.wake()
    play.answer(1, good())
    before = play.task
    late = (play.report(1, bad()), play.decision("retry"))
    decision = play.wake(*late, after_ms=10**9)
    assert decision == Decision(before, (), (), None)
    assert play.cancel().task is before


@pytest.mark.parametrize("phase", ["working", "on_desk"])
def test_a_cancelled_task_is_aborted_and_keeps_what_it_has(phase: str) -> None:
    """`cancelled`: a caller's wish comes before everything that costs, and nothing is left open."""
    play = Play(plan=[step("a"), step("b", "a")], at_cap="escalate")
    play.wake()
    play.answer(1, good("kept"))
    if phase == "on_desk":
        play.answer(2, bad())
    assert play.task.phase == phase
    decision = play.cancel("ann", "changed my mind")
    assert (play.outcome, play.task.stop_reason) == ("aborted", "cancelled")
    assert play.task.cancelled == "ann: changed my mind"
    assert play.result() == {"a": "kept"}
    assert play.task.ledger.reserved == Amounts()
    assert len(commands(decision, CloseLetter)) == (phase == "on_desk")


def test_the_deadline_takes_everything_away_and_delivers_what_is_kept() -> None:
    """`deadline`: "a wall-clock timeout on the whole pipeline", paid work kept."""
    play = Play(plan=[step("a"), step("b", "a")], timeout=60)
    play.wake()
    play.answer(1, good("kept"), tokens=5)
    play.fetch(2)
    play.charge(2, 11)
    decision = play.wake(after_ms=60_000)
    assert play.looks[-1].revoke == (2,)
    assert (play.outcome, play.task.stop_reason) == ("partial", "deadline")
    assert play.result() == {"a": "kept"}
    assert play.task.ledger.spent == Amounts(tokens=16)
    assert decision.alarm_ms is None


@pytest.mark.parametrize(
    ("until", "ends"),
    [
        ({"kind": "spent", "share": 0.45}, "spent>=0.45"),
        ({"kind": "elapsed", "seconds": 30}, "elapsed>=30.0s"),
        (
            {
                "kind": "all",
                "of": [{"kind": "spent", "share": 0.45}, {"kind": "elapsed", "seconds": 30}],
            },
            "spent>=0.45 & elapsed>=30.0s",
        ),
        (
            {"kind": "any", "of": [{"kind": "plan_done"}, {"kind": "elapsed", "seconds": 30}]},
            "elapsed>=30.0s",
        ),
    ],
)
def test_the_finish_line_ends_the_task_before_its_plan_does(until: dict, ends: str) -> None:
    """`finish_line`: done when it says so, "never by an agent's feeling"."""
    play = Play(plan=[step("a"), step("b", "a")], until=until, budget={"tokens": 100})
    play.wake()
    play.answer(1, good("kept"), tokens=45)
    play.wake(after_ms=30_000)
    assert (play.outcome, play.task.stop_reason) == ("partial", ends)


@pytest.mark.parametrize("seconds", [30, 1.0005, 0.0015, 1.2345678])
def test_the_alarm_rings_when_the_clock_alone_crosses_the_line(seconds: float) -> None:
    """The alarm's millisecond is the line's: no task sleeps past its own end."""
    play = Play(until={"kind": "elapsed", "seconds": seconds}, at_cap="abort")
    play.wake()
    while play.outcome is None and play.now_ms < 40_000:
        assert play.last.alarm_ms is not None
        play.wake(after_ms=max(1, play.last.alarm_ms - play.now_ms))
    assert 0 <= play.now_ms - seconds * 1000 < 1


def test_a_flip_that_has_passed_sets_no_alarm_again() -> None:
    """Nobody polls: a line that time has met already is not waited for a second time."""
    both = {"kind": "all", "of": [{"kind": "plan_done"}, {"kind": "elapsed", "seconds": 3}]}
    play = Play(until=both)
    assert play.wake().alarm_ms == 3_000
    assert play.wake(after_ms=5_000).alarm_ms == LEASE


@pytest.mark.parametrize(
    ("until", "confidence"),
    [({"kind": "plan_done"}, 0.7), ({"kind": "confidence", "at_least": 0.9}, 0.9)],
)
def test_exactly_at_the_bar_is_good_enough(until: dict, confidence: float) -> None:
    """The gate: `confidence >= confidence_min`."""
    play = Play(until=until)
    play.wake()
    play.answer(1, good("r", confidence))
    assert play.outcome == "completed"


def test_a_cancellation_comes_before_a_decision_of_the_same_wake() -> None:
    """`cancelled` stands above `person_decided`: the caller has gone."""
    play = Play()
    play.wake()
    play.answer(1, good("meh", 0.5))
    play.wake(play.decision("approve"), Cancelled("bob", ""))
    assert (play.outcome, play.task.stop_reason) == ("aborted", "cancelled")


def test_every_last_step_gives_its_part_of_the_result() -> None:
    """Several last steps: an object by step name; confidence is the weakest link."""
    play = Play(plan=[step("a"), step("b", "a"), step("c", "a")])
    play.wake()
    play.answer(1, good("x", 0.75))
    play.answer(2, good("y", 0.9))
    play.answer(3, good("z", 0.8))
    assert play.outcome == "completed"
    assert play.result() == {"b": "y", "c": "z"}
    assert play.task.confidence == 0.75


def test_a_deadline_that_passed_for_want_of_a_worker_says_so() -> None:
    """A message says what happened, why, and what to do next."""
    play = Play(plan=[step("a"), step("b")]).knows(a=())
    play.wake()
    decision = play.wake(after_ms=600_000)
    text = note(decision, "deadline").text
    assert text == "the deadline has passed; no worker has ever said that it runs b"


def test_below_the_bar_nothing_leaves_without_a_person() -> None:
    """`gate`: "Nothing below the bar gets out"."""
    play = Play()
    play.wake()
    decision = play.answer(1, good("meh", 0.5))
    assert whys(decision) == ["envelope", "gate", "below_the_bar", "escalate"]
    [letter] = commands(decision, Escalate)
    assert "confidence 0.50 is below 0.70" in letter.why
    assert decision.alarm_ms == play.now_ms + 24 * 3600 * 1000
    story = json.loads(letter.story)
    assert story["kept"] == "meh"
    assert story["allowed"] == ["approve", "amend", "retry", "reassign", "abort"]


def test_a_result_that_breaks_its_schema_does_not_leave() -> None:
    """The gate: result schema, with the place that is wrong."""
    schema = {"type": "object", "required": ["price"]}
    play = Play(result_schema=schema)
    play.wake()
    decision = play.answer(1, good({"prize": 5}))
    assert "'price' is a required property" in note(decision, "gate").text
    assert play.task.phase is Phase.ON_DESK


@pytest.mark.parametrize(
    ("schema", "result"),
    [
        ({"$ref": "#"}, {}),
        ({"$ref": "#/nowhere"}, {}),
        ({"pattern": "("}, "x"),
        ({"multipleOf": 0.5}, 10**300 * 7),
        ({"items": [{"type": "string"}]}, ["x"]),
        ({"type": 3}, ["x"]),
    ],
)
def test_a_schema_that_cannot_be_applied_ends_on_the_desk_not_in_a_loop(
    schema: dict, result: object
) -> None:
    """The promise: "it always stops": a gate that raised would raise at every wake, for ever."""
    play = Play(result_schema=schema)
    play.wake()
    play.answer(1, good(result))
    assert play.task.phase is Phase.ON_DESK or play.outcome == "completed"


def test_a_schema_is_read_in_the_dialect_it_names() -> None:
    """Intake checks a schema by its own dialect; the gate applies the same."""
    draft_7 = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}
    play = Play(result_schema=draft_7)
    play.wake()
    play.answer(1, good(["x"]))
    assert play.outcome == "completed"


# --- the list itself -----------------------------------------------------------------------------


def test_every_rule_is_named_for_what_it_sees_and_the_last_one_rests() -> None:
    """One ordered list; the first that applies decides."""
    names = [rule.__name__ for rule in RULES]
    assert len(set(names)) == len(names)
    assert names[0] == "ended"
    assert all(rule.__doc__ for rule in RULES)


def test_rules_that_all_pass_are_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that nobody decides would sleep for ever: the process dies instead."""
    for rules in ("RULES", "SMOOTH"):
        monkeypatch.setattr(f"orchestrator.core.decide.{rules}", (lambda _: Ruling.PASS,))
    with pytest.raises(AssertionError, match="no rule applies"):
        advance(Turn(Play().task, Sight(), 0))


def test_a_move_that_is_not_in_the_table_is_our_bug() -> None:
    """The promise: "No step or task can make a move that does not stand here"."""
    play = Play()
    play.wake()
    turn = Turn(play.task, Sight(), 0)
    with pytest.raises(AssertionError):
        turn.set_step(0, phase=StepPhase.DROPPED)
    play.answer(1, good())
    with pytest.raises(AssertionError):
        Turn(play.task, Sight(), 0).change(phase=Phase.WORKING)


def test_deciding_does_not_change_what_it_was_given() -> None:
    """A decision makes new values: what was not committed has not happened."""
    play = Play(plan=[step("a"), step("b")])
    play.wake()
    before, text = play.task, repr(play.task)
    decide(before, [play.report(1, good())], Sight(), 5)
    decide(before, [], Sight(claims={1: Claim(ClaimState.ABSENT), 2: Claim(ClaimState.ABSENT)}), 5)
    assert repr(before) == text


def test_the_request_is_only_read() -> None:
    """The terms never change."""
    asked = request(plan=[step("a", fallbacks=["b"])])
    play = Play(asked)
    terms = play.task.terms
    play.wake()
    play.answer(1, bad())
    play.answer(2, bad())
    play.decide("retry", hops=5)
    assert play.task.terms is terms


def test_what_fits_once_the_others_have_gone_out_goes_out_at_the_same_wake() -> None:
    """Invariant 13: «a wake without news changes nothing», so the first one does all it can."""
    steps = [step("a", allowance={"tokens": 4}), step("b", weight=9), step("c"), step("d")]
    play = Play(plan=steps, budget={"tokens": 11, "ending_share": 0})
    first = sent(play.wake())
    assert sent(play.wake()) == []
    assert len(first) == play.task.subtasks
