"""A task in A2A's words.

    submitted, working    the same
    on_desk               input-required; a question is the status's message
    completed, partial    completed; metadata.buckstop.state tells which
    aborted               canceled where its caller wished it, rejected where a person at the desk
                          refused it, failed else

A partial result has passed the gate as any other: it is an answer, though not all of the plan is
done. What an aborted task had kept is an artifact too, and is called so.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.a2a.wanted import CONTEXT, KEY, MESSAGE
from orchestrator.core.task import StepPhase
from orchestrator.view import State, TaskView
from orchestrator.wanted import Stage

STATES: Final[Mapping[State, str]] = {
    State.SUBMITTED: "TASK_STATE_SUBMITTED",
    State.WORKING: "TASK_STATE_WORKING",
    State.ON_DESK: "TASK_STATE_INPUT_REQUIRED",
    State.COMPLETED: "TASK_STATE_COMPLETED",
    State.PARTIAL: "TASK_STATE_COMPLETED",
    State.ABORTED: "TASK_STATE_FAILED",
}
CANCELED: Final = "TASK_STATE_CANCELED"
REJECTED: Final = "TASK_STATE_REJECTED"
STAGES: Final[Mapping[str, Stage | None]] = {
    "TASK_STATE_SUBMITTED": Stage.OPEN,
    "TASK_STATE_WORKING": Stage.OPEN,
    "TASK_STATE_INPUT_REQUIRED": Stage.ON_DESK,
    "TASK_STATE_COMPLETED": None,
    "TASK_STATE_FAILED": Stage.ABORTED,
    CANCELED: Stage.ABORTED,
    REJECTED: Stage.ABORTED,
}
"""At which stage of the index tasks of a state are found; None where it is more than one."""

Letter = Mapping[str, Any]
Shown = dict[str, Any]


def state_of(task: TaskView) -> str:
    """Return a task's state as A2A names it."""
    if task.stop_reason == "cancelled":
        return CANCELED
    if task.state is State.ABORTED and (task.stop_reason or "").startswith("decided: abort"):
        return REJECTED
    return STATES[task.state]


def context_of(task: TaskView) -> str:
    """Return the context that its message named; a task that came otherwise is its own."""
    return task.labels.get(CONTEXT, task.id)


def whole(task: TaskView, letter: Letter | None, history: int | None = None) -> Shown:
    """Return a task; with so many messages of its history, or all."""
    shown = {
        "id": task.id,
        "contextId": context_of(task),
        "status": status(task, letter),
        "artifacts": artifacts(task),
        "history": _history(task)[: None if history is None else history],
        "metadata": {KEY: figures(task)},
    }
    return {name: value for name, value in shown.items() if value}


def status(task: TaskView, letter: Letter | None) -> Shown:
    """Return how it is, with what it waits for or why it ended."""
    parts = _asked(letter) if letter is not None else _said(task)
    if not parts:
        return {"state": state_of(task)}
    return {"state": state_of(task), "message": _of_agent(task, parts)}


def status_update(task: TaskView, letter: Letter | None) -> Shown:
    """Return how it is now, for a stream."""
    return {
        "statusUpdate": {
            "taskId": task.id,
            "contextId": context_of(task),
            "status": status(task, letter),
            "metadata": {KEY: figures(task)},
        }
    }


def artifact_update(task: TaskView, artifact: Shown) -> Shown:
    """Return one artifact, whole, for a stream."""
    about = {"taskId": task.id, "contextId": context_of(task)}
    return {"artifactUpdate": {**about, "artifact": artifact, "lastChunk": True}}


def artifacts(task: TaskView) -> list[Shown]:
    """Return what an ended task has brought."""
    if not task.final or task.result is None:
        return []
    name = "kept, no answer" if task.state is State.ABORTED else "result"
    about = {"confidence": task.confidence, "state": task.state}
    part = _part(task.result)
    return [{"artifactId": "result", "name": name, "parts": [part], "metadata": {KEY: about}}]


def figures(task: TaskView) -> Shown:
    """Return what A2A has no words for."""
    spent = task.ledger.spent
    return {
        "state": task.state,
        "stop_reason": task.stop_reason,
        "hop": task.hop,
        "hops_max": task.hops_max,
        "steps": len(task.steps),
        "steps_done": task.count(StepPhase.DONE),
        "spent": {"tokens": spent.tokens, "usd_micros": spent.usd_micros, "calls": spent.calls},
        "letter": task.letter,
    }


def _part(value: Any) -> Shown:
    if isinstance(value, str):
        return {"text": value, "mediaType": "text/plain"}
    return {"data": value, "mediaType": "application/json"}


def _asked(letter: Letter) -> list[Shown]:
    """Return a question with its choices, or what a person is to decide."""
    question = (letter["story"] or {}).get("question")
    if question is None:
        allowed = "|".join(letter["allowed"])
        return [{"text": f"it waits for a person: {letter['why']}. To be decided: {allowed}"}]
    choices = list(question.get("choices", ()))
    return [{"text": question["text"]}, *([{"data": {"choices": choices}}] if choices else [])]


def _said(task: TaskView) -> list[Shown]:
    """Say why a task ended that is not simply completed."""
    if not task.final or task.state is State.COMPLETED:
        return []
    return [{"text": f"{task.state}: {task.stop_reason}"}]


def _of_agent(task: TaskView, parts: Sequence[Shown]) -> Shown:
    return {
        "messageId": f"{task.id}-{task.version}",
        "role": "ROLE_AGENT",
        "taskId": task.id,
        "contextId": context_of(task),
        "parts": list(parts),
    }


def _history(task: TaskView) -> list[Shown]:
    """Return the message that it began with, as its goal."""
    return [
        {
            "messageId": task.labels.get(MESSAGE, task.id),
            "role": "ROLE_USER",
            "taskId": task.id,
            "contextId": context_of(task),
            "parts": [{"text": task.goal}],
        }
    ]
