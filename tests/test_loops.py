"""Going round in circles is noticed by counting facts, not by asking a model whether it is lost.

Four counts, each adjustable and each on by default: `repetition`, `same_answer`, `ping_pong`,
`stalled`.
"""

import pytest
from play import Play, ask, bad, beg, good, note, part, sent, step, whys

from envelopes import Envelope, Refused, limits
from envelopes.counted import counted
from orchestrator.core.loops import answer_fingerprint, fingerprint
from orchestrator.core.task import Phase


def handing(*agents: str, **fields: object) -> Play:
    """Begin a task at the first of these agents; each may hand over to every other."""
    others = {each: tuple(other for other in agents if other != each) for each in agents}
    play = Play(agent=agents[0], **fields).knows(**others)
    play.wake()
    return play


def hand_round(play: Play, *to: str) -> list[str]:
    """Let each holder hand over to the next, every time with something new to say."""
    said: list[str] = []
    for number, each in enumerate(to):
        if play.task.phase is not Phase.WORKING:
            break
        said += whys(play.answer(play.open[0], ask(each, input=number)))
    return said


# --- holders -------------------------------------------------------------------------------------


def test_two_agents_that_hand_a_step_to_and_fro_are_stopped_by_default() -> None:
    """The issue: "a window of the last 6 holders with fewer than 3 distinct → owner"."""
    assert (limits.HOLDERS_WINDOW, limits.HOLDERS_MIN) == (6, 3)
    play = handing("a", "b")
    said = hand_round(play, *"babababababab")
    assert "ping_pong" in said
    assert play.task.hop == 6
    text = note(play.last, "ping_pong").text
    assert text == "the last 6 holders were a → b → a → b → a → b, and a would be the next"


def test_a_third_holder_is_no_ping_pong() -> None:
    """Three that take turns may be a team; the hop cap still holds."""
    play = handing("a", "b", "c")
    said = hand_round(play, *"bcabcabcabcabc")
    assert "ping_pong" not in said
    assert (play.task.hop, "hop_cap" in said) == (12, True)


@pytest.mark.parametrize(
    "off", [{"holders_min": 0}, {"holders_window": 0}], ids=lambda off: next(iter(off))
)
def test_without_the_window_two_agents_stop_at_the_twelfth_hop(off: dict) -> None:
    """The issue: "stop at the 12th hop with the owner's decision and the best partial so far"."""
    play = handing("a", "b", **off)
    play.answer(
        1, Envelope.model_validate(ask("b").model_dump() | {"result": "x", "confidence": 0.8})
    )
    hand_round(play, *"abababababab")
    assert (play.task.hop, play.task.stop_reason) == (12, "hop_cap")
    assert (play.outcome, play.result()) == ("partial", "x")


def test_a_window_of_ones_own() -> None:
    """The issue: "both adjustable per task"."""
    play = handing("a", "b", holders_window=4, holders_min=3)
    hand_round(play, *"babababab")
    assert play.task.hop == 4


def test_a_lost_worker_has_handed_nothing_over() -> None:
    """Its step is sent again at the same hop: that is one holder, not two."""
    play = handing("a", "b", holders_window=3, holders_min=2)
    for _ in range(2):
        play.fetch(play.open[0])
        play.wake(after_ms=limits.LEASE_MS)
    assert play.step("only").holders == ("a",)


# --- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [2, 3, 4])
def test_the_same_message_so_often_is_the_owners(most: int) -> None:
    """The issue: "Repetition of (agent, normalised payload) 3x → owner", adjustable per task."""
    play = handing("a", "b", repeat_max=most, holders_min=0)
    said: list[str] = []
    while "repetition" not in said:
        to = "b" if play.published[play.open[0]].agent == "a" else "a"
        said += whys(play.answer(play.open[0], ask(to, goal="find out")))
    assert len([each for each in play.published.values() if each.agent == "a"]) == most - 1
    before = f"after {counted(most - 1, 'hop')} before"
    assert f"a was about to get the same payload again, {before}" in (
        note(play.last, "repetition").text
    )


def test_repetition_can_be_switched_off() -> None:
    """Then the hop cap is what ends it."""
    play = handing("a", "b", repeat_max=0, holders_min=0)
    for number in range(12):
        play.answer(number + 1, ask("b" if number % 2 == 0 else "a", goal="find out"))
    assert play.task.letter is not None
    assert play.task.letter.why == "hop_cap"


def test_once_is_no_loop() -> None:
    """A bound that the first message would break is refused."""
    with pytest.raises(Refused, match="no repetition"):
        Play(repeat_max=1)


def test_punctuation_case_and_spacing_make_no_new_message() -> None:
    """Normalised: a model that says it again in other words is another matter."""
    assert fingerprint("a", "Find   OUT!") == fingerprint("a", "find out")
    assert fingerprint("a", "find out") != fingerprint("b", "find out")
    assert fingerprint("a", "ﬁnd out") == fingerprint("a", "find out")
    assert fingerprint("a", "x") != answer_fingerprint("a", "x")


# --- answers -------------------------------------------------------------------------------------


def test_the_same_answer_over_and_over_stops_at_the_third() -> None:
    """The issue: "the same answer 58 times in a row stops at the third"."""
    play = Play(manager="m", replans_max=20, hops_max=100).knows(m=(), a=())
    play.wake()
    asked = 0
    while play.task.phase is Phase.WORKING and asked < 58:
        asked += 1
        play.answer(play.open[0], beg("delegate", steps=[step("x", agent="a", goal=f"go {asked}")]))
        play.answer(play.open[0], good("I cannot access the file."))
    assert asked == 3
    assert note(play.last, "same_answer").text == "a has given the same answer at 3 hops"


def test_an_answer_is_the_same_whatever_its_punctuation() -> None:
    """Normalised as messages are."""
    play = handing("a", "b", holders_min=0)
    said: list[str] = []
    for number, text in enumerate(["Not mine.", "", "NOT MINE", "", "not  mine!"]):
        to, mine = ("b", {"result": text, "confidence": 0.5}) if text else ("a", {})
        envelope = ask(to, input=number).model_dump() | mine
        said += whys(play.answer(play.open[0], Envelope.model_validate(envelope)))
    assert said.count("same_answer") == 1
    assert play.task.hop == 5


def test_a_plan_may_ask_for_the_same_short_answer_many_times() -> None:
    """Who declared ten steps that all answer "ok" meant it."""
    steps = [step(f"s{n}", *([f"s{n - 1}"] if n else []), agent="a") for n in range(10)]
    play = Play(plan=steps)
    play.wake()
    for number in range(1, 11):
        play.answer(number, good("ok"))
    assert play.outcome == "completed"


def test_a_fan_out_that_answers_alike_is_no_loop() -> None:
    """Counted once per hop: ten equal answers of one round are one."""
    play = Play(manager="m").knows(m=(), a=())
    play.wake()
    play.answer(1, beg("delegate", steps=[step(f"s{n}", agent="a") for n in range(10)]))
    for number in range(2, 12):
        play.answer(number, good("ok"))
    assert [play.published[each].agent for each in play.open] == ["m"]


# --- stalls --------------------------------------------------------------------------------------


def stall(play: Play) -> list[str]:
    """Let whoever holds the step hand it over with nothing new but words."""
    [subtask] = play.open
    to = "b" if play.published[subtask].agent == "a" else "a"
    said = ask(to, input=subtask).model_copy(update={"progress": False})
    return whys(play.answer(subtask, said))


def test_three_answers_without_progress_change_the_plan_and_then_the_owner_judges() -> None:
    """DESIGN 6: "at 3 → re-plan, then owner"."""
    play = Play(agent="a", fallback_plans=[[step("z", agent="a", goal="anew")]])
    play.knows(a=("b",), b=("a",)).wake()
    said = [why for _ in range(6) for why in stall(play)]
    assert said.count("unstuck") == 1
    assert "next_plan" in said
    assert said.index("unstuck") < said.index("stalled")
    assert play.task.letter is not None
    assert play.task.letter.why == "stalled"


def test_without_another_plan_stalls_go_to_the_owner_at_once() -> None:
    """There is nobody to plan anew."""
    play = handing("a", "b")
    for _ in range(3):
        stall(play)
    assert "3 answers more without progress than with it" in note(play.last, "stalled").text


def test_a_planner_is_asked_when_nothing_moves() -> None:
    """What is tried instead is the planner's to say, where there is one."""
    play = Play(plan=[step("x", agent="a")], planner="p", stalls_max=1)
    play.knows(a=("b",), b=("a",), p=()).wake()
    assert "unstuck" in stall(play)
    assert [each.agent for each in sent(play.last)] == ["p"]


def test_stalls_can_be_switched_off() -> None:
    """0 for never."""
    play = handing("a", "b", stalls_max=0, holders_min=0)
    for _ in range(5):
        stall(play)
    assert play.task.stalls == 5
    assert play.task.phase is Phase.WORKING


def test_an_answer_that_came_before_is_no_progress() -> None:
    """Digests of results: whoever says nothing of progress is known by what it says."""
    play = Play(agent="a", stalls_max=9).knows(a=("b",), b=("a",))
    play.wake()
    counts = []
    for number, text in enumerate(["x", "y", "x", "z"]):
        to = "b" if number % 2 == 0 else "a"
        envelope = ask(to, input=number).model_dump() | {"result": text, "confidence": 0.5}
        play.answer(number + 1, Envelope.model_validate(envelope))
        counts.append(play.task.stalls)
    assert counts == [0, 0, 1, 0]


def test_a_declared_step_that_is_done_is_progress() -> None:
    """Whatever it says of itself: the plan has moved."""
    play = Play(plan=[step("a"), step("b", "a")])
    play.wake()
    play.answer(1, good("A").model_copy(update={"progress": False}))
    assert play.task.stalls == 0


def test_what_a_failed_or_partial_answer_says_of_progress_counts() -> None:
    """A part that brings nothing is a stall, one that brings something takes one back."""
    play = Play(plan=[step("a", fallbacks=["b", "c"])])
    play.wake()
    play.answer(1, bad().model_copy(update={"progress": False}))
    assert play.task.stalls == 1
    play.answer(2, part().model_copy(update={"progress": True}))
    assert play.task.stalls == 0


def test_the_counters_begin_anew_when_a_person_lets_it_go_on() -> None:
    """A person may repeat a plan, and the loops' counts start anew."""
    play = handing("a", "b")
    for _ in range(3):
        stall(play)
    assert play.task.letter is not None
    play.decide("retry")
    assert (play.task.stalls, play.task.unstuck, play.task.circling) == (0, False, None)
    assert play.step("only").holders in {(), ("a",), ("b",)}
