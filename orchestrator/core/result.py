"""What a task has to show: composed from what its steps have kept.

The result is what the *last* steps produced, those that no other step needs: one such step gives
its result as it is, several give an object by step name. While a last step is missing, what there
is instead is an object with everything kept, by step name. How sure it is follows from how sure its
parts are, as the task says: the weakest link unless it says otherwise. A synthesis agent, being the
only last step, speaks for itself, and so does a manager that has given an answer of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from math import prod
from statistics import fmean

from msgspec.structs import replace

from envelopes import Compose
from envelopes.strict import compact
from orchestrator.core.task import Composed, Kept, Role, StepPhase, StepState, Task

_OVER = (StepPhase.DONE, StepPhase.DROPPED)


def plan_is_done(task: Task, steps: Sequence[StepState]) -> bool:
    """Say whether nothing of the plan is left to do; where there is a manager, it must say so."""
    if task.terms.manager is not None and not task.satisfied:
        return False
    return at_rest(steps) and (bool(steps) or task.satisfied)


def at_rest(steps: Sequence[StepState]) -> bool:
    """Say whether nobody is at work or about to be, but for those who judge the result."""
    return all(s.phase in _OVER or s.plan.role.judges for s in steps)


def composed(task: Task, steps: Sequence[StepState]) -> Composed | None:
    """Compose what is kept, or return None where nothing is."""
    whole = plan_is_done(task, steps)
    if task.answer is not None:
        return replace(task.answer, whole=whole)
    makers = [step for step in steps if step.plan.role.makes_the_result]
    kept = {step.plan.id: step.kept for step in makers if step.kept is not None}
    if not kept:
        return None
    ends = last_steps(makers)
    last = {s.plan.id: s.kept for s in ends if s.phase is not StepPhase.DROPPED}
    there = {name: one for name, one in last.items() if one is not None}
    if not last or len(there) < len(last):
        sure = _sure(task.terms.compose, kept.values())
        return Composed(_joined(kept, always_named=True), sure, whole=False)
    return Composed(_joined(there), _sure(task.terms.compose, _parts(ends, kept)), whole)


def last_steps(makers: Sequence[StepState]) -> list[StepState]:
    """Return the steps that no other step needs."""
    needed = {need for step in makers for need in step.plan.needs}
    return [step for step in makers if step.plan.id not in needed]


def fingerprint(result: str) -> str:
    """Name a result by its text."""
    return blake2b(result.encode(), digest_size=8).hexdigest()


def _parts(ends: list[StepState], kept: Mapping[str, Kept]) -> list[Kept]:
    """Return whose confidence counts: all who contributed, or whoever made one of it all."""
    if [step.plan.role for step in ends] == [Role.SYNTHESIS]:
        return [kept[ends[0].plan.id]]
    aside = {step.plan.id for step in ends if step.phase is StepPhase.DROPPED}
    return [one for name, one in kept.items() if name not in aside]


def _sure(compose: Compose, kept: Iterable[Kept]) -> float:
    sure = [one.confidence for one in kept]
    match compose:
        case Compose.WEAKEST:
            return min(sure)
        case Compose.MEAN:
            return fmean(sure)
        case Compose.PRODUCT:
            return prod(sure)


def _joined(kept: Mapping[str, Kept], *, always_named: bool = False) -> str:
    if len(kept) == 1 and not always_named:
        return next(iter(kept.values())).result
    return "{" + ",".join(f"{compact(name)}:{one.result}" for name, one in kept.items()) + "}"
