"""What comes after a step broke: the next plan, never the last one again.

In this order: another agent for the broken steps; dropping those that are optional; the next
fallback plan. Each new plan costs one re-plan and one hop, and a plan whose fingerprint was in
force before does not count as new.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import msgspec

from orchestrator.core.commands import Look
from orchestrator.core.task import Plan, PlanStep, StepPhase, StepState
from orchestrator.core.turn import Turn


def begin_plan(plan: Plan) -> tuple[StepState, ...]:
    """Set every step of a plan to its start."""
    return tuple(_fresh(step) for step in plan)


def plan_fingerprint(steps: Sequence[StepState]) -> str:
    """Name a plan by its steps and who is to do them."""
    text = msgspec.json.encode([(step.plan, step.agent, step.goal, step.input) for step in steps])
    return blake2b(text, digest_size=8).hexdigest()


def next_agent(step: StepState) -> str | None:
    """Return the first fallback that has not tried this step."""
    return next((agent for agent in step.plan.fallbacks if agent not in step.tried), None)


def use_next_agents(turn: Turn, places: list[int]) -> bool:
    """Give broken steps to their next agents: one new plan, one hop."""
    for place in places:
        step = turn.steps[place]
        agent = next_agent(step)
        assert agent is not None
        turn.set_step(
            place,
            phase=StepPhase.WAITING,
            agent=agent,
            tried=(*step.tried, agent),
            next_hop=step.hop + 1,
            lost=0,
        )
        turn.note("next_agent", f"{step.agent}: {step.reason}", turn.steps[place])
    return _count(turn)


def next_plan(turn: Turn) -> int | None:
    """Return the number of the next fallback plan that was never in force, or None."""
    plans = turn.task.terms.plans
    for number in range(turn.task.plan_number + 1, len(plans)):
        if plan_fingerprint(begin_plan(plans[number])) not in turn.task.plan_fingerprints:
            return number
    return None


def use_plan(turn: Turn, number: int, why: str) -> Look | None:
    """Put a fallback plan in force. Steps that it repeats and that are done stay done."""
    if opened := turn.open_subtasks():
        return turn.look(revoke=opened)
    old = {step.plan.id: step for step in turn.steps}
    cause = max(step.hop for step in turn.steps)
    trails = tuple(entry for step in turn.steps for entry in step.trail)
    earlier = turn.result()
    turn.note("next_plan", why, plan=number)
    turn.set_plan(_carried_over(old, turn.task.terms.plans[number], cause))
    turn.change(
        plan_number=number,
        past=tuple(dict.fromkeys((*turn.task.past, *trails))),
        earlier=earlier and msgspec.structs.replace(earlier, whole=False),
    )
    _count(turn)
    return None


def _carried_over(old: Mapping[str, StepState], plan: Plan, cause: int) -> Iterator[StepState]:
    """Carry over what is done, as long as all that it was made from is carried over too."""
    done = {name: step.plan for name, step in old.items() if step.phase is StepPhase.DONE}
    stays = {step.id for step in plan if done.get(step.id) == step}
    while built_anew := {s.id for s in plan if s.id in stays and not stays.issuperset(s.needs)}:
        stays -= built_anew
    for step in plan:
        fresh = msgspec.structs.replace(_fresh(step), next_hop=cause + 1)
        yield old[step.id] if step.id in stays else fresh


def _fresh(step: PlanStep) -> StepState:
    return StepState(
        plan=step, agent=step.agent, goal=step.goal, input=step.input, tried=(step.agent,)
    )


def _count(turn: Turn) -> bool:
    """Count a re-plan and remember its fingerprint."""
    name = plan_fingerprint(turn.steps)
    task = turn.task
    turn.change(replans=task.replans + 1, plan_fingerprints=(*task.plan_fingerprints, name))
    return True
