"""Why a task does not move, in sentences that say what to do about it.

Pure: from what the client returned. For a person who wonders, at a terminal or over HTTP.

Not here: who has to wait, and when that ends (core/crew.py, and the commit that frees a place).
"""

from collections.abc import Iterable, Iterator, Mapping

from orchestrator.clock import moment
from orchestrator.core.task import StepPhase
from orchestrator.view import AgentView, State, TaskView


def waits(task: TaskView, agents: Iterable[AgentView], beginners: Iterable[str] = ()) -> list[str]:
    """Say what a task waits for that it cannot bring about itself.

    `beginners` are who has to begin, of a task that nobody has looked at yet.
    """
    if task.final:
        return []
    if task.state is State.ON_DESK:
        return [f"for a person: buckstop letters show {task.letter}"]
    if not task.at_work:
        return [f"for a place: tenant {task.tenant!r} has all its tasks at work: buckstop tenants"]
    known = {one.name: one for one in agents}
    absent = {*beginners} - {name for name, one in known.items() if one.workers}
    return [
        *(_for_worker(name) for name in sorted(absent)),
        *_for_workers(task, known),
        *(_for_room(known[name]) for name in task.rooms),
    ]


def _for_workers(task: TaskView, known: Mapping[str, AgentView]) -> Iterator[str]:
    """Name agents whose messages nobody fetches, for no worker that lives runs them."""
    for name in sorted({step.agent for step in task.steps if step.phase is StepPhase.OPEN}):
        if name in known and not known[name].workers:
            yield _for_worker(name)


def _for_worker(name: str) -> str:
    return f"for a worker that runs {name!r}; none lives: buckstop worker MODULE"


def _for_room(agent: AgentView) -> str:
    reset = f"buckstop agents reset {agent.name}"
    if agent.probing:
        return f"for the one message that probes {agent.name!r}, whose breaker is open; or: {reset}"
    if agent.breaker_open:
        probe = f"one message probes it at {moment(agent.opens_ms)}"
        return f"for {agent.name!r}, whose breaker is open after its faults; {probe}; or: {reset}"
    return (
        f"for room at {agent.name!r}, with {agent.in_flight} of {agent.cap} in flight; "
        f"or: buckstop agents cap {agent.name} N"
    )
