"""Hold a JSON text against a JSON Schema that a caller has written."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for


def misfit(schema: Mapping[str, Any], text: str) -> str | None:
    """Say where a text breaks a schema, or return None where it does not."""
    validator = validator_for(schema, default=Draft202012Validator)(schema)
    try:
        error: Any = best_match(validator.iter_errors(json.loads(text)))
    except Exception as broken:  # noqa: BLE001  the schema is the caller's, and so is its failure
        # It can refer to itself for ever, to nothing, or divide what cannot be divided. A task
        # that raised here would raise at every wake and never end.
        return f"it cannot be applied: {type(broken).__name__}: {broken}"[:500]
    return None if error is None else f"at {error.json_path}: {error.message[:300]}"
