"""Whom a request names that nobody runs: a misspelt name is told at once, and not at the deadline.

Such a task is accepted all the same: its worker may be on its way. Pure: from the request, and from
what is known of the agents.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from envelopes import TaskRequest
from envelopes.nearest import did_you_mean
from envelopes.until import Custom, parts
from orchestrator.view import AgentView

_NAMED_MAX: Final = 12
"""Names in one sentence; of more it is said how many."""


@dataclass(frozen=True, slots=True)
class Unstaffed:
    """Agents and skills that a request names and no living worker has, and those there are."""

    agents: tuple[str, ...]
    skills: tuple[str, ...]
    running: tuple[str, ...]
    """Agents that are run."""
    offered: tuple[str, ...]
    """Skills that they have."""

    def __bool__(self) -> bool:
        return bool(self.agents or self.skills)

    def sentences(self) -> Iterator[str]:
        """Say who is missing, whom it may have meant, and what to do."""
        if self.agents:
            yield f"no living worker runs {_each(self.agents, self.running)}"
        if self.skills:
            yield f"no living worker has the skill {_each(self.skills, self.offered)}"
        if not self.running:
            yield "no worker lives; start one with: buckstop up MODULE, or buckstop worker MODULE"
        else:
            yield f"there are: {some(self.running)}; start who is missing: buckstop worker MODULE"


def unstaffed(request: TaskRequest, agents: Iterable[AgentView]) -> Unstaffed:
    """Find whom a request names that no living worker runs."""
    living = [one for one in agents if one.workers]
    running = sorted(one.name for one in living)
    offered = sorted({skill for one in living for skill in one.skills})
    return Unstaffed(
        tuple(sorted(_agents_of(request) - set(running))),
        tuple(sorted(_skills_of(request) - set(offered))),
        tuple(running),
        tuple(offered),
    )


def beginners(request: TaskRequest) -> set[str]:
    """Name the agents that have to begin, before anything else of the task can be done."""
    if request.manager is not None:
        return {request.manager}
    steps = {step.agent for step in request.plans[0] if step.agent and not step.needs}
    return steps or ({request.planner} if request.planner else set())


def _agents_of(request: TaskRequest) -> set[str]:
    steps = [step for plan in request.plans for step in plan]
    named = {name for step in steps for name in (step.agent, *step.fallbacks)}
    named |= {request.planner, request.manager, request.owner, request.synthesis}
    referees = {each.agent for each in parts(request.until) if isinstance(each, Custom)}
    return {name for name in named if name} | {*request.validators} | referees


def _skills_of(request: TaskRequest) -> set[str]:
    return {step.skill for plan in request.plans for step in plan if step.skill}


def _each(missing: Sequence[str], known: Sequence[str]) -> str:
    return some([f"{name!r}{did_you_mean(name, known)}" for name in missing])


def some(names: Sequence[str]) -> str:
    """Name as many as can be read, and say how many more there are."""
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
