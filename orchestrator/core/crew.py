"""Who can do a step, and whether there is room for it there.

A step names an agent, or a skill that several may have. Where its agent's breaker is open it goes
to another of the same skill, if there is one: nothing was sent yet, so that is no hop and no new
plan. Where there is nobody else it waits in the agent's room.
"""

from envelopes import limits
from orchestrator.core.facts import Agent
from orchestrator.core.task import StepPhase, StepState
from orchestrator.core.turn import Turn

_STRANGER = Agent()


def next_agent(turn: Turn, step: StepState) -> str | None:
    """Return who should try a step next: a declared fallback, else another of the same skill."""
    fallbacks = [each for each in step.plan.fallbacks if each not in step.tried]
    others = [*fallbacks, *_skilled(turn, step)]
    return next((each for each in others if not _about(turn, each).shut), next(iter(others), None))


def staffed(turn: Turn, place: int) -> StepState | None:
    """Return a step with an agent that has room for it; None where it has to wait."""
    step = _with_an_agent(turn, place)
    if step is None:
        return None
    if _about(turn, step.agent).shut:
        step = _rerouted(turn, place, step)
    elif step.plan.skill and not step.attempt and not turn.has_room(step.agent):
        step = _elsewhere(turn, place, step)
    if turn.take_room(step.agent):
        return step
    if step.plan.skill and not step.attempt:  # whoever of them has room first may do it
        turn.full.update(_skilled(turn, step))
    return None


def missing(turn: Turn) -> list[str]:
    """Return the agents that were sent something and have not answered, and that nobody runs."""
    known, unanswered = turn.sight.agents, (StepPhase.OPEN, StepPhase.WAITING)
    names = {step.agent for step in turn.steps if step.attempt and step.phase in unanswered}
    return sorted(name for name in names if name not in known or not known[name].known)


def _with_an_agent(turn: Turn, place: int) -> StepState | None:
    step = turn.steps[place]
    if step.agent:
        return step
    agent = next_agent(turn, step)
    if agent is not None:
        return turn.set_step(place, agent=agent, tried=(*step.tried, agent))
    until_ms = turn.task.accepted_ms + limits.PATIENCE_MS
    if turn.now_ms < until_ms:  # workers may have started after the caller
        turn.alarms.append(until_ms)
        return None
    why = f"no agent has the skill {step.plan.skill!r}"
    turn.note("no_such_skill", why, step)
    turn.set_step(place, phase=StepPhase.BROKEN, reason=why)
    return None


def _rerouted(turn: Turn, place: int, step: StepState) -> StepState:
    other = next_agent(turn, step)
    if other is None or _about(turn, other).shut:
        return step
    turn.note("rerouted", f"the breaker of {step.agent} is open; {other} does it", step)
    return turn.set_step(place, agent=other, tried=(*step.tried, other))


def _elsewhere(turn: Turn, place: int, step: StepState) -> StepState:
    """Give a step that anybody with its skill may do, and nobody was sent yet, to who has room."""
    other = next_agent(turn, step)
    if other is None or not turn.has_room(other):
        return step
    tried = tuple(other if agent == step.agent else agent for agent in step.tried)
    return turn.set_step(place, agent=other, tried=tried)


def _skilled(turn: Turn, step: StepState) -> list[str]:
    """Return agents that can stand in, the least busy first.

    Nobody stands in for a judge, whose word is its own; and no judge for those it will judge.
    """
    if step.plan.role.judges:
        return []
    agents, judges = turn.sight.agents, turn.task.terms.validators
    wanted = {step.plan.skill} if step.plan.skill else set(_about(turn, step.plan.agent).skills)
    if not wanted:
        return []
    able = [name for name, each in agents.items() if wanted.issubset(each.skills)]
    free = [name for name in able if name not in step.tried and name not in judges]
    return sorted(free, key=lambda name: _burden(turn, name))


def _burden(turn: Turn, name: str) -> tuple[bool, bool, int, str]:
    known = turn.sight.agents[name]
    return known.shut, not turn.has_room(name), known.in_flight + turn.taken[name], name


def _about(turn: Turn, agent: str) -> Agent:
    return turn.sight.agents.get(agent, _STRANGER)
