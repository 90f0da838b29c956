"""Hold a JSON text against a JSON Schema that a caller has written."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

_MISFITS_MAX: Final = 20
"""Faults told of one text: more of them nobody repairs in one go."""


def misfit(schema: Mapping[str, Any], text: str) -> str | None:
    """Say where a text breaks a schema, or return None where it does not."""
    validator = validator_for(schema, default=Draft202012Validator)(schema)
    try:
        error: Any = best_match(validator.iter_errors(json.loads(text)))
    except Exception as broken:  # noqa: BLE001  the schema is the caller's, and so is its failure
        # It can refer to itself for ever, to nothing, or divide what cannot be divided. A task
        # that raised here would raise at every wake and never end.
        return _inapplicable(broken)
    return None if error is None else f"at {error.json_path}: {error.message[:300]}"


def misfits(schema: Mapping[str, Any], text: str) -> list[tuple[str, str]]:
    """Say where (as a JSON pointer) and how a text breaks a schema, as far as one can repair."""
    validator = validator_for(schema, default=Draft202012Validator)(schema)
    try:
        errors: list[Any] = list(islice(validator.iter_errors(json.loads(text)), _MISFITS_MAX))
    except Exception as broken:  # noqa: BLE001  as above
        return [("", _inapplicable(broken))]
    return [(_pointer(error.absolute_path), error.message[:300]) for error in errors]


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _inapplicable(broken: Exception) -> str:
    return f"it cannot be applied: {type(broken).__name__}: {broken}"[:500]
