"""Plans that agents make: a planner's, and a manager's from round to round.

An agent's plan is a wish. Before anything of it is published it must stand up to what is known: its
steps fit together, everybody it names is there, it is no deeper than the hops that are left, no
wider than the subtasks, and what its steps ask for by name can be paid. A plan that was in force
before is refused. Whoever made it is told why, and asked again; each time counts as a re-plan.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from envelopes import Amounts, Refused, Step, limits
from envelopes.counted import counted, doing
from envelopes.request import check_steps, read_plan
from envelopes.strict import compact
from orchestrator.core import replan, services
from orchestrator.core.brief import brief
from orchestrator.core.result import at_rest, fingerprint, last_steps
from orchestrator.core.task import (
    Composed,
    Plan,
    Planned,
    PlanStep,
    Role,
    StepPhase,
    StepState,
    Terms,
    planned,
    with_synthesis,
)
from orchestrator.core.turn import Turn

_NOTED_CHARS: Final = 200
"""How much of a goal or an input a journal line repeats."""


def read_steps(steps: Iterable[Step], terms: Terms, role: Role) -> Plan:
    """Put steps that an agent has made up into the core's own units."""
    return tuple(planned(step, terms.goal, terms.input, role) for step in steps)


def may_replan(turn: Turn) -> bool:
    """Say whether there is a re-plan, and a hop for it, left."""
    task = turn.task
    hop = max((turn.steps[p].hop for p in turn.places(StepPhase.BROKEN)), default=task.hop)
    return task.replans < task.terms.replans_max and hop < task.hops_max


def change_course(turn: Turn, why: str) -> bool:
    """Have another plan made where nothing moves; say whether there is anybody to make one."""
    task = turn.task
    number = replan.next_plan(turn)
    if task.terms.manager is not None:
        turn.change(advice=f"{why}: plan anew", replans=task.replans + 1)
    elif number is not None:
        replan.use_plan(turn, number, why)
    elif task.terms.planner is not None:
        ask_planner(turn, why)
    else:
        return False
    turn.change(stalls=0, unstuck=True)
    turn.note("unstuck", why)
    return True


def do_otherwise(turn: Turn, why: str) -> bool:
    """Have what the gate refused made otherwise; say whether there is anybody to see to it."""
    terms = turn.task.terms
    if terms.manager is not None:
        # Its answer crosses the line no more: else it would never hear what was wrong with it.
        turn.change(earlier=turn.result(), answer=None)
        turn.change(satisfied=False, advice=why, replans=turn.task.replans + 1)
    elif terms.planner is not None:
        ends = {step.plan.id for step in last_steps(turn.steps)}
        done = [p for p in turn.places(StepPhase.DONE) if turn.steps[p].plan.id in ends]
        for place in done:
            turn.set_step(place, phase=StepPhase.BROKEN, reason=why)
        if not done:
            return False  # all that it ended in was dropped
    else:
        return False
    turn.note("refused", why)
    return True


def give_up(turn: Turn, place: int) -> None:
    """Drop a step that a manager wanted, and all that was to be built on it."""
    step = turn.steps[place]
    turn.note("given_up", step.reason or "", step)
    turn.set_step(place, phase=StepPhase.DROPPED)
    for other in list(turn.places(StepPhase.WAITING)):
        built_on_it = step.plan.id in turn.steps[other].plan.needs
        if built_on_it and turn.steps[other].phase is StepPhase.WAITING:
            reason = f"{step.plan.id}, which it needs, could not be done"
            turn.set_step(other, phase=StepPhase.BROKEN, reason=reason)
            give_up(turn, other)


# --- the planner ---------------------------------------------------------------------------------


def ask_planner(turn: Turn, wanted: str) -> None:
    """Ask for a plan, with everything that is known."""
    assert turn.task.terms.planner is not None
    services.ask(turn, Role.PLANNER, turn.task.terms.planner, brief(turn, wanted))


def take_plan(turn: Turn, step: StepState) -> None:
    """Put the planner's plan in force, or note why not; the rules then ask again, or end it."""
    plan = _plan_of(turn, step)
    if isinstance(plan, str):
        turn.note("plan_refused", plan, step)
        turn.change(advice=plan, replans=turn.task.replans + 1)
        return
    first = not turn.task.plan_fingerprints
    turn.note("planned", _told(plan), step, steps=_noted(plan))
    replan.put_in_force(turn, plan, cause=step.hop)
    turn.change(advice="")
    if first:
        replan.remember(turn, replan.begin_plan(plan))
    else:
        replan.count(turn, replan.begin_plan(plan))


def _plan_of(turn: Turn, step: StepState) -> Plan | str:
    """Return the plan, or why there is none that could be used."""
    if step.phase is not StepPhase.DONE or step.kept is None:
        return step.reason or "it asked for something else instead of planning"
    try:
        steps = read_plan(step.kept.result, "plan")
    except Refused as wrong:
        return f"not a plan: {wrong}"
    terms = turn.task.terms
    plan = read_steps(steps, terms, Role.WORK)
    whole = with_synthesis(plan, terms.synthesis, terms.goal, terms.input)
    if _fingerprint(whole) in turn.task.plan_fingerprints:
        return "same plan: it was in force before"
    return _unsound(turn, plan, step.hop, known=()) or whole


# --- the manager ---------------------------------------------------------------------------------


def ask_manager(turn: Turn) -> None:
    """Begin a round: ask what is to be done next, with everything that is known."""
    assert turn.task.terms.manager is not None
    services.ask(turn, Role.MANAGER, turn.task.terms.manager, brief(turn, "next"))


def not_yet(turn: Turn, why: str) -> None:
    """The finish line decides when a task is done, not the manager; it is told so."""
    turn.note("not_yet", why)
    turn.change(satisfied=False, advice=why, stalls=turn.task.stalls + 1)


def round_is_due(turn: Turn) -> bool:
    """Say whether the manager has to be asked: all it wanted is home, and it is not being asked."""
    task = turn.task
    if task.terms.manager is None or not at_rest(turn.steps):
        return False
    return not services.is_asked(turn, Role.MANAGER)


def take_round(turn: Turn, step: StepState) -> None:
    """Do what the manager said, or note why not."""
    task = turn.task
    turn.change(rounds=task.rounds + 1, advice="")
    if step.kept is not None and step.kept.result != "null":
        turn.change(answer=Composed(step.kept.result, step.kept.confidence, whole=False))
    if step.phase is StepPhase.DONE:
        turn.change(satisfied=True)
        turn.note("satisfied", "the manager says that all is done", step)
        return
    refused = _unsound_round(turn, step)
    if refused is not None:
        turn.note("round_refused", refused, step)
        turn.change(advice=refused, stalls=task.stalls + 1, replans=task.replans + 1)
        return
    assert isinstance(step.ask, Planned)
    _delegate(turn, step, step.ask)


def _unsound_round(turn: Turn, step: StepState) -> str | None:
    ask = step.ask
    if not isinstance(ask, Planned):
        return step.reason or "a manager delegates, plans anew or is done; it said nothing of these"
    named = _named(ask.steps, turn.task.rounds)
    if long := next((each.id for each in named if len(each.id) > limits.NAME_CHARS_MAX), None):
        return f"{long!r} is too long a name for a step: at most {limits.NAME_CHARS_MAX} characters"
    known = [each.plan.id for each in turn.steps if each.plan.role.makes_the_result]
    if unsound := _unsound(turn, named, step.hop, known):
        return unsound
    return _no_replan(turn, ask) if ask.instead else None


def _no_replan(turn: Turn, ask: Planned) -> str | None:
    """Say why a manager's new plan is none, or is one too many."""
    if _fingerprint(ask.steps) in turn.task.plan_fingerprints:
        return "same plan: it was in force before"
    if turn.task.replans >= turn.task.terms.replans_max:
        return f"{doing(turn.task.replans, 're-plan')} used up"
    return None


def _delegate(turn: Turn, step: StepState, ask: Planned) -> None:
    """Add the steps of this round, each under a name with the round in it."""
    steps = _named(ask.steps, turn.task.rounds)
    why = "replanned" if ask.instead else "delegated"
    turn.note(why, _told(steps), step, steps=_noted(steps))
    turn.add_steps(replan.fresh(each, next_hop=step.hop + 1) for each in steps)
    name = _fingerprint(ask.steps)
    turn.change(plan_fingerprints=(*turn.task.plan_fingerprints, name))
    if ask.instead:
        turn.change(replans=turn.task.replans + 1)


def _fingerprint(steps: Plan) -> str:
    return replan.plan_fingerprint(replan.begin_plan(steps))


def _named(steps: Plan, number: int) -> Plan:
    """Name the steps of a round so that no later round can have a step of the same name."""
    names = {step.id: f"r{number}.{step.id}" for step in steps}
    return tuple(
        replace(step, id=names[step.id], needs=tuple(names.get(need, need) for need in step.needs))
        for step in steps
    )


# --- what a plan must be -------------------------------------------------------------------------


def _unsound(turn: Turn, plan: Plan, hop: int, known: Sequence[str]) -> str | None:
    """Say why a plan cannot be run as things stand, or return None where it can."""
    task = turn.task
    try:
        deep = check_steps([_shape(step) for step in plan], "plan", known)
    except Refused as wrong:
        return str(wrong)
    deep += task.terms.synthesis is not None
    if hop + deep > task.hops_max:
        left = doing(task.hops_max - hop, "hop")
        return f"{counted(deep, 'stage')} deep, but {left} left"
    if task.subtasks + len(plan) > task.terms.subtasks_max:
        left = doing(task.terms.subtasks_max - task.subtasks, "subtask")
        return f"{counted(len(plan), 'step')}, but {left} left"
    if strangers := _strangers(turn, plan):
        return f"nobody is called, or can do: {', '.join(strangers)}"
    named = {name for step in plan for name in (step.agent, *step.fallbacks)}
    if judges := named & set(task.terms.validators):
        return f"{', '.join(sorted(judges))} will judge the result and can make no part of it"
    size = sum(len(step.goal) + len(step.input) for step in plan)
    if size > limits.PLAN_BYTES_MAX:
        return f"its messages have {size:,} characters together: let it send less to each step"
    return _unaffordable(turn, plan)


def _shape(step: PlanStep) -> Step:
    """Return what of a step says how it hangs together with the others."""
    return Step(id=step.id, agent=step.agent or None, skill=step.skill or None, needs=step.needs)


def _strangers(turn: Turn, plan: Plan) -> list[str]:
    agents = {name: known for name, known in turn.sight.agents.items() if known.known}
    skills = {skill for known in agents.values() for skill in known.skills}
    named = [step.agent for step in plan if step.agent and step.agent not in agents]
    return [*named, *(step.skill for step in plan if step.skill and step.skill not in skills)]


def _unaffordable(turn: Turn, plan: Plan) -> str | None:
    asked = sum(
        (step.allowance.as_amounts() for step in plan if step.allowance is not None), Amounts()
    )
    free = turn.task.ledger.free()
    if asked.within(free):
        return None
    return f"its allowances come to {asked}, but left is {free}"


def _told(plan: Plan) -> str:
    """Write a plan as the journal shows it."""
    told = [
        {
            "id": step.id,
            "agent": step.agent or f"any {step.skill}",
            "needs": list(step.needs),
            "goal": step.goal[:_NOTED_CHARS],
        }
        for step in plan
    ]
    return compact(told)


def _noted(plan: Plan) -> Plan:
    """Cut a plan's long texts for the journal, so that different plans still look different."""
    return tuple(replace(step, goal=_short(step.goal), input=_short(step.input)) for step in plan)


def _short(text: str) -> str:
    return text if len(text) <= _NOTED_CHARS else f"{text[:_NOTED_CHARS]}… {fingerprint(text)}"
