"""The last check before a result leaves: the schema, then the confidence."""

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

from orchestrator.core.task import Composed, Task


def refusal(task: Task, result: Composed | None) -> str | None:
    """Say why this result may not leave, or return None where it may."""
    if result is None:
        return "nothing is kept"
    if wrong := schema_refusal(task, result.result):
        return wrong
    if result.confidence < task.terms.confidence_min:
        return f"confidence {result.confidence:.2f} is below {task.terms.confidence_min:.2f}"
    return None


def schema_refusal(task: Task, result: str) -> str | None:
    """Say where the result breaks the task's schema, or return None where it does not."""
    if task.terms.result_schema is None:
        return None
    schema = json.loads(task.terms.result_schema)
    validator = validator_for(schema, default=Draft202012Validator)(schema)
    try:
        error: Any = best_match(validator.iter_errors(json.loads(result)))
    except Exception as broken:  # noqa: BLE001  the schema is the caller's, and so is its failure
        # It can refer to itself for ever, to nothing, or divide what cannot be divided. A task
        # that raised here would raise at every wake and never end.
        return f"result_schema cannot be applied: {type(broken).__name__}: {broken}"[:500]
    if error is None:
        return None
    return f"result breaks its schema at {error.json_path}: {error.message[:300]}"
