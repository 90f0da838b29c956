"""What must hold of every task at every decision, checked from the outside.

Each check is one promise. It looks at the task, the commands and the journal of one decision, and
at the books that a life has kept (life.py); it never asks the core's own arithmetic.
"""

import json
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import event

from envelopes import Amounts, Fault, Status
from orchestrator.core import state
from orchestrator.core.commands import Conclude, Decision, Escalate, Publish, Served, Settle
from orchestrator.core.facts import ClaimState
from orchestrator.core.task import Phase, StepPhase, Task

if TYPE_CHECKING:
    from life import Life

DIMENSIONS = ("tokens", "usd_micros", "calls")
WORKERS_FAULTS = (Fault.RAISED, Fault.CONTRACT, Fault.TIMEOUT, Fault.LOST)
JUDGES = ("predicate", "validator", "owner")
ENDING = (*JUDGES, "synthesis")
BY_HAND = ("decided", "nobody_decided")


def check(life: "Life", before: Task, decision: Decision) -> None:
    """Check one decision against everything that was promised of it."""
    check_books(life, decision)
    check_ending_reserve(decision)
    check_caps(decision)
    check_hops(before, decision)
    check_rooms(life, decision)
    check_judges(life, decision)
    check_served(life, decision)
    check_standing(life, decision)
    check_ends(life, before, decision)
    check_record(life, before, decision)


def part_of(step: str) -> str:
    """Say what a step is for, by its name; steps of a plan are for the work."""
    return step[1:].partition(".")[0] if step.startswith("_") else "work"


def published(decision: Decision) -> list[Publish]:
    return [each for each in decision.commands if isinstance(each, Publish)]


# --- money ---------------------------------------------------------------------------------------


def check_books(life: "Life", decision: Decision) -> None:
    """Invariants 3 and 4, in every dimension, at the decision and at every line of its journal."""
    ledger = decision.task.ledger
    still_open = [life.allowed[n] for n in life.allowed if n not in life.settled]
    for name in DIMENSIONS:
        ceiling = getattr(ledger.ceiling, name)
        assert getattr(ledger.reserved, name) == sum(getattr(a, name) or 0 for a in still_open)
        for books in (ledger, *decision.notes):
            spent, reserved = getattr(books.spent, name), getattr(books.reserved, name)
            assert spent >= 0
            assert reserved >= 0
            assert ceiling is None or spent + reserved <= ceiling
    for note in decision.notes:
        if note.charged is not None and note.subtask is not None:
            event(f"charged by {note.why}")
    assert {step.open.subtask for step in decision.task.steps if step.open} == {
        n for n in life.allowed if n not in life.settled
    }


def check_ending_reserve(decision: Decision) -> None:
    """Intake: "only the owner, the gate and synthesis may use" what is held back."""
    for each in published(decision):
        if part_of(each.step) in ENDING:
            continue
        for name in DIMENSIONS:
            ceiling = getattr(each.ledger.ceiling, name)
            taken = getattr(each.ledger.spent + each.ledger.reserved, name)
            assert ceiling is None or taken + getattr(each.ledger.ending, name) <= ceiling


# --- caps ----------------------------------------------------------------------------------------


def check_caps(decision: Decision) -> None:
    """Invariant 7: nothing goes out beyond a cap, and never an empty allowance.

    Judges are no work, and a task that has published all it may can still be brought to an end. A
    plan of an agent's that was refused counts as a re-plan; the one beyond the cap is the last.
    """
    task = decision.task
    made_by_agents = task.terms.planner is not None or task.terms.manager is not None
    assert task.hop <= task.hops_max
    assert task.replans <= task.terms.replans_max + made_by_agents
    for each in published(decision):
        assert 1 <= each.hop <= task.hops_max
        assert not each.allowance.empty
        assert each.attempt >= 1
        assert each.subtask <= task.terms.subtasks_max or part_of(each.step) in JUDGES


def check_hops(before: Task, decision: Decision) -> None:
    """The hop of a message is the hop of its cause plus one: of its needs, or of its last try."""
    hops = {step.plan.id: step.hop for step in (*before.steps, *decision.task.steps)}
    for each in published(decision):
        assert each.hop <= before.hop + 1
        if part_of(each.step) not in ("work", "synthesis"):
            assert each.hop >= before.hop, "a question has the hop of what it is about"
            continue
        step = next(s for s in decision.task.steps if s.plan.id == each.step)
        old = next((s for s in before.steps if s.plan.id == each.step), None)
        stage = 1 + max((hops[need] for need in step.plan.needs), default=0)
        assert each.hop >= stage
        if before.layout != decision.task.layout:
            event("hop of a new plan")
        elif old is not None and old.hop:
            assert each.hop in {old.hop, old.hop + 1, stage}
        else:
            assert each.hop == max(stage, old.next_hop if old else 0)


def check_rooms(life: "Life", decision: Decision) -> None:
    """Nothing goes to who has no room, nothing at all without a place; it waits, and only there."""
    sent = published(decision)
    assert life.admitted or not sent
    for agent, many in Counter(each.agent for each in sent).items():
        room = life.agents[agent].room
        assert room is None or many <= room
    assert life.rooms == set(decision.task.rooms)
    if decision.task.phase is not Phase.WORKING:
        assert not life.rooms
    for agent in life.rooms:
        event(f"waits for {agent}")


# --- judges --------------------------------------------------------------------------------------


def makers(task: Task) -> set[str]:
    """Return who made part of what there is."""
    steps = (step for step in task.steps if part_of(step.plan.id) in ("work", "synthesis"))
    return {step.kept.agent for step in steps if step.kept} | {task.terms.manager or ""}


def check_judges(life: "Life", decision: Decision) -> None:
    """The gate: "validator agents that are never the producer of what they judge"."""
    for each in published(decision):
        if part_of(each.step) == "validator":
            assert each.agent not in makers(decision.task)
    for step in decision.task.steps:
        assert step.plan.role.makes_the_result == (part_of(step.plan.id) in ("work", "synthesis"))


def verdicts_on(life: "Life", result: str) -> list[tuple[str, bool, float]]:
    """Return what was really said of this result: (by whom, ok, how sure)."""
    found = []
    for subtask, envelope in life.said.items():
        asked = life.published[subtask]
        if part_of(asked.step) != "validator" or envelope.status is not Status.SUCCESS:
            continue
        shown = json.loads(asked.payload)["input"]["result"]
        match envelope.result:
            case {"ok": bool(ok), "confidence": float(sure) | int(sure)}:
                if shown == json.loads(result):
                    found.append((asked.agent, ok, sure))
    return found


def check_verdicts(life: "Life", task: Task) -> None:
    """A result that left passed every judge, and is at most as sure as any of them lets it be."""
    assert task.result is not None
    assert task.confidence is not None
    said = verdicts_on(life, task.result)
    for name in task.terms.validators:
        allowed = [sure if ok else 1 - sure for by, ok, sure in said if by == name]
        assert allowed, f"{name} has judged it"
        assert task.confidence <= max(allowed)
    if task.terms.validators:
        event("left past its judges")


def check_served(life: "Life", decision: Decision) -> None:
    """Faults of the agent count, verdicts about content do not; a budget stop never does."""
    for each in decision.commands:
        if not isinstance(each, Settle) or each.subtask not in life.said:
            continue
        fault = life.said[each.subtask].fault
        wanted = Served.FAULT if fault in WORKERS_FAULTS else Served.NOTHING
        assert each.served is (Served.OK if fault is None else wanted)
        assert each.agent == life.published[each.subtask].agent


# --- standing and ending -------------------------------------------------------------------------


def check_standing(life: "Life", decision: Decision) -> None:
    """Invariant 9: what has not ended has an alarm; on the desk nothing is open; ends are clean."""
    task = decision.task
    assert (decision.alarm_ms is None) == (task.phase is Phase.DONE)
    assert (task.letter is not None) == (task.phase is Phase.ON_DESK)
    assert (task.outcome is not None) == (task.phase is Phase.DONE)
    if task.phase is not Phase.WORKING:
        assert task.ledger.reserved == Amounts()
        assert life.open == []
        assert task.ending is None
    for step in task.steps:
        assert (step.open is not None) == (step.phase is StepPhase.OPEN)
        assert (step.ask is not None) == (step.phase is StepPhase.ASKING)
        assert step.phase is not StepPhase.DONE or step.kept is not None
    check_in_time(life, task)


def check_in_time(life: "Life", task: Task) -> None:
    """A deadline is no suggestion, and nobody's last word is waited for without end.

    A worker whose report lies in mail that this wake has not read is waited for, until the next.
    """
    if task.phase is not Phase.WORKING:
        return
    if any(life.claims[subtask].state is ClaimState.REPORTED for subtask in life.open):
        return
    if task.ending is None:
        assert life.now_ms < task.deadline_ms
        return
    assert life.now_ms < task.ending.due_ms
    doing = {part_of(life.published[subtask].step) for subtask in life.open}
    assert doing <= set(JUDGES), "nothing new is begun, and nothing goes on, once a cap was hit"
    event("somebody has the last word")


def check_ends(life: "Life", before: Task, decision: Decision) -> None:
    """One outcome, said once; nothing below the bar without a person; one letter at a time."""
    task = decision.task
    ends = [each.outcome for each in decision.commands if isinstance(each, Conclude)]
    assert len(ends) == (before.phase is not Phase.DONE and task.phase is Phase.DONE)
    if before.phase is Phase.DONE:
        assert decision == Decision(before, (), (), None)
    if ends:
        event(f"{ends[0]}: {(task.stop_reason or '').partition(':')[0]}")
        assert ends[0] == "aborted" or task.result is not None
        if ends[0] != "aborted" and not (task.stop_reason or "").startswith(BY_HAND):
            check_passed(life, task)
    letters = [each for each in decision.commands if isinstance(each, Escalate)]
    assert len(letters) == task.letters - before.letters
    assert len(letters) <= 1


def check_passed(life: "Life", task: Task) -> None:
    """Promise 8: "A result passes the gate or goes to a person"."""
    assert task.result is not None
    assert task.confidence is not None
    assert task.confidence >= task.terms.confidence_min
    claimed = [each.confidence for each in life.said.values() if each.confidence is not None]
    assert task.confidence <= max(claimed), "nobody's word makes it surer than its makers are"
    result = json.loads(task.result)
    if task.terms.result_schema is not None:
        assert isinstance(result, dict | int)
    if task.terms.predicates and isinstance(result, dict):
        assert result.get("bad") != 1
    check_verdicts(life, task)


def check_record(life: "Life", before: Task, decision: Decision) -> None:
    """What is written is what is read; what did not change is not written."""
    task = decision.task
    whole, dropped = state.write(None, task)
    assert dropped == ()
    assert state.read(task.id, task.accepted_ms, life.asked, whole) == task
    fields, dropped = state.write(before, task)
    old, _ = state.write(None, before)
    merged = {name: raw for name, raw in (old | fields).items() if name not in dropped}
    assert merged == whole
    assert not (before is task and fields)
