"""What a task has to show: composed from what its steps have kept.

The result is what the *last* steps produced, those that no other step needs: one such step gives
its result as it is, several give an object by step name. While a last step is missing, what there
is instead is an object with everything kept, by step name. The composed confidence is the weakest
link of all steps that contributed.
"""

from collections.abc import Sequence

from envelopes.strict import compact
from orchestrator.core.task import Kept, Record, StepPhase, StepState


class Composed(Record, frozen=True):
    """A result that could be delivered."""

    result: str
    """JSON text."""
    confidence: float
    whole: bool
    """Whether every last step is in it, with its agent's final word."""


def plan_is_done(steps: Sequence[StepState]) -> bool:
    """Say whether nothing of the plan is left to do."""
    return all(s.phase is StepPhase.DONE or s.phase is StepPhase.DROPPED for s in steps)


def composed(steps: Sequence[StepState]) -> Composed | None:
    """Compose what is kept, or return None where nothing is."""
    kept = [(step.plan.id, step.kept) for step in steps if step.kept is not None]
    if not kept:
        return None
    confidence = min(one.confidence for _, one in kept)
    needed = {need for step in steps for need in step.plan.needs}
    last = [
        step for step in steps if step.plan.id not in needed and step.phase is not StepPhase.DROPPED
    ]
    if last and all(step.kept is not None for step in last):
        whole = plan_is_done(steps) and all(s.kept is not None and s.kept.final for s in last)
        return Composed(_joined([(s.plan.id, s.kept) for s in last if s.kept]), confidence, whole)
    return Composed(_joined(kept, always_named=True), confidence, whole=False)


def _joined(kept: Sequence[tuple[str, Kept]], *, always_named: bool = False) -> str:
    if len(kept) == 1 and not always_named:
        return kept[0][1].result
    return "{" + ",".join(f"{compact(name)}:{one.result}" for name, one in kept) + "}"
