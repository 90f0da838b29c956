"""The schema of a request, as a model reads it before it submits a task.

It is the one that the API itself reads requests with, so the two cannot differ; a line on each of
the main fields says what to write there.
"""

from typing import Any, Final

from envelopes.request import TaskRequest

_SAYS: Final = {
    "goal": "What is to be reached, in words.",
    "input": "What the agent gets besides the goal: any JSON.",
    "agent": "The one agent that does it; `agents` lists them. Or say plan, planner or manager.",
    "plan": "Steps with needs; independent ones run side by side.",
    "planner": "The agent that makes the plan.",
    "budget": 'Required: the ceiling, such as {"tokens": 20000}; never overspent.',
    "timeout": 'Required: the deadline, such as "5m" or 90 (seconds).',
    "until": 'Required: when it is done; {"kind": "plan_done"} where nothing else is wanted.',
    "hops_max": "Transfers of control at most.",
    "result_schema": "A JSON Schema that the result must fit.",
    "confidence_min": "Results that are less sure go to a person.",
    "idempotency_key": "Name the submission: with it, sent twice is submitted once.",
    "labels": "For finding it again.",
    "desk_timeout": "How long a person has to decide before the default applies.",
}
"""What a model is told of the fields that most requests have."""


def request_schema() -> dict[str, Any]:
    """Return the schema of a request: the API's own, with a line on its main fields."""
    schema = TaskRequest.model_json_schema()
    fields = schema["properties"]
    for name, says in _SAYS.items():
        fields[name] = {**fields[name], "description": says}
    return schema
