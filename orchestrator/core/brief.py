"""What a planner or a manager is told before it says what to do next.

Everything learned so far: what succeeded and with which result, what failed and why, who is there
to do more, and what is left to spend. Long results are cut, so that the brief always fits its
message; whoever needs all of one has it as the input of a step that needs that step.
"""

import json
from typing import Any

from envelopes import limits
from envelopes.strict import compact
from orchestrator.core.task import StepPhase, StepState
from orchestrator.core.turn import Turn

_SHARE = 2  # half of a message is for results; the rest is for the task's own input and the lists
_SHORTEST = 100
_FRAME_BYTES = 100  # {"goal":…,"input":…,"inputs":{}} around it
_FAILED = (StepPhase.BROKEN, StepPhase.DROPPED)


def brief(turn: Turn, wanted: str) -> str:
    """Write the input of a planner or a manager as JSON text."""
    made = [step for step in turn.steps if step.plan.role.makes_the_result]
    most = max(_SHORTEST, limits.PAYLOAD_BYTES_MAX // _SHARE // max(1, len(made)))
    while True:
        text = _written(turn, wanted, made, most)
        if not made or _fits(turn, text):
            return text
        if most > _SHORTEST:
            most //= 2
        else:
            made = made[(len(made) + 1) // 2 :]  # the oldest is known from earlier briefs


def _fits(turn: Turn, text: str) -> bool:
    """Say whether a brief, with the goal beside it, can be sent."""
    goal = compact(turn.task.terms.goal)
    return len(text.encode()) + len(goal.encode()) + _FRAME_BYTES <= limits.PAYLOAD_BYTES_MAX


def _written(turn: Turn, wanted: str, made: list[StepState], most: int) -> str:
    """Write a brief on these steps, with no more than so much of each text."""
    task = turn.task
    told: dict[str, Any] = {
        "wanted": wanted,
        "advice": task.advice or None,
        "round": task.rounds + 1 if task.terms.manager else None,
        "until": task.terms.until.model_dump(mode="json"),
        "results": _results(made, most),
        "failed": [_failure(step, most) for step in made if step.phase in _FAILED],
        "stalls": task.stalls,
        "left": _left(turn),
        "agents": _agents(turn),
    }
    given = {name: value for name, value in told.items() if value is not None}
    return f'{{"input":{task.terms.input},{compact(given)[1:]}'


def _results(made: list[StepState], most: int) -> dict[str, Any]:
    kept = [(step, step.kept) for step in made if step.kept is not None]
    return {
        step.plan.id: {
            "agent": one.agent,
            "goal": step.goal[:most],
            "result": _cut(one.result, most),
            "confidence": one.confidence,
            "final": one.final,
        }
        for step, one in kept
    }


def _cut(result: str, most: int) -> Any:
    """Return a result, or its beginning as text: a digest for whoever has to decide on it."""
    if len(result.encode()) <= most:
        return json.loads(result)
    return {"begins": result[: most // 4], "characters": len(result)}


def _failure(step: StepState, most: int) -> dict[str, Any]:
    return {"step": step.plan.id, "agent": step.agent, "goal": step.goal[: min(500, most)],
            "reason": step.reason and step.reason[:most]}  # fmt: skip


def _left(turn: Turn) -> dict[str, Any]:
    task, free = turn.task, turn.task.ledger.free()
    return {
        "tokens": free.tokens,
        "usd_micros": free.usd_micros,
        "calls": free.calls,
        "hops": task.hops_max - task.hop,
        "subtasks": task.terms.subtasks_max - task.subtasks,
        "replans": task.terms.replans_max - task.replans,
    }


def _agents(turn: Turn) -> dict[str, Any]:
    return {
        name: {"skills": list(known.skills), "busy": known.shut}
        for name, known in sorted(turn.sight.agents.items())
        if name not in (turn.task.terms.planner, turn.task.terms.manager)
    }
