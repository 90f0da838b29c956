"""Who does a step: a skill instead of a name, breakers that are open, rooms that are full.

The core sees of an agent what the shell saw: what it can do, how many more messages it may be sent,
and whether its breaker is open. Rules: `rerouted`, `no_such_skill`; commands: `Wait`, `Leave`.
"""

import pytest
from play import Play, bad, commands, good, note, sent, step, whys

from envelopes import Amounts, Envelope, Fault, Refused, limits
from orchestrator.core.commands import Leave, Served, Settle, Wait
from orchestrator.core.facts import Agent
from orchestrator.core.task import Phase, StepPhase


def able(**skills: tuple[str, ...]) -> Play:
    """Begin a task with one step that anybody who can dig may do."""
    return Play(plan=[{"id": "s", "skill": "dig"}]).skilled(**skills)


# --- skills --------------------------------------------------------------------------------------


def test_a_step_may_name_a_skill_instead_of_an_agent() -> None:
    """The issue: "steps may name a skill instead of an agent"."""
    play = able(a=("cut",), b=("dig", "cut"))
    [first] = sent(play.wake())
    assert first.agent == "b"


@pytest.mark.parametrize("fields", [{}, {"agent": "a", "skill": "dig"}], ids=["neither", "both"])
def test_a_step_names_one_of_the_two(fields: dict) -> None:
    """Somebody does it; nobody does it twice."""
    with pytest.raises(Refused, match='say either "agent" or "skill"'):
        Play(plan=[{"id": "s", **fields}])


def test_the_least_busy_of_the_skill_gets_it() -> None:
    """And by name where they are equally busy, so that it is never luck."""
    play = able(a=("dig",), b=("dig",), c=("dig",)).sees("a", in_flight=3).sees("b", in_flight=1)
    assert sent(play.sees("c", in_flight=1).wake())[0].agent == "b"


def test_a_broken_step_goes_to_another_agent_of_the_same_skill() -> None:
    """The issue: "re-planning prefers another agent of the same skill"."""
    play = able(a=("dig",), b=("dig",))
    play.wake()
    decision = play.answer(1, bad())
    assert whys(decision) == ["envelope", "next_agent", "publish"]
    assert [(each.agent, each.hop) for each in sent(decision)] == [("b", 2)]
    assert play.task.replans == 1


def test_a_named_agents_skills_find_its_stand_in() -> None:
    """Whoever can do all that it can may stand in for it; a declared fallback comes first."""
    agents = {"a": ("dig", "cut"), "b": ("dig",), "c": ("cut", "dig", "fly")}
    play = Play(plan=[step("s", agent="a", fallbacks=["z"])]).skilled(**agents)
    play.wake()
    assert sent(play.answer(1, bad()))[0].agent == "z"
    assert sent(play.answer(2, bad()))[0].agent == "c"
    assert "no_plan_left" in whys(play.answer(3, bad()))


def test_an_agent_without_skills_has_no_stand_in() -> None:
    """Nothing is known of what it can do."""
    play = Play(agent="a").skilled(a=(), b=("dig",), c=())
    play.wake()
    assert "no_plan_left" in whys(play.answer(1, bad()))


def test_an_unsure_answer_goes_to_another_of_the_skill() -> None:
    """Somebody else should try: the agent is unsure, and there is somebody else."""
    play = able(a=("dig",), b=("dig",))
    play.wake()
    decision = play.answer(1, good("a guess", 0.4))
    assert [each.agent for each in sent(decision)] == ["b"]
    play.answer(2, good("sure", 0.9))
    assert (play.outcome, play.result()) == ("completed", "sure")


def test_workers_may_start_after_the_caller() -> None:
    """Nobody has the skill yet: the step waits for as long as a message lies on its queue."""
    play = able()
    first = play.wake()
    assert (sent(first), first.alarm_ms) == ([], limits.PATIENCE_MS)
    play.skilled(a=("dig",))
    assert [each.agent for each in sent(play.wake(after_ms=limits.PATIENCE_MS - 1))] == ["a"]


def test_a_skill_that_nobody_has_breaks_the_step() -> None:
    """`no_such_skill`: then other plans and the owner follow, as for any broken step."""
    play = Play(plan=[{"id": "s", "skill": "dig"}], fallback_plans=[[step("z", agent="a")]])
    play.wake()
    decision = play.wake(after_ms=limits.PATIENCE_MS)
    assert note(decision, "no_such_skill").text == "no agent has the skill 'dig'"
    assert [each.agent for each in sent(decision)] == ["a"]


def test_a_fan_out_by_skill_is_spread_over_all_who_can() -> None:
    """The least busy, and what this very decision sends counts."""
    play = Play(plan=[{"id": f"s{n}", "skill": "dig"} for n in range(4)])
    play.skilled(a=("dig",), b=("dig",)).sees("b", room=1)
    assert [each.agent for each in sent(play.wake())] == ["a", "b", "a", "a"]


def test_a_step_that_anybody_may_do_waits_for_nobody_in_particular() -> None:
    """Nobody was sent it yet, so whoever has room when it is woken gets it."""
    play = able(a=("dig",), b=("dig",)).sees("a", room=0).sees("b", room=0)
    assert commands(play.wake(), Wait) == [Wait("a"), Wait("b")]
    play.sees("b", room=1)
    decision = play.wake()
    assert [each.agent for each in sent(decision)] == ["b"]
    assert commands(decision, Leave) == [Leave("a"), Leave("b")]
    assert [each.agent for each in sent(play.sees("a", room=1).answer(1, bad()))] == ["a"]


# --- breakers ------------------------------------------------------------------------------------


def test_nothing_is_sent_to_an_agent_whose_breaker_is_open() -> None:
    """The issue: "while open, steps are re-planned to others with the skill or wait"."""
    play = able(a=("dig",), b=("dig",)).sees("a", shut=True, room=0)
    assert [each.agent for each in sent(play.wake())] == ["b"]


def test_a_named_step_is_rerouted_before_it_is_sent() -> None:
    """`rerouted`: nothing was sent yet, so that is no hop and no new plan."""
    play = Play(agent="a").skilled(a=("dig",), b=("dig",)).sees("a", shut=True, room=0)
    decision = play.wake()
    assert note(decision, "rerouted").text == "the breaker of a is open; b does it"
    assert [(each.agent, each.hop) for each in sent(decision)] == [("b", 1)]
    assert play.task.replans == 0


def test_where_all_breakers_are_open_the_step_waits() -> None:
    """It waits in the agent's room, and is woken when the agent is back."""
    play = Play(agent="a").skilled(a=("dig",), b=("dig",))
    play.sees("a", shut=True, room=0).sees("b", shut=True, room=0)
    decision = play.wake()
    assert sent(decision) == []
    assert commands(decision, Wait) == [Wait("a")]
    assert play.task.phase is Phase.WORKING


def test_one_message_probes_whether_an_agent_is_back() -> None:
    """Half-open: room for one, and whoever can go elsewhere does."""
    play = Play(plan=[step("x", agent="a"), step("y", agent="a")])
    decision = play.sees("a", shut=True, room=1).wake()
    assert [each.step for each in sent(decision)] == ["x"]
    assert commands(decision, Wait) == [Wait("a")]


@pytest.mark.parametrize(
    ("envelope", "served"),
    [
        (good("wrong, but said"), Served.OK),
        (bad("no such page"), Served.OK),
        (Envelope.failed("ValueError", Fault.RAISED), Served.FAULT),
        (Envelope.failed("no envelope", Fault.CONTRACT), Served.FAULT),
        (Envelope.failed("too slow", Fault.TIMEOUT), Served.FAULT),
        (Envelope.failed("spent", Fault.BUDGET), Served.NOTHING),
        (Envelope.failed("no price", Fault.PRICE), Served.NOTHING),
        (Envelope.failed("told to go", Fault.STOPPED), Served.NOTHING),
    ],
    ids=lambda each: str(getattr(each, "reason", None) or each),
)
def test_faults_of_the_agent_count_and_verdicts_about_content_do_not(
    envelope: Envelope, served: Served
) -> None:
    """The issue: "a budget stop never opens a breaker"."""
    play = Play(agent="a")
    play.wake()
    assert commands(play.answer(1, envelope), Settle) == [Settle(1, "a", served, Amounts())]


def test_a_silent_worker_is_a_fault_and_a_message_nobody_fetched_is_none() -> None:
    """The agent had no chance where nobody ran it."""
    play = Play(agent="a")
    play.wake()
    play.fetch(1)
    lost = play.wake(after_ms=limits.LEASE_MS)
    assert commands(lost, Settle) == [Settle(1, "a", Served.FAULT, Amounts())]
    play.lose_message(2)
    gone = play.wake(after_ms=limits.PATIENCE_MS)
    assert commands(gone, Settle) == [Settle(2, "a", Served.NOTHING, Amounts())]


# --- rooms ---------------------------------------------------------------------------------------


def test_no_more_is_sent_than_there_is_room_for() -> None:
    """The issue: "per agent ... caps on what is in flight"."""
    play = Play(plan=[step(f"s{n}", agent="a") for n in range(5)]).sees("a", room=2)
    decision = play.wake()
    assert [each.step for each in sent(decision)] == ["s0", "s1"]
    assert commands(decision, Wait) == [Wait("a")]
    assert play.task.rooms == ("a",)


def test_a_task_that_waits_is_woken_and_leaves_the_room() -> None:
    """Waiting costs no polling: the next alarm is the deadline's."""
    play = Play(agent="a").sees("a", room=0)
    assert play.wake().alarm_ms == 600_000
    play.sees("a", room=1)
    decision = play.wake()
    assert (len(sent(decision)), commands(decision, Leave)) == (1, [Leave("a")])


def test_it_waits_once_however_often_it_is_woken() -> None:
    """The promise: "A wake without news changes nothing"."""
    play = Play(agent="a").sees("a", room=0)
    play.wake()
    assert play.wake().commands == ()


def test_steps_for_others_go_out_meanwhile() -> None:
    """A bulkhead: one full agent holds up nobody else."""
    play = Play(plan=[step("x", agent="a"), step("y", agent="b")]).sees("a", room=0)
    assert [each.agent for each in sent(play.wake())] == ["b"]


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_task_that_ends_waits_nowhere(how: str) -> None:
    """No task is forgotten in a room, and none that has ended is called in."""
    play = Play(agent="a").sees("a", room=0)
    play.wake()
    decision = play.cancel() if how == "cancelled" else play.wake(after_ms=600_000)
    assert commands(decision, Leave) == [Leave("a")]
    assert play.task.rooms == ()


def test_a_stranger_can_be_sent_to_all_the_same() -> None:
    """Nothing is known of an agent whose workers have not started: its message waits for them."""
    assert [each.agent for each in sent(Play(agent="a").wake())] == ["a"]
    assert Agent().room is None


# --- places of a tenant --------------------------------------------------------------------------


def test_a_task_that_is_not_admitted_sends_nothing() -> None:
    """The issue: "waiting tasks are admitted without polling": its alarm is its deadline."""
    play = Play(agent="a")
    play.admitted = False
    decision = play.wake()
    assert (decision.commands, decision.alarm_ms) == ((), 600_000)
    play.admitted = True
    assert len(sent(play.wake())) == 1


def test_a_task_that_is_never_admitted_ends_at_its_deadline() -> None:
    """Promise 3: "It always stops", also where it never began."""
    play = Play(agent="a")
    play.admitted = False
    play.wake()
    decision = play.wake(after_ms=600_000)
    assert "deadline" in whys(decision)
    assert play.task.phase is Phase.ON_DESK
    assert play.step("only").phase is StepPhase.WAITING
