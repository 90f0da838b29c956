"""An owner agent: asked at any cap, with the whole story, and with three words to choose from.

Whatever else it says, or does not say in time, means that a person is asked. Rules: `last_words`,
`last_word`.
"""

import json

import pytest
from play import Play, ask, bad, beg, good, note, sent, step, whys

from envelopes import AtCap, limits
from orchestrator.core.task import Phase


def at_a_cap(**fields: object) -> Play:
    """Bring a task with an owner agent to a point where it cannot go on."""
    play = Play(plan=[step("a"), step("b", "a")], owner="o", **fields)
    play.wake()
    play.answer(1, good("A"), tokens=200)
    play.answer(2, bad("no key"))
    return play


def says(word: object, why: str = "because") -> object:
    return good({"decision": word, "why": why})


# --- asking --------------------------------------------------------------------------------------


def test_the_owner_agent_is_told_the_whole_story() -> None:
    """The issue: "called at any cap with the whole story and the ending reserve"."""
    play = at_a_cap(budget={"tokens": 1000})
    assert whys(play.last) == ["envelope", "no_plan_left", "ask", "publish"]
    [asked] = sent(play.last)
    assert (asked.agent, asked.hop) == ("o", 2)
    story = json.loads(asked.payload)["input"]
    assert (story["why"], story["kept"], story["spent"]["tokens"]) == (
        "no_plan_left",
        {"a": "A"},
        200,
    )
    assert [(each["step"], each["reason"]) for each in story["steps"]][1] == ("b", "no key")


def test_it_works_on_what_is_held_back_for_the_ending() -> None:
    """A task that ran dry can still be brought to an end."""
    play = Play(agent="a", owner="o", budget={"tokens": 1000})
    play.wake()
    play.answer(1, bad("nothing left"), tokens=900)
    [asked] = sent(play.last)
    assert asked.allowance.tokens == 50, "and a part is left for the judges after it"


@pytest.mark.parametrize("at_cap", list(AtCap))
def test_its_word_comes_before_the_policy(at_cap: AtCap) -> None:
    """The policy is for tasks without one."""
    play = at_a_cap(at_cap=at_cap)
    assert [each.agent for each in sent(play.last)] == ["o"]


def test_a_task_without_one_keeps_the_default_policy() -> None:
    """The issue: "The default policy stays for tasks without one"."""
    play = Play(plan=[step("a"), step("b", "a")])
    play.wake()
    play.answer(1, good("A"))
    play.answer(2, bad())
    assert (play.outcome, play.result()) == ("partial", {"a": "A"})


def test_the_hop_cap_does_not_stand_in_the_way_of_an_ending() -> None:
    """A question of the owner's is no transfer of control."""
    play = Play(agent="a", owner="o", hops_max=1).knows(a=("b",), b=())
    play.wake()
    [asked] = sent(play.answer(1, ask("b")))
    assert (asked.agent, asked.hop) == ("o", 1)
    assert play.task.ending is not None
    assert play.task.ending.why == "hop_cap"


# --- its three words -----------------------------------------------------------------------------


def test_complete_delivers_what_is_kept_if_it_passes_the_gate() -> None:
    """`complete`: the owner's word does not open the gate."""
    play = at_a_cap()
    decision = play.answer(3, says("complete", "half is enough"))
    assert note(decision, "last_word").text == "complete: half is enough"
    assert (play.outcome, play.result()) == ("partial", {"a": "A"})
    play = at_a_cap(confidence_min=0.95)
    play.answer(3, says("complete"))
    assert play.task.phase is Phase.ON_DESK


def test_complete_is_judged_by_the_validators() -> None:
    """The owner first, then the judges, on what it left of the ending reserve."""
    play = at_a_cap(validators=["v"])
    [asked] = sent(play.answer(3, says("complete")))
    assert asked.agent == "v"
    play.answer(4, good({"ok": True, "confidence": 0.8}))
    assert (play.outcome, play.task.confidence) == ("partial", 0.8)


def test_escalate_files_a_letter_with_its_reason() -> None:
    """`escalate`: a person, who is told what the owner agent thought."""
    play = at_a_cap()
    decision = play.answer(3, says("escalate", "ask ann for the key"))
    assert play.task.phase is Phase.ON_DESK
    assert note(decision, "escalate").text.endswith("no key; ask ann for the key")


def test_abort_ends_the_task_and_keeps_what_is_there() -> None:
    """`abort`: no answer, but nothing that was paid for is thrown away."""
    play = at_a_cap()
    play.answer(3, says("abort"))
    assert (play.outcome, play.task.stop_reason) == ("aborted", "no_plan_left")
    assert play.result() == {"a": "A"}


# --- anything else -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        says("perhaps"),
        says(["complete"]),
        says(None),
        good("complete"),
        good({"verdict": "complete"}),
        bad("out of tokens"),
        ask("a"),
        beg("question", text="shall I?"),
    ],
    ids=lambda said: f"{said.status}-{said.result or said.reason}",
)
def test_whatever_is_none_of_the_three_means_a_person(said: object) -> None:
    """The issue: "late, failed or senseless → escalate"."""
    play = at_a_cap()
    decision = play.answer(3, said)
    assert note(decision, "last_word").text.startswith("escalate: ")
    assert play.task.phase is Phase.ON_DESK
    assert sent(decision) == []


def test_a_late_word_is_no_word() -> None:
    """Its worker lives, beats and says nothing: then a person is asked, and its word is late."""
    play = at_a_cap()
    play.fetch(3)
    while play.task.phase is Phase.WORKING:
        play.beat(3)
        play.wake(after_ms=5_000)
    assert play.now_ms <= limits.LAST_WORDS_MS
    assert play.task.phase is Phase.ON_DESK
    assert whys(play.answer(3, says("complete"))) == ["late_envelope"]


def test_a_step_timeout_of_the_owner_agent_is_a_word_for_a_person() -> None:
    """It has a minute of the two that all last words have together."""
    play = at_a_cap()
    assert sent(play.last)[0].timeout_ms == limits.JUDGE_MS
    play.fetch(3)
    while play.open:
        play.beat(3)
        play.wake(after_ms=5_000)
    assert play.now_ms <= limits.JUDGE_MS + 5_000
    assert "last_word" in whys(play.last)
    assert play.task.phase is Phase.ON_DESK


def test_the_work_that_is_left_takes_nothing_of_what_the_ending_has() -> None:
    """The ending reserve is the owner's, however many steps could not be done."""
    plan = [step(f"s{n}", agent="a") for n in range(50)]
    play = Play(plan=plan, owner="o", budget={"tokens": 10_000}, timeout=60)
    play.wake()
    play.wake(*(play.report(number, bad(), 180) for number in range(1, 51)))
    [asked] = sent(play.last)
    assert (asked.agent, asked.allowance.tokens) == ("o", 500)


def test_a_message_nobody_fetches_does_not_hold_up_the_ending() -> None:
    """No worker runs the owner agent: a person is asked in time."""
    play = at_a_cap()
    play.wake(after_ms=limits.LAST_WORDS_MS)
    assert play.task.phase is Phase.ON_DESK
    assert "nobody had the last word in time" in note(play.last, "escalate").text
    assert play.open == []


def test_an_owner_agent_without_room_does_not_hold_up_the_ending() -> None:
    """Its breaker is open: it is waited for as long as for its word, and then a person is asked."""
    play = Play(agent="a", owner="o").sees("o", room=0, shut=True)
    play.wake()
    decision = play.answer(1, bad())
    assert sent(decision) == []
    assert play.task.rooms == ("o",)
    assert decision.alarm_ms == limits.LAST_WORDS_MS
    play.wake(after_ms=limits.LAST_WORDS_MS)
    assert play.task.phase is Phase.ON_DESK
    assert play.task.rooms == ()


def test_a_dead_owner_agent_is_asked_again_within_its_time() -> None:
    """A worker that dies has said nothing; a word is still to be had."""
    play = at_a_cap()
    play.fetch(3)
    [again] = sent(play.wake(after_ms=limits.LEASE_MS))
    assert again.agent == "o"
    play.answer(again.subtask, says("complete"))
    assert play.outcome == "partial"


def test_where_nothing_is_left_to_pay_it_a_person_is_asked() -> None:
    """An owner agent is not asked on money that is not there."""
    play = Play(agent="a", owner="o", budget={"tokens": 1000, "ending_share": 0})
    play.wake()
    decision = play.answer(1, bad(), tokens=1000)
    assert sent(decision) == []
    assert play.task.phase is Phase.ON_DESK
    assert "nothing is left to pay it with" in note(decision, "last_word").text


def test_it_is_asked_after_the_deadline_with_a_deadline_of_its_own() -> None:
    """The deadline is a cap like any other; its message would be expired before it was sent."""
    play = Play(agent="a", owner="o", timeout=60)
    play.wake()
    decision = play.wake(after_ms=60_000)
    [asked] = sent(decision)
    assert asked.deadline_ms == 60_000 + limits.LAST_WORDS_MS
    play.answer(asked.subtask, says("abort", "too late"))
    assert (play.outcome, play.task.stop_reason) == ("aborted", "deadline")


def test_a_caller_can_cancel_while_the_owner_agent_thinks() -> None:
    """A caller's wish to stop comes before everything that costs."""
    play = at_a_cap()
    play.cancel()
    assert (play.outcome, play.task.stop_reason) == ("aborted", "cancelled")


def test_it_is_asked_again_at_the_next_cap() -> None:
    """A person's retry makes it a task like any other: its earlier word was about earlier."""
    play = at_a_cap()
    play.answer(3, says("escalate"))
    [again] = sent(play.decide("retry"))
    [asked] = sent(play.answer(again.subtask, bad("still no key")))
    assert asked.agent == "o"
