"""What comes after a step broke: the next plan, never the last one again.

In this order: another agent for the broken steps; dropping those that are optional; the next
fallback plan; a plan that the planner makes of what is known by then (planner.py). Each new plan
costs one re-plan and one hop, and a plan whose fingerprint was in force before is not a new one.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from orchestrator.core import crew, gate
from orchestrator.core.commands import Look
from orchestrator.core.task import Plan, PlanStep, StepPhase, StepState
from orchestrator.core.turn import Turn


def begin_plan(plan: Plan) -> tuple[StepState, ...]:
    """Set every step of a plan to its start."""
    return tuple(fresh(step) for step in plan)


def plan_fingerprint(steps: Sequence[StepState]) -> str:
    """Name a plan by its steps and who is to do them, whatever the steps are called."""
    places = {step.plan.id: place for place, step in enumerate(steps)}
    text = msgspec.json.encode([_content(step, places) for step in steps])
    return blake2b(text, digest_size=8).hexdigest()


def _content(step: StepState, places: Mapping[str, int]) -> tuple[object, ...]:
    plan = step.plan
    needs = sorted(places.get(need, -1) for need in plan.needs)
    bounds = plan.weight, plan.allowance, plan.timeout_ms, plan.optional
    return (step.agent, plan.skill, step.goal, step.input, needs, plan.fallbacks, bounds)


def next_agents(turn: Turn) -> Mapping[int, str]:
    """Say who could try each broken step next, unless that would be a plan as there was before."""
    steps = turn.steps
    others = {p: crew.next_agent(turn, steps[p]) for p in turn.places(StepPhase.BROKEN)}
    found = {place: agent for place, agent in others.items() if agent is not None}
    if not found:
        return found
    then = [replace(step, agent=found.get(place, step.agent)) for place, step in enumerate(steps)]
    return {} if plan_fingerprint(then) in turn.task.plan_fingerprints else found


def use_next_agents(turn: Turn, agents: Mapping[int, str]) -> None:
    """Give broken steps to their next agents: one new plan, one hop."""
    for place, agent in agents.items():
        step = turn.steps[place]
        turn.set_step(
            place,
            phase=StepPhase.WAITING,
            agent=agent,
            tried=(*step.tried, agent),
            next_hop=step.hop + 1,
            lost=0,
        )
        turn.note("next_agent", f"{step.agent}: {step.reason}", turn.steps[place])
    count(turn)


def next_plan(turn: Turn) -> int | None:
    """Return the number of the next fallback plan that was never in force, or None."""
    plans = turn.task.terms.plans
    for number in range(turn.task.plan_number + 1, len(plans)):
        if plan_fingerprint(begin_plan(plans[number])) not in turn.task.plan_fingerprints:
            return number
    return None


def use_plan(turn: Turn, number: int, why: str) -> Look | None:
    """Put a fallback plan in force."""
    if opened := turn.open_subtasks():
        return turn.look(revoke=opened)
    turn.note("next_plan", why, plan=number)
    plan = turn.task.terms.plans[number]
    put_in_force(turn, plan)
    turn.change(plan_number=number)
    count(turn, begin_plan(plan))
    return None


def put_in_force(turn: Turn, plan: Plan, cause: int = 0) -> None:
    """Let this be the plan from now on. Steps that it repeats and that are done stay done."""
    old = {step.plan.id: step for step in turn.steps}
    cause = max([cause, *(step.hop for step in turn.steps)])
    trails = tuple(entry for step in turn.steps for entry in step.trail)
    earlier, by = turn.result(), tuple(sorted(gate.makers(turn.task, turn.steps)))
    turn.keep_steps(_carried_over(old, plan, cause))
    turn.change(
        past=tuple(dict.fromkeys((*turn.task.past, *trails))),
        earlier=earlier and replace(earlier, whole=False, by=earlier.by or by),
    )


def _carried_over(old: Mapping[str, StepState], plan: Plan, cause: int) -> Iterator[StepState]:
    """Carry over what is done, as long as all that it was made from is carried over too."""
    done = {name: step.plan for name, step in old.items() if step.phase is StepPhase.DONE}
    stays = {step.id for step in plan if done.get(step.id) == step}
    while built_anew := {s.id for s in plan if s.id in stays and not stays.issuperset(s.needs)}:
        stays -= built_anew
    for step in plan:
        yield old[step.id] if step.id in stays else fresh(step, next_hop=cause + 1)


def fresh(step: PlanStep, next_hop: int = 0) -> StepState:
    """Set a step to its start."""
    return StepState(
        plan=step,
        agent=step.agent,
        goal=step.goal,
        input=step.input,
        next_hop=next_hop,
        tried=(step.agent,) if step.agent else (),
    )


def count(turn: Turn, *wished: Sequence[StepState]) -> None:
    """Count a re-plan and remember its fingerprint."""
    turn.change(replans=turn.task.replans + 1)
    remember(turn, *wished)


def remember(turn: Turn, *wished: Sequence[StepState]) -> None:
    """Remember the plan in force, so that it is never taken for a new one.

    What it keeps of an earlier plan may have been done by a stand-in. It is remembered as it was
    wished for too, or the same wish would look new.
    """
    names = [plan_fingerprint(each) for each in (*wished, turn.steps)]
    turn.change(plan_fingerprints=tuple(dict.fromkeys((*turn.task.plan_fingerprints, *names))))
