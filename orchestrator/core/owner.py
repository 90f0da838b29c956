"""How a task ends, and what a cap leads to.

The owner of every task is the orchestrator. At a cap its policy is, from where the caller lets it
begin: deliver what is kept if that passes the gate, else ask a person, else abort. Before any
ending the claims of open subtasks are taken away, so that the books are exact and nobody can spend
on a task that has ended.
"""

from typing import Any

import msgspec

from envelopes import AtCap, limits
from envelopes.decision import Verb
from orchestrator.core import gate
from orchestrator.core.commands import CloseLetter, Conclude, Escalate, Granted, Look
from orchestrator.core.result import plan_is_done
from orchestrator.core.task import (
    Composed,
    Letter,
    Outcome,
    Phase,
    StepPhase,
    StepState,
    Task,
)
from orchestrator.core.turn import Turn

NOBODY = "nobody"
"""Who decides when the due time has passed."""


def revoke_all(turn: Turn) -> Look | None:
    """Ask for the claims of all open subtasks to be taken away."""
    opened = turn.open_subtasks()
    return turn.look(revoke=opened) if opened else None


def judge(turn: Turn, why: str, text: str) -> Look | None:
    """Decide what becomes of a task that cannot go on."""
    if look := revoke_all(turn):
        return look
    turn.note(why, text)
    at_cap = turn.task.terms.at_cap
    if at_cap is AtCap.DELIVER:
        result = turn.result()
        refused = gate.refusal(turn.task, result)
        if refused is None:
            return conclude(turn, Outcome.PARTIAL, why, result)
        turn.note("below_the_bar", refused)
        text = text if refused in text else f"{text}; not delivered: {refused}"
    if at_cap is AtCap.ABORT:
        return conclude(turn, Outcome.ABORTED, why, turn.result())
    escalate(turn, why, text)
    return None


def finish(turn: Turn, crossed: str) -> Look | None:
    """End a task that crossed its finish line, through the gate."""
    if look := revoke_all(turn):
        return look
    result = turn.result()
    refused = gate.refusal(turn.task, result)
    if refused is not None:
        return judge(turn, "gate", f"{crossed}, but {refused}")
    assert result is not None
    return conclude(turn, Outcome.COMPLETED if result.whole else Outcome.PARTIAL, crossed, result)


def conclude(turn: Turn, outcome: Outcome, why: str, result: Composed | None) -> Look | None:
    """End a task. What is kept goes with every outcome; only an aborted one is no answer."""
    if look := revoke_all(turn):
        return look
    assert turn.task.ledger.reserved == type(turn.task.ledger.reserved)()
    turn.change(
        phase=Phase.DONE,
        outcome=outcome,
        stop_reason=why,
        result=None if result is None else result.result,
        confidence=None if result is None else result.confidence,
        letter=None,
        decision=None,
    )
    turn.commands.append(Conclude(outcome))
    turn.note("conclude", f"{outcome}: {why}", confidence=turn.task.confidence)
    return None


# --- the desk ----------------------------------------------------------------------------------


def escalate(turn: Turn, why: str, text: str) -> None:
    """File a dead letter and wait for a person."""
    task = turn.task
    number = task.letters + 1
    letter = Letter(
        id=f"{task.id}.{number}",
        why=why,
        filed_ms=turn.now_ms,
        due_ms=turn.now_ms + task.terms.desk_timeout_ms,
    )
    turn.change(phase=Phase.ON_DESK, letter=letter, letters=number)
    poisoned = any(step.lost >= limits.LOST_MAX for step in turn.steps)
    kind = "poison" if poisoned else "escalation"
    turn.commands.append(Escalate(letter.id, text, kind, letter.due_ms, _story(turn, why, text)))
    turn.note("escalate", text)


def _story(turn: Turn, why: str, text: str) -> str:
    """Write what a person needs to decide, in one page."""
    task = turn.task
    result = turn.result()
    verbs = [verb for verb in Verb if verb is not Verb.APPROVE or result is not None]
    story: dict[str, Any] = {
        "why": why,
        "text": text,
        "goals": list(dict.fromkeys(step.goal for step in turn.steps))[:5],
        "spent": task.ledger.spent,
        "ceiling": task.ledger.ceiling,
        "hop": task.hop,
        "hops_max": task.hops_max,
        "kept": None if result is None else msgspec.Raw(result.result.encode()),
        "confidence": None if result is None else result.confidence,
        "steps": [
            {"step": s.plan.id, "agent": s.agent, "phase": s.phase, "reason": s.reason}
            for s in turn.steps[:100]
        ],
        "allowed": verbs,
        "if_nobody_decides": task.terms.desk_default,
    }
    return msgspec.json.encode(story).decode()


def decided(turn: Turn) -> Look | None:
    """Do what a person said."""
    task, decision = turn.task, turn.task.decision
    assert decision is not None
    assert task.letter is not None
    why = f"decided: {decision.verb} by {decision.by}"
    _close(turn, decision.verb, decision.by, decision.why)
    match decision.verb:
        case Verb.APPROVE:
            return _approve(turn, why)
        case Verb.AMEND:
            assert decision.result is not None
            amended = Composed(decision.result, 1.0, whole=True)
            return conclude(turn, Outcome.COMPLETED, why, amended)
        case Verb.ABORT:
            return conclude(turn, Outcome.ABORTED, why, turn.result())
        case Verb.RETRY:
            _retry(turn)
            return None


def nobody_decided(turn: Turn) -> Look | None:
    """Apply the declared default: the due time has passed."""
    task = turn.task
    default = Verb(task.terms.desk_default)
    if turn.result() is None:
        default = Verb.ABORT
    _close(turn, default, NOBODY, "the due time has passed")
    if default is Verb.APPROVE:
        return _approve(turn, "nobody_decided")
    return conclude(turn, Outcome.ABORTED, "nobody_decided", turn.result())


def close_letter(turn: Turn, why: str) -> None:
    """Take the letter of a task that ends without a person's word off the desk."""
    if turn.task.letter is not None:
        _close(turn, Verb.ABORT, NOBODY, why)


def _approve(turn: Turn, why: str) -> Look | None:
    result = turn.result()
    assert result is not None
    return conclude(turn, Outcome.COMPLETED if result.whole else Outcome.PARTIAL, why, result)


def _close(turn: Turn, verb: Verb, by: str, why: str) -> None:
    letter = turn.task.letter
    assert letter is not None
    turn.commands.append(CloseLetter(letter.id, verb, by, why))
    turn.note("decided", f"{verb} by {by}: {why}".rstrip(": "))


def _retry(turn: Turn) -> None:
    """Go on with what was granted. A person may repeat a plan; a loop's count starts anew."""
    task, decision, letter = turn.task, turn.task.decision, turn.task.letter
    assert decision is not None
    assert letter is not None
    left_ms = max(0, task.deadline_ms - letter.filed_ms)
    for place in _to_run_again(turn):
        step = turn.steps[place]
        turn.set_step(
            place,
            phase=StepPhase.WAITING,
            next_hop=step.hop + 1,
            lost=0,
            tried=(step.agent,),
            kept=step.kept and msgspec.structs.replace(step.kept, final=False),
        )
    for place, step in enumerate(turn.steps):
        if step.trail:
            turn.set_step(place, trail=())
    turn.change(
        phase=Phase.WORKING,
        letter=None,
        decision=None,
        ledger=task.ledger.raised(decision.more),
        hops_max=min(task.hops_max + decision.hops, limits.HOPS_EVER_MAX),
        deadline_ms=turn.now_ms + left_ms + decision.time_ms,
        past=(),
        replans=0,
    )
    granted = Granted(turn.task.ledger.ceiling, turn.task.hops_max, turn.task.deadline_ms)
    turn.note("granted", f"{decision.by} lets the task go on", granted=granted)


def _to_run_again(turn: Turn) -> list[int]:
    """Return the steps that a person's retry sends out again: those that broke.

    Where the plan is done and yet not good enough, none did: then it is the weakest links, and all
    that was built on them.
    """
    steps = turn.steps
    if not plan_is_done(steps):
        return list(turn.places(StepPhase.BROKEN))
    done = [steps[place] for place in turn.places(StepPhase.DONE)]
    again = _weakest_links(turn.task, done)
    grown = 0
    while len(again) > grown:
        grown = len(again)
        again |= {step.plan.id for step in done if not again.isdisjoint(step.plan.needs)}
    return [place for place in turn.places(StepPhase.DONE) if steps[place].plan.id in again]


def _weakest_links(task: Task, done: list[StepState]) -> set[str]:
    sure = {step.plan.id: step.kept.confidence for step in done if step.kept is not None}
    weakest = min(sure.values(), default=0.0)
    bar = task.terms.confidence_min
    return {name for name, one in sure.items() if one < bar or one == weakest}
