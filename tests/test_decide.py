"""Every rule of the core, and every `why` it can give, one by one."""

import json

import pytest
from play import Play, ask, bad, commands, good, note, part, request, sent, step, whys

from envelopes import Amounts, Envelope, Fault, Limits, limits
from orchestrator.core.commands import (
    CloseLetter,
    Conclude,
    Decision,
    Escalate,
    Granted,
    Look,
    Settle,
)
from orchestrator.core.decide import RULES, Verdict, advance, decide
from orchestrator.core.facts import Claim, ClaimState, Report, Sight
from orchestrator.core.task import Kept, Phase, StepPhase
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


# --- absorbing -----------------------------------------------------------------------------------


def test_an_envelope_settles_what_was_charged_and_gives_the_rest_back() -> None:
    """The promise: "The envelope settles the reservation"."""
    play = Play(budget={"tokens": 1000})
    play.wake()
    decision = play.answer(1, good("r"), tokens=123)
    assert play.task.ledger.spent == Amounts(tokens=123)
    assert play.task.ledger.reserved == Amounts()
    assert commands(decision, Settle) == [Settle(1)]
    assert note(decision, "envelope").charged == Amounts(tokens=123)


def test_what_a_worker_says_of_itself_is_not_booked() -> None:
    """Lies about usage: "metered numbers count", clamped to the allowance."""
    play = Play(budget={"tokens": 1000})
    play.wake()
    usage = {"tokens": 1, "usd_micros": 1, "calls": 1}
    lying = Envelope.success("r", 0.9, usage=usage)
    play.answer(1, lying, tokens=10**9)
    assert play.task.ledger.spent == Amounts(tokens=900)


def test_a_late_or_unknown_envelope_changes_nothing() -> None:
    """The promise: "Late, repeated, reordered or unknown mail changes nothing"."""
    play = Play(plan=[step("a"), step("b")])
    play.wake()
    play.answer(1, good("first"))
    before = play.task
    for subtask in (1, 77):
        decision = play.answer(subtask, bad("no, wait"))
        assert whys(decision) == ["late_envelope"]
        assert decision.task is before
        assert decision.commands == ()


def test_a_success_below_the_bar_goes_to_a_fallback_and_stays_kept() -> None:
    """A success that is not sure enough may be bettered, and is not thrown away."""
    play = Play(plan=[step("a", fallbacks=["b"])])
    play.wake()
    decision = play.answer(1, good("meh", 0.4))
    assert whys(decision) == ["envelope", "next_agent", "publish"]
    assert play.step("a").kept == Kept(1, "a", '"meh"', 0.4, final=True)
    play.answer(2, good("sure", 0.95))
    assert (play.outcome, play.result()) == ("completed", "sure")


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (part("half", 0.9), bad(), "half"),
        (part("half", 0.9), good("whole", 0.5), "whole"),
        (part("half", 0.4), part("better", 0.6), "better"),
        (part("half", 0.6), part("worse", 0.4), "half"),
    ],
)
def test_the_best_that_a_step_has_produced_is_kept(
    first: Envelope, second: Envelope, kept: str
) -> None:
    """The promise: "Paid work is kept": a final word before a part, then the surer one."""
    play = Play(plan=[step("a", fallbacks=["b"])], confidence_min=0.3)
    play.wake()
    play.answer(1, first)
    play.answer(2, second)
    found = play.step("a").kept
    assert found is not None
    assert json.loads(found.result) == kept


def test_a_part_without_a_result_keeps_nothing() -> None:
    """The promise: "Partial: there is something": null is nothing, unless it is a final word."""
    play = Play(plan=[step("a", fallbacks=["b"])])
    play.wake()
    play.answer(1, Envelope.partial(None, 0.9, "only a feeling"))
    assert play.step("a").kept is None
    play.answer(2, good(None))
    assert play.outcome == "completed"
    assert play.task.result == "null"


def test_a_stopped_worker_costs_its_step_nothing_but_the_time() -> None:
    """SIGTERM drains: the step goes out again at the same hop, and is not held against anybody."""
    play = Play(plan=[step("a", fallbacks=["b"])])
    play.wake()
    [again] = sent(play.answer(1, Envelope.failed("told to go", Fault.STOPPED)))
    assert (again.agent, again.hop, again.attempt, again.subtask) == ("a", 1, 2, 2)


# --- claims --------------------------------------------------------------------------------------


def test_nobody_looks_at_claims_before_one_can_have_run_out() -> None:
    """Most wakes need no look: the alarm is set for the first that may."""
    play = Play()
    assert play.wake().alarm_ms == LEASE
    play.wake(after_ms=LEASE - 1)
    assert play.looks == []
    play.wake(after_ms=1)
    assert play.looks == [Look((1,))]


def test_a_silent_worker_is_fenced_first_then_its_step_goes_out_again() -> None:
    """A lost worker: "settles at what its meter had recorded", and never runs under its old id."""
    play = Play()
    play.wake()
    play.fetch(1)
    play.charge(1, 70)
    decision = play.wake(after_ms=LEASE)
    assert play.looks[-1] == Look((1,), revoke=(1,))
    assert whys(decision) == ["lost", "publish"]
    assert commands(decision, Settle) == [Settle(1)]
    assert play.task.ledger.spent == Amounts(tokens=70)
    assert [(each.subtask, each.hop, each.attempt) for each in sent(decision)] == [(2, 1, 2)]


def test_a_worker_that_beats_is_left_alone() -> None:
    """The beat is the lease."""
    play = Play(timeout=3600)
    play.wake()
    play.fetch(1)
    for _ in range(20):
        play.beat(1)
        assert whys(play.wake(after_ms=LEASE - 1)) == []
    assert play.open == [1]


def test_a_beat_proves_only_that_the_process_lives() -> None:
    """A hung agent: "needs its own step timeout: revoke, settle, go on"."""
    play = Play(plan=[step("a", timeout=15, fallbacks=["b"])])
    play.wake()
    play.fetch(1)
    play.wake(after_ms=8_000)
    play.beat(1)
    assert whys(play.wake(after_ms=6_000)) == []
    play.beat(1)
    decision = play.wake(after_ms=1_001)
    assert whys(decision) == ["step_timeout", "next_agent", "publish"]
    assert play.step("a").fault is Fault.TIMEOUT


def test_the_same_step_may_take_three_workers_with_it() -> None:
    """The promise: "The same step kills its worker 3 times: letter `poison`; others unaffected"."""
    play = Play(plan=[step("a"), step("b")], at_cap="escalate")
    play.wake()
    play.fetch(1)
    for subtask in (3, 4):
        assert whys(play.wake(after_ms=LEASE)) == ["lost", "publish"]
        play.fetch(subtask)
    play.beat(4)
    decision = play.wake(after_ms=LEASE)
    assert whys(decision) == ["poison"]
    assert play.step("b").phase is StepPhase.OPEN
    decision = play.answer(2, good())
    [letter] = commands(decision, Escalate)
    assert letter.kind == "poison"
    assert "3 workers fell silent over it" in letter.why


def test_a_message_that_left_its_queue_unclaimed_is_sent_again_for_nothing() -> None:
    """An unclaimed subtask past its patience, gone from its queue, is re-issued "at no cost"."""
    play = Play()
    play.wake()
    play.lose_message(1)
    play.wake(after_ms=limits.PATIENCE_MS - LEASE)
    decision = play.wake(after_ms=LEASE)
    assert len(play.looks) > 1, "it was looked at before its patience was over, and left alone"
    assert whys(decision) == ["unclaimed", "publish"]
    assert play.task.ledger.spent == Amounts()
    assert play.step("only").lost == 0


def test_a_long_backlog_never_causes_duplicates() -> None:
    """While its message may still lie on the queue, nobody takes it away."""
    play = Play(timeout=3600)
    play.wake()
    for _ in range(10):
        assert whys(play.wake(after_ms=limits.PATIENCE_MS)) == []
    assert play.open == [1]


def test_a_record_that_redis_lost_is_booked_at_its_worst() -> None:
    """What nobody knows any more is never guessed too low."""
    play = Play(budget={"tokens": 1000}, plan=[step("a", allowance={"tokens": 300})])
    play.wake()
    play.lose_record(1)
    assert "lost" in whys(play.wake(after_ms=LEASE))
    assert play.task.ledger.spent == Amounts(tokens=300)


def test_a_revoked_claim_that_beat_on_is_sent_again() -> None:
    """A shell that died after taking a claim away: the next one finds it and goes on."""
    play = Play()
    play.wake()
    play.fetch(1)
    play.beat(1)
    play._claim(1, state=ClaimState.REVOKED, beat_ms=LEASE)
    decision = play.wake(after_ms=LEASE)
    assert whys(decision) == ["revoked", "publish"]


def test_a_report_on_its_way_is_not_taken_for_silence() -> None:
    """A claim that has reported is waited for: its envelope is in the mail."""
    play = Play()
    play.wake()
    play.fetch(1)
    play.report(1, good())
    assert whys(play.wake(after_ms=LEASE * 3)) == []
    assert play.open == [1]


def test_more_mail_than_one_wake_reads_does_not_stop_the_end() -> None:
    """What has reported needs no taking away: the mail that was read is committed, then the rest."""
    play = Play(plan=[step("a"), step("b")], timeout=60)
    play.wake()
    play.fetch(1, 2)
    first, second = play.report(1, good()), play.report(2, good())
    decision = play.wake(first, after_ms=60_000)
    assert "envelope" in whys(decision)
    assert play.outcome is None
    assert decision.alarm_ms is not None
    assert decision.alarm_ms <= play.now_ms
    play.wake(second)
    assert (play.outcome, play.result()) == ("partial", {"a": "done", "b": "done"})


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
    assert play.now_ms - seconds * 1000 < 1


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
    assert story["allowed"] == ["approve", "amend", "retry", "abort"]


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
    """The promise: "Always stops": a task whose gate raised would raise at every wake and never end."""
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


# --- re-planning ---------------------------------------------------------------------------------


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
    assert "1 re-plans are used up; step a at b: again" in note(decision, "replan_cap").text


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
    play = Play(agent="a").knows(a=("b",), b=("a",))
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


# --- the owner's policy --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at_cap", "ends"),
    [
        ("deliver", ("partial", Phase.DONE)),
        ("abort", ("aborted", Phase.DONE)),
        ("escalate", (None, Phase.ON_DESK)),
    ],
)
def test_the_caller_says_what_a_cap_leads_to(at_cap: str, ends: tuple) -> None:
    """The owner's policy: deliver, else ask a person, else abort."""
    play = Play(plan=[step("a"), step("b", "a")], at_cap=at_cap)
    play.wake()
    play.answer(1, good("kept"))
    play.answer(2, bad())
    assert (play.outcome, play.task.phase) == ends
    if at_cap != "escalate":
        assert play.result() == {"a": "kept"}


# --- the desk ------------------------------------------------------------------------------------


def desk(**fields: object) -> Play:
    """Bring a task onto the desk with a result below the bar."""
    play = Play(**fields)
    play.wake()
    play.answer(1, good("meh", 0.5), tokens=10)
    assert play.task.phase is Phase.ON_DESK
    return play


def test_a_person_can_approve_what_is_below_the_bar() -> None:
    """`person_decided`, approve: "nothing leaves below the gate without a person's decision"."""
    play = desk()
    decision = play.decide("approve", why="good enough")
    assert (play.outcome, play.result()) == ("completed", "meh")
    assert play.task.stop_reason == "decided: approve by ann"
    assert commands(decision, CloseLetter) == [CloseLetter("t.1", "approve", "ann", "good enough")]
    assert commands(decision, Conclude) == [Conclude("completed")]


def test_a_person_can_amend_the_result() -> None:
    play = desk()
    play.decide("amend", result={"by": "hand"})
    assert (play.outcome, play.result()) == ("completed", {"by": "hand"})


def test_a_person_can_abort() -> None:
    play = desk()
    play.decide("abort")
    assert (play.outcome, play.result()) == ("aborted", "meh")


def test_a_retry_of_a_result_below_the_bar_runs_its_weakest_link_again() -> None:
    """retry: what was not good enough is made again, with what was built on it and no more."""
    play = Play(plan=[step("a"), step("b"), step("c", "a", "b"), step("d", "b")])
    play.wake()
    for subtask, confidence in ((1, 0.5), (2, 0.9)):
        play.answer(subtask, good(subtask, confidence))
    play.wake(play.report(3, good("c")), play.report(4, good("d")))
    assert play.task.phase is Phase.ON_DESK
    [again] = sent(play.decide("retry"))
    assert (again.step, again.hop) == ("a", 2)
    [last] = sent(play.answer(5, good("better", 0.8)))
    assert (last.step, last.hop) == ("c", 3)
    assert json.loads(last.payload)["inputs"] == {"a": "better", "b": 2}
    play.answer(6, good("c2", 0.8))
    assert (play.outcome, play.result()) == ("completed", {"c": "c2", "d": "d"})


def test_a_retry_that_fails_falls_back_on_what_was_kept() -> None:
    """What was paid for is still there when the second try gives nothing."""
    play = desk()
    play.decide("retry")
    play.answer(2, bad())
    assert play.task.phase is Phase.ON_DESK
    play.decide("approve")
    assert (play.outcome, play.result()) == ("partial", "meh")


def test_a_retry_grants_budget_hops_and_time() -> None:
    """retry(+budget, +hops, +time): the deadline stood still on the desk."""
    play = Play(timeout=60, budget={"tokens": 1000}, hops_max=1)
    play.wake()
    play.now_ms = 20_000
    play.answer(1, bad())
    play.now_ms = 500_000
    decision = play.decide("retry", budget={"tokens": 500}, hops=3, time=30)
    assert play.task.ledger.ceiling == Limits(tokens=1500)
    assert play.task.hops_max == 4
    assert play.task.deadline_ms == 500_000 + 40_000 + 30_000
    granted = note(decision, "granted").granted
    assert granted == Granted(Limits(tokens=1500), 4, 570_000)
    assert [each.hop for each in sent(decision)] == [2]


def test_no_number_of_retries_raises_the_hops_beyond_what_workers_take() -> None:
    """A cap nobody can reach is no cap; and a header beyond its bound would stop every message."""
    play = Play(hops_max=100)
    play.wake()
    for subtask in range(1, 5):
        play.answer(subtask, bad())
        play.decide("retry", hops=100)
    assert play.task.hops_max == limits.HOPS_EVER_MAX


def test_after_a_retry_a_loop_is_counted_anew() -> None:
    """A person may repeat a plan."""
    play = Play()
    play.wake()
    for subtask in range(1, 6):
        play.answer(subtask, bad())
        decision = play.decide("retry")
        assert len(sent(decision)) == 1
        assert "repetition" not in whys(decision)


def test_the_first_decision_wins_and_a_later_one_is_recorded() -> None:
    """The promise: "First decision wins; all are recorded"."""
    play = desk()
    decision = play.wake(play.decision("abort"), play.decision("approve", by="bob"))
    assert play.outcome == "aborted"
    assert note(decision, "late_decision").text == "approve by bob: the letter is closed"


def test_a_decision_on_another_letter_changes_nothing() -> None:
    play = desk()
    before = play.task
    decision = play.decide("abort", letter="t.9")
    assert whys(decision) == ["late_decision"]
    assert decision.task is before


def test_a_decision_that_makes_no_sense_leaves_the_letter_open() -> None:
    """Approving nothing, or amending against the schema, is said to be refused."""
    play = Play(result_schema={"type": "integer"})
    play.wake()
    play.answer(1, bad())
    approved = note(play.decide("approve"), "refused_decision")
    assert approved.text == "approve by ann: nothing is kept that could be delivered"
    amended = note(play.decide("amend", result="five"), "refused_decision")
    assert "is not of type 'integer'" in amended.text
    play.decide("amend", result=5)
    assert play.result() == 5


@pytest.mark.parametrize(("default", "ends"), [("abort", "aborted"), ("approve", "completed")])
def test_if_nobody_decides_the_declared_default_applies(default: str, ends: str) -> None:
    """`nobody_decided`: "the declared default, recorded"."""
    play = desk(desk_timeout=100, desk_default=default)
    assert play.wake(after_ms=99_999).notes == ()
    decision = play.wake(after_ms=1)
    assert (play.outcome, play.task.stop_reason, play.result()) == (ends, "nobody_decided", "meh")
    [closed] = commands(decision, CloseLetter)
    assert (closed.verb, closed.by) == (default, "nobody")


def test_nobody_can_approve_nothing() -> None:
    """With nothing kept, the default to approve is an abort."""
    play = Play(desk_timeout=100, desk_default="approve")
    play.wake()
    play.answer(1, bad())
    play.wake(after_ms=100_000)
    assert (play.outcome, play.result()) == ("aborted", None)


def test_a_decision_in_time_beats_the_clock_that_ran_out_meanwhile() -> None:
    """A person has the last word, even when the orchestrator wakes late."""
    play = desk(desk_timeout=100)
    play.wake(play.decision("approve"), after_ms=200_000)
    assert play.outcome == "completed"


def test_nothing_is_done_while_a_person_thinks() -> None:
    """`on_the_desk`: the deadline stands still, and late mail is only recorded."""
    play = desk(timeout=60)
    decision = play.wake(Report(1, Amounts(), good()), after_ms=3_600_000)
    assert whys(decision) == ["late_envelope"]
    assert play.task.phase is Phase.ON_DESK


# --- the list itself -----------------------------------------------------------------------------


def test_every_rule_is_named_for_what_it_sees_and_the_last_one_rests() -> None:
    """One ordered list; the first that applies decides."""
    names = [rule.__name__ for rule in RULES]
    assert len(set(names)) == len(names)
    assert names[0] == "ended"
    assert all(rule.__doc__ for rule in RULES)


def test_rules_that_all_pass_are_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that nobody decides would sleep for ever: the process dies instead."""
    monkeypatch.setattr("orchestrator.core.decide.RULES", (lambda _: Verdict.PASS,))
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
