"""What the operator declares for A2A messages that say no bounds: a YAML file, named by a setting.

BUCKSTOP_A2A_DEFAULTS   the file: for all messages ("*") or by agent, fields of a request

Read once, by whatever serves the API, and by `buckstop up` before it starts anything. Without the
setting nothing is declared, and a message without bounds is refused (wanted.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from envelopes.request import TaskRequest
from orchestrator.settings import SettingsError

SETTING: Final = "BUCKSTOP_A2A_DEFAULTS"
ALL: Final = "*"
NOT_SAID: Final = {"idempotency_key": "the messageId is it", "goal": "the text parts are it"}
"""Fields of a request that come from elsewhere in a message."""

Defaults = Mapping[str, Mapping[str, Any]]
"""By agent, or for ALL: fields of a request."""


def read_defaults(environ: Mapping[str, str]) -> Defaults:
    """Read what the operator has declared, or raise SettingsError; else nothing is."""
    if not (name := environ.get(SETTING)):
        return {}
    try:
        found = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SettingsError(f"{SETTING}: {name} cannot be read: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise SettingsError(f'{SETTING}: {name} is to be agents (or "*"), each with its fields')
    allowed = TaskRequest.model_fields.keys() - NOT_SAID.keys()
    for agent, fields in found.items():
        if unknown := [each for each in fields if each not in allowed]:
            raise SettingsError(
                f"{SETTING}: {name}: {agent}: {unknown[0]!r} is no field to declare; those of a "
                "request are, such as agent, budget, timeout and until"
            )
    return found
