"""Mail and claims are recorded as they come; late, repeated and unknown ones change nothing."""

import json

import pytest
from play import Play, bad, commands, good, note, part, sent, step, whys

from envelopes import Amounts, Envelope, Fault, limits
from orchestrator.core.commands import (
    Escalate,
    Look,
    Served,
    Settle,
)
from orchestrator.core.facts import ClaimState
from orchestrator.core.task import Kept, StepPhase

LEASE = limits.LEASE_MS


# --- absorbing -----------------------------------------------------------------------------------


def test_an_envelope_settles_what_was_charged_and_gives_the_rest_back() -> None:
    """The promise: "The envelope settles the reservation"."""
    play = Play(budget={"tokens": 1000})
    play.wake()
    decision = play.answer(1, good("r"), tokens=123)
    assert play.task.ledger.spent == Amounts(tokens=123)
    assert play.task.ledger.reserved == Amounts()
    assert commands(decision, Settle) == [Settle(1, "solo", Served.OK, Amounts(tokens=123))]
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


def test_the_same_envelope_twice_in_one_wake_counts_once() -> None:
    """Mail may be delivered more than once: the second copy is late."""
    play = Play(plan=[step("a"), step("b")], budget={"tokens": 1000})
    play.wake()
    report = play.report(1, good(), tokens=100)
    assert whys(play.wake(report, report)) == ["envelope", "late_envelope"]
    assert play.task.ledger.spent == Amounts(tokens=100)


def test_a_success_below_the_bar_of_the_last_agent_is_its_final_word() -> None:
    """With nobody else to ask, the step is done, and the gate judges the result."""
    play = Play(plan=[step("a", fallbacks=["b"])])
    play.wake()
    play.answer(1, bad())
    assert whys(play.answer(2, good("meh", 0.5)))[:2] == ["envelope", "gate"]


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
    assert commands(decision, Settle) == [Settle(1, "solo", Served.FAULT, Amounts(tokens=70))]
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


def test_a_claim_that_soon_runs_out_is_not_looked_at_all_the_time() -> None:
    """A look costs a round trip: there is a least time between two."""
    play = Play(plan=[step("a", timeout=0.25)])
    play.wake()
    play.fetch(1)
    first = play.wake(after_ms=250)
    assert play.looks
    assert first.alarm_ms == 250 + 200


def test_another_agent_is_given_three_workers_anew() -> None:
    """Poison is a step in one agent's hands: its fallback begins at zero."""
    play = Play(plan=[step("a", fallbacks=["b"])])
    play.wake()
    for subtask in (1, 2):
        play.fetch(subtask)
        assert "lost" in whys(play.wake(after_ms=LEASE))
    play.answer(3, bad())
    play.fetch(4)
    assert whys(play.wake(after_ms=LEASE)) == ["lost", "publish"]


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
    assert play.looks == [Look((1,))], "and nothing is taken away"


def test_more_mail_than_one_wake_reads_does_not_stop_the_end() -> None:
    """What has reported needs no taking away: what was read is committed, then the rest."""
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


def test_a_look_shows_all_that_was_open_when_the_turn_began() -> None:
    """One claim ran out, and the deadline takes the other: both are settled in the same wake."""
    play = Play(plan=[step("a"), step("b")], timeout=10)
    play.wake()
    play.fetch(1)
    play.wake(after_ms=10_000)
    assert [look.revoke for look in play.looks] == [(), (1,), (2,)]
    assert {look.subtasks for look in play.looks} == {(1, 2)}
    assert play.task.letter is not None
    assert play.task.letter.why == "deadline"
