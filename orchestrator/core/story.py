"""What a letter tells: all that a person, or an owner agent, needs to decide, on one page.

What was asked, what it cost, what is kept, how it came to this, what may be decided, and what
happens if nobody does. Everything in it is bounded, because a task of ten thousand steps is read
in ten seconds too.
"""

from typing import Any, Final

import msgspec

from envelopes import Envelope, limits
from envelopes.decision import Verb
from envelopes.shortened import shortened
from orchestrator.core import again
from orchestrator.core.task import Asked, Received, StepPhase, StepState
from orchestrator.core.turn import Turn

_GOALS_TOLD: Final = 5
_STEPS_TOLD: Final = 100
_VERDICTS_TOLD: Final = 10


def remember(turn: Turn, step: StepState, envelope: Envelope) -> None:
    """Keep an envelope in short, should there be a letter."""
    said = Received(
        step=step.plan.id,
        agent=step.agent,
        hop=step.hop,
        status=envelope.status,
        confidence=envelope.confidence,
        reason=shortened(envelope.reason or "", limits.RECEIVED_CHARS_MAX),
    )
    turn.change(received=(*turn.task.received, said)[-limits.RECEIVED_MAX :])


def about(turn: Turn) -> StepState | None:
    """Return the step that a letter is about: one that asks or broke, else the last one heard."""
    for phase in (StepPhase.ASKING, StepPhase.BROKEN):
        if places := turn.places(phase):
            return turn.steps[places[0]]
    steps = {step.plan.id: step for step in turn.steps}
    heard = (steps.get(said.step) for said in reversed(turn.task.received))
    return next((step for step in heard if step is not None), None)


def page(turn: Turn, why: str, text: str, question: Asked | None = None) -> str:
    """Write the page, as JSON text."""
    task, result = turn.task, turn.result()
    goals = dict.fromkeys([task.terms.goal, *(step.goal for step in turn.steps)])
    told: dict[str, Any] = {
        "why": why,
        "text": text,
        "question": question,
        "allowed": allowed(turn, question),
        "if_nobody_decides": if_nobody_decides(turn),
        "goals": list(goals)[:_GOALS_TOLD],
        "spent": task.ledger.spent,
        "ceiling": task.ledger.ceiling,
        "hop": task.hop,
        "hops_max": task.hops_max,
        "kept": None if result is None else msgspec.Raw(result.result.encode()),
        "confidence": None if result is None else result.confidence,
        "trail": task.received,
        "steps": [
            {"step": s.plan.id, "agent": s.agent, "phase": s.phase, "reason": s.reason}
            for s in turn.steps[:_STEPS_TOLD]
        ],
        "verdicts": task.verdicts[-_VERDICTS_TOLD:],
    }
    return msgspec.json.encode(told).decode()


def allowed(turn: Turn, question: Asked | None) -> list[Verb]:
    """Return what can be decided: nothing to approve where nothing is kept, and so on."""
    senseless = {Verb.RETRY} if question else {Verb.ANSWER}
    if turn.result() is None:
        senseless.add(Verb.APPROVE)
    if not again.to_reassign(turn):
        senseless.add(Verb.REASSIGN)
    return [verb for verb in Verb if verb not in senseless and not verb.of_a_message]


def if_nobody_decides(turn: Turn) -> Verb:
    """Return what happens at the due time: the declared default, but nobody approves nothing."""
    return Verb.ABORT if turn.result() is None else Verb(turn.task.terms.desk_default)
