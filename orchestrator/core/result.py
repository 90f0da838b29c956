"""What a task has to show: composed from what its steps have kept.

The result is what the *last* steps produced, those that no other step needs: one such step gives
its result as it is, several give an object by step name. While a last step is missing, what there
is instead is an object with everything kept, by step name. The composed confidence is the weakest
link of all steps that contributed.
"""

from collections.abc import Iterable, Mapping, Sequence

from envelopes.strict import compact
from orchestrator.core.task import Composed, Kept, StepPhase, StepState


def plan_is_done(steps: Sequence[StepState]) -> bool:
    """Say whether nothing of the plan is left to do."""
    return all(s.phase is StepPhase.DONE or s.phase is StepPhase.DROPPED for s in steps)


def composed(steps: Sequence[StepState]) -> Composed | None:
    """Compose what is kept, or return None where nothing is."""
    kept = {step.plan.id: step.kept for step in steps if step.kept is not None}
    if not kept:
        return None
    needed = {need for step in steps for need in step.plan.needs}
    ends = [step for step in steps if step.plan.id not in needed]
    last = {s.plan.id: s.kept for s in ends if s.phase is not StepPhase.DROPPED}
    there = {name: one for name, one in last.items() if one is not None}
    if not last or len(there) < len(last):
        return Composed(_joined(kept, always_named=True), _weakest(kept.values()), whole=False)
    aside = {s.plan.id for s in ends if s.phase is StepPhase.DROPPED}
    confidence = _weakest(one for name, one in kept.items() if name not in aside)
    return Composed(_joined(there), confidence, whole=plan_is_done(steps))


def _weakest(kept: Iterable[Kept]) -> float:
    return min(one.confidence for one in kept)


def _joined(kept: Mapping[str, Kept], *, always_named: bool = False) -> str:
    if len(kept) == 1 and not always_named:
        return next(iter(kept.values())).result
    return "{" + ",".join(f"{compact(name)}:{one.result}" for name, one in kept.items()) + "}"
