"""What is done once more when a person lets a task go on.

Steps that broke are. Where the plan is done and yet not good enough, none did: then it is the
weakest links, and all that was built on them. A manager is asked again by itself, and told what the
person said.
"""

from orchestrator.core.result import plan_is_done
from orchestrator.core.task import StepPhase, StepState, Task
from orchestrator.core.turn import Turn


def to_run_again(turn: Turn) -> list[int]:
    """Return where the steps stand that a person's retry sends out again."""
    if turn.task.terms.manager is not None:
        return []
    if not plan_is_done(turn.task, turn.steps):
        return list(turn.places(StepPhase.BROKEN))
    done = [turn.steps[place] for place in turn.places(StepPhase.DONE)]
    again = _weakest_links(turn.task, done)
    grown = 0
    while len(again) > grown:
        grown = len(again)
        again |= {step.plan.id for step in done if not again.isdisjoint(step.plan.needs)}
    return [place for place in turn.places(StepPhase.DONE) if turn.steps[place].plan.id in again]


def to_reassign(turn: Turn) -> list[int]:
    """Return where the steps stand that somebody else could do; what asks for something too."""
    places = [*turn.places(StepPhase.ASKING), *to_run_again(turn)]
    return [place for place in places if turn.steps[place].plan.role.makes_the_result]


def _weakest_links(task: Task, done: list[StepState]) -> set[str]:
    sure = {step.plan.id: step.kept.confidence for step in done if step.kept is not None}
    weakest = min(sure.values(), default=0.0)
    bar = task.terms.confidence_min
    return {name for name, one in sure.items() if one < bar or one == weakest}
