"""What becomes of a letter on the desk: a person decides it, or nobody does in time.

The first decision wins, and the task's owner acts on it: it delivers, ends the task, or lets it go
on with what was granted. What goes on begins anew: a person may repeat a plan, loops are counted
from nothing, and the time on the desk was not the task's.

Not here: what brings a task to the desk (owner.py), which decisions make sense (absorb.py).
"""

from msgspec.structs import replace

from envelopes import limits
from envelopes.decision import Verb
from orchestrator.core import again, planner, replan, services, story
from orchestrator.core.commands import CloseLetter, Granted, Judged, Look
from orchestrator.core.owner import conclude
from orchestrator.core.result import last_steps
from orchestrator.core.task import Answered, Asked, Composed, Decided, Outcome, Phase, StepPhase
from orchestrator.core.turn import Turn

NOBODY = "nobody"
"""Who decides when the due time has passed."""


def decided(turn: Turn) -> Look | None:
    """Do what a person said."""
    task, decision = turn.task, turn.task.decision
    assert decision is not None
    assert task.letter is not None
    why = f"decided: {decision.verb} by {decision.by}"
    _close(turn, decision.verb, decision.by, decision.why, decision)
    match decision.verb:
        case Verb.APPROVE:
            return _approve(turn, why)
        case Verb.AMEND:
            assert decision.result is not None
            amended = Composed(decision.result, 1.0, whole=True)
            return conclude(turn, Outcome.COMPLETED, why, amended)
        case Verb.ABORT:
            return conclude(turn, Outcome.ABORTED, why, turn.result())
        case Verb.ANSWER:
            _answer(turn)
            return None
        case Verb.RETRY | Verb.REASSIGN:
            _retry(turn)
            return None
        case Verb.REPLAY | Verb.DISCARD:
            raise AssertionError("said of a message, never of a task: see absorb.py")


def nobody_decided(turn: Turn) -> Look | None:
    """Apply the declared default: the due time has passed."""
    default = story.if_nobody_decides(turn)
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


def _close(turn: Turn, verb: Verb, by: str, why: str, decision: Decided | None = None) -> None:
    letter = turn.task.letter
    assert letter is not None
    decided_as, said = (decision.decided_as, _said(decision)) if decision else ("", "")
    judged = () if by == NOBODY else _judged(turn, verb)
    turn.commands.append(CloseLetter(letter.id, verb, by, why, decided_as, judged, said))
    turn.note("decided", f"{verb} by {by}: {why}".rstrip(": "))


def _said(decision: Decided) -> str:
    """Write what came with a decision, for whoever reads the letter later."""
    more = decision.more
    amounts = {"tokens": more.tokens, "micro-dollars": more.usd_micros, "calls": more.calls}
    added = {**amounts, "hops": decision.hops, "ms": decision.time_ms}
    given = [decision.answer, decision.result, decision.agent and f"to {decision.agent}"]
    given += [f"{figure:,} more {name}" for name, figure in added.items() if figure]
    text = ", ".join(part for part in given if part)
    return text[: limits.REASON_CHARS_MAX]


def _judged(turn: Turn, verb: Verb) -> tuple[Judged, ...]:
    """Say what a person's decision says of the agents that made what was on the desk."""
    if verb not in {Verb.APPROVE, Verb.AMEND, Verb.ABORT} or turn.result() is None:
        return ()
    ends = last_steps([step for step in turn.steps if step.plan.role.makes_the_result])
    return tuple(
        Judged(step.kept.agent, step.kept.confidence, verb is Verb.APPROVE)
        for step in ends
        if step.kept is not None
    )


def question(turn: Turn) -> int | None:
    """Return where the step stands whose agent has asked a person, or None."""
    steps = turn.steps
    asking = (p for p in turn.places(StepPhase.ASKING) if services.asks_a_person(steps[p]))
    return next(asking, None)


def question_on_desk(turn: Turn) -> int | None:
    """Return whose question the open letter is; one that came to a cap asks for something else."""
    letter = turn.task.letter
    return question(turn) if letter is not None and letter.why == "question" else None


def _answer(turn: Turn) -> None:
    """Let the step that asked go on with the answer, under a new id."""
    place, decision = question_on_desk(turn), turn.task.decision
    assert place is not None
    assert decision is not None
    step = turn.steps[place]
    assert isinstance(step.ask, Asked)
    answer = Answered(step.ask.text, decision.answer or "")
    turn.set_step(
        place,
        phase=StepPhase.WAITING,
        ask=None,
        answers=(*step.answers, answer),
        next_hop=step.hop + 1,
    )
    turn.note("answered", f"{decision.by}: {answer.answer}", step)
    _back_from_the_desk(turn)


def _retry(turn: Turn) -> None:
    """Go on with what was granted. A person may repeat a plan; a loop's count starts anew."""
    task, decision = turn.task, turn.task.decision
    assert decision is not None
    _set_out_again(turn, decision)
    _grant(turn, decision)
    _back_from_the_desk(turn, decision.time_ms)
    if task.plan_fingerprints:
        turn.change(plan_fingerprints=())
        replan.remember(turn)
    granted = Granted(turn.task.ledger.ceiling, turn.task.hops_max, turn.task.deadline_ms)
    whom = f" with {decision.agent}" if decision.agent else ""
    turn.note("granted", f"{decision.by} lets the task go on{whom}", granted=granted)
    if not turn.steps and task.terms.planner is not None:
        planner.ask_planner(turn, "plan")  # the first one is no re-plan, however often it is asked


def _set_out_again(turn: Turn, decision: Decided) -> None:
    """Let what is to run again wait for its agent, or for the one that the person names."""
    for place in again.to_reassign(turn) if decision.agent else again.to_run_again(turn):
        step = turn.steps[place]
        agent = decision.agent or step.agent
        turn.set_step(
            place,
            phase=StepPhase.WAITING,
            agent=agent,
            ask=None,
            next_hop=step.hop + 1,
            lost=0,
            tried=(agent,),
            kept=step.kept and replace(step.kept, final=False),
        )
    for place, step in enumerate(turn.steps):
        if step.trail or step.holders:
            turn.set_step(place, trail=(), holders=())


def _grant(turn: Turn, decision: Decided) -> None:
    """Raise what may be used, and count anew what has led to the desk."""
    task = turn.task
    turn.change(
        ledger=task.ledger.raised(decision.more),
        hops_max=min(task.hops_max + decision.hops, limits.HOPS_EVER_MAX),
        past=(),
        replans=0,
        stalls=0,
        unstuck=False,
        circling=None,
        satisfied=False,
        advice=decision.why,
    )


def _back_from_the_desk(turn: Turn, more_ms: int = 0) -> None:
    """Go on: the time on the desk was not the task's."""
    task = turn.task
    assert task.letter is not None
    left_ms = max(0, task.deadline_ms - task.letter.filed_ms)
    turn.change(
        phase=Phase.WORKING,
        letter=None,
        decision=None,
        deadline_ms=turn.now_ms + left_ms + more_ms,
    )
